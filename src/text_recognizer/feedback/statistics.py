"""Numbers that tell how a page and its reading are, without the page: what monitoring compares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from text_recognizer.page import Page


def image_statistics(gray: NDArray[np.uint8]) -> dict[str, float]:
    """Of a page as `images.load_image` gives it: (H, W) uint8, dark on light."""
    height, width = gray.shape
    return {"width": float(width), "height": float(height)}


def page_statistics(page: Page) -> dict[str, float]:
    """Of what was read."""
    return {"lines": float(len(page.lines)), "characters": float(sum(len(line.text) for line in page.lines))}
