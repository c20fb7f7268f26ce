"""Take the printed dots off dot-grid paper: beside letters they would be read as commas, full stops and bullets.

Dots are told by what no writing has: many small marks of one size, each with neighbours at one distance in rows and
columns. Dots that touch a stroke stay, as they cost nothing there.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
Points = NDArray[np.float32]

SIDE = 1200  # pixels of the longer side of the image that is analysed
WIDEST = 0.012  # of that side: a dot
FEWEST = 60  # dots of a grid
REGULAR = 0.6  # of all small marks that must stand in the grid
OFF = 0.16  # of the distance of dots that one may stand off its place
SAMPLE = 150  # dots by which the distance is told
CONTRAST = 10  # grey values between a dot and the paper around it
ALIKE = 2.5  # times the area of the usual dot, or a part of it


def without_dots(gray: Gray) -> Gray:
    """The page with the dots of a printed grid painted over with paper; `gray` itself where there is no grid.

    Args:
        gray: (H, W) uint8, dark ink on light paper.
    """
    scale = min(1.0, SIDE / max(gray.shape))
    small = gray
    if scale < 1:
        small = np.asarray(cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    widest = max(3, round(WIDEST * max(small.shape)))
    around = cv2.blur(small, (4 * widest + 1, 4 * widest + 1), borderType=cv2.BORDER_REPLICATE)
    ink = (small.astype(np.int16) < around.astype(np.int16) - CONTRAST).astype(np.uint8)
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
    dots = _in_grid(middles[numbers].astype(np.float32), (small.shape[0], small.shape[1]))
    if dots.sum() < max(FEWEST, REGULAR * len(numbers)):
        return gray
    is_dot = np.zeros(count, np.uint8)
    is_dot[numbers[dots]] = 1
    reach = max(2, round(0.5 * np.sqrt(usual)))
    mask = cv2.dilate(is_dot[parts], np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    mask[(ink > 0) & (is_dot[parts] == 0)] = 0
    if scale < 1:
        mask = cv2.resize(mask, gray.shape[::-1], interpolation=cv2.INTER_NEAREST)
    size = 2 * round((np.sqrt(usual) + 2 * reach) / scale) + 1
    paper = cv2.morphologyEx(gray, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    paper = cv2.blur(paper, (size, size), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(np.where(mask > 0, np.maximum(paper, gray), gray), np.uint8)


def _in_grid(at: Points, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Which of the marks at `at` (n, 2) stand in a grid of equal distances: (n,), none where there is no grid."""
    none = np.zeros(len(at), bool)
    sample = at[np.random.default_rng(0).permutation(len(at))[:SAMPLE]]
    steps = [step for direction in (0, 1) if (step := _step(sample, at, direction)) is not None]
    if len(steps) < 2:
        return none
    reach = max(1, round(OFF * float(min(np.hypot(*step) for step in steps))))
    # A map in which each mark is as wide as it may stand off its place.
    places = np.zeros(shape, np.int32)
    whole = at.round().astype(int)
    for number, (x, y) in enumerate(whole.tolist(), 1):
        cv2.circle(places, (x, y), reach, number, -1)
    neighbours = []
    for step in (*steps, -steps[0], -steps[1]):
        x, y = (whole + step.round().astype(int)).T
        inside = (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0])
        neighbours.append(np.where(inside, places[y.clip(0, shape[0] - 1), x.clip(0, shape[1] - 1)], 0))
    beside = np.stack(neighbours)  # (4, n): number of the neighbour from 1 on, 0 for none
    dots = np.asarray((beside > 0).sum(0) >= 3, bool)
    for _ in range(8):  # and those among letters that hide their neighbours
        known = np.concatenate([[False], dots])
        grown = np.asarray(dots | ((beside > 0) & known[beside]).any(0), bool)
        if (grown == dots).all():
            break
        dots = grown
    return dots


def _step(sample: Points, at: Points, direction: int) -> Points | None:
    """From a mark to the next in a row (direction 0) or a column (1), pixels; None where they are not regular."""
    away = at[None] - sample[:, None]  # (sample, n, 2)
    along, across = away[..., direction], np.abs(away[..., 1 - direction])
    distance = np.where((along > 1) & (across < 0.3 * along), along, np.inf)
    nearest = distance.argmin(1)
    rows = np.flatnonzero(np.isfinite(distance[np.arange(len(sample)), nearest]))
    if len(rows) < FEWEST / 2:
        return None
    steps = away[rows, nearest[rows]]
    lengths = steps[:, direction]
    usual = float(np.median(lengths))
    same = np.abs(lengths - usual) < OFF * usual
    return np.asarray(np.median(steps[same], axis=0), np.float32) if same.mean() >= REGULAR else None
