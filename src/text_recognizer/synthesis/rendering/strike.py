"""Strike words out as people do: lines through them, waves, zigzags, crosses, hatching, loops."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
Level = Callable[[Points], Points]
"""Maps positions (n,) along a line to heights (n,) of the baseline, in pixels, y down."""

_KINDS = {
    "line": 0.3, "double": 0.12, "wave": 0.12, "zigzag": 0.13, "slash": 0.08, "cross": 0.07, "hatch": 0.09,
    "scribble": 0.09,
}  # fmt: skip


def strike_out(
    coverage: NDArray[np.uint8], start: float, end: float, level: Level, x_height: float, rng: np.random.Generator
) -> None:
    """Strike out the writing from `start` to `end` (pixels) in `coverage` (H, W), in place, in one of many ways."""
    width = max(1, round(float(np.clip(rng.lognormal(np.log(0.13), 0.3), 0.06, 0.3)) * x_height))
    if rng.random() < 0.06:
        width = round(0.6 * x_height)  # a marker
    kind = str(rng.choice(list(_KINDS), p=np.asarray(list(_KINDS.values()))))
    over = x_height * rng.uniform(-0.1, 0.5, 2)
    for stroke in _strokes(kind, start - float(over[0]), end + float(over[1]), x_height, rng):
        stroke[:, 1] += level(stroke[:, 0])
        cv2.polylines(coverage, [np.round(stroke * 16).astype(np.int32)], False, 255, width, cv2.LINE_AA, 4)


def _strokes(kind: str, start: float, end: float, x_height: float, rng: np.random.Generator) -> list[Points]:
    """The strokes (n, 2) of one kind of strike-out; y is relative to the baseline."""
    length = max(end - start, 0.5 * x_height)
    middle = -float(rng.uniform(0.3, 0.75)) * x_height
    match kind:
        case "wave" | "zigzag":
            steps = max(3, round(length / (float(rng.uniform(0.3, 0.8)) * x_height)))
            height = float(rng.uniform(0.2, 0.55)) * x_height
            x = np.linspace(start, start + length, steps)
            y = middle + np.where(np.arange(steps) % 2, height, -height) * rng.uniform(0.6, 1.2, steps)
            if kind == "wave":
                fine = np.linspace(start, start + length, 6 * steps)
                return [_points(fine, middle + height * np.sin(np.interp(fine, x, np.pi * np.arange(steps))))]
            return [_points(x, y)]
        case "slash" | "cross":
            rise = float(rng.uniform(0.5, 1.0)) * x_height
            x = np.asarray([start, start + length])
            up = _points(x, np.asarray([middle + rise, middle - rise]))
            down = _points(x, np.asarray([middle - rise, middle + rise]))
            return [up, down] if kind == "cross" else [up if rng.random() < 0.6 else down]
        case "hatch":
            count = max(2, round(length / (float(rng.uniform(0.25, 0.6)) * x_height)))
            lean = float(rng.uniform(0.2, 0.9)) * x_height
            return [
                _points(np.asarray([x, x + lean]), np.asarray([0.15, -1.25]) * x_height + middle + 0.5 * x_height)
                for x in np.linspace(start, start + length - lean, count) + rng.normal(0, 0.05 * x_height, count)
            ]
        case "scribble":
            turns = max(3, round(length / (float(rng.uniform(0.15, 0.4)) * x_height)))
            t = np.linspace(0, turns, 10 * turns)
            radius = float(rng.uniform(0.35, 0.65)) * x_height
            x = start + length * t / turns + radius * np.sin(2 * np.pi * t)
            y = middle + radius * np.cos(2 * np.pi * t) * rng.uniform(0.8, 1.2)
            return [_points(x, y + rng.normal(0, 0.03 * x_height, len(t)))]
    strokes = []
    for _ in range(1 if kind == "line" else int(rng.integers(2, 4))):
        x = np.linspace(start, start + length, 8) + rng.normal(0, 0.05 * x_height, 8)
        tilt, sag = rng.normal(0, 0.12), rng.normal(0, 0.08)
        along = np.linspace(-1, 1, 8)
        y = -float(rng.uniform(0.25, 0.8)) + tilt * along + sag * along**2 + rng.normal(0, 0.02, 8)
        strokes.append(_points(x, y * x_height))
    return strokes


def _points(x: NDArray[np.floating], y: NDArray[np.floating]) -> Points:
    return np.stack([x, y], axis=1).astype(np.float32)
