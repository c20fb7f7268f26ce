"""Multi-page documents, written page by page to a stream or to files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from tempfile import mkstemp
from types import TracebackType
from typing import BinaryIO, cast

from text_recognizer.errors import OutputFailed, UsageError
from text_recognizer.formats import NAMES, get_format, several
from text_recognizer.formats.format import About, Format, Sheet, Writer
from text_recognizer.page import Page, Picture

FOLDERS = ("alto", "page")
"""Formats with a file for each page, and METS for the whole document."""


def open_document(name: str, out: BinaryIO, about: About = About()) -> Writer:  # noqa: B008, it is frozen
    """A writer of format `name` to `out`; for the formats in `FOLDERS` it writes a ZIP."""
    match name:
        case "text":
            return several.Following(name, b"\f", out)
        case "md":
            return several.Following(name, b"\n---\n\n", out)
        case "tables":
            return several.Following(name, b"\n", out)
        case "json":
            return several.JsonLines(out, about)
        case "csv" | "tsv":
            return several.Table(name, out)
        case "hocr":
            return several.Hocr(out, about)
        case "alto" | "page":
            return several.Archive(name, out, about)
    # Formats with their own multi-page documents.
    return cast(Writer, import_module(f"{__package__}.{name}").open_document(out, about))


def document_suffix(chosen: Format) -> str:
    """The file suffix of a multi-page document."""
    return {"json": ".jsonl", "alto": ".mets.xml", "page": ".mets.xml"}.get(chosen.name, chosen.suffix)


def ending(name: str, names: Iterable[str], pages: int) -> str:
    """The file suffix of format `name` among files of all formats in `names`.

    ALTO and PAGE both use .xml, so if both are written, their suffixes include the format's name.
    """

    def of(other: str) -> str:
        chosen = get_format(other)
        return chosen.suffix if pages == 1 else document_suffix(chosen)

    return f".{name}{of(name)}" if sum(of(other) == of(name) for other in names) > 1 else of(name)


def document_type(chosen: Format) -> str:
    """The media type of the output of `open_document`."""
    special = {"json": "application/x-ndjson", "alto": "application/zip", "page": "application/zip"}
    return special.get(chosen.name, chosen.media_type)


class DocumentFile:
    """A document that becomes the file `path` when it is closed; an earlier file stays until then.

    Use it in `with`; an exception removes the unfinished file. Page files of `FOLDERS` are written next to `path`.
    Raises `OutputFailed`.
    """

    def __init__(self, name: str, path: Path, about: About = About()) -> None:  # noqa: B008, it is frozen
        self.path = path
        self._fresh: Path | None = None
        if name in FOLDERS:
            self._writer: Writer = several.Mets(
                name, lambda file, data: _put(path.with_name(file), data), path.name, about
            )
            return
        with _refusing(path):
            self._fresh = _beside(path)
            self._stream = self._fresh.open("w+b")
        try:
            self._writer = open_document(name, self._stream, about)
        except BaseException:
            self._discard()
            raise

    def add(self, sheet: Sheet) -> None:
        """Write the next page."""
        with _refusing(self.path):
            self._writer.add(sheet)

    def close(self) -> None:
        """Write the end of the document, and move the file to its path."""
        with _refusing(self.path):
            self._writer.close()
            if self._fresh is not None:
                self._stream.close()
                _settle(self._fresh, self.path)

    def _discard(self) -> None:
        if self._fresh is not None:
            with suppress(OSError):
                self._stream.close()
                self._fresh.unlink(missing_ok=True)

    def __enter__(self) -> DocumentFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            try:
                self.close()
            except BaseException:
                self._discard()
                raise
        else:
            self._discard()


def write_document(
    pages: Iterable[Page | Sheet], path: Path | str, name: str | None = None, about: About | None = None
) -> None:
    """Write many pages into the document `path`, with only one page in memory at a time.

    Args:
        pages: `Page` or `Sheet` objects. A PDF needs sheets with pictures, or with page numbers in `about.original`.
        name: one of `formats.NAMES`; by default the format for the suffix of `path`.
        about: metadata of the document.

    Raises `UsageError` for an unknown suffix, `OutputFailed`, and ValueError if a picture for a PDF is missing.
    """
    path = Path(path)
    with DocumentFile(name or format_of(path), path, about or About(title=path.stem)) as document:
        for number, page in enumerate(pages, 1):
            document.add(page if isinstance(page, Sheet) else Sheet(page=page, number=number))


def save_page(page: Page, path: Path, name: str | None, picture: Picture | None, source: str) -> None:
    """Implements `Page.save`."""
    write_file(path, get_format(name or format_of(path)).write(page, source, picture))


def write_file(path: Path, document: bytes) -> None:
    """Write a complete file or nothing. Raises `OutputFailed`."""
    with _refusing(path):
        _put(path, document)


def format_of(path: Path) -> str:
    """The name of the format with the suffix of `path`. Raises `UsageError` for an unknown one."""
    # .xml means ALTO, because ALTO comes before PAGE in NAMES.
    endings = {get_format(name).suffix: name for name in reversed(NAMES)} | {".jsonl": "json"}
    for ending in sorted(endings, key=len, reverse=True):
        if path.name.lower().endswith(ending):
            return endings[ending]
    raise UsageError(f"{path.name} has none of the endings {', '.join(sorted(endings))}; name the format")


def _put(path: Path, data: bytes) -> None:
    fresh = _beside(path)
    try:
        fresh.write_bytes(data)
        _settle(fresh, path)
    except OSError:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise


def _beside(path: Path) -> Path:
    """The temporary path of the file `path` until it is complete."""
    if not _is_device(path):
        return path.with_name(f".{path.name}.{os.getpid()}")
    number, name = mkstemp()
    os.close(number)
    return Path(name)


def _settle(fresh: Path, path: Path) -> None:
    """Move the complete file `fresh` to `path`."""
    if _is_device(path):
        with fresh.open("rb") as whole, path.open("wb") as device:
            shutil.copyfileobj(whole, device)
        fresh.unlink()
    else:
        fresh.replace(path)


def _is_device(path: Path) -> bool:
    """Whether `path` is a pipe or a device, such as /dev/null, which must be written to and not replaced."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    # /dev/stdout may point to a file, but must stay a link.
    return not (S_ISREG(mode) or S_ISDIR(mode)) or (path.is_symlink() and path.is_relative_to("/dev"))


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn disk errors into `OutputFailed`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputFailed(f"cannot write {path} ({reason}); choose another --output") from None
