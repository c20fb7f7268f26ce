"""Find the skew of a page, and rotate the page until its lines are level.

Reference: Postl, "Detection of linear oblique structures and skew scan in digitized documents", ICPR 1986: where lines
are level, the ink of a page falls into few rows.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.layout.prepare import flatten_paper
from text_recognizer.tone import shrink

Gray = NDArray[np.uint8]

SIDE = 900  # pixels of the longer side of the image that is analysed
LIMIT, STEEP = 15.0, 45.0  # degrees that are tried to either side, on the usual page and where it reads badly
# The rows at the best angle must be sharper than those of the page as it stands by this factor.
GAIN = 1.15
SAMPLE, ROUGH = 40_000, 10_000  # pixels of ink, and how many of them give the whole degrees


def skew_angle(gray: Gray, limit: float = LIMIT) -> float:
    """Degrees, up to `limit` to either side, by which the lines of a page fall to the right (rise if negative).

    It is 0 where it cannot be determined.

    Args:
        gray: (H, W) uint8, dark ink on light paper.
    """
    scale = min(1.0, SIDE / max(gray.shape))
    ink = flatten_paper(shrink(gray, scale)) < 128
    # Edges of the paper, rules of a margin and pictures are large; letters are not.
    _, parts, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    large = max(12, round(0.25 * max(gray.shape) * scale))
    keep = (stats[:, cv2.CC_STAT_WIDTH] < large) & (stats[:, cv2.CC_STAT_HEIGHT] < large)
    keep[0] = False
    y, x = np.nonzero(keep[parts])
    if len(y) < 200:
        return 0.0
    if len(y) > SAMPLE:
        pick = np.random.default_rng(0).choice(len(y), SAMPLE, replace=False)
        y, x = y[pick], x[pick]

    points = np.stack([y, x], axis=1).astype(np.float32)  # (n, 2)

    def sharpness(degrees: float, points: NDArray[np.float32] = points) -> float:
        """Sum of squares of the rows' ink when the page is turned back by `degrees`."""
        radians = np.radians(degrees)
        rows = (points @ np.array([np.cos(radians), -np.sin(radians)], np.float32)).astype(np.int32)
        counts = np.bincount(rows - rows.min()).astype(np.float64)
        return float((counts**2).sum())

    def sharpest(limit: float) -> float:
        coarse, some = np.arange(-limit, limit + 0.1, 1.0), points[:: max(1, len(points) // ROUGH)]
        return float(coarse[int(np.argmax([sharpness(float(a), some) for a in coarse]))])

    best = sharpest(limit)
    if abs(best) == limit:  # the rows become sharper still beyond
        limit = max(limit, STEEP)
        best = sharpest(limit)
    fine = np.clip(best + np.arange(-0.75, 0.76, 0.25), -limit, limit)
    best = float(fine[int(np.argmax([sharpness(float(a)) for a in fine]))])
    return best if sharpness(best) > GAIN * sharpness(0.0) else 0.0


def turn_back(gray: Gray, degrees: float) -> tuple[Gray, NDArray[np.float64]]:
    """The page turned so that lines that fall by `degrees` are level, on a sheet that holds all of it.

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
