"""Normalise the contrast and size of a line image, in the same way for training and reading."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# Below this range of grey values a crop holds only paper and noise, which must not be stretched into marks.
MIN_CONTRAST = 24


# Handwriting stays readable when squeezed: a quarter less width takes a quarter less time.
WIDTH_SCALE = 0.72


def normalise_line(gray: NDArray[np.uint8], height: int, width_scale: float = WIDTH_SCALE) -> NDArray[np.uint8]:
    """Convert a grey line image (H, W), dark on light, to ink (height, W') uint8: 0 paper, 255 the darkest ink.

    W' = W · height / H · width_scale.
    """
    h, w = gray.shape
    width = max(1, round(w * height / h * width_scale))
    if (h, w) != (height, width):
        shrink = height <= h
        gray = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR).astype(
            np.uint8
        )
    histogram = np.bincount(gray.ravel(), minlength=256).cumsum()
    total = histogram[-1]
    paper = int(np.searchsorted(histogram, 0.75 * total))
    ink = int(np.searchsorted(histogram, 0.005 * total))
    span = max(paper - ink, MIN_CONTRAST)
    table = np.clip((paper - np.arange(256)) * (255.0 / span), 0, 255).astype(np.uint8)
    return np.asarray(table[gray], np.uint8)
