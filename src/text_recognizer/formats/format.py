"""What a format is: a name, the ending of its files, and a function from a page to bytes."""

from collections.abc import Callable
from dataclasses import dataclass

from text_recognizer.page import Page


@dataclass(frozen=True, slots=True)
class Format:
    """`write(page, source)` gives the document; `source` is the image's name, for formats that mention it.

    `heads_several`: whether documents that follow each other in one stream need a heading to be told apart.
    """

    name: str
    suffix: str
    media_type: str
    write: Callable[[Page, str], bytes]
    heads_several: bool = False
