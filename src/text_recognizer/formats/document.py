"""Documents of many pages, written page by page to a stream or to files."""

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
"""Formats with a file for each page, and METS for the whole."""


def open_document(name: str, out: BinaryIO, about: About = About()) -> Writer:  # noqa: B008, it is frozen
    """A writer of format `name` to `out`; a ZIP for those of `FOLDERS`."""
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
    # Formats that are documents themselves.
    return cast(Writer, import_module(f"{__package__}.{name}").open_document(out, about))


def document_suffix(chosen: Format) -> str:
    """The file suffix of a document of several pages."""
    return {"json": ".jsonl", "alto": ".mets.xml", "page": ".mets.xml"}.get(chosen.name, chosen.suffix)


def ending(name: str, names: Iterable[str], pages: int) -> str:
    """The file suffix of format `name` among files of all formats in `names`.

    ALTO and PAGE both use .xml, so together their suffixes have the format's name.
    """

    def of(other: str) -> str:
        chosen = get_format(other)
        return chosen.suffix if pages == 1 else document_suffix(chosen)

    return f".{name}{of(name)}" if sum(of(other) == of(name) for other in names) > 1 else of(name)


def document_type(chosen: Format) -> str:
    """The media type of what `open_document` writes."""
    special = {"json": "application/x-ndjson", "alto": "application/zip", "page": "application/zip"}
    return special.get(chosen.name, chosen.media_type)


class DocumentFile:
    """A document that becomes the file `path` when it is closed; until then an earlier file stays.

    Use it in `with`; an exception removes the unfinished file. Page files of `FOLDERS` are written beside `path`.
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
        """Write the end, and move the file to its path."""
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
    """Write many pages into the document `path`. Only one page at a time is in memory.

    Args:
        pages: `Page` or `Sheet` objects. A PDF needs sheets with pictures, or with page numbers of `about.original`.
        name: one of `formats.NAMES`; by default the format of the ending of `path`.
        about: metadata of the document.

    Raises `UsageError` for an unknown ending, `OutputFailed`, and ValueError if a picture for a PDF is missing.
    """
    path = Path(path)
    with DocumentFile(name or format_of(path), path, about or About(title=path.stem)) as document:
        for number, page in enumerate(pages, 1):
            document.add(page if isinstance(page, Sheet) else Sheet(page=page, number=number))


def save_page(page: Page, path: Path, name: str | None, picture: Picture | None, source: str) -> None:
    """`Page.save`."""
    write_file(path, get_format(name or format_of(path)).write(page, source, picture))


def write_file(path: Path, document: bytes) -> None:
    """Write a complete file or nothing. Raises `OutputFailed`."""
    with _refusing(path):
        _put(path, document)


def format_of(path: Path) -> str:
    """The name of the format with the suffix of `path`. Raises `UsageError` for an unknown one."""
    # .xml means ALTO, which comes before PAGE.
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
    """Where the file `path` is written until it is complete."""
    if not _is_device(path):
        return path.with_name(f".{path.name}.{os.getpid()}")
    number, name = mkstemp()
    os.close(number)
    return Path(name)


def _settle(fresh: Path, path: Path) -> None:
    """Make the complete file `fresh` the file `path`."""
    if _is_device(path):
        with fresh.open("rb") as whole, path.open("wb") as device:
            shutil.copyfileobj(whole, device)
        fresh.unlink()
    else:
        fresh.replace(path)


def _is_device(path: Path) -> bool:
    """Whether `path` is a pipe or a device, such as /dev/null: it takes the bytes, and must not become a file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    # /dev/stdout may be a file, but must stay a link.
    return not (S_ISREG(mode) or S_ISDIR(mode)) or (path.is_symlink() and path.is_relative_to("/dev"))


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn errors of the disk into `OutputFailed`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OutputFailed(f"cannot write {path} ({reason}); choose another --output") from None
