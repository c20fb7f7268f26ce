"""Even out the lighting of a page: shadows with sharp edges, the dark fold of a book.

A line is normalised as a whole before it is read, so a shadow across part of it would hide the writing there.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.framing import fills_rectangle, shrink

Gray = NDArray[np.uint8]

SIDE = 400  # longer side, in pixels, of the image in which the paper tone is measured
WIDEST = 0.08  # of that side: the widest stroke
UNEVEN = 0.8  # of the brightness of light paper: darker paper is in shadow …
SHARE = 0.03  # … if it covers at least this share of the page
STEP, STEPS = 0.12, 0.012  # edge: difference of neighbouring logarithms; share of edges above which it is a photograph
EDGE = 4  # pixels from an edge of that image, within which a sheet touches it
GAIN = 6.0  # largest factor by which shadows are lightened: anything darker is not paper


def even_light(gray: Gray) -> Gray:
    """The page as if its paper were evenly lit; `gray` itself if it is, or for a sheet on a desk or a photograph.

    Args:
        gray: (H, W) uint8, dark ink on light paper.
    """
    scale = min(1.0, SIDE / max(gray.shape))
    small = shrink(gray, scale, exact=True)
    size = 2 * round(WIDEST * max(small.shape) / 2) + 1
    # Closing removes strokes, which are all narrower, and keeps the edges of shadows in place.
    paper = cv2.morphologyEx(cv2.medianBlur(small, 3), cv2.MORPH_CLOSE, np.ones((size, size), np.uint8))
    light = float(np.percentile(paper, 75))
    if float((paper < UNEVEN * light).mean()) < SHARE:
        return gray
    if _is_on_desk(paper > UNEVEN * light):
        return gray
    tone = np.log(np.maximum(paper, 4).astype(np.float32))
    steps = np.maximum(np.abs(np.diff(tone, axis=0))[:, :-1], np.abs(np.diff(tone, axis=1))[:-1])
    if not steps.size or float((steps > STEP).mean()) > STEPS:
        return gray
    gain = np.clip(light / np.maximum(paper, 1).astype(np.float32), 1.0, None)
    gain[gain > GAIN] = 1.0
    gain = cv2.resize(cv2.blur(gain, (3, 3)), gray.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.minimum(gray * gain, 255), np.uint8)


def _is_on_desk(bright: NDArray[np.bool_]) -> bool:
    """Whether the bright part of a picture (H, W) is a whole sheet, so that the rest is a desk and not in shadow.

    A sheet is a rectangle that touches at most one edge of the picture. The lit part of a shaded page touches more.
    """
    height, width = bright.shape
    contours, _ = cv2.findContours(bright.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return False
    sheet = np.asarray(max(contours, key=cv2.contourArea), np.int32)
    x, y, w, h = cv2.boundingRect(sheet)
    touched = (x <= EDGE) + (y <= EDGE) + (x + w >= width - EDGE) + (y + h >= height - EDGE)
    return touched <= 1 and fills_rectangle(sheet)
