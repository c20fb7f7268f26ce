"""Decide whether a detected line is writing, from what the CTC head sees in it.

The head also sees characters in dot grids, wood, leaves or faces, but with low confidence. So the mean probability of
the characters decides. The fewer there are, the higher it must be, because a single one is often seen by chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.recognition.decoding import BLANK, FIRST_CHARACTER, Scores

# Deviation of a character's probability where there is no writing, with a margin; tuned on procedural textures.
SPREAD = 0.4
# The same on a page of cells: at least CELLS lines, and MOSTLY of all, are writing, with CELL characters at the median.
AMONG_CELLS, CELLS, CELL, MOSTLY = 0.2, 6, 5, 0.6
# A few characters are not writing if most of their ink is thicker than half an x-height: punch holes, dots, blots.
FEW, THICK, SOLID = 3, (9, 11), 0.5  # characters, (width, height) in normalised pixels, share of the ink
# A few characters lack the context to distinguish equal shapes, such as 0 and O: only the shape is certain.
ALIKE = ("0Oo", "1Il|i", "2Zz", "4A", "5Ss", "9gq", "6b", "Cc", "Jj", "Kk", "Mm", "Pp", "Uu", "Vv", "Ww", "Xx", "Yy")


class Evidence:
    """Judges lines for a recogniser with the characters `alphabet`."""

    def __init__(self, alphabet: str) -> None:
        size = FIRST_CHARACTER + len(alphabet)
        self._alike = np.eye(size, dtype=np.float32)  # (V, V)
        for group in ALIKE:
            ids = [FIRST_CHARACTER + alphabet.index(character) for character in group if character in alphabet]
            self._alike[np.ix_(ids, ids)] = 1
        self._space = FIRST_CHARACTER + alphabet.find(" ")

    def are_writing(self, lines: Sequence[tuple[Scores, NDArray[np.uint8]]], least: float) -> list[bool]:
        """Which of a page's lines are writing, given their CTC scores (T, V) and normalised images (H, W).

        On a page of cells, a lone character needs less confidence than elsewhere.

        Args:
            least: mean probability, 0…1, that the characters of a long line must have.
        """
        found = [self.probabilities(log_probs) for log_probs, _ in lines]
        sure = [len(p) > 0 and _is_sure(p, least, SPREAD) for p in found]
        lengths = [len(p) for p, is_sure in zip(found, sure, strict=True) if is_sure]
        if len(lengths) >= max(CELLS, MOSTLY * len(lines)) and float(np.median(lengths)) <= CELL:
            sure = [len(p) > 0 and _is_sure(p, least, AMONG_CELLS) for p in found]
        return [
            is_sure and (len(p) > FEW or not _is_solid(image))
            for is_sure, p, (_, image) in zip(sure, found, lines, strict=True)
        ]

    def probabilities(self, log_probs: Scores) -> NDArray[np.float32]:
        """Probability, 0…1, of each character on the best path of `log_probs` (T, V), blanks left out: (n,).

        If there are only a few characters, it is the probability of their shapes: the sum over characters that look
        alike.
        """
        path, best = log_probs.argmax(-1), log_probs.max(-1)
        edges = np.flatnonzero(path[1:] != path[:-1]) + 1
        runs = zip([0, *edges], [*edges, len(path)], strict=True)
        peaks = np.asarray([a + best[a:b].argmax() for a, b in runs if path[a] not in (BLANK, self._space)], np.int64)
        if len(peaks) > FEW:
            return np.asarray(np.exp(best[peaks]), np.float32)
        return np.asarray((np.exp(log_probs[peaks]) * self._alike[path[peaks]]).sum(-1), np.float32)


def _is_sure(probabilities: NDArray[np.float32], least: float, spread: float) -> bool:
    return float(probabilities.mean()) >= least + spread / float(np.sqrt(len(probabilities)))


def _is_solid(image: NDArray[np.uint8]) -> bool:
    ink = (image > 127).astype(np.uint8)
    thick = cv2.morphologyEx(ink, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, THICK))
    return int(thick.sum()) > SOLID * int(ink.sum())
