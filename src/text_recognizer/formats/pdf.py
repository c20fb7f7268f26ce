"""PDF to search and to copy from: the picture of the page, and with it each word, unseen, at its place.

The text comes in reading order. Each word runs along its part of the line's baseline, on slanted lines too, as wide as
it is on the paper; so what a viewer marks is what was written. A page that lies on a side or its head is shown turned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path

from reportlab import rl_config
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.pdfgen.textobject import PDFTextObject

from text_recognizer.formats.format import Format
from text_recognizer.formats.shapes import file_name, words_of
from text_recognizer.page import Line, Page, Picture, Point
from text_recognizer.version import __version__

A4 = 297 / 25.4 * 72
"""Points of the longer side where nothing says how large the paper is."""

LONGEST = 14_400
"""Points of a side that a PDF may have."""

_FONT = "text-recognizer-unseen"
_INVISIBLE = 3  # PDF's text rendering mode

# One box for every character, made by tools/unseen_font.py; the subset of it in a document is a kilobyte.
pdfmetrics.registerFont(TTFont(_FONT, str(Path(__file__).with_name("unseen.ttf"))))
_ASCENT, _DESCENT = 0.8, -0.2
# With it each picture would be written as ASCII, a quarter larger; reportlab has no finer switch.
rl_config.useA85 = 0

# EXIF's orientation: from the unit square in which reportlab draws a picture (u right, v up) to the upright page's, as
# (a, b, c, d, e, f) of x = a·u + c·v + e, y = b·u + d·v + f.
_UPRIGHT = {
    1: (1, 0, 0, 1, 0, 0),
    2: (-1, 0, 0, 1, 1, 0),
    3: (-1, 0, 0, -1, 1, 1),
    4: (1, 0, 0, -1, 0, 1),
    5: (0, -1, -1, 0, 1, 1),
    6: (0, -1, 1, 0, 0, 1),
    7: (0, 1, 1, 0, 0, 0),
    8: (0, 1, -1, 0, 1, 0),
}


def write(page: Page, source: str = "", picture: Picture | None = None) -> bytes:
    """A document of one page, as large as the paper if `picture` tells, else with A4's longer side.

    Raises ValueError without `picture`.
    """
    if picture is None:
        raise ValueError("a PDF shows the page: give its picture, of images.to_picture")
    longer = max(page.width, page.height, 1)
    scale = min(72 / picture.dpi if picture.dpi else A4 / longer, LONGEST / longer)
    width, height = max(page.width * scale, 1), max(page.height * scale, 1)
    written = BytesIO()
    canvas = Canvas(written, pagesize=(width, height), pageCompression=1)
    canvas.setTitle(_extractable(file_name(source)))
    canvas.setCreator(_extractable(f"text-recognizer {__version__}, model {page.model}"))
    canvas.setAuthor("")
    canvas.setSubject("")
    canvas.saveState()
    a, b, c, d, e, f = _UPRIGHT.get(picture.orientation, _UPRIGHT[1])
    canvas.transform(a * width, b * height, c * width, d * height, e * width, f * height)
    canvas.drawImage(ImageReader(BytesIO(picture.data)), 0, 0, 1, 1)
    canvas.restoreState()
    text = canvas.beginText()
    text.setTextRenderMode(_INVISIBLE)
    for line in page.lines:
        _show(line, page, text, scale, height)
    canvas.drawText(text)
    turn = _turn(page)
    canvas.setPageRotation(turn)
    if turn in (90, 270):  # reportlab has the size of a page as it is seen
        canvas.setPageSize((height, width))
    canvas.showPage()
    canvas.save()
    return written.getvalue()


def _turn(page: Page) -> int:
    """Degrees clockwise that a viewer must turn the page for its writing to stand upright: 0, 90, 180 or 270."""
    ways = {0: 0.0, 90: 0.0, 180: 0.0, 270: 0.0}
    for line in page.lines:
        baseline = _within(line.baseline, page)
        if len(baseline) > 1:
            (x0, y0), (x1, y1) = baseline[0], baseline[-1]
            degrees = math.degrees(math.atan2(y0 - y1, x1 - x0))
            ways[round(degrees / 90) % 4 * 90] += math.dist(baseline[0], baseline[-1])
    return max(ways, key=ways.__getitem__)


def _show(line: Line, page: Page, text: PDFTextObject, scale: float, height: float) -> None:
    """Writes the words of a line, in one size and direction: viewers take for one line what has both in common."""
    baseline = _within(line.baseline, page)
    if len(baseline) < 2 or math.dist(baseline[0], baseline[-1]) < 1:  # below a pixel it has no direction
        baseline = _foot(_within(line.polygon, page))
    if not baseline:
        return
    axis = _unit(baseline[0], baseline[-1])
    places: list[tuple[str, float, float]] = []  # text, start and end along the axis
    for word in words_of(line) or (line,):
        corners = _within(word.polygon, page) or _within(line.polygon, page) or baseline
        along = [_dot(axis, corner) for corner in corners]
        if shown := _extractable(word.text):
            places.append((shown, min(along), max(max(along), min(along) + 1)))
    across = [axis[0] * y - axis[1] * x for x, y in _within(line.polygon, page) or baseline]
    size = max((max(across) - min(across)) / (_ASCENT - _DESCENT), 1.0)
    text.setFont(_FONT, size * scale)
    for number, (shown, start, end) in enumerate(places):
        x, y = _at(baseline, axis, start)
        text.setTextTransform(axis[0], -axis[1], axis[1], axis[0], x * scale, height - y * scale)
        text.setHorizScale(_stretch(shown, size, end - start))
        text.textOut(shown)
        if number + 1 < len(places):  # the gap to the next word is marked with the words
            text.setHorizScale(_stretch(" ", size, max(places[number + 1][1] - end, 0.1 * size)))
            text.textOut(" ")


def _foot(corners: Sequence[Point]) -> list[Point]:
    """A level baseline for a polygon without one: as high over its foot as letters hang below the line."""
    if not corners:
        return []
    left, right = min(x for x, _ in corners), max(x for x, _ in corners)
    head, foot = min(y for _, y in corners), max(y for _, y in corners)
    level = foot - (foot - head) * -_DESCENT / (_ASCENT - _DESCENT)
    return [(left, level), (max(right, left + 1), level)]


def _at(baseline: Sequence[Point], axis: Point, place: float) -> Point:
    """The point of the baseline, or of its ends made longer, at `place` along `axis`."""
    sections = [
        (first, second) for first, second in pairwise(baseline) if _dot(axis, second) - _dot(axis, first) > 1e-6
    ]
    first, second = next((pair for pair in sections if place <= _dot(axis, pair[1])), sections[-1])
    share = (place - _dot(axis, first)) / (_dot(axis, second) - _dot(axis, first))
    return (first[0] + share * (second[0] - first[0]), first[1] + share * (second[1] - first[1]))


def _within(points: Sequence[Point], page: Page) -> list[Point]:
    """What is a number of `points`, inside the image."""
    finite = [(float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    return [(min(max(x, 0.0), float(page.width)), min(max(y, 0.0), float(page.height))) for x, y in finite]


def _unit(start: Point, end: Point) -> Point:
    length = math.dist(start, end)
    return ((end[0] - start[0]) / length, (end[1] - start[1]) / length)


def _dot(one: Point, other: Point) -> float:
    return one[0] * other[0] + one[1] * other[1]


def _stretch(text: str, size: float, length: float) -> float:
    """Percent by which `text` in a font of `size` is as long as `length`."""
    natural: float = pdfmetrics.stringWidth(text, _FONT, size)
    return 100 * length / natural if natural else 100.0


def _extractable(text: str) -> str:
    """`text` in what a font's codes lead back to: characters of the first 65,536 that are no controls."""
    return "".join(
        char if char.isprintable() and ord(char) < 0x10000 else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}"
        for char in text
    ).strip()


FORMATS = {"pdf": Format("pdf", ".pdf", "application/pdf", write, needs_picture=True, stands_alone=True)}
