"""Darken faint writing: worn pencil, pale ink, a badly exposed scan.

The line finder and the recogniser know writing that is at least some 25 grey values darker than its paper.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.layout.prepare import shrunk_for_prints

Gray = NDArray[np.uint8]

WIDEST = 0.02  # of the longer side: the widest stroke
DARKEST = 99.8  # percentile of a page that is writing, if any is
FAINT, LEAST = 40.0, 6.0  # grey values between paper and ink: below, writing is faint; below, there is none
NOISE = 5.0  # times the noise by which ink must be darker than its paper
USUAL, GAIN = 120.0, 8.0  # grey values that faint writing gets, and the largest factor


def strong_contrast(gray: Gray, small: Gray | None = None) -> Gray:
    """The page with faint writing as dark as usual; `gray` itself if its writing is dark enough, or it has none.

    Args:
        gray: (H, W) uint8, dark ink on light paper, evenly lit.
        small: result of `prepare.shrunk_for_prints(gray)`, if the caller has it.
    """
    small = shrunk_for_prints(gray) if small is None else small
    size = 2 * round(WIDEST * max(small.shape) / 2) + 1
    # Closing removes strokes, which are all narrower.
    paper = np.asarray(cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((size, size), np.uint8)), np.uint8)
    ink = float(np.percentile(cv2.subtract(paper, small)[::2, ::2], DARKEST))
    if not LEAST <= ink < FAINT:
        return gray
    noise = float(np.percentile(cv2.absdiff(small, np.asarray(cv2.medianBlur(small, 3))), 75))
    if ink < NOISE * noise:
        return gray
    gain = min(GAIN, USUAL / ink)
    paper = np.asarray(cv2.resize(cv2.blur(paper, (5, 5)), gray.shape[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.asarray(cv2.addWeighted(gray, gain, paper, 1 - gain, 0), np.uint8)  # paper - gain * (paper - gray)
