"""Encode a whole paragraph without a line finder: the network itself locates the lines and encodes them all at once.

The convolutions of the line recogniser slide down the paragraph. Each row of features has a share of a line; where the
shares add up to a whole number, the next line begins (`training.models.paragraph`). The line height of a picture is
unknown, so the network tries several sizes and keeps the one whose characters the CTC head is most confident of.
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

ROW = 16  # pixels of height between two rows of features
HEIGHT_STEP, WIDTH_STEP = 48, 64  # the sides of the network's input are multiples of these
PITCH = 52  # pixels from line to line, about the middle of the range in training
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 17, 20, 23, 26, 30)  # numbers of lines that are tried
STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)  # lines: sizes around the best one that are tried next
# Columns from the left that are used to compare all sizes, and then those around the best.
BEGINNING, TRIED = 400, 1000
SURE = 40  # steps with a character from which a confidence counts in full
LARGEST = 8_000_000  # most pixels of a paragraph at the network's input


@dataclass(frozen=True, slots=True)
class ParagraphLines:
    """The N lines of a paragraph, as the graphs return them.

    `edges` (N + 1,): fractions of the picture's height between which the lines lie. `width`: of the normalised picture,
    pixels. `log_probs` (N, T, V), `line` (layers, 2, N, heads, T_padded, d_head) and `mask` (N, 1, 1, T_padded) are as
    in `EncodedLine`.
    """

    edges: Floats
    width: int
    log_probs: Scores
    line: Floats
    mask: Floats


class ParagraphEncoder:
    """Runs the two graphs: one computes rows of features and each row's share of a line; the other, lines from rows."""

    def __init__(self, rows: Any, lines: Any, width_scale: float, stride: int) -> None:
        self._rows, self._lines = rows, lines
        self._width_scale, self._stride = width_scale, stride

    def encode(self, gray: Gray) -> ParagraphLines | None:
        """The lines of a picture (H, W) uint8, dark on light, cropped to its writing; None if it shows none."""

        height, width = gray.shape
        most = (LARGEST * height / (width * self._width_scale)) ** 0.5  # pixels of height

        def look(lines: float, columns: int | None = None) -> ParagraphLines:
            ink = normalise_line(gray, round(min(PITCH * lines, most)), self._width_scale)
            return self.encode_at(ink[:, :columns])

        def surest(sizes: Sequence[float], columns: int) -> float:
            return max(sizes, key=lambda lines: _confidence(look(lines, columns).log_probs))

        # The beginnings of the lines are enough to compare all sizes.
        lines = surest([size for size in SIZES if size == 1 or PITCH * size <= most], BEGINNING)
        found = look(surest([lines + step for step in STEPS if lines + step > 0.5], TRIED))
        return found if _confidence(found.log_probs) > 0 else None

    def encode_at(self, ink: Gray) -> ParagraphLines:
        """The lines of a normalised picture (H, W) uint8, 255 the darkest ink, without scaling it."""
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
    """From shares (R,) of lines: their sums (R,) from the top, scaled to a whole number N, and weights (N, R).

    The weights state how much of each row lies in each line, as in `training.models.paragraph`.
    """
    count = max(1, round(float(shares.sum())))
    scaled = shares * (count / max(float(shares.sum()), 1e-3))
    below = scaled.cumsum()
    number = np.arange(count, dtype=np.float32)[:, None]
    weights = np.minimum(below, number + 1) - np.maximum(below - scaled, number)
    return below.astype(np.float32), np.clip(weights, 0, None).astype(np.float32)


def _confidence(log_probs: Scores) -> float:
    """Mean probability, 0…1, of the steps at which the CTC head sees a character; lower if it sees few."""
    written = log_probs.argmax(-1) != BLANK
    if not written.any():
        return 0.0
    return float(np.exp(log_probs.max(-1)[written]).mean()) * min(1.0, float(written.sum()) / SURE)


def _padded(side: int, step: int) -> int:
    return -(-side // step) * step
