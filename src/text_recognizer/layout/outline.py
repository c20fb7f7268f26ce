"""Polygons of text lines: each line gets its own ink, and as little as possible of its neighbours' ink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.layout.prepare import flatten_paper
from text_recognizer.layout.trace import Trace

Gray = NDArray[np.uint8]
Floats = NDArray[np.float32]

WORK_X_HEIGHT = 14.0  # pixels; ink is analysed on a page scaled down to this x-height


@dataclass(frozen=True, slots=True)
class OutlineSettings:
    """Lengths in x-heights, from the baseline up (above) and down (below)."""

    above: float = 1.6  # included where there is no ink of a neighbour
    below: float = 0.65
    min_above: float = 1.15  # always included
    min_below: float = 0.3
    max_above: float = 2.7  # own ink is followed up to here
    max_below: float = 1.6
    margin: float = 0.12  # of paper around the ink
    end_reach: float = 1.2  # how far a line's ink may extend beyond the ends of its baseline
    window: float = 0.6  # half the width over which the ink's extent is taken
    loop_length: float = 8.0  # a shorter line may be ascenders or descenders of another line
    lone_length: float = 1.6  # a line of at most this length is a lone character and gets more paper around it
    lone_margins: tuple[float, float] = (0.5, 0.3)  # left and right, above and below


@dataclass(frozen=True, slots=True)
class Outline:
    """Polygon (n, 2), clockwise, and baseline (m, 2), from left to right; pixels of the page."""

    polygon: Floats
    baseline: Floats


def outline_lines(gray: Gray, traces: Sequence[Trace], settings: OutlineSettings | None = None) -> list[Outline | None]:
    """An outline for each of `traces`; None for a trace without ink, or on ink that belongs to another line.

    The baseline of a lone character comes from its ink, because the network locates it poorly.

    Args:
        gray: (H, W) uint8 page.
        traces: baselines and x-heights in pixels of `gray`.
    """
    if not traces:
        return []
    settings = settings or OutlineSettings()
    usual = float(np.median([t.x_height for t in traces]))
    scale = min(1.0, WORK_X_HEIGHT / usual)
    height, width = max(1, round(gray.shape[0] * scale)), max(1, round(gray.shape[1] * scale))
    small = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA) if scale < 1 else gray
    factor = np.array([width / gray.shape[1], height / gray.shape[0]], np.float32)
    lines = [_Line(t.points * factor, t.x_height * float(factor[1])) for t in traces]
    ink = _ink(np.asarray(small, np.uint8), lines)
    _, parts = cv2.connectedComponents(ink.astype(np.uint8), connectivity=8, ltype=cv2.CV_32S)
    strokes = np.asarray(parts, np.int32)
    parts_of_others = _loops_of_others(strokes, lines, settings)
    parts_of_others |= _doubles(strokes, lines, [trace.confidence for trace in traces], settings)
    owner = _owners(strokes, [line for index, line in enumerate(lines) if index not in parts_of_others])
    outlines: list[Outline | None] = []
    number = 0
    for index, line in enumerate(lines):
        if index in parts_of_others:
            outlines.append(None)
            continue
        number += 1
        found = _outline(owner, number, line, settings)
        if found is None:
            outlines.append(None)
            continue
        limit = np.array([gray.shape[1], gray.shape[0]], np.float32)
        polygon = np.clip(found.polygon / factor, 0, limit)
        outlines.append(Outline(polygon.astype(np.float32), np.clip(found.baseline / factor, 0, limit)))
    return outlines


class _Line:
    """A baseline as a function of x, and an x-height, in pixels of the working page."""

    def __init__(self, points: Floats, x_height: float) -> None:
        self.x, self.y = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
        self.x_height = x_height
        # Beyond its ends, the line continues with the slope of its last few x-heights.
        self.slopes = (
            self._slope(self.x <= self.x[0] + 5 * x_height),
            self._slope(self.x >= self.x[-1] - 5 * x_height),
        )

    def _slope(self, part: NDArray[np.bool_]) -> float:
        x, y = self.x[part], self.y[part]
        if len(x) < 2 or np.ptp(x) < 1:
            x, y = self.x, self.y
        spread = float(((x - x.mean()) ** 2).sum())
        return float(((x - x.mean()) * (y - y.mean())).sum()) / max(spread, 1e-6)

    def level(self, x: NDArray[np.floating]) -> NDArray[np.float64]:
        """Height of the baseline, (n,) for (n,)."""
        inside = np.interp(x, self.x, self.y)
        left = np.minimum(x - self.x[0], 0) * self.slopes[0]
        right = np.maximum(x - self.x[-1], 0) * self.slopes[1]
        return np.asarray(inside + left + right)

    def core(self) -> NDArray[np.int32]:
        """Polygon of the letters' bodies, slightly lower than they are."""
        up = 0.9 * self.x_height
        top = np.stack([self.x, self.y - up], axis=1)
        base = np.stack([self.x, self.y - 0.05 * self.x_height], axis=1)[::-1]
        return np.round(np.concatenate([top, base])).astype(np.int32)


def _ink(gray: Gray, lines: Sequence[_Line]) -> NDArray[np.bool_]:
    """Ink of a page, without ruling."""
    flat = flatten_paper(gray)
    bodies = np.zeros(gray.shape, np.uint8)
    for line in lines:
        cv2.fillPoly(bodies, [line.core()], 255)
    inside = flat[bodies > 0]
    # The threshold lies about half-way between paper and ink inside the lines: the rest of a page may be anything.
    threshold = 200.0
    if inside.size > 50:
        dark = float(np.percentile(inside, 3))
        paper = float(np.percentile(inside, 90))
        threshold = float(np.clip(paper - 0.42 * (paper - dark), 60, 235))
    ink = (flat < threshold).astype(np.uint8)
    # Rules are thin, straight and longer than any stroke.
    x_height = float(np.median([line.x_height for line in lines]))
    long, thick = max(15, round(7 * x_height)), max(3, round(0.35 * x_height))
    for axis in (0, 1):
        if gray.shape[1 - axis] <= long:
            continue
        size = (1, long) if axis == 0 else (long, 1)
        rules = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones(size, np.uint8))
        if rules.any():
            across = (thick, 1) if axis == 0 else (1, thick)
            wide = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones(across, np.uint8))
            rules = cv2.dilate(rules, np.ones((3, 1) if axis == 0 else (1, 3), np.uint8))
            ink[(rules > 0) & (wide == 0)] = 0
    return ink.astype(bool)


def _loops_of_others(parts: NDArray[np.int32], lines: Sequence[_Line], settings: OutlineSettings) -> set[int]:
    """Indices of short lines that are in fact descenders of a longer line above, or ascenders of one below.

    Most of their ink belongs to strokes that lie largely elsewhere, in a line more than twice as long.

    Args:
        parts: number of each pixel's connected stroke, 0 for paper.
    """
    usual = float(np.median([line.x_height for line in lines]))
    lengths = [float(np.ptp(line.x)) for line in lines]
    short = [i for i, length in enumerate(lengths) if length < settings.loop_length * usual]
    if not short or len(short) == len(lines):
        return set()
    sizes = np.bincount(parts.ravel())
    core_of: list[NDArray[np.int64]] = []  # for each line, the pixels of each stroke inside its core
    for line in lines:
        x, y, w, h = cv2.boundingRect(line.core())
        left, top = max(0, x), max(0, y)
        window = parts[top : max(top, y + h), left : max(left, x + w)]
        mask = np.zeros(window.shape, np.uint8)
        if mask.size:  # empty if the line lies outside the page or only its ends reach into it
            cv2.fillPoly(mask, [line.core() - np.array([left, top])], 1)
        core_of.append(np.bincount(window[mask > 0], minlength=len(sizes)))
    loops = set()
    for i in short:
        ink = core_of[i].copy()
        ink[0] = 0
        longer = np.zeros(len(sizes), bool)
        for j, length in enumerate(lengths):
            if length > 2 * lengths[i]:
                longer |= core_of[j] > 0
        elsewhere = ink[longer & (ink < 0.7 * sizes)].sum()
        if ink.sum() > 0 and elsewhere > 0.75 * ink.sum():
            loops.add(i)
    return loops


def _doubles(
    parts: NDArray[np.int32], lines: Sequence[_Line], confidences: Sequence[float], settings: OutlineSettings
) -> set[int]:
    """Indices of lone characters on the same stroke as another one with higher confidence."""
    known: set[int] = set()
    doubles: set[int] = set()
    for index in sorted(range(len(lines)), key=lambda index: -confidences[index]):
        line = lines[index]
        if np.ptp(line.x) > settings.lone_length * line.x_height:
            continue
        x, y, w, h = cv2.boundingRect(line.core())
        window = parts[max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)]
        ink = np.bincount(window.ravel(), minlength=1)
        ink[0] = 0
        stroke = int(ink.argmax())
        if not ink[stroke]:
            continue
        if stroke in known:
            doubles.add(index)
        known.add(stroke)
    return doubles


def _owners(parts: NDArray[np.int32], lines: Sequence[_Line]) -> NDArray[np.int32]:
    """Number of the line (from 1) that each ink pixel belongs to, 0 for paper; `parts` as for `_loops_of_others`."""
    ink = parts > 0
    cores = np.zeros(ink.shape, np.int32)
    for index, line in enumerate(lines):
        cv2.fillPoly(cores, [line.core()], index + 1)
    # The nearest core for every pixel of the page.
    _, nearest_pixel = cv2.distanceTransformWithLabels(
        (cores == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros(int(nearest_pixel.max()) + 1, np.int32)
    inside = cores > 0
    table[nearest_pixel[inside]] = cores[inside]
    # A stroke that touches the core of only one line belongs to that line, however far it extends.
    stroke, core = parts[ink], cores[ink]
    touched = np.unique((stroke.astype(np.int64) * (len(lines) + 1) + core)[core > 0])
    part, line_number = touched // (len(lines) + 1), touched % (len(lines) + 1)
    times = np.bincount(part, minlength=int(parts.max()) + 1)
    only = np.zeros(len(times), np.int32)
    only[part] = line_number
    only[times != 1] = 0
    owner = np.zeros(ink.shape, np.int32)
    owner[ink] = np.where(only[stroke] > 0, only[stroke], table[nearest_pixel[ink]])
    return owner


def _outline(owner: NDArray[np.int32], number: int, line: _Line, settings: OutlineSettings) -> Outline | None:
    xh = line.x_height
    height, width = owner.shape
    reach = settings.end_reach * xh
    left, right = max(0, int(line.x[0] - reach)), min(width - 1, int(np.ceil(line.x[-1] + reach)))
    columns = np.arange(left, right + 1)
    if len(columns) < 2:
        return None
    base = line.level(columns)
    up, down = settings.max_above * xh, settings.max_below * xh
    offsets = np.arange(-int(np.ceil(up)), int(np.ceil(down)) + 1)  # rows of the straightened strip
    rows = np.round(base[None] + offsets[:, None]).astype(int)
    valid = (rows >= 0) & (rows < height)
    strip = np.where(valid, owner[np.clip(rows, 0, height - 1), columns[None]], 0)  # (offsets, columns)
    own = strip == number
    foreign = (strip > 0) & ~own
    core = (offsets > -1.3 * xh) & (offsets < 0.3 * xh)
    inked = np.flatnonzero(own[core].any(0))
    if len(inked) < max(2.0, 0.15 * xh):
        return None
    first, last = int(columns[inked[0]]), int(columns[inked[-1]])
    # Extent of the line's own ink above and below the baseline, and of the neighbours' nearest ink.
    any_own = own.any(0)
    top = np.where(any_own, -offsets[own.argmax(0)], 0).astype(np.float32)  # above the baseline, positive
    bottom = np.where(any_own, offsets[len(offsets) - 1 - own[::-1].argmax(0)], 0).astype(np.float32)
    over = foreign & (offsets < -0.5 * xh)[:, None]
    under = foreign & (offsets > 0)[:, None]
    far = np.float32(1e6)
    ceiling = np.where(over.any(0), -offsets[len(offsets) - 1 - over[::-1].argmax(0)], far).astype(np.float32)
    floor = np.where(under.any(0), offsets[under.argmax(0)], far).astype(np.float32)
    size = 2 * max(1, round(settings.window * xh)) + 1
    kernel = np.ones((1, size), np.uint8)

    def widest(values: Floats) -> Floats:
        return np.asarray(cv2.dilate(values[None], kernel, borderType=cv2.BORDER_REPLICATE)[0], np.float32)

    def nearest(values: Floats) -> Floats:
        return np.asarray(cv2.erode(values[None], kernel, borderType=cv2.BORDER_REPLICATE)[0], np.float32)

    is_lone = np.ptp(line.x) <= settings.lone_length * xh
    margin = (settings.lone_margins[1] if is_lone else settings.margin) * xh
    top, bottom = widest(top) + margin, widest(bottom) + margin
    # Extend up to the neighbour's ink, but never cut the line's own ink.
    room_above = np.clip(nearest(ceiling) - 1, settings.min_above * xh, settings.above * xh)
    room_below = np.clip(nearest(floor) - 1, settings.min_below * xh, settings.below * xh)
    top = np.clip(np.maximum(top, room_above), 0, up)
    bottom = np.clip(np.maximum(bottom, room_below), 0, down)
    beside = settings.lone_margins[0] * xh if is_lone else 1.5 * margin
    start, end = max(0.0, first - beside), min(width - 1.0, last + 1 + beside)
    count = max(2, round((end - start) / (0.7 * xh)) + 1)
    at = np.linspace(start, end, count)
    level = line.level(at)
    upper = np.stack([at, level - np.interp(at, columns, top)], axis=1)
    lower = np.stack([at, level + np.interp(at, columns, bottom)], axis=1)[::-1]
    count = max(2, round((last + 1 - first) / (1.5 * xh)) + 1)
    along = np.linspace(first, last + 1, count)
    foot = line.level(along)
    if is_lone:
        foot = np.full(count, float(foot.mean() + offsets[own.any(1)].max() + 1))
    baseline = np.stack([along, foot], axis=1)
    return Outline(np.concatenate([upper, lower]).astype(np.float32), baseline.astype(np.float32))
