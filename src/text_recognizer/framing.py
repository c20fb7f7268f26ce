"""How a picture is framed: where a small sheet lies in it; the picture made smaller for a look at the whole."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
Box = tuple[int, int, int, int]

SIDE = 800  # pixels of the longer side of the picture in which sheets are looked for; lengths below are of it
STROKE = 9  # the thickest stroke
LEAST_SIDE = 20
SHARE = (0.003, 0.35)  # of the picture, that a sheet takes
STEP = 12  # grey values between sheet and surroundings
LEVELS = (0.5, 0.75)  # of the way to the lightest, from which on a pixel is of a sheet: a desk may be nearly as light
FULL = 0.85  # share of the smallest rectangle around it that a sheet fills
LONGEST = 5.0  # times as long as wide
MARGIN = 0.02  # of the picture's longer side, kept around sheets


def shrink(gray: Gray, scale: float, *, exact: bool = False) -> Gray:
    """`gray` (H, W) at `scale`, at most 1; no side becomes shorter than a pixel.

    For a look at the whole, in a fifth of the time of the mean over areas, which `exact` asks for.
    """
    height, width = (max(1, round(side * scale)) for side in gray.shape)
    if exact and gray.shape != (height, width):
        return np.asarray(cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    while 2 * width <= gray.shape[1] and 2 * height <= gray.shape[0]:
        half = gray.shape[1] // 2, gray.shape[0] // 2
        # Without the last of an odd number of rows: four pixels to one takes a sixth of the time of other shares.
        gray = np.asarray(cv2.resize(gray[: 2 * half[1], : 2 * half[0]], half, interpolation=cv2.INTER_AREA))
    if gray.shape == (height, width):
        return gray
    return np.asarray(cv2.resize(gray, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def sheet_box(gray: Gray) -> Box | None:
    """The box (left, top, right, bottom) around the sheets that are lighter than the rest of a picture.

    None if there is no sheet, or if sheets take so much of the picture that it needs no closer look.

    Args:
        gray: (H, W) uint8.
    """
    small = shrink(gray, min(1.0, SIDE / max(gray.shape)))
    closed = cv2.morphologyEx(cv2.medianBlur(small, 3), cv2.MORPH_CLOSE, np.ones((STROKE, STROKE), np.uint8))
    around, lightest = float(np.median(closed)), float(np.percentile(closed, 100 * (1 - SHARE[0] / 2)))
    if lightest - around < STEP:
        return None
    sheets: list[NDArray[np.int32]] = []
    for level in LEVELS:
        light = (closed > around + level * (lightest - around)).astype(np.uint8)
        contours, _ = cv2.findContours(light, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        sheets = [np.asarray(contour, np.int32) for contour in contours if _is_sheet(np.asarray(contour, np.int32))]
        if SHARE[0] < sum(cv2.contourArea(contour) for contour in sheets) / small.size < SHARE[1]:
            break
    else:
        return None
    points = np.concatenate(sheets)[:, 0]
    room = MARGIN * max(small.shape)
    scale = gray.shape[1] / small.shape[1], gray.shape[0] / small.shape[0]
    left, top = (max(0, int((low - room) * s)) for low, s in zip(points.min(0), scale, strict=True))
    right, bottom = (
        min(side, int((high + 1 + room) * s))
        for high, s, side in zip(points.max(0), scale, gray.shape[::-1], strict=True)
    )
    return left, top, right, bottom


def _is_sheet(contour: NDArray[np.int32]) -> bool:
    if cv2.contourArea(contour) < LEAST_SIDE**2:
        return False
    _, sides, _ = cv2.minAreaRect(contour)
    shorter, longer = min(sides), max(sides)
    full = cv2.contourArea(contour) > FULL * (shorter + 1) * (longer + 1)
    return shorter >= LEAST_SIDE and longer < LONGEST * shorter and full
