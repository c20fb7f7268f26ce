"""The prior probability of a text: an interpolated Kneser-Ney model of character n-grams. numpy only.

A line is a sequence of token ids that begins with BOS and ends with EOS. For each order k the file holds the contexts
of k - 1 ids as sorted 64-bit keys, the back-off weight of the shorter context's distribution, and the symbols that
followed with their own probability mass.

References
- Kneser, Ney, "Improved backing-off for m-gram language modeling", ICASSP 1995
- Chen, Goodman, "An empirical study of smoothing techniques for language modeling", 1999 (interpolated form)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from text_recognizer.errors import BundleInvalid
from text_recognizer.recognition.decoding import BOS, EOS

# Ids are packed into 64 bits, the latest in the lowest: n-grams of up to eight characters. A file states how many bits
# an id has. The first files, for alphabets below 124 characters, had seven and do not state it.
ID_BITS = 8
_FIRST_ID_BITS = 7
# Probabilities are stored as -log p in steps of 1/20: 255 steps reach down to e^-12.75.
STEP = 0.05
# Distributions kept in memory: a page needs the same contexts again and again.
CACHE = 10_000

Scores = NDArray[np.float32]


class LanguageModel:
    """Log-probabilities of the next character of a line.

    Args:
        file: an .npz written by `training.language_model.write`; nothing in it is unpickled.

    Raises BundleInvalid if the file is damaged or of another kind.
    """

    def __init__(self, file: Path) -> None:
        try:
            with np.load(file, allow_pickle=False) as arrays:
                self._unigrams = np.asarray(arrays["unigrams"], np.float32)  # (V,) probabilities
                self.order = int(arrays["order"])
                self.id_bits = int(arrays["id_bits"]) if "id_bits" in arrays else _FIRST_ID_BITS
                self._contexts = []
                for k in range(2, self.order + 1):
                    starts = np.concatenate([[0], np.cumsum(arrays[f"counts{k}"], dtype=np.int64)])
                    self._contexts.append(
                        (
                            np.cumsum(arrays[f"keys{k}"], dtype=np.uint64),  # stored as differences
                            np.exp(-STEP * arrays[f"backoffs{k}"].astype(np.float32)),
                            starts,
                            arrays[f"symbols{k}"],
                            np.exp(-STEP * arrays[f"masses{k}"].astype(np.float32)),
                        )
                    )
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
            raise BundleInvalid(f"{file} can't be read ({type(error).__name__}): get the bundle again.") from error
        self.cached: dict[tuple[int, ...], Scores] = {}
        self._masses: dict[tuple[int, ...], Scores] = {}

    def next(self, before: Sequence[int]) -> Scores:
        """Log-probability (V,) of each id after `before`, ids of the line so far without BOS; EOS ends the line."""
        context = (BOS, *before)[-(self.order - 1) :]
        known = self.cached.get(context)
        if known is None:
            if len(self.cached) >= CACHE:
                self.cached.clear()
                self._masses.clear()
            p = self._mass(context)
            known = self.cached[context] = np.asarray(np.log(p / p.sum()), np.float32)
        return known

    def _mass(self, context: tuple[int, ...]) -> Scores:
        """Probability (V,) of each id after `context`. The sum is only nearly one, because masses are quantised."""
        if not context:
            return self._unigrams
        p = self._masses.get(context)
        if p is None:
            p = self._mass(context[1:])  # usually cached: contexts share their ends
            keys, backoffs, starts, symbols, masses = self._contexts[len(context) - 1]
            key = np.uint64(pack(context, self.id_bits))
            at = int(keys.searchsorted(key))
            if at < len(keys) and keys[at] == key:
                here = slice(starts[at], starts[at + 1])
                p = p * backoffs[at]
                p[symbols[here]] += masses[here]
            self._masses[context] = p
        return p

    def score(self, text: Sequence[int]) -> float:
        """Log-probability of a whole line, its end included."""
        total = 0.0
        for i, symbol in enumerate([*text, EOS]):
            total += float(self.next(text[max(0, i - self.order) : i])[symbol])
        return total

    def likelihoods(self, lines: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Log-probability of each id of `lines` after those before it in its line, each line's end included.

        Computed all at once and without the cache of `next`, to measure an existing text. (N,), where N is the number
        of ids plus the number of lines.
        """
        symbols = np.asarray([i for line in lines for i in (*line, EOS)], np.int64)
        if not len(symbols):
            return np.zeros(0)
        ids = np.asarray([i for line in lines for i in (BOS, *line)], np.uint64)
        before = np.concatenate([np.arange(1, len(line) + 2) for line in lines])  # ids of the line so far, BOS too
        p = self._unigrams[symbols].astype(np.float64)
        whole = np.ones(len(p))
        key = np.zeros(len(p), np.uint64)
        live = np.arange(len(p))  # positions whose context of this order is known
        for k, (keys, backoffs, starts, followers, masses) in enumerate(self._contexts, 2):
            live = live[before[live] >= k - 1]
            key[live] |= ids[live - (k - 2)] << np.uint64(self.id_bits * (k - 2))
            at = np.minimum(np.searchsorted(keys, key[live]), len(keys) - 1)
            known = keys[at] == key[live]
            live, at = live[known], at[known]
            if not len(live):
                break
            # Contexts repeat in a text, and the short ones have a hundred followers each: look each up once.
            distinct, which = np.unique(at, return_inverse=True)
            lengths = starts[distinct + 1] - starts[distinct]
            first = np.cumsum(lengths) - lengths
            entry = np.arange(lengths.sum()) + np.repeat(starts[distinct] - first, lengths)
            mass = masses[entry].astype(np.float64)
            # The followers of each context are sorted, so these numbers are too.
            followed = np.repeat(np.arange(len(distinct)) * len(self._unigrams), lengths) + followers[entry]
            wanted = which * len(self._unigrams) + symbols[live]
            place = np.minimum(np.searchsorted(followed, wanted), len(followed) - 1)
            own = np.where(followed[place] == wanted, mass[place], 0.0)
            p[live] = p[live] * backoffs[at] + own
            # Masses are quantised, so their sum is only nearly one.
            whole[live] = whole[live] * backoffs[at] + np.add.reduceat(mass, first)[which]
        return np.asarray(np.log(p / whole), np.float64)


def pack(ids: Sequence[int], bits: int = ID_BITS) -> int:
    """Pack a few ids of `bits` bits into one integer, the latest in the lowest bits."""
    key = 0
    for i in ids:
        key = key << bits | i
    return key
