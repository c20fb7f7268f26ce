"""Strokes for signs that are rare in the data of a hand: punctuation, signs in notes, accents."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]


def as_points(values: Sequence[float] | Sequence[Sequence[float]]) -> Points:
    return np.asarray(values, np.float32)


def arc(cx: float, cy: float, r: float, a0: float, a1: float, n: int = 7) -> Points:
    t = np.linspace(a0, a1, n)
    return np.stack([cx + r * np.cos(t), cy + r * np.sin(t)], axis=1).astype(np.float32)


def mark_strokes(char: str, rng: np.random.Generator) -> tuple[Points, ...] | None:
    """Pen strokes of a punctuation mark that many writers' samples lack; None if unknown."""
    j = rng.normal(0, 0.04, 8)

    def dot(x: float, y: float) -> Points:
        return as_points([[x, y], [x + 0.03 + j[0], y + 0.02 + j[1]]])

    def tick(x: float, y: float, size: float = 0.35) -> Points:
        return as_points([[x + 0.08 + j[2], y], [x + 0.06, y + 0.5 * size], [x - 0.12 + j[3], y + size + j[4]]])

    top = -1.75 + j[5]
    tall, drop = as_points([0.8, 1.5]), as_points([0, 0.4])
    shapes: dict[str, Callable[[], tuple[Points, ...]]] = {
        ".": lambda: (dot(0.1, -0.03),),
        "…": lambda: (dot(0.1, -0.03), dot(0.45 + j[2], -0.03), dot(0.8 + j[3], -0.03)),
        ",": lambda: (tick(0.15, -0.08),),
        ":": lambda: (dot(0.1, -0.05), dot(0.12 + j[2], -0.75 + j[3])),
        ";": lambda: (tick(0.15, -0.08), dot(0.15, -0.75 + j[2])),
        "'": lambda: (tick(0.1, top, 0.4),),
        "’": lambda: (tick(0.12, top, 0.4),),
        '"': lambda: (tick(0.1, top, 0.4), tick(0.35 + j[6], top + j[2], 0.4)),
        "”": lambda: (tick(0.12, top, 0.45), tick(0.42 + j[6], top + j[2], 0.45)),
        "“": lambda: (
            as_points([[0.15, top], [0.0, top + 0.2], [0.08, top + 0.42]]),
            as_points([[0.45 + j[2], top], [0.3, top + 0.2], [0.38, top + 0.42]]),
        ),
        "-": lambda: (as_points([[0, -0.5 + j[0]], [0.5 + 2 * abs(j[2]), -0.5 + j[1]]]),),
        "–": lambda: (as_points([[0, -0.5 + j[0]], [0.9 + 2 * abs(j[2]), -0.5 + j[1]]]),),
        "—": lambda: (as_points([[0, -0.5 + j[0]], [1.5 + 2 * abs(j[2]), -0.5 + j[1]]]),),
        "!": lambda: (as_points([[0.15 + j[0], -1.9], [0.1, -0.5]]), dot(0.1, -0.05)),
        "(": lambda: (arc(0.75, -0.75, 0.75 + j[0], np.pi * 1.35, np.pi * 0.65) * tall + drop,),
        ")": lambda: (arc(-0.2, -0.75, 0.75 + j[0], -np.pi * 0.35, np.pi * 0.35) * tall + drop,),
        "/": lambda: (as_points([[0.6 + j[0], -1.9], [0.0, 0.25 + j[1]]]),),
        "?": lambda: (
            np.concatenate(
                [arc(0.3, -1.5, 0.32, -np.pi * 0.95, np.pi * 0.4, 9), as_points([[0.25, -0.9], [0.25, -0.55]])]
            ),
            dot(0.25, -0.05),
        ),
        "=": lambda: (as_points([[0, -0.75], [0.7, -0.75 + j[0]]]), as_points([[0, -0.35], [0.7, -0.35 + j[1]]])),
        "+": lambda: (as_points([[0, -0.55], [0.8, -0.55 + j[0]]]), as_points([[0.4, -0.95], [0.4 + j[1], -0.1]])),
        "*": lambda: (
            as_points([[0.25, -1.7], [0.25 + j[0], -1.1]]),
            as_points([[0.0, -1.55], [0.5, -1.25 + j[1]]]),
            as_points([[0.5, -1.55], [0.0, -1.25 + j[2]]]),
        ),
        "£": lambda: (
            np.concatenate(
                [arc(0.6, -1.45, 0.35, -np.pi * 0.1, -np.pi, 8), as_points([[0.3, -0.4], [0.0, 0.0], [0.85, -0.05]])]
            ),
            as_points([[0.05, -0.8], [0.65, -0.8 + j[0]]]),
        ),
        "€": lambda: (
            arc(0.6, -0.85, 0.75 + j[0], -np.pi * 0.25, -np.pi * 1.75, 14),
            as_points([[-0.2, -1.0], [0.65, -1.0]]),
            as_points([[-0.2, -0.65], [0.55, -0.65]]),
        ),
        "°": lambda: (arc(0.2, -1.6, 0.18, 0, 2 * np.pi, 9),),
    }  # fmt: skip
    if char in shapes:
        return shapes[char]()
    if char in _UPSIDE_DOWN:
        upright = shapes[_UPSIDE_DOWN[char]]()
        return tuple(as_points([0.6, -1.3 + j[0]]) - s for s in upright)
    return note_sign(char, rng)


_UPSIDE_DOWN = {"¿": "?", "¡": "!"}


def note_sign(char: str, rng: np.random.Generator) -> tuple[Points, ...] | None:
    """Pen strokes of a sign that no hand in the data wrote: bullets, boxes, ticks, arrows, « ».

    Returns None for any other `char`. Unit x-height, y down, baseline 0.
    """
    j = rng.normal(0, 0.05, 16)
    s = float(rng.uniform(0.75, 1.3))

    def line(*points: tuple[float, float]) -> Points:
        """A stroke through corners, each slightly displaced."""
        at = np.asarray(points, np.float32)
        return at + rng.normal(0, 0.04, at.shape).astype(np.float32)

    if char == "•":
        r = 0.2 * s
        turns = np.linspace(0, 6 * np.pi, 40)
        y = -float(rng.uniform(0.35, 0.8))
        blot = np.stack([r + r * turns / 19 * np.cos(turns), y + r * turns / 19 * np.sin(turns)], axis=1)
        if rng.random() < 0.3:  # a small ring
            return (arc(r, y, r, 0, 2.1 * np.pi, 12),)
        return (blot.astype(np.float32),)
    if char in "☐☑":
        w, h = 1.25 * s, 1.25 * s * float(rng.uniform(0.85, 1.15))
        y = 0.1 + 2 * j[0]
        corners = [(0.0, y), (0.0, y - h), (w, y - h), (w, y), (0.0, y)]
        box: tuple[Points, ...] = (line(*corners),)
        if rng.random() < 0.4:
            box = (line(*corners[:3]), line(*corners[2:]))
        if char == "☐":
            return box
        if rng.random() < 0.3:  # crossed
            return (*box, line((0.15 * w, y - 0.85 * h), (0.85 * w, y - 0.1 * h)),
                    line((0.85 * w, y - 0.9 * h), (0.1 * w, y - 0.1 * h)))  # fmt: skip
        out = float(rng.uniform(0.8, 1.6))
        return (*box, line((0.15 * w, y - 0.55 * h), (0.4 * w, y - 0.12 * h), (out * w, y - (0.4 + 0.6 * out) * h)))
    if char == "✓":
        return (line((0.0, -0.6 * s), (0.35 * s, -0.05), (1.2 * s, -1.6 * s)),)
    if char in "→←":
        length, head, y = float(rng.uniform(1.2, 2.4)), float(rng.uniform(0.3, 0.55)), -0.55 + j[0]
        tip, tail = (length, 0.0) if char == "→" else (0.0, length)
        back = tip - head if char == "→" else tip + head
        barbs = line((back, y - 0.75 * head), (tip, y), (back, y + 0.75 * head))
        return (line((tail, y), (tip, y)), barbs)
    if char == "×":
        a = 0.6 * s
        return (line((0.0, -0.2 - a), (a, -0.2)), line((a, -0.2 - a), (0.0, -0.2)))
    if char == "÷":
        dots = tuple(as_points([[0.4, y + j[2]], [0.43, y + 0.02 + j[2]]]) for y in (-0.95, -0.1))
        return (line((0.0, -0.52), (0.8, -0.52)), *dots)
    if char in "«»":
        w, h = 0.32 * s, 0.35 * s
        out_ = []
        for k in range(2):
            x = k * 0.38 * s
            tip_x, back_x = (x, x + w) if char == "«" else (x + w, x)
            out_.append(line((back_x, -0.5 - h), (tip_x, -0.5), (back_x, -0.5 + h)))
        return tuple(out_)
    if char == "§":
        half, whole = np.pi / 2, np.pi
        top = (arc(0.4, -1.5, 0.32, -0.2, -3 * half, 9), arc(0.4, -0.85, 0.36, -half, half, 7))
        low = (arc(0.4, -0.85, 0.36, -half, -3 * half, 7), arc(0.4, -0.15, 0.32, -half, 0.85 * whole, 9))
        return (np.concatenate(top), np.concatenate(low))
    if char == "ß":
        w = 0.5 * s
        stem = [(0.0, float(rng.choice([0.0, 0.0, 0.6]))), (0.05, -1.3)]
        bow = arc(0.05 + w / 2, -1.4, w / 2, -np.pi, np.pi * 0.35, 9)
        bulge = arc(0.1 + w / 2, -0.45, w / 2 + 0.1, -np.pi * 0.6, np.pi * 0.75, 9)
        return (np.concatenate([line(*stem), bow, bulge]).astype(np.float32),)
    return None


# Ligatures of two letters.
LIGATURES = {"æ": "ae", "œ": "oe", "Æ": "AE", "Œ": "OE"}
# The two digits of each fraction: the first left and high, the second right and low.
FRACTIONS = {"½": "12", "¼": "14", "¾": "34"}
RAISED = {"²": "2", "ª": "a", "º": "o"}
ACCENTS = {
    "\u0300": "grave", "\u0301": "acute", "\u0302": "hat", "\u0303": "tilde", "\u0308": "dots", "\u030a": "ring",
    "\u0327": "tail",
}  # fmt: skip


def accent_strokes(kind: str, x: float, top: float, rng: np.random.Generator) -> tuple[Points, ...]:
    """Strokes of an accent over (or a tail under) a letter with its middle at `x` and its top at `top`."""
    size = float(rng.uniform(0.75, 1.35))
    y = top - float(rng.uniform(0.12, 0.4))
    x += float(rng.normal(0, 0.06))
    j = rng.normal(0, 0.04, 6)
    w, h = 0.17 * size, 0.32 * size * float(rng.uniform(0.7, 1.2))
    if kind == "acute":
        return (as_points([[x + w + j[0], y - h], [x - w + j[1], y + j[2]]]),)
    if kind == "grave":
        return (as_points([[x - w + j[0], y - h], [x + w + j[1], y + j[2]]]),)
    if kind == "hat":
        return (as_points([[x - 1.4 * w, y + j[0]], [x + j[1], y - h], [x + 1.4 * w, y + j[2]]]),)
    if kind == "tilde":
        t = np.linspace(-1, 1, 9)
        return (np.stack([x + 1.9 * w * t, y - h / 2 - 0.4 * h * np.sin(np.pi * t)], axis=1).astype(np.float32),)
    if kind == "dots":
        stroke = float(rng.choice([0.03, 0.03, 0.2])) * size  # dots, or short strokes in quick hands
        places = (x - 0.2 * size + j[0], x + 0.2 * size + j[1])
        return tuple(as_points([[at, y - 0.1 - stroke], [at - 0.3 * stroke, y - 0.1]]) for at in places)
    if kind == "ring":
        r = 0.17 * size
        return (arc(x, y - r, r, -np.pi / 2, 1.6 * np.pi, 10),)
    # The tail hangs from the letter's foot.
    hook = [[x + 0.05, -0.02], [x - 0.02 + j[0], 0.14], [x + 0.14 + j[1], 0.24], [x - 0.1 + j[2], 0.42 * size]]
    return (as_points(hook),)
