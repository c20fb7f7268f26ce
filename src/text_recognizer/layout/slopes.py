"""Level sloping and curved lines, such as blocks on a board at different angles or an open book, and detect them again.

The network expects nearly level lines. If lines rise steeply, it confuses the end of one line with that of its
neighbour, although it sees their direction well. So the directions of the detected lines are extended to a field over
the page. The page is levelled along the curves that follow this field, and the finder runs again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.layout.finder import FoundLine, LineFinder, lines_from_traces
from text_recognizer.layout.trace import Trace

Gray = NDArray[np.uint8]
Floats = NDArray[np.float32]

STEEP = 0.05  # slope relative to most of the page, which is deskewed as a whole
SHARE = 0.15  # share of the written length that must be steeper
STRAIGHT = 8.0  # x-heights: length of the pieces of lines that decide whether the page needs levelling
LONG = 4.0  # x-heights: length of the pieces whose directions make the field
REACH = (10.0, 5.0)  # x-heights across and down over which lines share a direction
STEPS = 48  # columns of the field
LOOKS = 2  # passes; each starts from the directions that the one before found


def is_sloping(lines: Sequence[FoundLine]) -> bool:
    """Whether a good part of a page's lines is steeper than the rest, and so steeper than the network expects."""
    pieces = [piece for line in lines for piece in _pieces(line, STRAIGHT)]
    if not pieces:
        return False
    slopes = np.array([_slope(piece) for piece in pieces])
    lengths = np.array([np.ptp(piece[:, 0]) for piece in pieces])
    order = np.argsort(slopes)
    usual = slopes[order][np.searchsorted(lengths[order].cumsum(), 0.5 * lengths.sum())]
    return float(lengths[np.abs(slopes - usual) > STEEP].sum()) > SHARE * float(lengths.sum())


def level_lines(image: Gray, lines: Sequence[FoundLine], finder: LineFinder) -> list[FoundLine]:
    """The lines of a page, in reading order, detected after the page is levelled along the directions of `lines`.

    Args:
        image: (H, W) uint8, dark ink on light paper.
        lines: the lines detected so far, at least one.
    """
    found = list(lines)
    for _ in range(LOOKS):
        usual = float(np.median([line.x_height for line in found]))
        scale = min(1.0, finder.settings.x_height / usual)
        size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
        small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8) if scale < 1 else image
        factor = np.array([small.shape[1] / image.shape[1], small.shape[0] / image.shape[0]], np.float32)
        rows = _level_curves(small.shape, found, factor, usual * float(factor[1]))
        columns = np.broadcast_to(np.arange(rows.shape[1], dtype=np.float32), rows.shape)
        level = cv2.remap(small, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        again = lines_from_traces(
            image,
            [
                Trace(_moved(trace.points, rows) / factor, trace.x_height / float(factor[1]), trace.confidence)
                for trace in finder.traces(np.asarray(level, np.uint8), 1.0)
            ],
        )
        if not again:
            break
        found = again
    return found


def _pieces(line: FoundLine, length: float) -> list[NDArray[np.float64]]:
    """The baseline in pieces (n, 2), each one to two times `length` x-heights long; empty for a shorter line."""
    points = np.asarray(line.baseline, np.float64)
    x = np.maximum.accumulate(points[:, 0])
    count = int((x[-1] - x[0]) / (length * line.x_height))
    pieces: list[NDArray[np.float64]] = []
    if not count:
        return pieces
    for left, right in pairwise(np.linspace(x[0], x[-1], count + 1).tolist()):
        at = np.concatenate([[left], x[(x > left) & (x < right)], [right]])
        pieces.append(np.stack([at, np.interp(at, x, points[:, 1])], axis=1))
    return pieces


def _slope(piece: NDArray[np.float64]) -> float:
    x, y = piece.T
    return float(np.polyfit(x, y, 1)[0])


def _level_curves(shape: tuple[int, ...], lines: Sequence[FoundLine], factor: Floats, x_height: float) -> Floats:
    """For each pixel of the levelled page, the row of the page (H, W) that it shows: (H, W).

    Along a row, this source row follows the direction of the lines; in the middle column it is the row itself.
    """
    height, width = shape
    slopes, weights, ends = [], [], []
    for line in lines:
        for piece in _pieces(line, LONG):
            points = piece * factor
            slopes.append(_slope(points))
            weights.append(float(np.ptp(points[:, 0])))
            ends.append((points[0, 0], points[-1, 0], points[:, 1].mean() - slopes[-1] * points[:, 0].mean()))
    if not slopes:
        return np.repeat(np.arange(height, dtype=np.float32)[:, None], width, 1)
    slope, weight = np.asarray(slopes), np.asarray(weights)
    left, right, start = np.asarray(ends).T
    mean = float(np.average(slope, weights=weight))

    def direction(x: float, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Slope of the lines around the points (x, y): (n,) for (n,)."""
        beside = np.maximum(0, np.maximum(left - x, x - right)) / (REACH[0] * x_height)  # (lines,)
        above = (y[:, None] - start - slope * np.clip(x, left, right)) / (REACH[1] * x_height)  # (n, lines)
        near = weight * np.exp(-(beside**2) - above**2)
        few = 0.05 * weight.mean()
        return np.asarray((near @ slope + few * mean) / (near.sum(1) + few))

    at = np.linspace(0, width - 1, STEPS)
    middle = STEPS // 2
    curves = np.zeros((height, STEPS))
    curves[:, middle] = np.arange(height)
    for step in (1, -1):
        for column in range(middle, STEPS - 1 if step == 1 else 0, step):
            run = at[column + step] - at[column]
            halfway = curves[:, column] + 0.5 * run * direction(float(at[column]), curves[:, column])
            curves[:, column + step] = curves[:, column] + run * direction(float(at[column] + 0.5 * run), halfway)
    wide = cv2.resize(curves.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(wide, np.float32)


def _moved(points: Floats, rows: Floats) -> Floats:
    """Points (n, 2) of the levelled page, mapped back to the page."""
    height, width = rows.shape
    x = np.clip(points[:, 0].round().astype(int), 0, width - 1)
    y = np.clip(points[:, 1], 0, height - 1)
    above = np.minimum(y.astype(int), height - 2)
    part = y - above
    moved = np.stack([points[:, 0], (1 - part) * rows[above, x] + part * rows[above + 1, x]], axis=1)
    return np.asarray(moved, np.float32)
