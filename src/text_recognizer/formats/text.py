"""Plain text: one line of writing a line, UTF-8. A blank page gives nothing at all."""

from text_recognizer.formats.format import Format
from text_recognizer.page import Page, Picture


def write(page: Page, source: str = "", picture: Picture | None = None) -> bytes:
    """The lines of `page`, each ended by a line feed."""
    return (page.text + "\n").encode(errors="replace") if page.lines else b""


FORMATS = {"text": Format("text", ".txt", "text/plain; charset=utf-8", write, heads_several=True)}
