"""What a format is: a name, the ending of its files, and a function from a page to bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from text_recognizer.page import Area, Page, Picture


class Write(Protocol):
    """From a page to the document. `source` is the image's name, for formats that mention it."""

    def __call__(self, page: Page, source: str = "", picture: Picture | None = None) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A page on its way into a document of several.

    `source` is the image's name, `picture` what it looks like, for formats that show it. `number` counts from 1 in the
    document that the page comes from. `printed` are the places, in pixels, of text that the page of a PDF shows itself.
    """

    page: Page
    source: str = ""
    picture: Picture | None = None
    number: int = 1
    printed: tuple[Area, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a document says of itself, and the PDF that it is made from.

    `language`: a BCP 47 tag, "" where it is not known. `original`: a PDF (its path or bytes) that is kept, with the
    text added to its pages; `password` opens it.
    """

    title: str = ""
    language: str = ""
    original: Path | bytes | None = None
    password: str | None = None


class Writer(Protocol):
    """Takes the pages of a document one after the other; only the one in hand is in memory."""

    def add(self, sheet: Sheet) -> None:
        """Write the next page."""

    def close(self) -> None:
        """Write what comes after the last page. The stream stays open."""


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a page down.

    `needs_picture`: whether `write` needs the picture too. For documents that follow each other in one stream:
    `heads_several`: they need a heading to be told apart; `opening`: what each begins with, and the stream only once;
    `is_binary`: they are no text. `stands_alone`: they cannot follow each other, each needs a file of its own.
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
