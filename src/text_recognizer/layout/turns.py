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
    back = {
        0: lambda x, y: (x, y),
        1: lambda x, y: (width - y, x),
        2: lambda x, y: (width - x, height - y),
        3: lambda x, y: (y, height - x),
    }[quarters % 4]
    return tuple(back(x, y) for x, y in points)
