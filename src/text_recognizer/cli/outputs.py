"""Which pages `text-recognizer read` writes together, in which formats and to which files."""

from __future__ import annotations

import os
import stat
import sys
from argparse import Namespace
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from text_recognizer import formats
from text_recognizer.cli.terminal import shown, write
from text_recognizer.errors import OutputFailed, UsageError

if TYPE_CHECKING:
    from text_recognizer.documents import PageReference
    from text_recognizer.formats import About, Format, Sheet, Writer


@dataclass(frozen=True)
class Output:
    """Pages that are written together, and the file for each format; no files if they go to standard output.

    `joined`: they come from several documents.
    """

    pages: list[PageReference]
    files: dict[str, Path]
    joined: bool = False
    standard: _Standard | None = None


def plan_outputs(documents: list[list[PageReference]], options: Namespace) -> list[Output]:
    """Plan what is written together, and where. Raises UsageError if the options do not fit the documents."""
    if options.output is None:
        return _to_standard_output(documents, options)
    inputs = {Path(source.removeprefix("@")) for source in options.images}  # lists and manifests are not pages
    inputs |= {page.source.path for pages in documents for page in pages if page.source.path is not None}
    protected = {found: path for path in inputs if (found := _same(path))}
    return _to_one_document(documents, options, protected) or _to_folder(documents, options, protected)


def _to_standard_output(documents: list[list[PageReference]], options: Namespace) -> list[Output]:
    from text_recognizer.formats.document import FOLDERS

    names: tuple[str, ...] = options.format
    count = sum(map(len, documents))
    chosen = formats.get_format(names[0])
    if len(names) > 1:
        raise UsageError("several formats need a file each; give --output DIR/")
    if chosen.stands_alone and (len(documents) > 1 or (chosen.name in FOLDERS and count > 1)):
        raise UsageError(f"several {chosen.name} documents need a file each; give --output DIR/")
    if chosen.is_binary and sys.stdout.isatty():
        raise UsageError(f"{chosen.name} is not for a terminal; give --output FILE")
    standard = _Standard(chosen, heads=count > 1 and not options.lines_only)
    return [Output(pages, {}, standard=standard) for pages in documents]


def _to_one_document(
    documents: list[list[PageReference]], options: Namespace, protected: dict[tuple[int, int], Path]
) -> list[Output]:
    """All pages in one document for each format if --output names a file; nothing if it names a folder."""
    from text_recognizer.formats.document import ending

    names: tuple[str, ...] = options.format
    output, count = Path(options.output), sum(map(len, documents))
    known = {suffix for name in names for suffix in (ending(name, names, 1), ending(name, names, 2))}
    suffix = next((s for s in sorted(known, key=len, reverse=True) if output.name.lower().endswith(s)), None)
    is_folder = options.output.endswith(("/", os.sep)) or _is_folder(output)
    if is_folder or not (suffix or (len(documents) == len(names) == 1)):
        return []
    stem = output.name[: -len(suffix)] if suffix else output.name
    files = {names[0]: output}
    if len(names) > 1:
        files = {name: output.with_name(stem + ending(name, names, count)) for name in names}
    for target in files.values():
        _check_not_input(target, protected)
    return [Output([page for pages in documents for page in pages], files, joined=len(documents) > 1)]


def _to_folder(
    documents: list[list[PageReference]], options: Namespace, protected: dict[tuple[int, int], Path]
) -> list[Output]:
    """A file for each document and format in the folder --output, which is created."""
    from text_recognizer.formats.document import ending

    names: tuple[str, ...] = options.format
    output = Path(options.output)
    outputs: list[Output] = []
    targets: dict[Path, PageReference] = {}
    for pages in documents:
        whole = pages[0].whole
        files = {name: output / whole.with_name(whole.name + ending(name, names, len(pages))) for name in names}
        outputs.append(Output(pages, files))
        for target in files.values():
            if target in targets:
                raise UsageError(
                    f"{targets[target].name} and {pages[0].name} would both be written to {target}; read them "
                    "separately, or with 'text-recognizer batch'"
                )
            targets[target] = pages[0]
            _check_not_input(target, protected)
    try:
        for folder in {target.parent for target in targets} or {output}:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"cannot make the folder {output} ({error.strerror}); choose another --output") from None
    return outputs


def open_writer(output: Output, name: str, about: About, open_files: ExitStack) -> Writer:
    """A writer for the pages of `output` in one format, to its file or to standard output."""
    from text_recognizer.formats.document import DocumentFile

    chosen = formats.get_format(name)
    whole = len(output.pages) > 1 or about.original is not None
    if name in output.files:
        path = output.files[name]
        return open_files.enter_context(DocumentFile(name, path, about)) if whole else _OneFile(chosen, path)
    if whole and chosen.stands_alone:
        return open_files.enter_context(closing(_Stream(name, about)))
    assert output.standard is not None
    return output.standard


class _OneFile:
    """A page in a file."""

    def __init__(self, chosen: Format, path: Path) -> None:
        self._format, self._path = chosen, path

    def add(self, sheet: Sheet) -> None:
        from text_recognizer.formats.document import write_file

        write_file(self._path, self._format.write(sheet.page, sheet.source, sheet.picture))

    def close(self) -> None:
        pass


class _Stream:
    """A document on standard output. It is assembled in a temporary file, since the PDF writer seeks in its file."""

    def __init__(self, name: str, about: About) -> None:
        from text_recognizer.formats.document import open_document

        self._whole = TemporaryFile()  # noqa: SIM115, closed below
        self._writer = open_document(name, self._whole, about)

    def add(self, sheet: Sheet) -> None:
        self._writer.add(sheet)

    def close(self) -> None:
        self._writer.close()
        self._whole.seek(0)
        while part := self._whole.read(1 << 20):
            write(part)
        self._whole.close()


class _Standard:
    """Consecutive pages on standard output; `heads`: whether their texts need headings."""

    def __init__(self, chosen: Format, heads: bool) -> None:
        self._format, self.heads, self._begun = chosen, heads and chosen.heads_several, False

    def add(self, sheet: Sheet) -> None:
        document = self._format.write(sheet.page, sheet.source, sheet.picture)
        if self.heads:
            separator = "\n" if self._begun else ""
            document = f"{separator}==> {shown(sheet.source)} <==\n".encode(errors="replace") + document
        elif self._begun:
            document = document.removeprefix(self._format.opening)
        write(document)
        self._begun = True

    def close(self) -> None:
        pass


def _check_not_input(target: Path, inputs: dict[tuple[int, int], Path]) -> None:
    """Raises UsageError if a result would replace one of the inputs, even through a link."""
    if (found := _same(target)) in inputs:
        raise UsageError(f"the result would replace {inputs[found]}; choose another --output")


def _same(path: Path) -> tuple[int, int] | None:
    """An identity shared by all paths of the same file; None if there is no file."""
    try:
        about = path.stat()
    except (OSError, ValueError):
        return None
    return (about.st_dev, about.st_ino) if stat.S_ISREG(about.st_mode) else None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # such as a name that is too long
        return False
