"""Find a word on the page from its position in the crop of its line."""

from collections.abc import Sequence

import numpy as np

from text_recognizer.layout.crops import frame, spine_of
from text_recognizer.page import Point, Polygon


def word_polygon(polygon: Sequence[Point], baseline: Sequence[Point] | None, start: float, end: float) -> Polygon:
    """The part of a line's polygon between two fractions, 0…1, of the width of its crop.

    `polygon` and `baseline` are those given to `crop_line`, in pixels of the page; so is the result. A column of the
    crop is a cut across the line's chord, so the part is the polygon between two such cuts.
    """
    outline = np.asarray(polygon, np.float32).reshape(-1, 2)
    along, _ = frame(spine_of(outline, baseline))
    u = outline @ along
    left, right = (float(u.min() + f * (u.max() - u.min())) for f in (start, end))
    direction = (float(along[0]), float(along[1]))
    part = _cut([(x, y) for x, y in outline.tolist()], direction, left)
    return tuple(_cut(part, (-direction[0], -direction[1]), -right))


def _cut(points: list[Point], normal: Point, least: float) -> list[Point]:
    """The part of a polygon where normal · point ≥ least (one step of Sutherland and Hodgman's clipping, 1974)."""
    kept: list[Point] = []
    over = [x * normal[0] + y * normal[1] - least for x, y in points]
    ends = zip(points[1:] + points[:1], over[1:] + over[:1], strict=True)
    for (ax, ay), a, ((bx, by), b) in zip(points, over, ends, strict=True):
        if a >= 0:
            kept.append((ax, ay))
        if (a >= 0) != (b >= 0):
            t = a / (a - b)
            kept.append((ax + t * (bx - ax), ay + t * (by - ay)))
    return kept
