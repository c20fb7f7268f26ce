"""The order in which people read the lines of a page: rows from the top, columns one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class LineBox:
    """Where a line's letters stand, in pixels: its ends, its middle height, its x-height."""

    left: float
    right: float
    middle: float
    x_height: float


def reading_order(boxes: Sequence[LineBox]) -> list[int]:
    """Indices of `boxes` in reading order.

    Lines are read from the top down, and on one height from left to right. Where a gutter that no line crosses has
    two or more lines side by side on both of its sides, what is left of it is read first, down to the next line that
    spans it. Columns may hold columns.
    """
    return _ordered(list(range(len(boxes))), boxes)


def _ordered(group: list[int], boxes: Sequence[LineBox]) -> list[int]:
    if len(group) < 4:
        return _rows(group, boxes)
    gutter = _best_gutter(group, boxes)
    if gutter is None:
        return _rows(group, boxes)
    out: list[int] = []
    for band in _bands(group, boxes, gutter):
        left = [i for i in band if boxes[i].right <= gutter]
        right = [i for i in band if boxes[i].left >= gutter]
        if _side_by_side(left, right, boxes):
            out.extend(_ordered(left, boxes))
            out.extend(_ordered(right, boxes))
        else:
            out.extend(_rows(band, boxes))
    return out


def _best_gutter(group: list[int], boxes: Sequence[LineBox]) -> float | None:
    """The x that has most lines in columns on its sides and fewest across it; None when there is no such x."""
    unit = float(np.median([boxes[i].x_height for i in group]))
    best, best_score = None, 0.0
    for i in group:
        at = boxes[i].left - 0.3 * unit
        across = sum(boxes[j].left < at < boxes[j].right for j in group)
        inside = 0
        for band in _bands(group, boxes, at):
            left = [j for j in band if boxes[j].right <= at]
            right = [j for j in band if boxes[j].left >= at]
            if _side_by_side(left, right, boxes):
                inside += len(left) + len(right)
        score = inside - 2.0 * across
        if score > best_score:
            best, best_score = at, score
    return best


def _bands(group: list[int], boxes: Sequence[LineBox], gutter: float) -> list[list[int]]:
    """Parts of the page from the top: each a line across `gutter`, or the lines between two such lines."""
    bands: list[list[int]] = []
    current: list[int] = []
    for i in sorted(group, key=lambda i: boxes[i].middle):
        if boxes[i].left < gutter < boxes[i].right:
            if current:
                bands.append(current)
            bands.append([i])
            current = []
        else:
            current.append(i)
    return [*bands, current] if current else bands


def _side_by_side(left: list[int], right: list[int], boxes: Sequence[LineBox]) -> bool:
    """Whether both sides hold two lines or more that share a stretch of the page's height."""
    if len(left) < 2 or len(right) < 2:
        return False

    def span(side: list[int]) -> tuple[float, float]:
        return min(boxes[i].middle for i in side), max(boxes[i].middle for i in side)

    (a0, a1), (b0, b1) = span(left), span(right)
    top, bottom = max(a0, b0), min(a1, b1)
    margin = 0.8 * float(np.median([boxes[i].x_height for i in (*left, *right)]))
    shared = [sum(top - margin <= boxes[i].middle <= bottom + margin for i in side) for side in (left, right)]
    return min(shared) >= 2


def _rows(group: list[int], boxes: Sequence[LineBox]) -> list[int]:
    """From the top down; pieces that stand on one height and not over one another from left to right."""
    rows: list[list[int]] = []
    for i in sorted(group, key=lambda i: boxes[i].middle):
        box = boxes[i]
        if rows:
            row = rows[-1]
            level = float(np.mean([boxes[j].middle for j in row]))
            apart = all(box.left >= boxes[j].right or box.right <= boxes[j].left for j in row)
            if apart and abs(box.middle - level) < 0.8 * min(box.x_height, *(boxes[j].x_height for j in row)):
                row.append(i)
                continue
        rows.append([i])
    return [i for row in rows for i in sorted(row, key=lambda i: boxes[i].left)]
