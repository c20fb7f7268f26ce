"""Join pieces of a line that the line finder split at a wide gap between words.

Some writers leave gaps between words as wide as the gutter of a narrow table. The rest of the paragraph distinguishes
the two: in running text, other lines cross the place, and their own gaps are as wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from text_recognizer.framing import shrink
from text_recognizer.layout.finder import FoundLine
from text_recognizer.layout.prepare import flatten_paper

Gray = NDArray[np.uint8]

WORK_X_HEIGHT = 10.0  # pixels; gaps are measured on a page of this size
INK = 150  # grey of flattened paper
# Lengths in x-heights.
WIDEST = 8.0  # widest gap that is joined
REACH = 2.0  # how far a crossing line must extend beyond both sides of the gap
NEAR = 20.0  # vertical distance within which lines of the same paragraph are looked for
STEP = 0.7  # largest offset between the pieces' baselines, relative to the course of a crossing line
LIKE = 1.6  # largest ratio between the letter sizes of the pieces
CORE = (0.1, 0.9)  # heights above the baseline between which ink belongs to letters
WIDER = 1.25  # largest ratio between the gap and the widest gaps of the crossing lines
MOST = 1.5  # fewest crossing lines for each line that is split


def join_at_wide_gaps(gray: Gray, lines: Sequence[FoundLine]) -> list[FoundLine]:
    """`lines` (pixels of `gray`), with the pieces of each line of a paragraph joined.

    Args:
        gray: (H, W) uint8, dark ink on light paper.
    """
    pairs = _candidates(lines)
    if not pairs:
        return list(lines)
    scale = min(1.0, WORK_X_HEIGHT / float(np.median([line.x_height for line in lines])))
    ink = flatten_paper(shrink(gray, scale)) < INK
    gaps = {n: _widest_gap(ink, lines[n], scale) for n in {n for _, _, crossing in pairs for n in crossing}}
    following: dict[int, int] = {}
    for left, right, crossing in pairs:
        widest = sorted((gaps[n] for n in crossing), reverse=True)
        between = _gap_at(ink, _joined(lines[left], lines[right]), scale, lines[left].baseline[-1][0])
        if between <= WIDER * float(np.median(widest[:3])):
            following[left] = right
    behind = set(following.values())
    out = []
    for number, line in enumerate(lines):
        if number not in behind:
            at = number
            while at in following:
                at = following[at]
                line = _joined(line, lines[at])
            out.append(line)
    return out


def _candidates(lines: Sequence[FoundLine]) -> list[tuple[int, int, list[int]]]:
    """Pairs that may be one line: indices of the left and right piece, and of the lines that cross their gap."""
    if len(lines) < 4:
        return []
    starts, ends = (np.array([line.baseline[k] for line in lines], np.float64) for k in (0, -1))
    sizes = np.array([line.x_height for line in lines])
    found: list[tuple[int, int, list[int]]] = []
    taken: set[int] = set()
    for left, (x, y) in enumerate(ends):
        unit = np.minimum(sizes, sizes[left])
        gaps, rises = (starts - (x, y)).T / unit
        after = (gaps > 0) & (gaps < WIDEST) & (np.abs(rises) < 2.5) & (np.maximum(sizes, sizes[left]) <= LIKE * unit)
        for right in np.flatnonzero(after)[np.argsort(gaps[after])].tolist():
            one = float(unit[right])
            across = (starts[:, 0] < x - REACH * one) & (ends[:, 0] > starts[right, 0] + REACH * one)
            off = {n: abs(float(lines[n].level(x)) - y) for n in np.flatnonzero(across).tolist()}
            crossing = [n for n, pixels in off.items() if pixels < NEAR * one]
            if not crossing or right in taken:
                continue
            beside = lines[min(crossing, key=off.__getitem__)]
            course = beside.level(starts[right, 0]) - beside.level(x)
            if abs(starts[right, 1] - y - course) < STEP * one:
                found.append((left, right, crossing))
                taken.add(right)
                break
    # If about as many lines are split as cross, the page has columns.
    kept = []
    for left, right, crossing in found:
        near = NEAR * sizes[left]
        parted = sum(
            bool(ends[a, 0] < starts[right, 0] and starts[b, 0] > ends[left, 0] and abs(ends[a] - ends[left])[1] < near)
            for a, b, _ in found
        )
        if len(crossing) >= MOST * parted:
            kept.append((left, right, crossing))
    return kept


def _joined(left: FoundLine, right: FoundLine) -> FoundLine:
    """Both pieces as one line."""
    lengths = [line.baseline[-1][0] - line.baseline[0][0] + 1.0 for line in (left, right)]

    def mean(a: float, b: float) -> float:
        return float(np.average([a, b], weights=lengths))

    tops, feet = left.edges()
    tops_behind, feet_behind = right.edges()
    return replace(
        left,
        polygon=tops + tops_behind + feet_behind + feet,
        baseline=left.baseline + right.baseline,
        confidence=mean(left.confidence, right.confidence),
        x_height=mean(left.x_height, right.x_height),
    )


def _ink_columns(ink: NDArray[np.bool_], line: FoundLine, scale: float) -> tuple[int, NDArray[np.bool_]]:
    """The first column of `ink` along a line, and whether each column from there on holds ink of its letters."""
    xs, ys = np.asarray(line.baseline, np.float64).T * scale
    columns = np.arange(max(0, int(xs[0])), min(ink.shape[1], int(xs[-1]) + 1))
    up = np.linspace(*CORE, 6) * line.x_height * scale
    rows = np.clip((np.interp(columns, xs, ys)[None] - up[:, None]).round().astype(int), 0, ink.shape[0] - 1)
    return max(0, int(xs[0])), ink[rows, columns[None]].any(0)


def _widest_gap(ink: NDArray[np.bool_], line: FoundLine, scale: float) -> float:
    """The widest gap between two words, in columns."""
    _, filled = _ink_columns(ink, line, scale)
    return float(np.diff(np.flatnonzero(filled)).max(initial=1) - 1)


def _gap_at(ink: NDArray[np.bool_], line: FoundLine, scale: float, x: float) -> float:
    """Columns without ink around `x` (page pixels); infinity if there is ink on one side only."""
    first, filled = _ink_columns(ink, line, scale)
    at = np.flatnonzero(filled) + first
    place = int(np.searchsorted(at, x * scale + 1))
    return float(at[place] - at[place - 1] - 1) if 0 < place < len(at) else np.inf
