"""Signs at the ends of lines that the line finder misses: bullets, circled numbers, a detached first letter.

Letter-sized ink at the end of a line that no line covers is added to that line if the recogniser then sees more text
in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.framing import shrink
from text_recognizer.layout.finder import FoundLine, covered_by
from text_recognizer.layout.prepare import flatten_paper

Gray = NDArray[np.uint8]

WORK_X_HEIGHT = 8.0  # pixels; uncovered ink is looked for on a page scaled down to this x-height
INK = 150  # grey of flattened paper
COVERED = 0.3  # largest share of a sign that lines cover
# Lengths in x-heights.
HEIGHT, WIDTH = (0.2, 3.4), 3.4  # of a sign
BULLET, SOLID = 0.7, 0.65  # largest solid sign; share of its box that is ink if solid: larger ones are holes and blots
GAP, FARTHEST = 3.2, 7.0  # from the end of the line to the next sign, and to the end of the last
BAND = (-1.9, 0.4)  # around the baseline; the centre of a sign lies in it
PAPER = 0.25  # margin around signs
LARGEST = 3.0  # times the page's x-height: larger lines do not raise the size limit of signs
WORTH = 0.2  # by which the worth of the line must rise


def with_signs(image: Gray, lines: Sequence[FoundLine], worth: Callable[[FoundLine], float]) -> list[FoundLine]:
    """`lines` of a page (H, W), dark on light, extended by the signs at their ends.

    `worth`: how much text the recogniser sees in a line; about 0.5 for each character that it is sure of.
    """
    if not lines:
        return []
    x_heights = np.asarray([line.x_height for line in lines])
    usual = float(np.median(x_heights))
    scale = min(1.0, WORK_X_HEIGHT / usual)
    # A heading and its number may be larger than the rest.
    signs = _left_ink(image, lines, scale, usual * scale, min(float(x_heights.max()), LARGEST * usual) * scale)
    if not len(signs):
        return list(lines)
    free = np.ones(len(signs), bool)
    out = []
    for line in lines:
        for side in (-1, 1):
            beside = _beside(line, signs, free, side)
            if beside:
                longer = _extended(line, signs[beside], side)
                if worth(longer) > worth(line) + WORTH:
                    line = longer
                    free[beside] = False
        out.append(line)
    return out


def _left_ink(
    image: Gray, lines: Sequence[FoundLine], scale: float, x_height: float, largest: float
) -> NDArray[np.float64]:
    """Boxes of uncovered strokes of the size of signs: (n, 4) left, top, right, bottom, pixels of the page.

    `x_height` is the page's, `largest` that of its largest lines, both in pixels at `scale`.
    """
    ink = (flatten_paper(shrink(image, scale, exact=True)) < INK).astype(np.uint8)
    covered = covered_by(lines, ink.shape, scale)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    hidden = np.bincount(parts[covered > 0], minlength=count)
    x, y, width, height, area = stats.T
    is_sign = (hidden < COVERED * area) & (width < WIDTH * largest) & (height < HEIGHT[1] * largest)
    is_sign &= np.maximum(width, height) > HEIGHT[0] * x_height
    is_sign &= (np.minimum(width, height) < BULLET * x_height) | (area < SOLID * width * height)
    is_sign[0] = False
    return np.asarray(np.stack([x, y, x + width, y + height], axis=1)[is_sign] / scale, np.float64)


def _beside(line: FoundLine, signs: NDArray[np.float64], free: NDArray[np.bool_], side: int) -> list[int]:
    """Indices of the signs that continue a line at its left (-1) or right end (1), nearest first."""
    unit = line.x_height
    left, top, right, bottom = signs.T
    outline = np.asarray(line.polygon)
    start = end = float(outline[:, 0].min() if side < 0 else outline[:, 0].max())
    high = ((top + bottom) / 2 - line.level((left + right) / 2)) / unit
    near = free & (high > BAND[0]) & (high < BAND[1])
    near &= (right - left < WIDTH * unit) & (bottom - top < HEIGHT[1] * unit)
    far, close = (-left, -right) if side < 0 else (right, left)  # outer and inner ends, rising outwards
    found: list[int] = []
    for n in np.flatnonzero(near)[np.argsort(close[near])].tolist():
        if close[n] - side * end > GAP * unit or far[n] - side * start > FARTHEST * unit:
            break
        if far[n] > side * end and close[n] - side * end > -unit:
            found.append(n)
            end = side * far[n]
    return found


def _extended(line: FoundLine, signs: NDArray[np.float64], side: int) -> FoundLine:
    """The line with its outline extended around the boxes `signs` (n, 4)."""
    paper = PAPER * line.x_height
    left, top = signs[:, 0].min() - paper, signs[:, 1].min() - paper
    right, bottom = signs[:, 2].max() + paper, signs[:, 3].max() + paper
    tops, feet = line.edges()
    if side < 0:
        inner = min(right, tops[0][0])
        polygon = ((left, top), (inner, top), *tops, *feet, (inner, bottom), (left, bottom))
        end = left + paper
    else:
        inner = max(left, tops[-1][0])
        polygon = (*tops, (inner, top), (right, top), (right, bottom), (inner, bottom), *feet)
        end = right - paper
    point = (float(end), float(line.level(end)))
    baseline = (point, *line.baseline) if side < 0 else (*line.baseline, point)
    return replace(line, polygon=tuple((float(x), float(y)) for x, y in polygon), baseline=baseline)
