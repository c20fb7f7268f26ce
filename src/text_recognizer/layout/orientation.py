"""Determine which way up a page is: the orientation in which the recogniser is most confident in the longest lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from text_recognizer.page import Point, Polygon, Polyline

Gray = NDArray[np.uint8]
Place = tuple[Polygon, Polyline | None]
"""Polygon and baseline of a line, in pixels of the page."""

# Number of lines that decide the orientation; the confidence, 0…1, from which a page counts as upright, and below which
# it is also tried sideways. Pages by held-out writers: 0.85–0.95 upright, 0.66–0.79 upside down, 0.3–0.66 sideways.
TRIED, UPRIGHT, SIDEWAYS = 3, 0.82, 0.7
MARGIN = 0.05  # by which the confidence in another orientation must be higher


@dataclass(frozen=True, slots=True)
class Orientation:
    """`degrees` clockwise (0, 90, 180 or 270) by which a page must be rotated to be upright.

    `confidence`: how much more confident, -1…1, the recogniser is in the longest lines than in the same lines upside
    down.
    """

    degrees: int
    confidence: float


def upright_margin(crops: Sequence[Gray], confidence: Callable[[Sequence[Gray]], float]) -> float:
    """The `confidence` of `Orientation`, from the line crops of a page in reading direction; 0 without crops."""
    longest = sorted(crops, key=lambda crop: -crop.shape[1])[:TRIED]
    return confidence(longest) - confidence([rotate(crop, 2) for crop in longest]) if longest else 0.0


def rotate(gray: Gray, quarters: int) -> Gray:
    """The page (H, W) after `quarters` quarter turns counter-clockwise."""
    return np.ascontiguousarray(np.rot90(gray, quarters))


def rotate_back(points: Sequence[Point], quarters: int, height: int, width: int) -> tuple[Point, ...]:
    """Map points on a page from `rotate` back to the page (`height`, `width`) before rotation, in its pixels.

    The order of the points does not change: a baseline still runs in reading direction.
    """
    match quarters % 4:
        case 1:
            return tuple((width - y, x) for x, y in points)
        case 2:
            return tuple((width - x, height - y) for x, y in points)
        case 3:
            return tuple((y, height - x) for x, y in points)
    return tuple(points)
