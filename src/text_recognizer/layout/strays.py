"""Lone characters on an almost empty page, or on a page of nothing but cells: locate them by their ink.

The line finder is made for lines. It misses a single digit on a blank sheet, and some digits in tables. If few strokes
are left outside the lines, groups of neighbouring strokes are offered as lines, and the recogniser decides whether they
are writing.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.framing import shrink
from text_recognizer.layout.finder import FoundLine, covered_by
from text_recognizer.layout.prepare import flatten_paper

Gray = NDArray[np.uint8]

SIDE = 1024  # longer side, in pixels, of the image in which ink is looked for
INK = 150  # grey of flattened paper
MOST_LINES = 3  # a page with more lines has writing that the finder detects, unless its lines are as short as cells
SHORT = 6.0  # x-heights: lines are cells if their median length is at most this
CELL = (0.6, 3.2)  # x-heights: range of a group's height among cells
MOST_STROKES, MOST = 60, 12  # most connected strokes, most groups: a page with more is a texture or a drawing
SPECK = 5  # pixels at that size: smaller strokes are dirt, or small marks next to a letter
HEIGHT = (12, 0.7)  # of a group: least in pixels at that size, largest as a share of the page's height
# Largest ratio of width to height, and of height to width: other strokes are rules or edges. A thin 1 is very narrow.
ELONGATED = (9.0, 24.0)
BESIDE, ABOVE = 0.8, 0.5  # largest gaps between strokes of a word, in heights of the larger stroke
BESIDE_IT, ABOVE_IT, BELOW_IT = (
    0.75,
    0.2,
    0.5,
)  # of a group's height: margins around it; with less, the recogniser sees a thin 1 as an edge
COVERED = 0.3  # largest share of a group that lines cover
CAPITAL = 1.7  # height of digits and capitals, in x-heights


def stray_lines(image: Gray, lines: Sequence[FoundLine]) -> list[FoundLine]:
    """Groups of strokes outside `lines` on a page (H, W), dark on light, from the top; empty for a full page."""
    usual = 0.0
    if len(lines) > MOST_LINES:
        if np.median([np.ptp(line.ends()) / line.x_height for line in lines]) > SHORT:
            return []
        usual = float(np.median([line.x_height for line in lines]))
    scale = min(1.0, SIDE / max(image.shape))
    ink = (flatten_paper(shrink(image, scale)) < INK).astype(np.uint8)
    covered = covered_by(lines, ink.shape, scale)
    count, parts, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    hidden = np.bincount(parts[covered > 0], minlength=count)[1:] > COVERED * stats[1:, cv2.CC_STAT_AREA]
    x, y, width, height = stats[1:, :4].T
    stroke = (
        ~hidden
        & (np.maximum(width, height) >= SPECK)
        & (width / height < ELONGATED[0])
        & (height / width < ELONGATED[1])
    )
    if not 0 < stroke.sum() <= MOST_STROKES:
        return []
    boxes = np.stack([x, y, x + width, y + height], axis=1)[stroke]
    groups = [boxes[members] for members in _together(boxes)]
    found = []
    for group in groups:
        (left, top), (right, bottom) = group[:, :2].min(0).tolist(), group[:, 2:].max(0).tolist()
        tall = bottom - top
        low, high = (HEIGHT[0], HEIGHT[1] * ink.shape[0]) if not usual else (scale * usual * times for times in CELL)
        if not low <= tall <= high or float(covered[top:bottom, left:right].mean()) > COVERED:
            continue
        x0, x1 = ((x + side * BESIDE_IT * tall) / scale for x, side in ((left, -1), (right, 1)))
        y0, y1 = (top - ABOVE_IT * tall) / scale, (bottom + BELOW_IT * tall) / scale
        foot = bottom / scale
        baseline = ((left / scale, foot), (right / scale, foot))
        outline = ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
        found.append(FoundLine(outline, baseline, 1.0, tall / scale / CAPITAL))
    return sorted(found, key=lambda line: line.polygon[0][1]) if len(found) <= MOST else []


def _together(boxes: NDArray[np.int32]) -> list[NDArray[np.intp]]:
    """Group strokes, given by their boxes (n, 4), into characters and words: the indices of each group."""
    left, top, right, bottom = boxes.T.astype(np.float64)
    tall = np.maximum(bottom - top, right - left)
    larger = np.maximum(tall[:, None], tall[None])
    # Gaps between their boxes, negative where they overlap.
    across = np.maximum(left[:, None], left[None]) - np.minimum(right[:, None], right[None])
    down = np.maximum(top[:, None], top[None]) - np.minimum(bottom[:, None], bottom[None])
    near = ((across < BESIDE * larger) & (down < 0)) | ((down < ABOVE * larger) & (across < 0))
    label = np.arange(len(boxes))
    while ((lowest := np.where(near, label[None], len(boxes)).min(1)) < label).any():
        label = np.minimum(label, lowest)
    return [np.flatnonzero(label == value) for value in np.unique(label)]
