"""Marks on a page that are not text: rules, boxes, tables, stamps, ticks, scribbles, blots."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.synthesis.rendering.page_layout import cell_edges
from text_recognizer.synthesis.rendering.page_style import PageStyle

Gray = NDArray[np.uint8]


def furnish(style: PageStyle, rng: np.random.Generator) -> Gray:
    """Draw marks that are not text. Returns their coverage (H, W)."""
    xh = style.x_height
    height, width = max(8, round(style.height * xh)), max(8, round(style.width * xh))
    marks = np.zeros((height, width), np.uint8)
    pen = max(1, round(0.1 * xh))

    def spot() -> tuple[float, float]:
        return float(rng.uniform(0, width)), float(rng.uniform(0, height))

    chance = style.furniture
    if rng.random() < chance * 0.5:  # horizontal rules
        for _ in range(int(rng.integers(1, 4))):
            x, y = spot()
            end = min(width, x + float(rng.uniform(0.2, 1)) * width)
            draw_line(
                marks,
                np.array([[x, y], [end, y + rng.normal(0, 0.3) * xh]], np.float32),
                pen,
                int(rng.integers(90, 256)),
            )
    if style.cells is not None and style.ruled:
        ys, xs = cell_edges(style, (style.margins[2] + 2 - 0.7 * style.spacing) * xh)
        for y in ys:
            draw_line(marks, np.array([[xs[0], y], [xs[-1], y]], np.float32), pen, 200)
        for x in xs:
            draw_line(marks, np.array([[x, ys[0]], [x, ys[-1]]], np.float32), pen, 200)
    if rng.random() < chance * 0.25:  # a box or a table
        x, y = spot()
        w, h = float(rng.uniform(0.2, 0.9)) * width, float(rng.uniform(0.1, 0.6)) * height
        for fx in np.linspace(0, 1, int(rng.integers(2, 5))):
            draw_line(marks, np.array([[x + fx * w, y], [x + fx * w, y + h]], np.float32), pen, 180)
        for fy in np.linspace(0, 1, int(rng.integers(2, 7))):
            draw_line(marks, np.array([[x, y + fy * h], [x + w, y + fy * h]], np.float32), pen, 180)
    if rng.random() < chance * 0.3:  # a round stamp
        x, y = spot()
        radius = float(rng.uniform(3, 8)) * xh
        for r in (radius, radius * 0.8):
            cv2.circle(marks, (int(x), int(y)), int(r), int(rng.integers(80, 220)), pen, cv2.LINE_AA)
    if rng.random() < chance * 0.5:  # ticks, crosses, arrows, braces
        for _ in range(int(rng.integers(1, 4))):
            x, y = spot()
            turn = rng.normal(0, 1.2 * xh, (int(rng.integers(2, 5)), 2)).cumsum(0)
            draw_line(marks, turn + np.array([x, y], np.float32), pen, 230)
    if rng.random() < chance * 0.3:  # a scribble, a drawing
        x, y = spot()
        t = np.linspace(0, rng.uniform(6, 40), 160)
        a, b = rng.uniform(1, 6, 2) * xh
        f, g = rng.uniform(0.3, 2.5, 2)
        curve = np.stack([x + a * np.sin(f * t) + t * rng.normal(0, 0.1) * xh, y + b * np.cos(g * t + 1)], axis=1)
        draw_line(marks, curve, pen, 230)
    if rng.random() < chance * 0.3:  # blots
        for _ in range(int(rng.integers(1, 6))):
            x, y = spot()
            axes = (max(1, int(rng.uniform(0.1, 1.2) * xh)), max(1, int(rng.uniform(0.1, 1.2) * xh)))
            cv2.ellipse(
                marks, (int(x), int(y)), axes, float(rng.uniform(0, 180)), 0, 360, int(rng.integers(80, 256)), -1
            )
    return marks


def draw_line(canvas: Gray, points: NDArray[np.floating], width: int, strength: int = 255) -> None:
    cv2.polylines(canvas, [np.round(points * 16).astype(np.int32)], False, strength, width, cv2.LINE_AA, 4)
