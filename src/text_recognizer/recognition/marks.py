"""Classify lines as printed or handwritten, and detect struck-out words, with a small network of the bundle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from text_recognizer.page import Script

STRIDE = 8  # pixels of a normalised line for each step of the network
# Most lines of most pages are handwritten, and almost no handwriting looks printed.
PRINTED = 0.3  # probability from which a line is printed
THRESHOLD = 0.9  # probability above which a step is struck out: a word that is left out wrongly is lost
SHARE = 0.5  # of a word's width that must be struck out


@dataclass(frozen=True, slots=True)
class LineMarks:
    """Features of a line image besides its text. `struck` (T,): probability of a strike-out per 8 pixels of width."""

    script: Script
    struck: NDArray[np.float32]

    def is_struck(self, start: float, end: float) -> bool:
        """Whether the part of the line between two fractions, 0…1, of its width is struck out."""
        first = min(int(start * len(self.struck)), len(self.struck) - 1)
        part = self.struck[first : max(first + 1, round(end * len(self.struck)))]
        return float((part > THRESHOLD).mean()) >= SHARE


def read_marks(graph: Any, images: NDArray[np.uint8], widths: NDArray[np.int64]) -> list[LineMarks]:
    """The marks of normalised lines.

    `images` (B, 1, H, W), W a multiple of 8, at least 48 blank columns after each line; `widths` (B,) without them.
    """
    printed, struck = graph.run(["printed", "struck"], {"images": images, "widths": widths})
    return [
        LineMarks("printed" if chance > PRINTED else "handwritten", row[: -(-int(width) // STRIDE)])
        for chance, row, width in zip(printed, struck, widths, strict=True)
    ]
