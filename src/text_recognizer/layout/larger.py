"""Large writing beside small: headings and numbers several times as large as the text, which the finder misses.

The finder works at the scale of a page's usual writing. If ink of larger letters remains that no line covers, it runs
again, at a scale where these letters have the size that it expects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.framing import shrink
from text_recognizer.layout.finder import FoundLine, LineFinder, covered_by, lines_from_traces
from text_recognizer.layout.prepare import flatten_paper
from text_recognizer.layout.trace import Trace

Gray = NDArray[np.uint8]

# Times the usual x-height: the size that the second pass is scaled for, and the least size that counts as larger.
WANTED, LARGER = 2.2, 1.35
WORK_X_HEIGHT = 7.0  # pixels; uncovered ink is looked for on a page scaled down to this x-height
LETTER = (1.8, 9.0)  # range of a large letter's height, in usual x-heights
ELONGATED = 8.0  # aspect ratio from which a stroke is a rule or an edge
INK = 150  # grey of flattened paper
COVERED = 0.25  # largest share of a new line that known lines cover


def larger_lines(image: Gray, lines: Sequence[FoundLine], finder: LineFinder) -> list[FoundLine]:
    """Lines of larger writing on a page where `lines` are known; empty if no large ink is left.

    Args:
        image: (H, W) uint8, dark ink on light paper.
    """
    if not lines:
        return []
    usual = float(np.median([line.x_height for line in lines]))
    area = _area_left(image, lines, usual)
    if area is None:
        return []
    left, top, right, bottom = area
    part = image[top:bottom, left:right]
    corner = np.asarray([left, top], np.float32)
    traces = finder.traces(part, min(1.0, finder.settings.x_height / (WANTED * usual)))
    large = [trace for trace in traces if trace.x_height > LARGER * usual]
    if not large:
        return []
    taken = np.zeros(part.shape, np.uint8)
    known = []
    for line in lines:
        outline = np.asarray(line.polygon, np.float32) - corner
        cv2.fillPoly(taken, [outline.round().astype(np.int32)], 1)
        if ((outline > 0) & (outline < part.shape[::-1])).all(1).any():
            known.append(Trace(np.asarray(line.baseline, np.float32) - corner, line.x_height, line.confidence))
    # Outline all lines together, so that ink next to a known line stays with that line.
    found = lines_from_traces(part, [*known, *large])
    return [
        _moved(line, left, top) for line in found if line.x_height > LARGER * usual and _share(taken, line) < COVERED
    ]


def _share(taken: Gray, line: FoundLine) -> float:
    """Share of a line's polygon that is already taken."""
    mask = covered_by([line], taken.shape, 1.0)
    return float(taken[mask > 0].mean()) if mask.any() else 1.0


def _area_left(image: Gray, lines: Sequence[FoundLine], usual: float) -> tuple[int, int, int, int] | None:
    """Box around all uncovered strokes of a large letter's size: left, top, right, bottom, pixels; None if none."""
    scale = min(1.0, WORK_X_HEIGHT / usual)
    ink = (flatten_paper(shrink(image, scale)) < INK).astype(np.uint8)
    ink[covered_by(lines, ink.shape, scale) > 0] = 0
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    x, y, width, height = stats[1:, :4].T
    low, high = (times * usual * scale for times in LETTER)
    letters = (height > low) & (height < high) & (width < 2 * high)
    letters &= (width < ELONGATED * height) & (height < ELONGATED * width)
    if not letters.any():
        return None
    margin = high
    x, y, width, height = x[letters], y[letters], width[letters], height[letters]
    ends = (x.min() - margin, y.min() - margin, (x + width).max() + margin, (y + height).max() + margin)
    left, top, right, bottom = (round(float(end) / scale) for end in ends)
    return max(0, left), max(0, top), min(image.shape[1], right), min(image.shape[0], bottom)


def _moved(line: FoundLine, x: float, y: float) -> FoundLine:
    return replace(
        line,
        polygon=tuple((a + x, b + y) for a, b in line.polygon),
        baseline=tuple((a + x, b + y) for a, b in line.baseline),
    )
