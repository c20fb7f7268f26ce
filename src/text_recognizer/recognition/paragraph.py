"""A whole paragraph without a line finder: the network itself says where its lines are, and encodes them all at once.

The convolutions of the line recogniser slide down the paragraph. Each row of features has a share of a line, and where
the shares add up to a whole number, the next line begins (`training.models.paragraph`). How tall the lines of a picture
are is not known, so it is looked at in several sizes, and the one of whose characters the CTC head is surest is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from text_recognizer.recognition.decoding import BLANK, Scores
from text_recognizer.recognition.normalise import normalise_line

Gray = NDArray[np.uint8]
Floats = NDArray[np.float32]

ROW = 16  # pixels of height between two rows
HEIGHT_STEP, WIDTH_STEP = 48, 64  # the network's sides are multiples of them
PITCH = 52  # pixels from line to line, about the middle of what training shows
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 17, 20, 23, 26, 30)  # lines that a picture may have
STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # lines, from the best of them to others
# Columns from the left in which the sizes are compared, and in the end those near the best.
BEGINNING, TRIED = 400, 1000
SURE = 40  # characters from which on a look counts in full
LARGEST = 8_000_000  # pixels of a paragraph as the network sees it


@dataclass(frozen=True, slots=True)
class ParagraphLines:
    """The lines of a paragraph, as the graphs give them, N of them.

    `edges` (N + 1,) are fractions of the picture's height between which each lies; `width` that of the normalised
    picture, pixels. `log_probs` (N, T, V), `line` (layers, 2, N, heads, T_padded, d_head) and `mask`
    (N, 1, 1, T_padded) are as those of `EncodedLine`.
    """

    edges: Floats
    width: int
    log_probs: Scores
    line: Floats
    mask: Floats


class ParagraphEncoder:
    """Runs the two graphs: rows of features with the share of a line that each holds; rows to lines."""

    def __init__(self, rows: Any, lines: Any, width_scale: float, stride: int) -> None:
        self._rows, self._lines = rows, lines
        self._width_scale, self._stride = width_scale, stride

    def encode(self, gray: Gray) -> ParagraphLines | None:
        """The lines of a picture (H, W) uint8, dark on light, cut to its writing; None if it shows none."""

        height, width = gray.shape
        most = (LARGEST * height / (width * self._width_scale)) ** 0.5  # pixels of height

        def look(lines: float, columns: int | None = None) -> ParagraphLines:
            ink = normalise_line(gray, round(min(PITCH * lines, most)), self._width_scale)
            return self.encode_at(ink[:, :columns])

        def surest(sizes: Sequence[float], columns: int) -> float:
            return max(sizes, key=lambda lines: _confidence(look(lines, columns).log_probs))

        # Most sizes are told by the beginning of the lines.
        lines = surest([size for size in SIZES if size == 1 or PITCH * size <= most], BEGINNING)
        found = look(surest([lines + step for step in STEPS if lines + step > 0.5], TRIED))
        return found if _confidence(found.log_probs) > 0 else None

    def encode_at(self, ink: Gray) -> ParagraphLines:
        """The lines of a normalised picture (H, W) uint8, 255 the darkest ink, as tall as it is."""
        height, width = ink.shape
        image = np.zeros((1, 1, _padded(height, HEIGHT_STEP), _padded(width, WIDTH_STEP)), np.uint8)
        image[0, 0, :height, :width] = ink
        widths = np.asarray([width], np.int64)
        rows, shares = self._rows.run(["rows", "shares"], {"images": image, "widths": widths})
        below, weights = line_weights(shares[0])
        log_probs, line, mask = self._lines.run(
            ["log_probs", "line", "mask"], {"rows": rows, "weights": weights, "widths": widths}
        )
        count = len(weights)
        at = np.interp(np.arange(count + 1), np.concatenate([[0.0], below]), np.arange(len(below) + 1))
        at[0], at[-1] = 0, height / ROW
        return ParagraphLines(
            np.clip(at * ROW / height, 0, 1).astype(np.float32),
            width,
            log_probs[:, : -(-width // self._stride)],
            line,
            mask,
        )


def line_weights(shares: Floats) -> tuple[Floats, Floats]:
    """Shares (R,) of lines to their sums (R,) from the top, scaled to a whole number N, and weights (N, R).

    The weights say how much of each row lies in each line, as in `training.models.paragraph`.
    """
    count = max(1, round(float(shares.sum())))
    scaled = shares * (count / max(float(shares.sum()), 1e-3))
    below = scaled.cumsum()
    number = np.arange(count, dtype=np.float32)[:, None]
    weights = np.minimum(below, number + 1) - np.maximum(below - scaled, number)
    return below.astype(np.float32), np.clip(weights, 0, None).astype(np.float32)


def _confidence(log_probs: Scores) -> float:
    """Mean probability, 0…1, of the steps at which the CTC head sees a character; less where it sees few."""
    written = log_probs.argmax(-1) != BLANK
    if not written.any():
        return 0.0
    return float(np.exp(log_probs.max(-1)[written]).mean()) * min(1.0, float(written.sum()) / SURE)


def _padded(side: int, step: int) -> int:
    return -(-side // step) * step
