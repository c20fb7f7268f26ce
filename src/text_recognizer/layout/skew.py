"""Find the skew of a page, and rotate the page until its lines are level.

Reference: Postl, "Detection of linear oblique structures and skew scan in digitized documents", ICPR 1986: if the lines
are level, the ink of a page is concentrated in few rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.framing import shrink
from text_recognizer.layout.prepare import flatten_paper
from text_recognizer.page import Point

Gray = NDArray[np.uint8]
Points = NDArray[np.float32]

SIDE = 900  # longer side, in pixels, of the image that is analysed
LIMIT, STEEP = 15.0, 48.0  # largest skew, degrees, of a usual page, and of one that does not lie on its side
# Rows at the best angle must be sharper than those of the unrotated page by this factor, and rows at a steep angle
# sharper than at any usual angle.
GAIN = 1.15
LEAST = 200  # fewest pixels of ink
SAMPLE, ROUGH = 40_000, 10_000  # pixels of ink that are sampled, and how many of them determine the whole degrees


def skew_angle(gray: Gray, limit: float = LIMIT) -> float:
    """Degrees by which the lines of a page fall to the right (rise if negative); 0 if they cannot be determined.

    Angles above `limit` need clear evidence. Angles above `STEEP` are not returned: such a page lies on its side.

    Args:
        gray: (H, W) uint8, dark ink on light paper.
    """
    points = _ink(gray)
    if points is None:
        return 0.0
    best, steep = _angles(points, limit)
    if steep is not None and abs(steep) <= STEEP:
        best, limit = steep, STEEP
    fine = np.clip(best + np.arange(-0.75, 0.76, 0.25), -limit, limit)
    best = float(fine[int(np.argmax([_sharpness(points, float(a)) for a in fine]))])
    return best if _sharpness(points, best) > GAIN * _sharpness(points, 0.0) else 0.0


def lies_on_side(gray: Gray) -> bool:
    """Whether the lines of a page, or the columns of a table on it, run steeper than `STEEP`.

    Args:
        gray: (H, W) uint8, dark ink on light paper.
    """
    points = _ink(gray)
    steep = None if points is None else _angles(points, LIMIT)[1]
    return steep is not None and abs(steep) > STEEP


def _angles(points: Points, limit: float) -> tuple[float, float | None]:
    """The sharpest angle up to `limit`, in whole degrees, and the sharpest one above it if it is clearly sharper."""
    some = points[:: max(1, len(points) // ROUGH)]
    angles = np.arange(-90.0, 90.0)
    sharpness = np.array([_sharpness(some, float(a)) for a in angles])
    usual = np.where(np.abs(angles) <= limit, sharpness, 0)
    best, steep = int(usual.argmax()), int(sharpness.argmax())
    # Either much sharper, or the sharpness is still rising at the last usual angle.
    is_steep = abs(angles[steep]) > limit and (abs(angles[best]) == limit or sharpness[steep] > GAIN * sharpness[best])
    return float(angles[best]), float(angles[steep]) if is_steep else None


def _ink(gray: Gray) -> Points | None:
    """Points (n, 2), row and column, sampled from ink that may be writing; None if there is almost none."""
    scale = min(1.0, SIDE / max(gray.shape))
    ink = flatten_paper(shrink(gray, scale)) < 128
    # Paper edges, margin rules and pictures are large; letters are not.
    _, parts, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    large = max(12, round(0.25 * max(gray.shape) * scale))
    keep = (stats[:, cv2.CC_STAT_WIDTH] < large) & (stats[:, cv2.CC_STAT_HEIGHT] < large)
    keep[0] = False
    y, x = np.nonzero(keep[parts])
    if len(y) < LEAST:
        return None
    chance = np.random.default_rng(0)
    if len(y) > SAMPLE:
        pick = chance.choice(len(y), SAMPLE, replace=False)
        y, x = y[pick], x[pick]
    points = np.stack([y, x], axis=1).astype(np.float32)
    # Move each point to a random place in its pixel: rows of pixel centres would be sharp at 45 degrees on any page.
    points += chance.uniform(-0.5, 0.5, points.shape).astype(np.float32)
    return points


def _sharpness(points: Points, degrees: float) -> float:
    """Sum of the squared ink counts of the rows when the page is rotated back by `degrees`."""
    radians = np.radians(degrees)
    rows = (points @ np.array([np.cos(radians), -np.sin(radians)], np.float32)).astype(np.int32)
    counts = np.bincount(rows - rows.min()).astype(np.float64)
    return float((counts**2).sum())


def turn_back(gray: Gray, degrees: float) -> tuple[Gray, NDArray[np.float64]]:
    """The page rotated so that lines that fall by `degrees` become level, on a canvas that holds all of it.

    Returns:
        (H', W') uint8 and the (2, 3) affine map from its pixels back to those of `gray`.
    """
    height, width = gray.shape
    turn = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0), np.float64)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    size = (int(np.ceil(width * cos + height * sin)), int(np.ceil(width * sin + height * cos)))
    turn[:, 2] += (np.asarray(size, np.float64) - np.asarray([width, height])) / 2
    paper = int(np.percentile(gray[::4, ::4], 90))
    turned = cv2.warpAffine(gray, turn, size, flags=cv2.INTER_LINEAR, borderValue=paper)
    return np.asarray(turned, np.uint8), np.asarray(cv2.invertAffineTransform(turn), np.float64)


def move_points(
    points: Sequence[Point], to: NDArray[np.float64], limit: tuple[float, float]
) -> tuple[tuple[float, float], ...]:
    """Map points by the affine `to` (2, 3), such as that of `turn_back`, and clip them to (0, 0) … `limit`."""
    moved = np.asarray(points, np.float64) @ to[:, :2].T + to[:, 2]
    moved = np.clip(moved, 0, limit)
    return tuple((float(x), float(y)) for x, y in moved)
