"""From the network's maps to baselines: follow the ridges of the baseline map and join their pieces."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

STRIDE = 4  # pixels of the network's page per pixel of its maps
X_HEIGHT_UNIT = 10.0  # the height map holds ln(x-height / 10 pixels of the network's page)


@dataclass(frozen=True, slots=True)
class Trace:
    """A baseline in pixels of the network's page: (n, 2) from left to right, x rising."""

    points: Floats
    x_height: float
    confidence: float  # mean height of the ridge, 0…1


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Tuned on rendered pages by held-out writers."""

    ridge: float = 0.3  # least height of a ridge
    end_weight: float = 0.5  # how much an end mark lowers the ridge, so that columns are separated
    join_gap: float = 1.5  # x-heights: largest gap between pieces of a line
    join_gap_seen: float = 6.0  # the same if the map shows a trace of a baseline in the gap …
    seen: float = 0.1  # … of at least this mean height
    join_step: float = 0.5  # x-heights: largest vertical offset between the pieces
    barrier: float = 0.5  # height above which an end mark keeps pieces apart
    min_length: float = 1.0  # x-heights
    min_confidence: float = 0.45
    short: float = 8.0  # x-heights; a shorter piece is a word, or a flourish, a tick, the bar of a t
    short_confidence: float = 0.65
    shadow: tuple[float, float] = (-1.2, 1.5)  # x-heights above a longer line's baseline: its loops and bars
    shadow_confidence: float = 0.75


SETTINGS = TraceSettings()
# The network marks lone digits and letters faintly, because training shows few. A page of them holds little else.
LONE = TraceSettings(min_length=0.4, min_confidence=0.3, short_confidence=0.35)
LONE_LENGTH = 3.0  # x-heights; a page with a shorter median line holds lone words and characters


@dataclass(slots=True)
class _Piece:
    """A run along a ridge, in map pixels: at most one point per column."""

    x: NDArray[np.int32]
    y: Floats
    height: Floats  # of the ridge
    x_height: float  # map pixels

    def direction(self, at_end: bool) -> tuple[float, float]:
        """Height and slope at an end, fitted over about four x-heights."""
        reach = max(4, int(4 * self.x_height))
        part = slice(-reach, None) if at_end else slice(None, reach)
        x, y = self.x[part].astype(np.float64), self.y[part].astype(np.float64)
        spread = float(((x - x.mean()) ** 2).sum())
        slope = float(((x - x.mean()) * (y - y.mean())).sum()) / (spread + 4.0 * self.x_height**2)
        anchor = float(x[-1] if at_end else x[0])
        return float(y.mean()) + slope * (anchor - float(x.mean())), slope


def trace_baselines(maps: Floats, settings: TraceSettings | None = None) -> list[Trace]:
    """Baselines in the network's `maps`, (4, h, w): probabilities of baseline, core, line end; ln x-height.

    `settings`: None for the defaults, which include those for lone characters on a page of them.
    """
    pieces = _follow(maps, settings or SETTINGS)
    pieces = _without_doubles(_join(_without_doubles(pieces), maps, settings or SETTINGS))
    lines = [piece for piece in pieces if _is_line(piece, pieces, settings or SETTINGS)]
    if settings is None and lines and float(np.median([_length(piece) for piece in lines])) < LONE_LENGTH:
        lines = [piece for piece in pieces if _is_line(piece, pieces, LONE)]
    return [_smooth(piece, _confidence(piece)) for piece in lines]


def _confidence(piece: _Piece) -> float:
    return float(np.clip(piece.height, 0, 1).mean())


def _length(piece: _Piece) -> float:
    """Length in x-heights."""
    return float(np.ptp(piece.x) + 1) / piece.x_height


def _is_line(piece: _Piece, pieces: list[_Piece], settings: TraceSettings) -> bool:
    """Whether a piece is a line of its own, not a stray mark or part of a letter of another line."""
    length, confidence = _length(piece), _confidence(piece)
    if length < settings.min_length or confidence < settings.min_confidence:
        return False
    is_short = length < settings.short
    if is_short and confidence < settings.short_confidence:
        return False
    if not is_short and confidence >= settings.shadow_confidence:
        return True
    low, high = settings.shadow
    for other in pieces:
        if other is piece or _length(other) < 2 * length:
            continue
        shared = min(piece.x[-1], other.x[-1]) - max(piece.x[0], other.x[0]) + 1
        if shared < 0.5 * len(piece.x):
            continue
        over = (float(np.interp(piece.x, other.x, other.y).mean()) - float(piece.y.mean())) / other.x_height
        if low < over < high:
            return False
    return True


def _ridges(maps: Floats, settings: TraceSettings) -> tuple[NDArray[np.intp], NDArray[np.intp], Floats, Floats]:
    """Maxima of the baseline map along each column: columns, rows, rows to a fraction of a pixel, heights."""
    heat = maps[0] - settings.end_weight * maps[2]
    padded = np.pad(maps[0], ((1, 1), (0, 0)), constant_values=-1.0)
    middle, above, below = padded[1:-1], padded[:-2], padded[2:]
    top = (heat > settings.ridge) & (middle >= above) & (middle > below)
    columns, rows = np.nonzero(top.T)  # sorted by column
    a, m, b = above[rows, columns], middle[rows, columns], below[rows, columns]
    # Apex of the parabola through the three heights.
    curve = np.minimum(a - 2 * m + b, -1e-6)
    shift = np.clip(0.5 * (a - b) / curve, -0.5, 0.5)
    return columns, rows, (rows + shift).astype(np.float32), m.astype(np.float32)


def _follow(maps: Floats, settings: TraceSettings) -> list[_Piece]:
    """Link ridge tops from column to column to pieces."""
    columns, _, exact, heights = _ridges(maps, settings)
    done: list[list[int]] = []
    active: list[list[int]] = []  # indices of tops
    starts = np.searchsorted(columns, np.arange(maps.shape[2] + 1))
    for column in range(maps.shape[2]):
        still = [run for run in active if column - columns[run[-1]] <= 3]
        done.extend(run for run in active if column - columns[run[-1]] > 3)
        active = still
        first, last = int(starts[column]), int(starts[column + 1])
        taken: set[int] = set()
        if active and last > first:
            ends = np.array([run[-1] for run in active])
            skipped = column - columns[ends] - 1  # columns without a top
            step = np.abs(exact[first:last, None] - exact[None, ends])  # (tops, runs)
            near_tops, near_runs = np.nonzero(step <= 0.9 + 0.35 * skipped)
            # Nearest pairs first: two close lines must not swap.
            cost = step[near_tops, near_runs] + 0.3 * skipped[near_runs]
            grown: set[int] = set()
            for pair in np.argsort(cost, kind="stable"):
                top, run_index = first + int(near_tops[pair]), int(near_runs[pair])
                if top not in taken and run_index not in grown:
                    active[run_index].append(top)
                    taken.add(top)
                    grown.add(run_index)
        active.extend([top] for top in range(first, last) if top not in taken)
    done.extend(active)
    pieces = []
    for run in done:
        index = np.asarray(run)
        x, y = columns[index].astype(np.int32), exact[index]
        pieces.append(_Piece(x, y, heights[index], _x_height(maps, x, y)))
    return [p for p in pieces if len(p.x) >= 2 or p.height.max() > 0.6]


def _x_height(maps: Floats, x: NDArray[np.int32], y: Floats) -> float:
    """Median x-height in map pixels, looked up in the middle of the core above the points."""
    rows = maps.shape[1]
    value = X_HEIGHT_UNIT / STRIDE
    for _ in range(2):
        row = np.clip(np.round(y - 0.5 * value), 0, rows - 1).astype(int)
        value = float(np.exp(np.clip(np.median(maps[3, row, x]), -2.5, 2.5))) * X_HEIGHT_UNIT / STRIDE
    return value


def _without_doubles(pieces: list[_Piece]) -> list[_Piece]:
    """Discard the weaker of two pieces that run side by side on the same letters."""
    order = sorted(pieces, key=lambda p: -float(p.height.sum()))
    spans = np.array([[p.x[0], p.x[-1], p.y.min(), p.y.max(), p.x_height] for p in order]).reshape(-1, 5)
    kept: list[int] = []
    for index, piece in enumerate(order):
        x0, x1, y0, y1, x_height = spans[index]
        others = spans[kept]
        near = (others[:, 0] <= x1) & (others[:, 1] >= x0) & (others[:, 2] - x_height <= y1)
        near &= others[:, 3] + x_height >= y0
        doubled = False
        for other in (order[kept[k]] for k in np.flatnonzero(near)):
            both = piece.x[(piece.x >= other.x[0]) & (piece.x <= other.x[-1])]
            if len(both) < 0.5 * len(piece.x):
                continue
            step = np.interp(both, piece.x, piece.y) - np.interp(both, other.x, other.y)
            if float(np.median(np.abs(step))) < 0.7 * min(piece.x_height, other.x_height):
                doubled = True
                break
        if not doubled:
            kept.append(index)
    return [order[k] for k in kept]


def _join(pieces: list[_Piece], maps: Floats, settings: TraceSettings) -> list[_Piece]:
    """Join pieces that continue one another, the closest first."""
    alive: dict[int, _Piece] = {}
    waiting: list[tuple[float, int, int]] = []  # cost, left piece, right piece

    def add(number: int, piece: _Piece) -> None:
        keys = list(alive)
        spans = np.array([[p.x[0], p.x[-1], p.y[0], p.y[-1], p.x_height] for p in alive.values()]).reshape(-1, 5)
        reach = settings.join_gap_seen * np.maximum(spans[:, 4], piece.x_height)
        # Generous enough for any line that the pieces' own slopes could lead to.
        rise = 0.5 * reach + 2 * piece.x_height
        after = (np.abs(spans[:, 0] - piece.x[-1]) < reach) & (np.abs(spans[:, 2] - piece.y[-1]) < rise)
        before = (np.abs(piece.x[0] - spans[:, 1]) < reach) & (np.abs(piece.y[0] - spans[:, 3]) < rise)
        for k in np.flatnonzero(after | before):
            for a, b in ((number, keys[k]), (keys[k], number)):
                left, right = (piece if n == number else alive[n] for n in (a, b))
                if right.x[0] > left.x[0] and right.x[-1] > left.x[-1]:
                    cost = _cost(left, right, maps, settings)
                    if cost is not None:
                        heapq.heappush(waiting, (cost, a, b))
        alive[number] = piece

    for number, piece in enumerate(pieces):
        add(number, piece)
    number = len(pieces)
    while waiting:
        _, i, j = heapq.heappop(waiting)
        if i not in alive or j not in alive:
            continue
        a, b = alive.pop(i), alive.pop(j)
        keep = b.x > a.x[-1]
        weight_a, weight_b = float(len(a.x)), float(max(1, keep.sum()))
        joined = _Piece(
            np.concatenate([a.x, b.x[keep]]),
            np.concatenate([a.y, b.y[keep]]),
            np.concatenate([a.height, b.height[keep]]),
            (a.x_height * weight_a + b.x_height * weight_b) / (weight_a + weight_b),
        )
        add(number, joined)
        number += 1
    return list(alive.values())


def _cost(a: _Piece, b: _Piece, maps: Floats, settings: TraceSettings) -> float | None:
    """The cost of continuing `a` with `b`; None if `b` does not continue it."""
    x_height = max(a.x_height, b.x_height)
    gap = (int(b.x[0]) - int(a.x[-1])) / x_height
    if gap < -1.5 or gap > settings.join_gap_seen or x_height > 1.7 * min(a.x_height, b.x_height):
        return None
    y_a, slope_a = a.direction(at_end=True)
    y_b, slope_b = b.direction(at_end=False)
    # Extend each piece half of the way to the other.
    half = 0.5 * gap * x_height
    step = abs((y_b - slope_b * half) - (y_a + slope_a * half)) / x_height
    if step > settings.join_step:
        return None
    if gap > 0:
        xs = np.arange(int(a.x[-1]), int(b.x[0]) + 1)
        ys = np.interp(xs, [xs[0], xs[-1]], [a.y[-1], b.y[0]])
        rows = np.clip(np.round(ys).astype(int), 1, maps.shape[1] - 2)
        middle = np.clip(np.round(ys - 0.5 * x_height).astype(int), 0, maps.shape[1] - 1)
        ends = float(maps[2, middle, xs].max())
        seen = float(np.maximum(maps[0, rows, xs], np.maximum(maps[0, rows - 1, xs], maps[0, rows + 1, xs])).mean())
        if ends > settings.barrier and gap > 0.5:
            return None
        if gap > settings.join_gap and seen < settings.seen:
            return None
    return max(gap, 0.0) + 2 * step


def _smooth(piece: _Piece, confidence: float) -> Trace:
    """Points about an x-height apart on the smoothed ridge, in pixels of the network's page."""
    xs = np.arange(int(piece.x[0]), int(piece.x[-1]) + 1)
    ys = np.interp(xs, piece.x, piece.y)
    reach = max(1, round(1.5 * piece.x_height))
    if len(xs) > 2:
        reach = min(reach, (len(xs) - 1) // 2)
        # Mirroring a line about its end points keeps its slope there.
        padded = np.concatenate([2 * ys[0] - ys[reach:0:-1], ys, 2 * ys[-1] - ys[-2 : -2 - reach : -1]])
        ys = np.convolve(padded, np.full(2 * reach + 1, 1 / (2 * reach + 1)), mode="valid")
    count = max(2, round((xs[-1] - xs[0]) / max(1.0, piece.x_height)) + 1)
    at = np.linspace(float(xs[0]), max(float(xs[-1]), float(xs[0]) + 0.5), count)
    y = np.interp(at, xs, ys)
    # From the centres of map pixels to pixels of the network's page.
    points = (np.stack([at, y], axis=1) + 0.5) * STRIDE
    return Trace(points.astype(np.float32), piece.x_height * STRIDE, confidence)
