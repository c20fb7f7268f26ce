"""Pages that lie on a side or on their head: quarter turns, and places on a turned page told on the page as it came."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]


def turned(gray: NDArray[np.uint8], quarters: int) -> NDArray[np.uint8]:
    """The page (H, W) after so many quarter turns counter-clockwise."""
    return np.ascontiguousarray(np.rot90(gray, quarters))


def turned_back(points: Sequence[Point], quarters: int, height: int, width: int) -> tuple[Point, ...]:
    """Points of the page that `turned` gave, in pixels of the page (`height`, `width`) before it was turned.

    Their order stays: a baseline still runs the way its line is read.
    """
    match quarters % 4:
        case 1:
            return tuple((width - y, x) for x, y in points)
        case 2:
            return tuple((width - x, height - y) for x, y in points)
        case 3:
            return tuple((y, height - x) for x, y in points)
    return tuple(points)
