"""Plain text in UTF-8, one line for each text line. A blank page is empty."""

from text_recognizer.formats.format import Format
from text_recognizer.page import Page, Picture


def write(page: Page, source: str = "", picture: Picture | None = None) -> bytes:
    """The lines of `page`, each with a line feed at its end."""
    return (page.text + "\n").encode(errors="replace") if page.lines else b""


FORMATS = {"text": Format("text", ".txt", "text/plain; charset=utf-8", write, heads_several=True)}
