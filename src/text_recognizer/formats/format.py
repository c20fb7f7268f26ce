"""A format: a name, a file suffix, and a function from a page to bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

from text_recognizer.formats.shapes import file_name
from text_recognizer.page import Area, Page, Picture


class Write(Protocol):
    """From a page to the document. `source` is the image's name, for formats that mention it."""

    def __call__(self, page: Page, source: str = "", picture: Picture | None = None) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A page to be written into a document of several pages.

    `source` is the name of the image, `picture` its picture, for formats that show it. `number` is the page number in
    the source document, from 1. `printed` are the areas, in pixels, of text that the page of a PDF shows itself.
    """

    page: Page
    source: str = ""
    picture: Picture | None = None
    number: int = 1
    printed: tuple[Area, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Metadata of a document, and the PDF that it is made from.

    `language`: a BCP 47 tag, or "" if unknown. `original`: a PDF (path or bytes) to whose pages the text is added;
    `password` opens it.
    """

    title: str = ""
    language: str = ""
    original: Path | bytes | None = None
    password: str | None = None


class Writer(Protocol):
    """Writes the pages of a document one after the other; only the current one is in memory."""

    def add(self, sheet: Sheet) -> None:
        """Write the next page."""

    def close(self) -> None:
        """Finish the document. The stream stays open."""


def write_alone(open_writer: Callable[[BinaryIO, About], Writer], sheet: Sheet) -> bytes:
    """A document of one page, titled by its source. Raises as the writer's `add` does."""
    written = BytesIO()
    writer = open_writer(written, About(title=file_name(sheet.source)))
    writer.add(sheet)
    writer.close()
    return written.getvalue()


@dataclass(frozen=True, slots=True)
class Format:
    """A format in which a page can be written.

    `needs_picture`: `write` also needs the picture. `heads_several`: several documents in one stream need headings to
    be distinguished. `opening`: the beginning of each document, which a stream of several has only once. `is_binary`:
    the output is not text. `stands_alone`: each document needs a file of its own.
    """

    name: str
    suffix: str
    media_type: str
    write: Write
    needs_picture: bool = False
    heads_several: bool = False
    opening: bytes = b""
    stands_alone: bool = False
    is_binary: bool = False
