"""Identify the language of a page from a first, fast reading of some lines: naive Bayes over character trigrams.

Reference: Dunning, "Statistical identification of language", New Mexico State University, 1994.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from text_recognizer.errors import BundleInvalid

LETTERS = "abcdefghijklmnopqrstuvwxyzàáâãäåæçèéêëìíîïñòóôõöøùúûüßÿœ¿¡"
CLASSES = len(LETTERS) + 1  # class 0: anything that is not a letter
# Probabilities are stored as -log p in steps of 1/20: 255 steps reach down to e^-12.75.
STEP = 0.05
# Weight of the shorter context, in characters seen: Witten-Bell smoothing with a constant weight.
BACKOFF = 8.0
# Lead in log-likelihood that another language needs over the first one.
AHEAD = 4.0

_CLASS = {letter: index + 1 for index, letter in enumerate(LETTERS)}


class LanguageTable:
    """Trigram probabilities of several languages; the first one is chosen if the evidence is weak.

    Args:
        file: written by `write_table`; nothing in it is unpickled.

    Raises BundleInvalid if the file is damaged or of another kind.
    """

    def __init__(self, file: Path) -> None:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                self.languages = tuple(str(name) for name in arrays["languages"])
                self._costs = arrays["costs"]  # (L, C, C, C) uint8
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise BundleInvalid(f"{file} can't be read ({type(error).__name__}): get the bundle again.") from None
        if self._costs.shape != (len(self.languages), CLASSES, CLASSES, CLASSES) or not self.languages:
            raise BundleInvalid(f"{file} is not a table of languages: get the bundle again.")

    def log_likelihoods(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """Log-probability (L,) of `texts` in each language."""
        total = np.zeros(len(self.languages))
        for text in texts:
            a = _classes(text)
            total -= STEP * self._costs[:, a[:-2], a[1:-1], a[2:]].sum(axis=1, dtype=np.int64)
        return total

    def choose(self, texts: Iterable[str]) -> str:
        """The language of `texts`; the first one unless another is clearly ahead."""
        likely = self.log_likelihoods(texts)
        best = int(likely.argmax())
        return self.languages[best if likely[best] > likely[0] + AHEAD else 0]


def _classes(text: str) -> NDArray[np.intp]:
    """Classes of the characters of `text`, with class 0 at both ends; a run of other characters counts as one."""
    words = "".join(c if c in _CLASS else " " for c in text.lower()).split()
    return np.asarray([0, 0, *(_CLASS.get(c, 0) for c in " ".join(words)), 0], np.intp)


def write_table(texts: Mapping[str, Sequence[str]], file: Path) -> None:
    """Write the table of languages (BCP 47 tag: lines of text) to `file`, an .npz; the first one is the default."""
    costs = np.empty((len(texts), CLASSES, CLASSES, CLASSES), np.uint8)
    for number, lines in enumerate(texts.values()):
        counts = np.zeros((CLASSES, CLASSES, CLASSES))
        for line in lines:
            a = _classes(line)
            np.add.at(counts, (a[:-2], a[1:-1], a[2:]), 1)
        ones = counts.sum((0, 1)) + 1
        two = counts.sum(0)
        unigrams = ones / ones.sum()
        bigrams = (two + BACKOFF * unigrams) / (two.sum(1, keepdims=True) + BACKOFF)
        trigrams = (counts + BACKOFF * bigrams) / (counts.sum(2, keepdims=True) + BACKOFF)
        costs[number] = np.clip(np.round(-np.log(trigrams) / STEP), 0, 255)
    with file.open("wb") as out:
        np.savez_compressed(out, languages=np.asarray(list(texts)), costs=costs)
