"""Text that a page of a PDF already contains, from the program that made it or from earlier recognition.

All functions take a `pypdfium2.PdfPage` and work on the characters that PDFium reports, in linear time.
"""

from __future__ import annotations

import ctypes
import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from text_recognizer.page import Area, Line, Point, Polygon, Polyline, Word

EMBEDDED_HELP = (
    "use the text that a page of a PDF already contains, if there is enough of it, instead of reading the page"
)
ENOUGH = 50  # characters from which a page's text is more than a stamp or a page number
LEGIBLE = 0.9  # least share of legible characters; fonts without a character table yield meaningless symbols
MOST = 400_000  # characters of a page; a page with more is an attack
COVERED = 0.5  # of the page: a picture that covers more is a scan
APART = 2.5  # line heights: words with a larger gap between them belong to different columns
_NO_MEANING = {"Cc", "Cn", "Co", "Cs", "So"}  # includes boxes, which replace characters that a program could not write
_HYPHENS = {"\ufffe": "-", "\x02": "-", "\u00ad": "-"}  # PDFium's marks of a hyphen at the end of a line


@dataclass(slots=True)
class _Run:
    """The characters of a word: their text, box corners and origins on the baseline, in pixels."""

    text: str = ""
    corners: list[tuple[int, int]] = field(default_factory=list)
    origins: list[Point] = field(default_factory=list)


def shown_text(page: Any, width: int, height: int) -> Iterator[Area]:
    """Areas of visible runs of text, in pixels of the page as shown, `width` × `height`."""
    import pypdfium2.raw as raw  # late: reading images needs none of it

    text = page.get_textpage()
    count = text.count_chars()
    run: list[tuple[int, int]] = []  # corners of its characters
    for index in range(count + 1):
        shown = raw.FPDFText_GetTextObject(text, index) if index < count else None
        if not shown:  # between words, or between lines
            if run and chr(raw.FPDFText_GetUnicode(text, index)) != " ":
                yield _around(run)
                run = []
        elif raw.FPDFTextObj_GetTextRenderMode(shown) != raw.FPDF_TEXTRENDERMODE_INVISIBLE:
            run += _corners(page, text.get_charbox(index), width, height)


def has_enough(page: Any) -> bool:
    """Whether the text of the page makes recognition unnecessary.

    It must have at least `ENOUGH` characters, nearly all of them legible. On a scan, a page that a picture covers by
    more than half, only invisible text counts: visible text there is a stamp, or a form around handwriting.
    """
    import pypdfium2.raw as raw

    text = page.get_textpage()
    count = text.count_chars()
    if not ENOUGH <= count <= MOST:
        return False
    scan = _is_scan(page)
    legible = total = 0
    for index in range(count):
        character = chr(raw.FPDFText_GetUnicode(text, index))
        shown = raw.FPDFText_GetTextObject(text, index)
        if not shown or character.isspace():
            continue
        if scan and raw.FPDFTextObj_GetTextRenderMode(shown) != raw.FPDF_TEXTRENDERMODE_INVISIBLE:
            continue
        total += 1
        legible += character in _HYPHENS or unicodedata.category(character) not in _NO_MEANING
    return legible >= max(ENOUGH, LEGIBLE * total)


def embedded_lines(page: Any, width: int, height: int) -> list[Line]:
    """The lines of text in file order, each with its words, in pixels of the page as shown.

    Words that are far apart, such as those of two columns, become separate lines. This text was not recognised, so its
    confidence is 1.
    """
    lines: list[Line] = []
    for words in _lines(page, width, height):
        start = 0
        for end, (before, after) in enumerate(pairwise(words), 1):
            if _gap(before, after) > APART * _height(words):
                lines.append(_line(words[start:end]))
                start = end
        lines.append(_line(words[start:]))
    return lines


def _is_scan(page: Any) -> bool:
    import pypdfium2.raw as raw

    left, bottom, right, top = page.get_bbox()
    size = max(1e-6, (right - left) * (top - bottom))
    for picture in page.get_objects(filter=[raw.FPDF_PAGEOBJ_IMAGE], max_depth=4):
        a, b, c, d = picture.get_bounds()
        covered = max(0.0, min(c, right) - max(a, left)) * max(0.0, min(d, top) - max(b, bottom))
        if covered > COVERED * size:
            return True
    return False


def _lines(page: Any, width: int, height: int) -> Iterator[list[_Run]]:
    """The words of each line."""
    import pypdfium2.raw as raw

    text = page.get_textpage()
    words: list[_Run] = []
    word = _Run()
    x, y = ctypes.c_double(), ctypes.c_double()
    for index in range(min(text.count_chars(), MOST)):
        character = chr(raw.FPDFText_GetUnicode(text, index))
        character = _HYPHENS.get(character, character)
        if character.isspace() or unicodedata.category(character) in ("Cc", "Cn"):
            if word.corners:
                words.append(word)
                word = _Run()
            if character in "\r\n" and words:
                yield words
                words = []
            continue
        word.text += character
        if raw.FPDFText_GetTextObject(text, index) and raw.FPDFText_GetCharOrigin(text, index, x, y):
            word.corners += _corners(page, text.get_charbox(index, loose=True), width, height)
            word.origins.append(_on_picture(page, x.value, y.value, width, height))
    if word.corners:
        words.append(word)
    if words:
        yield words


def _line(words: Sequence[_Run]) -> Line:
    return Line(
        text=" ".join(map(_text, words)),
        polygon=_polygon([corner for word in words for corner in word.corners]),
        baseline=_baseline(words),
        confidence=1.0,
        words=tuple(Word(text=_text(word), polygon=_polygon(word.corners), confidence=1.0) for word in words),
    )


def _text(word: _Run) -> str:
    # PDFium returns a character that does not fit in 16 bits as two surrogates.
    whole = word.text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return unicodedata.normalize("NFC", whole)


def _baseline(words: Sequence[_Run]) -> Polyline:
    """From the origin of the first character to the end of the last one, whose width is taken as the others' mean."""
    places = [place for word in words for place in word.origins]
    (x0, y0), (x1, y1) = places[0], places[-1]
    if len(places) == 1 or (x0, y0) == (x1, y1):
        left, _, right, _ = _around([corner for word in words for corner in word.corners])
        return (float(left), y0), (float(right), y0)
    more = 1 + 1 / (len(places) - 1)
    return (x0, y0), (x0 + more * (x1 - x0), y0 + more * (y1 - y0))


def _gap(before: _Run, after: _Run) -> float:
    """Pixels between two words of a level line; 0 if the line is not level."""
    (x0, y0), (x1, y1) = before.origins[0], after.origins[0]
    if abs(math.atan2(y1 - y0, x1 - x0)) > math.radians(10):
        return 0.0
    return _around(after.corners)[0] - _around(before.corners)[2]


def _height(words: Sequence[_Run]) -> float:
    heights = sorted(box[3] - box[1] for box in (_around(word.corners) for word in words))
    return max(1.0, heights[len(heights) // 2])


def _corners(page: Any, box: tuple[float, float, float, float], width: int, height: int) -> list[tuple[int, int]]:
    """Two opposite corners of a box in PDF points, in pixels of the page as shown, which may be rotated."""
    left, bottom, right, top = box
    return [_on_picture(page, x, y, width, height) for x, y in ((left, bottom), (right, top))]


def _on_picture(page: Any, x: float, y: float, width: int, height: int) -> tuple[int, int]:
    import pypdfium2.raw as raw

    across, down = ctypes.c_int(), ctypes.c_int()
    raw.FPDF_PageToDevice(page, 0, 0, width, height, 0, x, y, across, down)
    return across.value, down.value


def _polygon(corners: Sequence[tuple[int, int]]) -> Polygon:
    left, top, right, bottom = _around(corners)
    return (left, top), (right, top), (right, bottom), (left, bottom)


def _around(points: Sequence[tuple[int, int]]) -> Area:
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
