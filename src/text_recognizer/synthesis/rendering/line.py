"""Render line images as the line finder crops them: fixed height, parts of neighbours, paper, optics, scanner."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.synthesis.rendering.camera import as_jpeg, picture_line
from text_recognizer.synthesis.rendering.ink import vary
from text_recognizer.synthesis.rendering.pen import Pen, draw_ink
from text_recognizer.synthesis.sources.unipen import Ink

Gray = NDArray[np.uint8]


def draw_line(ink: Ink, rng: np.random.Generator, height: int, neighbours: list[Ink], max_width: int = 2048) -> Gray:
    """Ink coverage (height, W) uint8 of a line as cropped from a page, with parts of `neighbours` at its edges."""
    points = np.concatenate(ink.strokes)
    top, bottom = float(points[:, 1].min()), float(points[:, 1].max())
    if rng.random() < 0.4:
        # Crop to the ink, like tight polygons.
        above, below = -top + rng.uniform(-0.12, 0.35), bottom + rng.uniform(-0.12, 0.35)
        above, below = max(above, 0.9), max(below, 0.15)
    else:
        # Crop by baseline and x-height, like the line finder.
        above, below = rng.uniform(1.7, 2.5), rng.uniform(0.6, 1.25)
        if rng.random() < 0.6:
            above, below = max(above, -top + 0.05), max(below, bottom + 0.05)
        if rng.random() < 0.25:
            # A generous polygon, or one letter that reaches far: the other letters are small in the image.
            above, below = above + rng.uniform(0, 1.1), below + rng.uniform(0, 0.7)
    x_height = height / float(np.clip(above + below, 1.2, 5.5))
    left, right = (float(v) for v in rng.uniform(0.1, 1.2, 2) * x_height)
    width = ink.width * x_height + left + right
    if width > max_width:
        x_height *= (max_width - left - right) / (width - left - right)
        width = max_width
    canvas = np.zeros((height, int(np.ceil(width))), np.uint8)
    baseline = height * above / (above + below)
    pen = Pen.sample(rng)
    draw_ink(ink.strokes, x_height, (left, baseline), canvas, pen)
    for neighbour in neighbours:
        shift = float(rng.uniform(2.3, 3.6)) * (1 if rng.random() < 0.5 else -1)
        x = left + float(rng.uniform(-4, max(1.0, ink.width - 3))) * x_height
        strip = np.zeros_like(canvas)
        draw_ink(neighbour.strokes, x_height, (x, baseline + shift * x_height), strip, pen)
        # Line polygons follow the ink, so only the part of a neighbour far from this line's middle is left.
        keep = (
            slice(0, int(height * rng.uniform(0.05, 0.25)))
            if shift < 0
            else slice(int(height * rng.uniform(0.75, 0.95)), height)
        )
        np.maximum(canvas[keep], strip[keep], out=canvas[keep])
    return canvas


def degrade(coverage: Gray, rng: np.random.Generator) -> Gray:
    """Turn ink coverage (H, W) into a grey image (H, W), dark on light, as from scanners and phones."""
    h, w = coverage.shape
    ink = coverage.astype(np.float32) / 255
    # Ink: density varies along the stroke, pencils are grainy, and paper shows through faint ink.
    if rng.random() < 0.5:
        coarse = rng.normal(1.0, rng.uniform(0.02, 0.22), (max(2, h // 8), max(2, w // 8))).astype(np.float32)
        ink *= np.clip(cv2.resize(coarse, (w, h), interpolation=cv2.INTER_LINEAR), 0.35, 1.15)
    if rng.random() < 0.2:
        ink *= np.clip(rng.normal(0.85, rng.uniform(0.1, 0.35), (h, w)).astype(np.float32), 0, 1)
    paper = float(rng.uniform(150, 252))
    contrast = float(rng.uniform(0.25, 0.95)) if rng.random() < 0.5 else float(rng.uniform(0.7, 0.97))
    page = np.full((h, w), paper, np.float32)
    if rng.random() < 0.3:  # uneven light
        coarse = rng.normal(0, rng.uniform(2, 22), (2, max(2, w // 160))).astype(np.float32)
        page += cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.2:  # ruled paper
        y = rng.uniform(0.55, 0.9) * h
        slope = rng.normal(0, 0.006)
        dark = float(rng.uniform(0.06, 0.45)) * paper * contrast
        rule = np.zeros((h, w), np.uint8)
        step = h * rng.uniform(0.35, 1.1)
        for k in (0, 1, -1, 2, -2) if rng.random() < 0.35 else (0,):
            start, end = (int((y + k * step + slope * x) * 16) for x in (0, w))
            cv2.line(rule, (0, start), (w * 16, end), 255, 1 if rng.random() < 0.8 else 2, cv2.LINE_AA, 4)
        if rng.random() < 0.25:
            for x in np.arange(rng.uniform(0, step), w, step):
                cv2.line(rule, (int(x), 0), (int(x), h), 255, 1)
        page -= rule.astype(np.float32) * (dark / 255)
    image: Any = page * (1 - ink * contrast)
    if rng.random() < 0.55:  # lens, scanner, an enlarged small picture
        if rng.random() < 0.5:
            image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 1.1)))
        else:
            scale = float(rng.uniform(0.4, 0.9))
            small = cv2.resize(image, (max(1, int(w * scale)), max(1, int(h * scale))), interpolation=cv2.INTER_AREA)
            image = cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR if rng.random() < 0.7 else cv2.INTER_CUBIC)
    if rng.random() < 0.5:
        noise: Any = rng.standard_normal((h, w), np.float32)
        if rng.random() < 0.4:
            noise = cv2.GaussianBlur(noise, (0, 0), 0.8) * 2
        image += noise * float(rng.uniform(1, 13))
    out: Any = np.clip(image, 0, 255).astype(np.uint8)
    kind = rng.random()
    if kind < 0.15:  # binarised with a slightly wrong threshold
        threshold = float(out.min()) + (paper - float(out.min())) * float(rng.uniform(0.5, 0.85))
        out = np.where(out > threshold, 255, 0).astype(np.uint8)
        if rng.random() < 0.6:
            out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.3, 0.7)))
    elif kind < 0.4:
        out = as_jpeg(out, int(rng.integers(20, 85)))
    return np.asarray(out, np.uint8)


def scan(coverage: Gray, rng: np.random.Generator) -> Gray:
    """Turn ink coverage (H, W) into a grey image (H, W), dark on light, like a clean flatbed scan of white paper."""
    h, w = coverage.shape
    ink = coverage.astype(np.float32) / 255
    if rng.random() < 0.6:
        coarse = rng.normal(1.0, rng.uniform(0.02, 0.15), (max(2, h // 6), max(2, w // 6))).astype(np.float32)
        ink *= np.clip(cv2.resize(coarse, (w, h), interpolation=cv2.INTER_LINEAR), 0.5, 1.0)
    paper = float(rng.uniform(225, 254))
    image: Any = paper * (1 - ink * float(rng.uniform(0.55, 0.97)))
    image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.25, 0.7)))
    image += rng.standard_normal((h, w), np.float32) * float(rng.uniform(0.3, 3))
    out: Any = np.clip(image, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        out = as_jpeg(out, int(rng.integers(70, 96)))
    return np.asarray(out, np.uint8)


def render_line(
    ink: Ink,
    rng: np.random.Generator,
    height: int = 48,
    neighbours: list[Ink] | None = None,
    variation: float = 1.0,
    clean: float = 0.0,
) -> Gray:
    """A grey line image (height, W) uint8, dark on light, of `ink` in a varied hand on some paper.

    `clean` is the share of images that are clean scans.
    """
    if variation > 0:
        ink = vary(ink, rng, variation)
    return on_paper(draw_line(ink, rng, height, neighbours or []), rng, clean)


def on_paper(coverage: Gray, rng: np.random.Generator, clean: float = 0.0) -> Gray:
    """Turn ink coverage (H, W) into a grey line image, mostly by the quick simulation, sometimes by that for pages."""
    if clean > 0 and rng.random() < clean:
        return scan(coverage, rng)
    return picture_line(coverage, rng) if rng.random() < 0.25 else degrade(coverage, rng)
