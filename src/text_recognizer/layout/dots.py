"""Remove the printed dots of dot-grid paper: next to letters they would be read as commas, full stops and bullets.

A dot grid is many small marks of one size, evenly spaced in rows and columns; writing never is. A dot that touches a
stroke is removed too. The stroke is recognised by its darkness or, if it is as light as the dots, because it continues
on both sides of the dot.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.layout.prepare import scale_for_prints, shrunk_for_prints

Gray = NDArray[np.uint8]
Points = NDArray[np.float32]
Floats = NDArray[np.float32]

WIDEST = 0.012  # largest dot, relative to the longer side of the image
FEWEST = 60  # fewest dots in a grid
REGULAR = 0.6  # least share of all small marks that lie on the grid
OFF = 0.16  # tolerance of a dot's position, relative to the grid spacing
SAMPLE = 150  # dots from which the spacing is estimated
GROWTH = 8  # largest distance from a known dot to one that is added, in grid steps
CONTRAST = 10  # least difference in grey values between a dot and the paper around it
DARKER = 20  # grey values: strokes this much darker than nearly all dots can be separated from the dots they touch
HALO = 0.5  # pixels added to the radius of a dot
DIRECTIONS = 8  # in which strokes across a dot are looked for
ALIKE = 2.5  # largest ratio between the area of a dot and the usual area


def without_dots(gray: Gray, small: Gray | None = None) -> Gray:
    """The page with the dots of a printed grid painted over with paper; `gray` itself if there is no grid.

    Args:
        gray: (H, W) uint8, dark ink on light paper.
        small: `prepare.shrunk_for_prints(gray)`, if it is already computed.
    """
    scale = scale_for_prints(gray)
    small = shrunk_for_prints(gray) if small is None else small
    widest = max(3, round(WIDEST * max(small.shape)))
    around = cv2.blur(small, (4 * widest + 1, 4 * widest + 1), borderType=cv2.BORDER_REPLICATE)
    _, ink = cv2.threshold(cv2.subtract(around, small), CONTRAST, 1, cv2.THRESH_BINARY)
    count, parts, stats, middles = cv2.connectedComponentsWithStats(ink, connectivity=8, ltype=cv2.CV_32S)
    if count <= FEWEST:
        return gray
    width, height, area = (stats[:, k] for k in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT, cv2.CC_STAT_AREA))
    is_round = (np.maximum(width, height) <= 1.6 * np.minimum(width, height) + 1) & (area >= 0.5 * width * height)
    is_round &= np.maximum(width, height) <= widest
    is_round[0] = False
    numbers = np.flatnonzero(is_round)
    if len(numbers) < FEWEST:
        return gray
    usual = float(np.median(area[numbers]))
    numbers = numbers[(area[numbers] < ALIKE * usual + 2) & (area[numbers] > usual / ALIKE - 2)]
    at = middles[numbers].astype(np.float32)
    dots, hidden = _in_grid(at, (small.shape[0], small.shape[1]))
    if dots.sum() < max(FEWEST, REGULAR * len(numbers)):
        return gray
    is_dot = np.zeros(count, np.uint8)
    is_dot[numbers[dots]] = 1
    reach = max(2, round(0.5 * np.sqrt(usual)))
    mask = cv2.dilate(is_dot[parts], np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    mask[(ink > 0) & (is_dot[parts] == 0)] = 0
    size = 2 * round(np.sqrt(usual) + 2 * reach) + 1
    depth = _paper(small, size).astype(np.int16) - small
    x, y = at[dots].round().astype(int).T
    # Strokes are darker than nearly all dots, or cannot be separated from the dots that they touch.
    darkest = float(np.percentile(depth[y, x], 90)) + DARKER
    strokes = depth[(ink > 0) & (mask == 0)]
    alike = len(strokes) > 0 and float(np.median(strokes)) <= darkest
    if not alike:
        for node in hidden.round().astype(int).tolist():
            cv2.circle(mask, node, reach + 1, 1, -1)
    if scale < 1:
        mask = cv2.resize(mask, gray.shape[::-1], interpolation=cv2.INTER_NEAREST)
    paper = _paper(gray, round(size / scale) | 1)
    is_dot_here = (mask > 0) & (gray > paper - np.minimum(paper, darkest))
    clean = np.asarray(np.where(is_dot_here, np.maximum(paper, gray), gray), np.uint8)
    if alike and len(hidden):
        radius = round(np.sqrt(usual / np.pi) / scale + HALO)
        clean = _without_discs(clean, (hidden + 0.5) / scale - 0.5, radius)
    return clean


def _without_discs(gray: Gray, at: Points, radius: int) -> Gray:
    """The page without the discs at `at` (n, 2), which may be as dark as strokes. Strokes that cross a disc stay.

    A pixel of a disc counts as ink if, in some direction, there is ink on both sides of the disc.
    """
    height, width = gray.shape
    discs = np.zeros(gray.shape, np.uint8)
    for node in at.round().astype(int).tolist():
        cv2.circle(discs, node, radius, 1, -1)
    y, x = np.nonzero(discs)
    darkest = np.full(len(y), 255, np.uint8)
    for angle in np.arange(DIRECTIONS) * np.pi / DIRECTIONS:
        lightest = np.zeros(len(y), np.uint8)
        for side in (1, -1):
            seen = np.zeros(len(y), bool)
            for step in range(1, 2 * radius + 3):
                there_x = np.clip(np.rint(x + side * step * np.cos(angle)).astype(int), 0, width - 1)
                there_y = np.clip(np.rint(y + side * step * np.sin(angle)).astype(int), 0, height - 1)
                out = ~seen & (discs[there_y, there_x] == 0)
                lightest[out] = np.maximum(lightest[out], gray[there_y[out], there_x[out]])
                seen |= out
        darkest = np.minimum(darkest, lightest)
    clean = gray.copy()
    clean[y, x] = np.maximum(gray[y, x], darkest)
    return clean


def _paper(gray: Gray, size: int) -> Gray:
    """The page without marks smaller than `size` pixels, an odd number."""
    closed = cv2.morphologyEx(gray, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    return np.asarray(cv2.blur(closed, (size, size), borderType=cv2.BORDER_REPLICATE), np.uint8)


def _in_grid(at: Points, shape: tuple[int, int]) -> tuple[NDArray[np.bool_], Points]:
    """Which of the marks at `at` (n, 2) lie on an evenly spaced grid, and the grid positions without a mark.

    Returns:
        (n,), all False if there is no grid; and (m, 2), empty positions with neighbours on at least two sides.
    """
    none = np.zeros(len(at), bool), np.zeros((0, 2), np.float32)
    sample = at[np.random.default_rng(0).permutation(len(at))[:SAMPLE]]
    x, y = (at[None, :, k] - sample[:, k, None] for k in (0, 1))  # (sample, n): from each of the sample to each mark
    row = _step(x, y)
    column = _step(y, x) if row is not None else None
    if row is None or column is None:
        return none
    across, down = np.asarray(row, np.float32), np.asarray(column[::-1], np.float32)
    reach = max(1, round(OFF * float(min(np.hypot(*across), np.hypot(*down)))))
    steps = (across, down, -across, -down)
    # A map in which each mark is a disc as wide as the position tolerance.
    places = np.zeros(shape, np.int32)
    for number, (x, y) in enumerate(at.round().astype(int).tolist(), 1):
        cv2.circle(places, (x, y), reach, number, -1)
    beside = np.stack([_look_up(places, at + step) for step in steps])  # (4, n): number of the neighbour, 0 for none
    dots = np.asarray((beside > 0).sum(0) >= 3, bool)
    for _ in range(GROWTH):  # add dots among letters, which hide some of their neighbours
        known = np.concatenate([[False], dots])
        grown = np.asarray(dots | ((beside > 0) & known[beside]).any(0), bool)
        if (grown == dots).all():
            break
        dots = grown
    hidden = [np.zeros((0, 2), np.float32)]
    nodes = at[dots]
    for _ in range(GROWTH):
        # An empty position counts if at least two neighbours point to it; otherwise it lies beyond the grid.
        seen = np.concatenate([nodes + step for step in steps])
        x, y = seen.round().astype(int).T
        seen = seen[(_look_up(places, seen) == 0) & (x >= 0) & (y >= 0) & (x < shape[1]) & (y < shape[0])]
        new = _seen_twice(seen, reach)
        if not len(new):
            break
        for x, y in new.round().astype(int).tolist():
            cv2.circle(places, (x, y), reach, len(at) + 1, -1)
        hidden.append(new)
        nodes = new
    return dots, np.concatenate(hidden)


def _look_up(places: NDArray[np.int32], at: Points) -> NDArray[np.int64]:
    """The values of a map (H, W) at points (n, 2), 0 outside the map: (n,)."""
    x, y = at.round().astype(int).T
    inside = (x >= 0) & (x < places.shape[1]) & (y >= 0) & (y < places.shape[0])
    found = places[y.clip(0, places.shape[0] - 1), x.clip(0, places.shape[1] - 1)]
    return np.asarray(np.where(inside, found, 0), np.int64)


def _seen_twice(at: Points, reach: int) -> Points:
    """The centres of groups of two or more points (n, 2) that lie within `reach` of each other: (m, 2)."""
    cells: dict[tuple[int, int], list[Points]] = {}
    for point in at:
        cell = int(point[0] // (2 * reach + 1)), int(point[1] // (2 * reach + 1))
        near = [(cell[0] + dx, cell[1] + dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        home = next((c for c in near if c in cells and np.abs(cells[c][0] - point).max() <= reach), cell)
        cells.setdefault(home, []).append(point)
    found = [np.mean(points, axis=0) for points in cells.values() if len(points) > 1]
    return np.asarray(found, np.float32).reshape(-1, 2)


def _step(along: Floats, across: Floats) -> tuple[float, float] | None:
    """From a mark to the next in its row, pixels along and across the row; None if the marks are not regular.

    Args:
        along, across: (m, n), pixels from each of m marks to each of n.
    """
    distance = np.where((along > 1) & (np.abs(across) < 0.3 * along), along, np.float32(np.inf))
    nearest = distance.argmin(1)
    rows = np.flatnonzero(np.isfinite(distance[np.arange(len(along)), nearest]))
    if len(rows) < FEWEST / 2:
        return None
    lengths, off = along[rows, nearest[rows]], across[rows, nearest[rows]]
    usual = float(np.median(lengths))
    same = np.abs(lengths - usual) < OFF * usual
    return (float(np.median(lengths[same])), float(np.median(off[same]))) if same.mean() >= REGULAR else None
