"""Plain text: one line of writing a line, UTF-8. A blank page gives nothing at all."""

from text_recognizer.formats.format import Format
from text_recognizer.page import Page


def write(page: Page, source: str = "") -> bytes:
    """The lines of `page`, each ended by a line feed."""
    return (page.text + "\n").encode() if page.lines else b""


FORMAT = Format("text", ".txt", "text/plain; charset=utf-8", write, heads_several=True)
