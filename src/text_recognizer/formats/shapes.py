"""Coordinates as the standards require: whole pixels inside the image, and words only if they make up the line."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from text_recognizer.page import Area, Line, Page, Point, Word

Pixels = list[tuple[int, int]]


def pixels(points: Iterable[Point], page: Page) -> Pixels:
    """Points as whole pixels inside the image, without non-finite and repeated points."""
    found: Pixels = []
    for x, y in points:
        if math.isfinite(x) and math.isfinite(y):
            pixel = (min(max(round(x), 0), page.width), min(max(round(y), 0), page.height))
            if not found or found[-1] != pixel:
                found.append(pixel)
    return found


def outline(place: Line | Word, page: Page) -> Pixels:
    """The polygon of a line or word; its bounding box if it has no area, the whole image if it has no points."""
    found = pixels(place.polygon, page)
    if not found and isinstance(place, Line):
        found = pixels([*(point for word in place.words for point in word.polygon), *place.baseline], page)
        found = corners(box(found)) if found else found
    if not found:
        return corners((0, 0, page.width, page.height))
    return found if len(found) > 2 else corners(box(found))


def box(points: Iterable[tuple[int, int]]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of at least one point."""
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def contains(area: Area, point: Point) -> bool:
    """Whether `point` lies in `area` or on its edge."""
    return area[0] <= point[0] <= area[2] and area[1] <= point[1] <= area[3]


def corners(box: tuple[int, int, int, int]) -> Pixels:
    """Corners of a box, clockwise from its top left."""
    left, top, right, bottom = box
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def words_of(line: Line) -> tuple[Word, ...]:
    """The words of `line` if they make up its text, else none."""
    return line.words if [word.text for word in line.words] == line.text.split() else ()


def marked_words(line: Line) -> list[tuple[Word, bool]]:
    """`words_of` with the struck-out words in their places on the paper, and whether each word is struck out."""
    words = [(word, False) for word in words_of(line)]
    for struck in line.struck:
        place = _along(line, struck)
        # Insert it behind the last word that precedes it; the order of the text never changes.
        at = next((i for i in range(len(words), 0, -1) if _along(line, words[i - 1][0]) <= place), 0)
        words.insert(at, (struck, True))
    return words


def _along(line: Line, word: Word) -> float:
    """The position of a word's middle along the baseline."""
    (x0, y0), (x1, y1) = (line.baseline[0], line.baseline[-1]) if len(line.baseline) > 1 else ((0, 0), (1, 0))
    points = word.polygon or ((x0, y0),)
    return sum((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0) for x, y in points) / len(points)


def share(confidence: float) -> float:
    """A confidence clipped to 0…1 and rounded to four digits."""
    return round(min(max(confidence, 0.0), 1.0), 4) if math.isfinite(confidence) else 0.0


def mean_confidence(page: Page) -> float:
    """Mean confidence of the lines of a page; it must have lines."""
    return share(sum(share(line.confidence) for line in page.lines) / len(page.lines))


def file_name(source: str) -> str:
    """The file name in a path or URL; "image" if there is none."""
    if source in ("", "-") or source.startswith("data:"):
        return "image"
    if source.startswith(("http://", "https://")):
        source = unquote(urlsplit(source).path)
    return PurePosixPath(source.replace("\\", "/")).name or "image"
