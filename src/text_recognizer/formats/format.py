"""What a format is: a name, the ending of its files, and a function from a page to bytes."""

from dataclasses import dataclass
from typing import Protocol

from text_recognizer.page import Page, Picture


class Write(Protocol):
    """From a page to the document. `source` is the image's name, for formats that mention it."""

    def __call__(self, page: Page, source: str = "", picture: Picture | None = None) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a page down.

    `needs_picture`: whether `write` needs the picture too. For documents that follow each other in one stream:
    `heads_several`: they need a heading to be told apart; `opening`: what each begins with, and the stream only once;
    `stands_alone`: they cannot follow each other, each needs a file of its own.
    """

    name: str
    suffix: str
    media_type: str
    write: Write
    needs_picture: bool = False
    heads_several: bool = False
    opening: bytes = b""
    stands_alone: bool = False
