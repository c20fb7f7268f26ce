"""Turn CTC scores and decoder scores into text: best path, prefix beam, exact scores, alignment. numpy only.

References
- Graves et al., "Connectionist Temporal Classification", ICML 2006 (forward score, best path)
- Hannun et al., "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs",
  arXiv:1408.2873 (prefix beam search)
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Token ids of both heads: 0 is blank for CTC and padding for the decoder; the alphabet starts at FIRST_CHARACTER.
BLANK = 0
BOS = 1
EOS = 2
UNKNOWN = 3
FIRST_CHARACTER = 4
REPLACEMENT = "\ufffd"  # what an unknown character is written as

NEGATIVE = np.float32(-1e30)

Scores = NDArray[np.float32]


def to_text(ids: Sequence[int], alphabet: str) -> str:
    """Characters of token ids; blanks and marks of begin and end are none."""
    return "".join(
        alphabet[i - FIRST_CHARACTER] if i >= FIRST_CHARACTER else REPLACEMENT if i == UNKNOWN else "" for i in ids
    )


def log_softmax(logits: Scores) -> Scores:
    """Log-probabilities over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)), np.float32)


def best_path(log_probs: Scores) -> list[int]:
    """Most likely path of `log_probs` (T, V) with repeats merged and blanks dropped."""
    path = log_probs.argmax(-1)
    keep = (path != BLANK) & np.concatenate([[True], path[1:] != path[:-1]])
    return [int(i) for i in path[keep]]


class NextScores(Protocol):
    """What a language model tells a search."""

    def next(self, before: Sequence[int]) -> Scores:
        """Log-probability (V,) of each id after the ids `before` of a line; EOS ends it."""


@dataclass(slots=True)
class _Prefix:
    """A beginning of a text with the log-probabilities of its paths, and what language makes of it."""

    blank: float  # of the paths that end in a blank
    symbol: float  # of those that end in its last symbol
    language: float  # weighted score of the language model and of the length

    def total(self) -> float:
        return _logaddexp(self.blank, self.symbol) + self.language


def prefix_beam(
    log_probs: Scores,
    beam: int = 8,
    cutoff: float = -5.0,
    language: NextScores | None = None,
    language_weight: float = 0.0,
    length_bonus: float = 0.0,
) -> list[tuple[list[int], float]]:
    """Most likely texts of `log_probs` (T, V) as (ids, CTC log-probability), best first.

    Symbols whose log-probability at a step is below `cutoff` are not followed there. With a language model the order,
    and what is kept on the way, is by CTC + `language_weight` × language model + `length_bonus` × length.
    """
    weighted = language is not None and language_weight > 0
    beams: dict[tuple[int, ...], _Prefix] = {(): _Prefix(0.0, _NEVER, 0.0)}
    for step in log_probs:
        blank = float(step[BLANK])
        if blank > -0.0005:  # only blank: every beam goes on alike
            for entry in beams.values():
                entry.blank, entry.symbol = _logaddexp(entry.blank, entry.symbol) + blank, _NEVER
            continue
        symbols = [(i, float(step[i])) for i in np.flatnonzero(step > cutoff).tolist() if i != BLANK]
        grown: dict[tuple[int, ...], _Prefix] = {}
        for prefix, entry in beams.items():
            total = _logaddexp(entry.blank, entry.symbol)
            last = prefix[-1] if prefix else -1
            same = grown.get(prefix)
            if same is None:
                same = grown[prefix] = _Prefix(_NEVER, _NEVER, entry.language)
            same.blank = _logaddexp(same.blank, total + blank)
            if prefix:
                same.symbol = _logaddexp(same.symbol, entry.symbol + float(step[last]))
            after = language.next(prefix) if weighted and language is not None else None
            for symbol, score in symbols:
                # The same symbol again needs a blank between; without one it is the same letter going on.
                score += entry.blank if symbol == last else total
                longer = grown.get((*prefix, symbol))
                if longer is None:
                    bonus = length_bonus + (language_weight * float(after[symbol]) if after is not None else 0.0)
                    longer = grown[(*prefix, symbol)] = _Prefix(_NEVER, _NEVER, entry.language + bonus)
                longer.symbol = _logaddexp(longer.symbol, score)
        beams = dict(heapq.nlargest(beam, grown.items(), key=lambda item: item[1].total()))
    if weighted and language is not None:
        for prefix, entry in beams.items():
            entry.language += language_weight * float(language.next(prefix)[EOS])
    ranked = sorted(beams.items(), key=lambda item: -item[1].total())
    return [(list(prefix), _logaddexp(entry.blank, entry.symbol)) for prefix, entry in ranked]


_NEVER = -1e30


def _logaddexp(a: float, b: float) -> float:
    if a < b:
        a, b = b, a
    return a if b <= _NEVER or a - b > 40 else a + math.log1p(math.exp(b - a))


def ctc_scores(log_probs: Scores, texts: Sequence[Sequence[int]]) -> Scores:
    """Exact log-probability of each of `texts` (N lists of ids) under `log_probs` (T, V): (N,)."""
    if not texts:
        return np.zeros(0, np.float32)
    longest = max(len(t) for t in texts)
    n, states = len(texts), 2 * longest + 1
    labels = np.full((n, states), BLANK, np.int64)
    for row, text in enumerate(texts):
        labels[row, 1 : 2 * len(text) : 2] = text
    # A symbol may be entered straight from the symbol before if the two differ.
    skip = np.full((n, states), NEGATIVE, np.float32)
    skip[:, 3::2] = np.where(labels[:, 3::2] != labels[:, 1:-2:2], 0, NEGATIVE)
    # A path begins with a blank or with the first symbol.
    alpha = np.full((n, states), NEGATIVE, np.float32)
    alpha[:, :2] = log_probs[0][labels[:, :2]]
    rows = np.arange(n)
    for step in log_probs[1:]:
        emit = step[labels]  # (N, S)
        one = np.concatenate([np.full((n, 1), NEGATIVE, np.float32), alpha[:, :-1]], axis=1)
        two = np.concatenate([np.full((n, 2), NEGATIVE, np.float32), alpha[:, :-2]], axis=1)[:, :states] + skip
        alpha = np.logaddexp(np.logaddexp(alpha, one), two) + emit
    ends = np.asarray([2 * len(t) for t in texts])
    last = alpha[rows, ends]
    before = np.where(ends > 0, alpha[rows, np.maximum(ends - 1, 0)], NEGATIVE)
    return np.asarray(np.logaddexp(last, before), np.float32)


def align(log_probs: Scores, text: Sequence[int]) -> tuple[list[tuple[int, int]], Scores]:
    """Viterbi alignment of `text` in `log_probs` (T, V).

    Returns for each symbol its first and last step (inclusive), and its best probability over those steps (N,) 0…1.
    A text that does not fit into T steps is spread evenly with confidence 0.
    """
    steps, n = log_probs.shape[0], len(text)
    if n == 0:
        return [], np.zeros(0, np.float32)
    states = 2 * n + 1
    labels = np.full(states, BLANK, np.int64)
    labels[1::2] = text
    skip = np.zeros(states, bool)
    skip[3::2] = labels[3::2] != labels[1:-2:2]
    score = np.full(states, NEGATIVE, np.float32)
    score[0], score[1] = log_probs[0, BLANK], log_probs[0, labels[1]]
    back = np.zeros((steps, states), np.int8)
    for t in range(1, steps):
        one = np.concatenate([[NEGATIVE], score[:-1]])
        two = np.where(skip, np.concatenate([[NEGATIVE, NEGATIVE], score[:-2]]), NEGATIVE)
        options = np.stack([score, one, two])
        choice = options.argmax(0)
        back[t] = choice
        score = options[choice, np.arange(states)] + log_probs[t, labels]
    state = states - 1 if score[-1] >= score[-2] else states - 2
    if score[state] < -1e20:
        edges = np.linspace(0, steps, n + 1).astype(int)
        return [(int(a), int(max(a, b - 1))) for a, b in itertools.pairwise(edges)], np.zeros(n, np.float32)
    spans: list[list[int]] = [[] for _ in range(n)]
    for t in range(steps - 1, -1, -1):
        if state % 2 == 1:
            spans[state // 2].append(t)
        state -= int(back[t, state])
    out = [(min(s), max(s)) for s in spans]
    confidence = np.exp([max(float(log_probs[t, c]) for t in s) for c, s in zip(text, spans, strict=True)])
    return out, np.asarray(confidence, np.float32)
