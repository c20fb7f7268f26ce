"""Merge two detected lines that lie one above the other on the same ink.

Two real lines are never closer than their letters are high. The finder may detect large or slanted digits in a cell
as two lines. Then either one of the two is right, or only their union is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

import numpy as np

from text_recognizer.layout.finder import FoundLine

CLOSE, CLOSER = 1.2, 1.0  # largest distance between the baselines, in x-heights of the larger line: short, longer lines
SHARED = 0.5  # least share of the shorter line's length along which both run
SHORT = 6.0  # x-heights: longer lines must be closer, because lines of a formula or an insertion are close too
LONGEST = 12.0  # x-heights: longest line that may be detected twice


def without_doubles(lines: Sequence[FoundLine], worth: Callable[[FoundLine], float]) -> list[FoundLine]:
    """`lines` with one line in place of two on the same ink: the first, the second or their union.

    The one with the highest `worth` is kept: how much text the recogniser sees in a line.
    """
    kept = dict(enumerate(lines))
    ends = [line.ends() for line in lines]
    heights = [line.baseline[0][1] for line in lines]
    short = [n for n, (left, right) in enumerate(ends) if right - left < LONGEST * lines[n].x_height]
    short.sort(key=lambda n: ends[n][0])
    for place, n in enumerate(short):
        for k in islice(short, place + 1, None):
            if ends[k][0] >= ends[n][1]:
                break
            # Short lines hardly slope, so this cheap check rejects most pairs.
            if abs(heights[n] - heights[k]) < 3 * lines[n].x_height and _on_the_same_ink(kept[n], kept[k]):
                kept[k] = max((kept[n], kept[k], _both(kept[n], kept[k])), key=worth)
                ends[k] = kept[k].ends()
                del kept[n]
                break
    return list(kept.values())


def _on_the_same_ink(a: FoundLine, b: FoundLine) -> bool:
    (left, right), (other_left, other_right) = a.ends(), b.ends()
    start, end = max(left, other_left), min(right, other_right)
    if end - start < SHARED * min(right - left, other_right - other_left):
        return False
    middle = (start + end) / 2
    x_height = max(a.x_height, b.x_height)
    close = CLOSE if min(right - left, other_right - other_left) < SHORT * x_height else CLOSER
    return abs(float(a.level(middle) - b.level(middle))) < close * x_height


def _both(a: FoundLine, b: FoundLine) -> FoundLine:
    """The box around both lines, with the lower baseline."""
    outline = np.concatenate([np.asarray(a.polygon), np.asarray(b.polygon)])
    (left, top), (right, bottom) = outline.min(0).tolist(), outline.max(0).tolist()
    start, end = min(a.ends()[0], b.ends()[0]), max(a.ends()[1], b.ends()[1])
    lower = max((a, b), key=lambda line: float(line.level((start + end) / 2)))
    baseline = tuple((x, float(lower.level(x))) for x in (start, end))
    box = ((left, top), (right, top), (right, bottom), (left, bottom))
    return FoundLine(box, baseline, max(a.confidence, b.confidence), max(a.x_height, b.x_height))
