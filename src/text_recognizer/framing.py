"""Locate a small sheet in a picture, and shrink pictures to analyse them as a whole."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
Box = tuple[int, int, int, int]

SIDE = 800  # longer side, in pixels, of the picture in which sheets are detected; the lengths below refer to it
STROKE = 9  # thickness of the thickest stroke
LEAST_SIDE = 20
SHARE = (0.003, 0.35)  # share of the picture that sheets cover
STEP = 12  # least difference in grey values between sheet and surroundings
LEVELS = (0.5, 0.75)  # thresholds between the surroundings' tone and the lightest: a desk may be nearly as light
FULL = 0.85  # least share of the smallest rectangle around it that a sheet fills
LONGEST = 5.0  # largest ratio of a sheet's sides
MARGIN = 0.02  # of the picture's longer side, kept around sheets


def shrink(gray: Gray, scale: float, *, exact: bool = False) -> Gray:
    """`gray` (H, W) at `scale`, at most 1; no side becomes shorter than a pixel.

    For analysis of the whole picture: it takes a fifth of the time of averaging over areas, which `exact` requests.
    """
    height, width = (max(1, round(side * scale)) for side in gray.shape)
    if exact and gray.shape != (height, width):
        return np.asarray(cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    while 2 * width <= gray.shape[1] and 2 * height <= gray.shape[0]:
        half = gray.shape[1] // 2, gray.shape[0] // 2
        # Drop the last of an odd number of rows: averaging exactly four pixels takes a sixth of the usual time.
        gray = np.asarray(cv2.resize(gray[: 2 * half[1], : 2 * half[0]], half, interpolation=cv2.INTER_AREA))
    if gray.shape == (height, width):
        return gray
    return np.asarray(cv2.resize(gray, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def sheet_box(gray: Gray) -> Box | None:
    """The box (left, top, right, bottom) around the sheets that are lighter than the rest of a picture.

    None if there is no sheet, or if sheets cover so much of the picture that they need no analysis of their own.

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
    return shorter >= LEAST_SIDE and longer < LONGEST * shorter and fills_rectangle(contour)


def fills_rectangle(contour: NDArray[np.int32]) -> bool:
    """Whether an area fills the smallest rectangle around it, as a sheet of paper does.

    Args:
        contour: (n, 1, 2) as from `cv2.findContours`.
    """
    _, (width, height), _ = cv2.minAreaRect(contour)
    return cv2.contourArea(contour) > FULL * (width + 1) * (height + 1)
