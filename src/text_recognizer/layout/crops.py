"""Crop a text line from a page: straighten it along its baseline, mask other lines, scale it to one height.

A crop and the words in it share one frame: each column of the crop is a cut across the line.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.page import Point, Polygon

PAPER = 0.8  # quantile of a line's pixels that is its paper tone
MAX_WIDTH = 16_384  # pixels: a thousand characters; OpenCV's warps are limited to twice that


def crop_line(
    gray: NDArray[np.uint8],
    polygon: Sequence[Point],
    baseline: Sequence[Point] | None = None,
    height: int = 64,
) -> NDArray[np.uint8]:
    """Grey image (height, W) uint8 of one line, dark on light, straightened so that its baseline is level.

    gray: (H, W) uint8 page, dark on light. polygon, baseline: pixels of the page, y down; without a baseline the
    polygon's longer axis gives the direction. Pixels outside the polygon get the line's paper colour.
    A polygon without area or outside the page gives a blank crop one pixel wide.
    """
    outline = np.asarray(polygon, np.float32).reshape(-1, 2)
    blank = np.full((height, 1), 255, np.uint8)
    if len(outline) < 3 or cv2.contourArea(outline) < 4:
        return blank
    spine = _spine(outline, baseline)
    # Work on the region around the line: masking the whole page would take longer than reading the line.
    page_height, page_width = gray.shape
    x0, y0 = np.floor(outline.min(0)).astype(int) - 2
    x1, y1 = np.ceil(outline.max(0)).astype(int) + 3
    x0, y0, x1, y1 = max(0, x0), max(0, y0), min(page_width, x1), min(page_height, y1)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return blank
    origin = np.asarray([x0, y0], np.float32)
    part = gray[y0:y1, x0:x1]
    mask = np.zeros(part.shape, np.uint8)
    cv2.fillPoly(mask, [np.round(outline - origin).astype(np.int32)], 255)
    counts = cv2.calcHist([part], [0], mask, [256], [0, 256]).ravel().cumsum(dtype=np.int64)
    if not counts[-1]:
        return blank
    paper = int(np.searchsorted(counts, int(PAPER * (counts[-1] - 1)), side="right"))
    masked = np.full_like(part, paper)
    cv2.copyTo(part, mask, masked)

    spine = spine - origin
    outline = outline - origin
    along, up = _axes(spine)
    # Extent of the polygon in the line's own frame: u along the baseline, v away from it (down is positive).
    start = spine[0]
    u = (outline - start) @ along
    v = (outline - start) @ -up - _bend(spine, start, along, up, u)
    u_min, u_max, v_min, v_max = float(u.min()), float(u.max()), float(v.min()), float(v.max())
    scale = height / max(v_max - v_min, 2.0)
    width = int(np.clip(round((u_max - u_min) * scale), 1, MAX_WIDTH))
    columns = u_min + (np.arange(width, dtype=np.float32) + 0.5) * ((u_max - u_min) / width)
    rows = v_min + (np.arange(height, dtype=np.float32) + 0.5) / scale
    bend = _bend(spine, start, along, up, columns)
    depth = rows[:, None] + bend[None].astype(np.float32)  # (height, W)
    map_x = (start[0] + columns[None] * along[0] - depth * up[0]).astype(np.float32) - 0.5
    map_y = (start[1] + columns[None] * along[1] - depth * up[1]).astype(np.float32) - 0.5
    if scale < 0.6:  # shrink by area first: sampling alone would lose thin strokes
        factor = scale / 0.9
        size = (max(1, round(masked.shape[1] * factor)), max(1, round(masked.shape[0] * factor)))
        small = cv2.resize(masked, size, interpolation=cv2.INTER_AREA)
        fx, fy = small.shape[1] / masked.shape[1], small.shape[0] / masked.shape[0]
        masked = np.asarray(small, np.uint8)
        map_x, map_y = (map_x + 0.5) * np.float32(fx) - 0.5, (map_y + 0.5) * np.float32(fy) - 0.5
    crop = cv2.remap(masked, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=paper)
    return np.asarray(crop, np.uint8)


def word_polygon(polygon: Sequence[Point], baseline: Sequence[Point] | None, start: float, end: float) -> Polygon:
    """The part of a line's polygon between two fractions, 0…1, of the width of its crop.

    `polygon` and `baseline` are those passed to `crop_line`, in page pixels; the result is in page pixels too. A column
    of the crop is a cut across the line's chord, so the part is the polygon between two such cuts.
    """
    outline = np.asarray(polygon, np.float32).reshape(-1, 2)
    along, _ = line_axes(polygon, baseline)
    u = outline @ along
    left, right = (float(u.min() + f * (u.max() - u.min())) for f in (start, end))
    direction = (float(along[0]), float(along[1]))
    part = _cut([(x, y) for x, y in outline.tolist()], direction, left)
    return tuple(_cut(part, (-direction[0], -direction[1]), -right))


def line_axes(
    polygon: Sequence[Point] | NDArray[np.float32], baseline: Sequence[Point] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit vectors along and up from a line, the axes of its crop; both arguments as for `crop_line`."""
    return _axes(_spine(np.asarray(polygon, np.float32).reshape(-1, 2), baseline))


def _spine(outline: NDArray[np.float32], baseline: Sequence[Point] | None) -> NDArray[np.float32]:
    """Baseline points from left to right, at least two of them."""
    if baseline is not None and len(baseline) >= 2:
        points = np.asarray(baseline, np.float32).reshape(-1, 2)
        if float(np.linalg.norm(points[-1] - points[0])) > 1:
            return points
    (cx, cy), (a, b), angle = cv2.minAreaRect(outline)
    if a < b:
        angle += 90.0
    angle = (angle + 90.0) % 180.0 - 90.0
    # A steep box is a short word or a single tall letter, not a line that runs up the page.
    if abs(angle) > 45 or max(a, b) < 2.5 * min(a, b):
        angle = 0.0
    half = max(a, b) / 2
    direction = np.asarray([np.cos(np.radians(angle)), np.sin(np.radians(angle))], np.float32)
    centre = np.asarray([cx, cy], np.float32)
    return np.stack([centre - direction * half, centre + direction * half])


def _axes(spine: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    along = spine[-1] - spine[0]
    along = along / max(float(np.linalg.norm(along)), 1e-6)
    return along.astype(np.float32), np.asarray([along[1], -along[0]], np.float32)


def _bend(
    spine: NDArray[np.float32],
    start: NDArray[np.float32],
    along: NDArray[np.float32],
    up: NDArray[np.float32],
    u: NDArray[np.float32],
) -> NDArray[np.float32]:
    """How far the baseline lies below its chord at positions `u` along it."""
    if len(spine) < 3:
        return np.zeros_like(u)
    su, sv = (spine - start) @ along, (spine - start) @ -up
    order = np.argsort(su)
    return np.interp(u, su[order], sv[order]).astype(np.float32)


def _cut(points: list[Point], normal: Point, least: float) -> list[Point]:
    """The part of a polygon where normal · point ≥ least (one step of Sutherland and Hodgman's clipping, 1974)."""
    kept: list[Point] = []
    over = [x * normal[0] + y * normal[1] - least for x, y in points]
    ends = zip(points[1:] + points[:1], over[1:] + over[:1], strict=True)
    for (ax, ay), a, ((bx, by), b) in zip(points, over, ends, strict=True):
        if a >= 0:
            kept.append((ax, ay))
        if (a >= 0) != (b >= 0):
            t = a / (a - b)
            kept.append((ax + t * (bx - ax), ay + t * (by - ay)))
    return kept
