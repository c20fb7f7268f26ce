"""Character and word error rates, their bootstrap intervals over writers, and the calibration of confidences.

This is the only place that counts errors: evaluation, the gate, monitoring, fine-tuning and benchmarks import it.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein

_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "..."})


@dataclass(frozen=True)
class Normalisation:
    """What counts as equal text. White space always becomes a single blank, and is removed at the ends."""

    quotes: bool = True  # curly quotes and dashes count as their typewriter forms, … as three dots
    case: bool = False  # capitals count as lower case
    punctuation: bool = False  # only letters, digits and blanks count

    def __call__(self, text: str) -> str:
        if self.quotes:
            text = text.translate(_QUOTES)
        if self.case:
            text = text.casefold()
        if self.punctuation:
            text = re.sub(r"[^\w\s]", "", text)
        return " ".join(text.split())


@dataclass(frozen=True)
class Errors:
    """Edits and lengths of one text: characters and words."""

    characters: int
    character_edits: int
    words: int
    word_edits: int


def edits(truth: Sequence[Hashable], read: Sequence[Hashable]) -> int:
    """The fewest insertions, deletions and substitutions that turn `truth` into `read` (Levenshtein 1966)."""
    return Levenshtein.distance(truth, read)


def errors(truth: str, read: str, normalise: Normalisation | None = None) -> Errors:
    """Edits and lengths of a text, after normalisation."""
    normalise = normalise or Normalisation()
    truth, read = normalise(truth), normalise(read)
    a, b = truth.split(), read.split()
    return Errors(len(truth), edits(truth, read), len(a), edits(a, b))


def any_order(truth: Sequence[str], read: Sequence[str], normalise: Normalisation | None = None) -> tuple[int, int]:
    """Character edits and characters of a page, with its lines in any order.

    Lines of the truth and lines read are paired one to one with the fewest total edits (Kuhn 1955). A line without a
    partner counts in full. Two lines read as one, or one read as two, are errors too. Line ends are not characters.
    """
    from scipy.optimize import linear_sum_assignment  # imported late: monitoring does not need it

    normalise = normalise or Normalisation()
    a, b = ([t for t in map(normalise, texts) if t] for texts in (truth, read))
    # (truth + read, read + truth): a line paired with nothing costs its own length.
    costs = np.zeros((len(a) + len(b), len(b) + len(a)), np.int64)
    costs[: len(a), : len(b)] = [[edits(x, y) for y in b] for x in a] if a and b else 0
    costs[: len(a), len(b) :] = np.asarray([len(x) for x in a], np.int64)[:, None]
    costs[len(a) :, : len(b)] = np.asarray([len(y) for y in b], np.int64)[None]
    rows, columns = linear_sum_assignment(costs)
    return int(costs[rows, columns].sum()), sum(len(x) for x in a)


@dataclass(frozen=True)
class Rate:
    """An error rate with its 95 % interval, as shares rather than percentages."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f}–{100 * self.high:.1f})"


def rate(edits: Sequence[int], lengths: Sequence[int], groups: Sequence[str], draws: int = 1000, seed: int = 0) -> Rate:
    """Sum of edits over sum of lengths, with a 95 % percentile bootstrap over whole groups (writers, else pages).

    Errors of the same writer are correlated, so drawing single lines would make the interval too narrow (Efron 1979).
    """
    index = {name: i for i, name in enumerate(sorted(set(groups)))}
    sums = np.zeros((len(index), 2))
    for e, n, group in zip(edits, lengths, groups, strict=True):
        sums[index[group]] += (e, n)
    total = sums.sum(0)
    if total[1] == 0:
        return Rate(0.0, 0.0, 0.0)
    rng = np.random.default_rng(seed)
    drawn = np.asarray([sums[rng.integers(0, len(index), len(index))].sum(0) for _ in range(draws)])  # (draws, 2)
    low, high = np.percentile(drawn[:, 0] / np.maximum(drawn[:, 1], 1), [2.5, 97.5])
    return Rate(float(total[0] / total[1]), float(low), float(high))


def rate_difference(
    candidate: Sequence[int],
    production: Sequence[int],
    lengths: Sequence[int],
    groups: Sequence[str],
    draws: int = 2000,
    seed: int = 0,
) -> Rate:
    """Difference of two error rates on the same samples, with its interval (paired bootstrap over whole `groups`).

    A drawn group counts for both sides, so difficulty that they share cancels out (Efron, Tibshirani 1993, chapter 16).

    Args:
        candidate, production: edits of each model on each sample.
        lengths: characters of each sample.
    """
    return rate([c - p for c, p in zip(candidate, production, strict=True)], lengths, groups, draws, seed)


def words_right(truth: str, words: Sequence[str]) -> list[bool]:
    """For each of `words`, whether `truth` has the same word at its place (minimum-edit alignment)."""
    matched = {
        block.a + k
        for block in Levenshtein.opcodes(list(words), truth.split()).as_matching_blocks()
        for k in range(block.size)
    }
    return [i in matched for i in range(len(words))]


def calibration(
    confidences: Sequence[float], right: Sequence[bool], bins: int = 10
) -> list[tuple[float, float, int, float]]:
    """(from, to, words, share of right words) for each non-empty bin of confidence, of equal widths."""
    c, r = np.asarray(confidences, float), np.asarray(right, float)
    which = np.minimum((c * bins).astype(int), bins - 1)
    return [
        (b / bins, (b + 1) / bins, int((which == b).sum()), float(r[which == b].mean()))
        for b in range(bins)
        if (which == b).any()
    ]
