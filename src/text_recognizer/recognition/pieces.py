"""Split long lines at gaps between words, so that no piece is longer than the lines that the networks expect."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]

# Widths of normalised line images, in heights: 20 are about a hundred characters, the longest lines in training.
LONG, PIECE = 32.0, 20.0
SEARCHED = 0.4  # of a piece's length: the gap is looked for this far to either side of the piece's regular end
GAP = 0.12  # heights; a narrower gap may lie inside a word


def piece_edges(ink: NDArray[np.bool_]) -> list[float]:
    """Where to split a line image: rising fractions 0…1 of its width, including 0 and 1.

    `ink` (H, W) marks the ink of the normalised line. A stretch without a gap stays in one piece.
    """
    height, width = ink.shape
    count = math.ceil(width / (PIECE * height))
    blank = np.asarray(~ink.any(0))
    cuts = []
    for number in range(1, count):
        middle, reach = number * width / count, SEARCHED * width / count
        left = max(1, int(middle - reach))
        window = np.concatenate([[False], blank[left : int(middle + reach)], [False]])
        changes = np.flatnonzero(window[1:] != window[:-1])
        starts, ends = changes[::2], changes[1::2]
        if len(starts) and (ends - starts).max() >= GAP * height:
            widest = int((ends - starts).argmax())
            cuts.append((left + (starts[widest] + ends[widest]) / 2) / width)
    return [0.0, *cuts, 1.0]
