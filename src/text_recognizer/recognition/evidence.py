"""Whether what was taken for a line is writing, by what the CTC head sees in it.

On dot grids, wood, leaves or faces the head sees characters too, but with low confidence. So the mean probability of
the characters decides, and the fewer there are, the higher it must be: one alone is often seen by chance.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.recognition.decoding import BLANK, FIRST_CHARACTER, Scores

# Deviation of a character's probability on what is no writing, with room to spare: chosen on procedural textures.
SPREAD = 0.4
# A few characters are none if most of their ink is thicker than a pen of half an x-height: punch holes, dots, blots.
FEW, THICK, SOLID = 3, (9, 11), 0.5  # characters, (width, height) of normalised pixels, share of the ink
# Few characters of one shape cannot be told apart, such as 0 and O: what is sure is that one of them is there.
ALIKE = ("0Oo", "1Il|i", "2Zz", "4A", "5Ss", "9gq", "6b", "Cc", "Jj", "Kk", "Mm", "Pp", "Uu", "Vv", "Ww", "Xx", "Yy")


class Evidence:
    """Judges lines of a recogniser with characters `alphabet`."""

    def __init__(self, alphabet: str) -> None:
        size = FIRST_CHARACTER + len(alphabet)
        self._alike = np.eye(size, dtype=np.float32)  # (V, V)
        for group in ALIKE:
            ids = [FIRST_CHARACTER + alphabet.index(character) for character in group if character in alphabet]
            self._alike[np.ix_(ids, ids)] = 1
        self._space = FIRST_CHARACTER + alphabet.find(" ")

    def is_writing(self, log_probs: Scores, image: NDArray[np.uint8], least: float) -> bool:
        """Whether the CTC scores (T, V) of the normalised line `image` (H, W) are those of writing.

        `least`: mean probability, 0…1, that the characters of a long line must have.
        """
        found = self.probabilities(log_probs)
        if not len(found) or float(found.mean()) < least + SPREAD / np.sqrt(len(found)):
            return False
        return len(found) > FEW or not _is_solid(image)

    def probabilities(self, log_probs: Scores) -> NDArray[np.float32]:
        """Probability, 0…1, of each character on the best path of `log_probs` (T, V), blanks left out: (n,).

        Of a few characters, it is that of their shape.
        """
        path, best = log_probs.argmax(-1), log_probs.max(-1)
        edges = np.flatnonzero(path[1:] != path[:-1]) + 1
        runs = zip([0, *edges], [*edges, len(path)], strict=True)
        peaks = np.asarray([a + best[a:b].argmax() for a, b in runs if path[a] not in (BLANK, self._space)], np.int64)
        if len(peaks) > FEW:
            return np.asarray(np.exp(best[peaks]), np.float32)
        return np.asarray((np.exp(log_probs[peaks]) * self._alike[path[peaks]]).sum(-1), np.float32)


def _is_solid(image: NDArray[np.uint8]) -> bool:
    ink = (image > 127).astype(np.uint8)
    thick = cv2.morphologyEx(ink, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, THICK))
    return int(thick.sum()) > SOLID * int(ink.sum())
