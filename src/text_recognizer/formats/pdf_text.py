"""The invisible text of a PDF, with each word at its position, and the font of this text.

The text is in reading order. Each word follows its part of the line's baseline and is as wide as on the paper, so a
viewer highlights the handwriting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

from text_recognizer.formats.shapes import words_of
from text_recognizer.page import Line, Page, Point

FONT = "TextRecognizerUnseen"
"""The name of the font in content streams."""

# All characters are the same box, made by tools/unseen_font.py: its width, ascent and descent as shares of the size.
WIDTH, ASCENT, DESCENT = 0.5, 0.8, -0.2
# poppler and PDFium only take words for one line if they are about level. So text that climbs by more than LEVEL of its
# size is drawn flatter, if no word moves by more than SHIFT of the size: a viewer still highlights half of each word.
LEVEL, SHIFT = 0.3, 0.5
_INVISIBLE = 3  # PDF's text rendering mode


@cache
def font_file() -> bytes:
    """The complete TrueType font."""
    return Path(__file__).with_name("unseen.ttf").read_bytes()


@cache
def to_unicode() -> bytes:
    """The CMap from codes to characters: each code is the code point of its character."""
    # A range must not cross a change of its first byte, and a block has at most a hundred ranges. Surrogates are left
    # out.
    rows = [row for row in range(256) if not 0xD8 <= row < 0xE0]
    blocks = [rows[start : start + 100] for start in range(0, len(rows), 100)]
    ranges = "".join(
        f"{len(block)} beginbfrange\n"
        + "".join(f"<{row:02X}00> <{row:02X}FF> <{row:02X}00>\n" for row in block)
        + "endbfrange\n"
        for block in blocks
    )
    return (
        "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n"
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n"
        "/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n"
        f"1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n{ranges}"
        "endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n"
    ).encode()


@cache
def glyphs() -> bytes:
    """The CIDToGIDMap: all codes show glyph 1, the box."""
    return b"\0\1" * 0x10000


def operators(page: Page, width: float, height: float) -> bytes:
    """The text of `page` as a content stream for a sheet of `width` × `height` points, with its origin lower left."""
    if not page.lines:
        return b""
    scale = width / max(page.width, 1), height / max(page.height, 1)
    shown = "".join(_show(line, page, scale, height) for line in page.lines)
    return f"BT\n{_INVISIBLE} Tr\n{shown}ET\n".encode()


def _show(line: Line, page: Page, scale: tuple[float, float], height: float) -> str:
    """Show the words of a line in one size and direction: viewers treat text that shares both as one line."""
    baseline = _within(line.baseline, page)
    if len(baseline) < 2 or math.dist(baseline[0], baseline[-1]) < 1:  # shorter than a pixel: no direction
        baseline = _foot(_within(line.polygon, page))
    if not baseline:
        return ""
    across = _across(baseline, _within(line.polygon, page))
    size = max(across / (ASCENT - DESCENT), 1.0)
    baseline = _flatter(baseline, size)
    axis = _unit(baseline[0], baseline[-1])
    places: list[tuple[str, float, float]] = []  # text, start and end along the axis
    for word in words_of(line) or (line,):
        corners = _within(word.polygon, page) or _within(line.polygon, page) or baseline
        along = [_dot(axis, corner) for corner in corners]
        if shown := extractable(word.text):
            places.append((shown, min(along), max(max(along), min(along) + 1)))
    points = scale[1]  # points per pixel; horizontally it may differ by rounding
    written = [f"/{FONT} {_number(size * points)} Tf\n"]
    for number, (shown, start, end) in enumerate(places):
        x, y = _at(baseline, axis, start)
        ratio = scale[0] / points
        matrix = (axis[0] * ratio, -axis[1], axis[1] * ratio, axis[0])
        place = (x * scale[0], height - y * points)
        written.append(f"{' '.join(map(_number, (*matrix, *place)))} Tm\n{_words(shown, size, end - start)}")
        if number + 1 < len(places):  # include the gap to the next word in the highlight
            written.append(_words(" ", size, max(places[number + 1][1] - end, 0.1 * size)))
    return "".join(written)


def _across(baseline: Sequence[Point], polygon: Sequence[Point]) -> float:
    """The height of a line, across its direction."""
    axis = _unit(baseline[0], baseline[-1])
    across = [axis[0] * y - axis[1] * x for x, y in polygon or baseline]
    return max(across) - min(across)


def _flatter(baseline: list[Point], size: float) -> list[Point]:
    """`baseline` for text of `size`, flattened towards a horizontal or vertical line."""
    (x0, y0), (x1, y1) = baseline[0], baseline[-1]
    side = 1 if abs(x1 - x0) >= abs(y1 - y0) else 0
    heights = [point[side] for point in baseline]
    low, high = min(heights), max(heights)
    spread = high - low
    if spread <= LEVEL * size:
        return baseline
    share, middle = max(LEVEL * size, spread - 2 * SHIFT * size) / spread, (low + high) / 2
    pressed = [middle + share * (height - middle) for height in heights]
    if side:
        return [(x, height) for (x, _), height in zip(baseline, pressed, strict=True)]
    return [(height, y) for (_, y), height in zip(baseline, pressed, strict=True)]


def _words(text: str, size: float, length: float) -> str:
    """Show `text`, stretched to `length`."""
    return f"{_number(100 * length / (WIDTH * size * len(text)))} Tz\n<{text.encode('utf-16-be').hex()}> Tj\n"


def _number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")


def _foot(corners: Sequence[Point]) -> list[Point]:
    """A level baseline for a polygon without one, above its lower edge by the depth of descenders."""
    if not corners:
        return []
    left, right = min(x for x, _ in corners), max(x for x, _ in corners)
    head, foot = min(y for _, y in corners), max(y for _, y in corners)
    level = foot - (foot - head) * -DESCENT / (ASCENT - DESCENT)
    return [(left, level), (max(right, left + 1), level)]


def _at(baseline: Sequence[Point], axis: Point, place: float) -> Point:
    """The point of the baseline, or of its extension beyond its ends, at `place` along `axis`."""
    sections = [
        (first, second) for first, second in pairwise(baseline) if _dot(axis, second) - _dot(axis, first) > 1e-6
    ]
    first, second = next((pair for pair in sections if place <= _dot(axis, pair[1])), sections[-1])
    share = (place - _dot(axis, first)) / (_dot(axis, second) - _dot(axis, first))
    return (first[0] + share * (second[0] - first[0]), first[1] + share * (second[1] - first[1]))


def _within(points: Sequence[Point], page: Page) -> list[Point]:
    """Those of `points` that are finite, clipped to the image."""
    finite = [(float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    return [(min(max(x, 0.0), float(page.width)), min(max(y, 0.0), float(page.height))) for x, y in finite]


def _unit(start: Point, end: Point) -> Point:
    length = math.dist(start, end)
    return ((end[0] - start[0]) / length, (end[1] - start[1]) / length)


def _dot(one: Point, other: Point) -> float:
    return one[0] * other[0] + one[1] * other[1]


def extractable(text: str) -> str:
    """`text` in characters that the font's codes can represent: the first 65,536 without control characters."""
    return "".join(
        char if char.isprintable() and ord(char) < 0x10000 else " " if char.isspace() else "\N{REPLACEMENT CHARACTER}"
        for char in text
    ).strip()
