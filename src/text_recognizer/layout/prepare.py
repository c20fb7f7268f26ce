"""Normalise the paper tone and the contrast of a page for the line finder's network."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.framing import shrink

Gray = NDArray[np.uint8]

# Faint writing is darkened by at most this factor: more would turn the noise of blank paper into marks.
MAX_GAIN = 2.5
SIDE = 1200  # longer side, in pixels, of the image in which dots and rules are detected


def flatten_paper(gray: Gray) -> Gray:
    """Divide by the local paper tone, so that paper is near 255 under shadows, on grey and on coloured paper.

    Args:
        gray: (H, W) uint8, dark ink on light paper, at the network's scale (x-height about 5 to 30 pixels).

    Returns:
        (H, W) uint8.
    """
    height, width = gray.shape
    small = cv2.resize(gray, (max(1, width // 4), max(1, height // 4)), interpolation=cv2.INTER_AREA)
    # The lightest tone nearby is paper, because no stroke is this wide.
    paper = cv2.dilate(small, np.ones((13, 13), np.uint8), borderType=cv2.BORDER_REPLICATE)
    paper = cv2.blur(paper, (17, 17), borderType=cv2.BORDER_REPLICATE)
    tone = cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    # Computed in place, like the steps below: allocating memory for each takes longer than the arithmetic.
    np.maximum(tone, 24.0, out=tone)
    ink = np.divide(gray, tone, out=tone)
    np.subtract(1.0, ink, out=ink)  # 0 paper … 1 black
    np.clip(ink, 0.0, 1.0, out=ink)
    # The darkest 1% of a written page is ink.
    dark = float(np.percentile(ink[::2, ::2], 99.0)) if ink.size else 0.0
    gain = float(np.clip(0.85 / max(dark, 1e-3), 1.0, MAX_GAIN))
    ink *= gain
    np.subtract(1.0, ink, out=ink)
    ink *= 255.0
    return np.clip(ink, 0, 255, out=ink).astype(np.uint8)


def scale_for_prints(gray: Gray) -> float:
    """The scale, at most 1, of the image in which printed dots and rules are detected."""
    return float(min(1.0, SIDE / max(gray.shape)))


def shrunk_for_prints(gray: Gray) -> Gray:
    """A page (H, W) shrunk to `scale_for_prints`."""
    return shrink(gray, scale_for_prints(gray), exact=True)
