"""Augment pictures of real lines with other slants, pens and scans, for sets too small to contain them all."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.synthesis.rendering.camera import as_jpeg

Gray = NDArray[np.uint8]


def augment(gray: Gray, rng: np.random.Generator, strength: float = 1.0) -> Gray:
    """A varied copy (H, W') uint8 of a grey line image (H, W) uint8, dark on light.

    `strength` scales how far slant, proportions, stroke width and optics may go; with 0 the line stays as it is.
    """
    if strength <= 0:
        return gray
    paper = float(np.percentile(gray, 80))
    if rng.random() < 0.9:
        gray = _warp(gray, rng, strength, paper)
    if rng.random() < 0.4:
        gray = _stroke_width(gray, rng, strength)
    image: Any = gray
    if rng.random() < 0.4:
        image = _ink_density(image, rng, strength, paper)
    if rng.random() < 0.35:
        image = _optics(image, rng, strength)
    if rng.random() < 0.4:
        image = image + rng.standard_normal(image.shape, np.float32) * float(rng.uniform(1, 1 + 8 * strength))
    out: Any = np.clip(image, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        out = as_jpeg(out, int(rng.integers(25, 85)))
    return np.asarray(out, np.uint8)


def _warp(gray: Gray, rng: np.random.Generator, strength: float, paper: float) -> Gray:
    """Slant, proportions, slope, position and an elastic wobble, in one resampling (Simard et al. 2003)."""
    h, w = gray.shape
    # Sometimes strongly, as in very slanted hands.
    slant = float(rng.normal(0, 0.15) if rng.random() < 0.85 else rng.uniform(-0.3, 0.55)) * strength
    stretch = float(np.exp(np.clip(rng.normal(0, 0.1), -0.25, 0.25) * strength))
    tall = float(np.exp(np.clip(rng.normal(0, 0.06), -0.15, 0.15) * strength))
    slope = float(np.clip(rng.normal(0, 0.06), -0.12, 0.12)) * strength * h / max(w, 4 * h)  # at most h / 8 at the ends
    shift = float(rng.normal(0, 0.025)) * strength * h
    width = max(1, round(w * stretch + abs(slant) * h))
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(h, dtype=np.float32))  # (h, width)
    if rng.random() < 0.6:
        amplitude = float(rng.uniform(0.01, 0.05)) * strength * h
        grid = (2, max(2, 1 + h // 16), max(2, 1 + width // 16))  # a knot every 16 pixels: about the size of a letter
        for field, knots in zip((x, y), rng.normal(0, amplitude, grid).astype(np.float32), strict=True):
            field += cv2.resize(knots, (width, h), interpolation=cv2.INTER_CUBIC)
    middle = (h - 1) / 2
    source_y = (y - middle - shift) / tall + middle + slope * (x - width / 2)
    source_x = (x - (width - 1) / 2) / stretch + (w - 1) / 2 + slant * (source_y - middle)
    warped = cv2.remap(
        gray, source_x, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=paper
    )  # fmt: skip
    return np.asarray(warped, np.uint8)


def _stroke_width(gray: Gray, rng: np.random.Generator, strength: float) -> Gray:
    """A broader or finer pen: grey erosion or dilation, blended because a whole pixel is a lot at this size."""
    change = cv2.erode if rng.random() < 0.5 else cv2.dilate  # ink is dark, so eroding the light makes strokes broader
    share = float(rng.uniform(0.15, 0.75)) * min(1.0, strength)
    other = change(gray, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    return np.asarray(cv2.addWeighted(gray, 1 - share, other, share, 0), np.uint8)


def _ink_density(image: Any, rng: np.random.Generator, strength: float, paper: float) -> NDArray[np.float32]:
    """Paler or stronger ink: a power of its depth below the paper's grey, scaled."""
    depth = np.clip((paper - image.astype(np.float32)) / max(paper, 1.0), -1, 1)
    power = float(np.exp(rng.normal(0, 0.25) * strength))
    scale = float(rng.uniform(1 - 0.45 * min(1.0, strength), 1.0))
    return np.asarray(paper - paper * scale * np.sign(depth) * np.abs(depth) ** power, np.float32)


def _optics(image: Any, rng: np.random.Generator, strength: float) -> Any:
    """A lens out of focus, or an enlarged small picture."""
    if rng.random() < 0.5:
        return cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.3, 0.4 + 0.6 * strength)))
    h, w = image.shape
    scale = float(rng.uniform(max(0.3, 1 - 0.5 * strength), 1.0))
    small = cv2.resize(image, (max(1, int(w * scale)), max(1, int(h * scale))), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)
