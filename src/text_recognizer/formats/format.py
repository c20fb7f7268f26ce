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
    """Writes a page as a document. `source` is the image's name, for formats that mention it."""

    def __call__(self, page: Page, source: str = "", picture: Picture | None = None) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A page to be written into a document of several pages.

    `source` is the name of the image, and `picture` its picture, for formats that show it. `number` is the page number
    in the source document, from 1. `printed` has the areas, in pixels, of text that the PDF page itself shows.
    """

    page: Page
    source: str = ""
    picture: Picture | None = None
    number: int = 1
    printed: tuple[Area, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Metadata of a document, and the PDF that it is based on.

    `language`: a BCP 47 tag, or "" if unknown. `original`: a PDF (path or bytes) that receives the text; `password`
    opens it.
    """

    title: str = ""
    language: str = ""
    original: Path | bytes | None = None
    password: str | None = None


class Writer(Protocol):
    """Writes the pages of a document one by one; only the current page is in memory."""

    def add(self, sheet: Sheet) -> None:
        """Write the next page."""

    def close(self) -> None:
        """Finish the document. The stream stays open."""


def write_alone(open_writer: Callable[[BinaryIO, About], Writer], sheet: Sheet) -> bytes:
    """A single-page document, with its source as the title. Raises as the writer's `add` does."""
    written = BytesIO()
    writer = open_writer(written, About(title=file_name(sheet.source)))
    writer.add(sheet)
    writer.close()
    return written.getvalue()


@dataclass(frozen=True, slots=True)
class Format:
    """A format in which a page can be written.

    `needs_picture`: `write` also needs the picture. `heads_several`: several documents in one stream need headings to
    tell them apart. `opening`: the beginning of each document, which a stream of several documents has only once.
    `is_binary`: the output is not text. `stands_alone`: each document needs its own file.
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
