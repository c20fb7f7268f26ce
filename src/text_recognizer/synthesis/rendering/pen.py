"""Draw pen strokes as ink coverage. The width of a stroke depends on the pen, its angle and the writer's pressure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

_SHIFT = 4  # cv2 draws at 1/16 pixel
_DOT = 8  # sixteenths of a pixel: a stroke up to this size is a dot


@dataclass(frozen=True)
class Pen:
    """The properties of a pen. Widths are in x-heights."""

    width: float = 0.1
    nib: float = 0.0  # 0 = round tip, 1 = broad nib: strokes along `nib_angle` are thinner by this share
    nib_angle: float = 0.8  # radians
    pressure: float = 0.0  # share by which down-strokes are heavier than up-strokes

    @staticmethod
    def sample(rng: np.random.Generator) -> Pen:
        """Draw a common pen: mostly ballpoint and fineliner, sometimes pencil, felt tip or broad nib."""
        width = float(np.clip(rng.lognormal(np.log(0.125), 0.35), 0.05, 0.34))
        kind = rng.random()
        if kind < 0.5:
            return Pen(width)
        if kind < 0.8:
            return Pen(width, pressure=float(rng.uniform(0.15, 0.9)))
        return Pen(width * 1.15, nib=float(rng.uniform(0.3, 0.75)), nib_angle=float(rng.uniform(0.4, 1.2)))


def draw_ink(
    strokes: Sequence[NDArray[np.float32]],
    x_height: float,
    origin: tuple[float, float],
    canvas: NDArray[np.uint8],
    pen: Pen,
) -> None:
    """Draw `strokes` (unit: x-height, y down, baseline 0) into `canvas` (H, W) uint8 coverage, in place.

    `x_height` is in pixels, `origin` the pixel (x, y) of the strokes' (0, 0).
    """
    thickness = pen.width * x_height
    lengths = np.asarray([len(s) for s in strokes])
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    points = np.concatenate(list(strokes))  # (N, 2)
    pixels = np.round((points * x_height + np.asarray(origin, np.float32)) * (1 << _SHIFT)).astype(np.int32)
    extent = (np.maximum.reduceat(pixels, starts) - np.minimum.reduceat(pixels, starts)).max(1)  # (strokes,)
    is_dot = (lengths == 1) | (extent < _DOT)
    for start in starts[is_dot]:
        _dot(canvas, pixels[start], thickness)
    if pen.nib == 0.0 and pen.pressure == 0.0:
        lines = np.split(pixels, starts[1:])
        _polylines(canvas, [line for line, dot in zip(lines, is_dot, strict=True) if not dot], thickness)
        return
    # One polyline per thickness level: cv2 cannot vary the width, and levels of half a pixel are invisible.
    delta = np.diff(points, axis=0)  # (N - 1, 2), including those between two strokes
    angle = np.arctan2(-delta[:, 1], delta[:, 0])
    factor = 1.0 - pen.nib * np.abs(np.cos(angle - pen.nib_angle)) + pen.pressure * (-np.sin(angle)) * 0.5
    if len(factor) > 2:
        factor[1:-1] = 0.25 * factor[:-2] + 0.5 * factor[1:-1] + 0.25 * factor[2:]
    level = np.maximum(1, np.round(factor * thickness * 2)).astype(np.int64)
    drawn = np.repeat(~is_dot, lengths)[:-1]
    drawn[starts[1:] - 1] = False  # do not draw the way between two strokes
    level[~drawn] = 0
    levels: dict[int, list[NDArray[np.int32]]] = {}
    edges = np.flatnonzero(np.diff(level, prepend=-1, append=-1))
    for begin, end in pairwise(edges.tolist()):
        if level[begin]:
            levels.setdefault(int(level[begin]), []).append(pixels[begin : end + 1])
    for level_index, lines in sorted(levels.items()):
        _polylines(canvas, lines, level_index / 2)


# cv2's antialiased lines are wider than requested, in steps of two pixels: (width drawn, cv2's thickness).
_DRAWN = [(1.4, 1), (3.55, 2), *((n + 2.55, n) for n in range(3, 40, 2))]


def _polylines(canvas: NDArray[np.uint8], lines: list[NDArray[np.int32]], width: float) -> None:
    """Draw antialiased polylines of `width` pixels; widths between cv2's steps get a grey rim."""
    if not lines:
        return
    index = 0
    while index + 1 < len(_DRAWN) and _DRAWN[index + 1][0] <= width:
        index += 1
    drawn, thickness = _DRAWN[index]
    if width > drawn and index + 1 < len(_DRAWN):
        wider, rim_thickness = _DRAWN[index + 1]
        share = (width - drawn) / (wider - drawn)
        if share > 0.08:
            rim = np.zeros_like(canvas)
            cv2.polylines(rim, lines, False, int(255 * share), rim_thickness, cv2.LINE_AA, _SHIFT)
            np.maximum(canvas, rim, out=canvas)
    body = np.zeros_like(canvas)
    darkness = int(255 * min(1.0, max(0.3, width / drawn)))
    cv2.polylines(body, lines, False, darkness, thickness, cv2.LINE_AA, _SHIFT)
    np.maximum(canvas, body, out=canvas)


def _dot(canvas: NDArray[np.uint8], point: NDArray[np.int32], thickness: float) -> None:
    radius = max(0.6, thickness * 0.6)
    cv2.circle(canvas, (int(point[0]), int(point[1])), int(radius * (1 << _SHIFT)), 255, -1, cv2.LINE_AA, _SHIFT)
