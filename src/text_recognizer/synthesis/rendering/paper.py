"""Paper and ink: sheets of all kinds, and how a pen's coverage looks on them.

Sizes that depend on resolution are in pixels of the sheet or derived from the line spacing. Each function takes its
random generator as an argument, so the same seed gives the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Gray = NDArray[np.uint8]
Field = NDArray[np.float32]
Points = NDArray[np.float32]
Random = np.random.Generator

PAPER_KINDS = ("plain", "ruled", "margin", "squared", "dotted", "coloured", "laid", "aged")
INKS = ("ballpoint_blue", "ballpoint_black", "pencil", "fountain", "felt", "marker")

_PAPER_SHARES = (0.30, 0.19, 0.10, 0.11, 0.05, 0.08, 0.08, 0.09)
_INK_SHARES = (0.27, 0.27, 0.13, 0.18, 0.10, 0.05)


@dataclass
class Sheet:
    """Blank paper."""

    rgb: Rgb  # (H, W, 3)
    kind: str = "plain"


def choose(names: Sequence[str], shares: Sequence[float], rng: Random) -> str:
    return names[min(int(np.searchsorted(np.cumsum(shares), rng.random() * sum(shares))), len(names) - 1)]


def clouds(rng: Random, shape: tuple[int, int], step: float, spread: float) -> Field:
    """Smooth noise (H, W) that changes over `step` pixels."""
    h, w = shape
    nodes = rng.normal(0, spread, (max(2, int(h / step) + 2), max(2, int(w / step) + 2))).astype(np.float32)
    return np.asarray(
        cv2.resize(nodes, (w, h), interpolation=cv2.INTER_CUBIC if step > 8 else cv2.INTER_LINEAR), np.float32
    )


def grain(rng: Random, shape: tuple[int, int], sigma: float = 0.0) -> Field:
    """Noise (H, W) of unit spread, blurred by `sigma` pixels. Large areas repeat a tile, which nobody sees in noise."""
    h, w = shape
    tile_h, tile_w = min(h, 384), min(w, 512)
    tile = rng.standard_normal((tile_h, tile_w), np.float32)
    if sigma > 0:
        tile = np.asarray(cv2.GaussianBlur(tile, (0, 0), sigma), np.float32)
        tile /= max(1e-6, float(tile.std()))
    if (tile_h, tile_w) == (h, w):
        return tile
    return np.tile(tile, (-(-h // tile_h), -(-w // tile_w)))[:h, :w]


def make_sheet(
    height: int, width: int, rng: Random, kind: str | None = None, line_spacing: float | None = None
) -> Sheet:
    """Blank paper of `height` × `width` pixels.

    Args:
        kind: one of PAPER_KINDS; None draws one according to how common they are.
        line_spacing: distance of ruled lines in pixels; None for a plausible one.
    """
    kind = kind or choose(PAPER_KINDS, _PAPER_SHARES, rng)
    shape = (height, width)
    spacing = float(line_spacing or rng.uniform(0.025, 0.05) * max(height, 600))
    if kind == "coloured":
        tone = np.array(
            [(250, 238, 170), (205, 225, 245), (215, 240, 210), (248, 215, 222), (225, 215, 198)][int(rng.integers(5))]
        )
        tone = tone + rng.normal(0, 6, 3)
    elif kind == "aged":
        tone = np.array([228.0, 212.0, 178.0]) + rng.normal(0, 10, 3) + rng.normal(0, 10)
    else:
        bright = float(np.clip(rng.normal(238, 12), 190, 254))
        tone = (
            bright + np.array([0, -1, -1]) * abs(rng.normal(0, 3)) + np.array([0, -0.5, -1.5]) * abs(rng.normal(0, 4))
        )
    light = np.ones(shape, np.float32)
    light += clouds(rng, shape, max(24.0, 0.5 * max(shape)), 0.015)
    if rng.random() < 0.7:
        light += grain(rng, shape, 0.0 if rng.random() < 0.5 else 0.8) * np.float32(rng.uniform(0.003, 0.02))
    if rng.random() < 0.35:  # fibres: noise stretched in one direction
        along = cv2.blur(grain(rng, shape), (1, 9) if rng.random() < 0.5 else (9, 1))
        light += along * np.float32(rng.uniform(0.01, 0.05))
    if kind == "laid":
        period, tilt = float(rng.uniform(2.5, 7)), float(rng.normal(0, 0.01))
        ys, xs = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)[None, :]
        wires = np.sin(2 * np.pi / period * ((xs + tilt * ys) if rng.random() < 0.7 else (ys + tilt * xs)))
        light += wires.astype(np.float32) * (np.float32(rng.uniform(0.006, 0.03)) + clouds(rng, shape, 90, 0.006))
    if kind == "aged":
        light += clouds(rng, shape, max(16.0, 0.12 * max(shape)), 0.035)
        light += clouds(rng, shape, 9.0, 0.012)
    layers: list[tuple[Gray, tuple[float, float, float], float]] = []
    ruling = _ruling(shape, kind, spacing, rng)
    if ruling is not None:
        layers.append(ruling)
    if kind == "margin" or (kind in ("ruled", "squared") and rng.random() < 0.3):
        layers.append(_margin(shape, rng))
    rgb = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        value = light * np.float32(tone[channel])
        for cover, colour, strength in layers:
            value *= 1 - cover.astype(np.float32) * np.float32(strength * (1 - colour[channel] / 255) / 255)
        rgb[..., channel] = np.clip(value, 0, 255)
    if kind == "aged":
        _stain(rgb, rng)
    if kind in ("ruled", "margin", "squared") and min(shape) > 400 and rng.random() < 0.3:
        _punch(rgb, rng)
    return Sheet(rgb, kind)


def _ruling(
    shape: tuple[int, int], kind: str, spacing: float, rng: Random
) -> tuple[Gray, tuple[float, float, float], float] | None:
    """Printed ruling as (coverage, colour, strength)."""
    if kind not in ("ruled", "margin", "squared", "dotted"):
        return None
    h, w = shape
    cover = np.zeros(shape, np.uint8)
    tilt = float(rng.normal(0, 0.003))
    thick = max(1, round(spacing * rng.uniform(0.008, 0.028)))
    one = 1 << 4
    step = spacing * (float(rng.choice([0.33, 0.5, 1.0])) if kind in ("squared", "dotted") else 1.0)
    step = max(step, 5.0)
    start = float(rng.uniform(0, step))
    rows, columns = np.arange(start - step, h + step, step), np.arange(float(rng.uniform(0, step)), w, step)
    if kind == "dotted":
        for y in rows:
            for x in columns:
                cv2.circle(
                    cover,
                    (int(x * one), int((y + tilt * x) * one)),
                    int(max(0.6, 0.6 * thick) * one),
                    255,
                    -1,
                    cv2.LINE_AA,
                    4,
                )
    else:
        for y in rows:
            cv2.line(cover, (0, int(y * one)), (w * one, int((y + tilt * w) * one)), 255, thick, cv2.LINE_AA, 4)
        if kind == "squared":
            for x in columns:
                cv2.line(cover, (int(x * one), 0), (int((x - tilt * h) * one), h * one), 255, thick, cv2.LINE_AA, 4)
    colour = [(90, 120, 190), (110, 150, 190), (120, 120, 120), (150, 110, 160), (90, 150, 130), (60, 60, 60)][
        int(rng.integers(6))
    ]
    return cover, colour, float(np.clip(rng.normal(0.38, 0.2), 0.1, 0.85))


def _margin(shape: tuple[int, int], rng: Random) -> tuple[Gray, tuple[float, float, float], float]:
    h, w = shape
    cover = np.zeros(shape, np.uint8)
    x = rng.uniform(0.05, 0.18) * w if rng.random() < 0.85 else rng.uniform(0.85, 0.95) * w
    for k in range(1 if rng.random() < 0.8 else 2):
        across = int(x + 5 * k)
        cv2.line(
            cover, (across, 0), (across + int(rng.normal(0, 2)), h), 255, 1 if max(shape) < 1000 else 2, cv2.LINE_AA
        )
    return cover, (215, 70, 80), float(rng.uniform(0.3, 0.9))


def _stain(rgb: Rgb, rng: Random) -> None:
    """Add brown edges, foxing and a cup ring, in place."""
    h, w = rgb.shape[:2]
    small = np.zeros((96, 96), np.float32)
    for _ in range(int(rng.integers(0, 5))):
        centre = tuple(int(v) for v in rng.integers(0, 96, 2))
        radius = int(rng.integers(3, 22))
        cv2.circle(small, centre, radius, float(rng.uniform(0.05, 0.22)), -1 if rng.random() < 0.6 else 2, cv2.LINE_AA)
    small = np.asarray(cv2.GaussianBlur(small, (0, 0), float(rng.uniform(0.8, 4))), np.float32)
    edge = np.minimum.outer(np.minimum(np.arange(96), 95 - np.arange(96)), np.full(96, 96)).astype(np.float32)
    edge = np.minimum(edge, edge.T)
    small += np.float32(rng.uniform(0, 0.25)) * np.exp(-edge / np.float32(rng.uniform(2, 10)))
    cover = cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)
    for channel, loss in enumerate((0.45, 0.7, 1.0)):
        rgb[..., channel] = (rgb[..., channel] * (1 - np.float32(loss) * cover)).astype(np.uint8)


def _punch(rgb: Rgb, rng: Random) -> None:
    """Add binder holes at the left edge, in place."""
    h, w = rgb.shape[:2]
    radius = int(0.012 * h)
    x = int(rng.uniform(0.025, 0.05) * w)
    shade = int(rng.integers(20, 120))
    for share in (0.3, 0.7) if rng.random() < 0.5 else (0.12, 0.5, 0.88):
        cv2.circle(rgb, (x, int(share * h)), radius + 1, (170, 170, 170), -1, cv2.LINE_AA)
        cv2.circle(rgb, (x, int(share * h)), radius, (shade, shade, shade), -1, cv2.LINE_AA)


_COLOURS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "ballpoint_blue": ((35, 55, 150), (20, 40, 120), (50, 70, 170), (30, 30, 110)),
    "ballpoint_black": ((30, 30, 35), (15, 15, 20), (50, 48, 52)),
    "pencil": ((80, 80, 84), (60, 60, 64), (105, 104, 106)),
    "fountain": ((18, 28, 70), (20, 18, 18), (30, 50, 140), (78, 52, 28), (60, 25, 90), (15, 60, 55), (105, 75, 45)),
    "felt": ((12, 12, 14), (15, 25, 90), (140, 20, 25), (10, 70, 40)),
    "marker": ((20, 20, 22), (20, 50, 160), (190, 25, 35), (15, 110, 60)),
}


def put_ink(rgb: Rgb, coverage: Gray, rng: Random, ink: str | None = None) -> Rgb:
    """Put ink on paper (H, W, 3) according to `coverage` (H, W) uint8. Returns a new array.

    `ink` is one of INKS; None draws one according to how common they are.
    """
    ink = ink or choose(INKS, _INK_SHARES, rng)
    shape = (coverage.shape[0], coverage.shape[1])
    colour = np.clip(np.array(_COLOURS[ink][int(rng.integers(len(_COLOURS[ink])))]) + rng.normal(0, 9, 3), 0, 255)
    soft = coverage
    if ink in ("fountain", "felt", "marker"):  # wet ink spreads into the paper
        soft = np.asarray(cv2.GaussianBlur(coverage, (0, 0), float(rng.uniform(0.35, 0.9))), np.uint8)
    amount = soft.astype(np.float32) * np.float32(1 / 255)
    if ink == "pencil":
        density, patchy, grainy = rng.uniform(0.5, 0.9), rng.uniform(0.05, 0.15), rng.uniform(0.12, 0.4)
    elif ink.startswith("ballpoint"):
        density, patchy, grainy = rng.uniform(0.72, 0.98), rng.uniform(0.02, 0.13), rng.uniform(0.0, 0.16)
    elif ink == "fountain":
        density, patchy, grainy = rng.uniform(0.7, 1.0), rng.uniform(0.05, 0.22), rng.uniform(0.0, 0.06)
    else:
        density, patchy, grainy = rng.uniform(0.82, 1.0), rng.uniform(0.0, 0.07), rng.uniform(0.0, 0.04)
    amount *= np.clip(np.float32(density) + clouds(rng, shape, float(rng.uniform(7, 22)), patchy), 0.15, 1)
    if grainy > 0.03:
        amount *= np.clip(1 - np.float32(grainy) * np.abs(grain(rng, shape, 0.6 if ink == "pencil" else 0.0)), 0, 1)
    if ink == "fountain" and rng.random() < 0.4:
        # The rim of a wet stroke dries darker than its middle.
        inner = cv2.blur(amount, (3, 3))
        amount = np.clip(amount + np.float32(0.5) * (amount - inner) * (amount > 0.2), 0, 1)
    out = np.empty_like(rgb)
    for channel in range(3):
        out[..., channel] = rgb[..., channel] * (1 - amount * np.float32(1 - colour[channel] / 255))
    return out
