"""Find the writing in an image of a single line."""

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.page import Polygon

MIN_CONTRAST = 24  # grey values between paper and ink; with less contrast there is no ink to crop to
MIN_AREA = 12  # pixels; less is dust
MARGIN = 0.2  # of the ink's height: as much paper as around a line cropped from a page


def line_polygon(gray: NDArray[np.uint8]) -> Polygon:
    """The box around the ink of `gray`, uint8 (H, W), dark on light, plus a margin; the whole image if it has no ink.

    Without this, wide margins would make the writing small in the line's crop.
    """
    height, width = gray.shape
    left, top, right, bottom = 0, 0, width, height
    smooth = cv2.GaussianBlur(gray, (3, 3), 0)
    # The threshold is close to the paper tone, not half-way to the darkest ink, so that a blot does not hide pencil.
    # A box that is too large, for example in a shadow, does no harm.
    marks = (smooth < np.percentile(smooth, 75) - MIN_CONTRAST).astype(np.uint8)
    _, _, parts, _ = cv2.connectedComponentsWithStats(marks)
    parts = parts[1:][parts[1:, cv2.CC_STAT_AREA] >= MIN_AREA]
    if len(parts):
        (x, y), (x_end, y_end) = parts[:, :2].min(0), (parts[:, :2] + parts[:, 2:4]).max(0)
        margin = max(2, round(MARGIN * (y_end - y)))
        left, top = max(0, x - margin), max(0, y - margin)
        right, bottom = min(width, x_end + margin), min(height, y_end + margin)
    return (
        (float(left), float(top)),
        (float(right), float(top)),
        (float(right), float(bottom)),
        (float(left), float(bottom)),
    )
