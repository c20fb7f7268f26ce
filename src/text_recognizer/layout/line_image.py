"""Where the writing stands in an image that shows a single line."""

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.page import Polygon

MIN_CONTRAST = 24  # grey values between paper and ink; below it there is nothing to trim to
MARGIN = 0.2  # of the ink's height, as much paper as a line cut from a page carries


def line_polygon(gray: NDArray[np.uint8]) -> Polygon:
    """The box around the ink of `gray`, uint8 (H, W), dark on light, with a little paper; all of it if there is none.

    Without this, wide margins would leave the writing small in the line's crop.
    """
    height, width = gray.shape
    left, top, right, bottom = 0, 0, width, height
    ink, paper = (float(v) for v in np.percentile(gray, (0.5, 75)))
    if paper - ink >= MIN_CONTRAST:
        marks = cv2.medianBlur((gray < (paper + ink) / 2).astype(np.uint8), 3)  # without specks of one pixel
        x, y, w, h = cv2.boundingRect(marks)
        if w and h:
            margin = max(2, round(MARGIN * h))
            left, top = max(0, x - margin), max(0, y - margin)
            right, bottom = min(width, x + w + margin), min(height, y + h + margin)
    return (
        (float(left), float(top)),
        (float(right), float(top)),
        (float(right), float(bottom)),
        (float(left), float(bottom)),
    )
