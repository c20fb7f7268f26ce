"""Turn CTC scores and decoder scores into text: best path, prefix beam, exact scores, alignment. numpy only.

References
- Graves et al., "Connectionist Temporal Classification", ICML 2006 (forward score, best path)
- Hannun et al., "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs",
  arXiv:1408.2873 (prefix beam search)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

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


def prefix_beam(log_probs: Scores, beam: int = 8, cutoff: float = -7.0) -> list[tuple[list[int], float]]:
    """Most likely texts of `log_probs` (T, V) as (ids, log-probability), best first.

    Symbols whose log-probability at a step is below `cutoff` are not followed there.
    """
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, float(NEGATIVE))}  # ends in blank, in a symbol
    for step in log_probs:
        if step[BLANK] > -0.0005:  # only blank: every beam goes on alike
            beams = {
                p: (float(np.logaddexp(b, s)) + float(step[BLANK]), float(NEGATIVE)) for p, (b, s) in beams.items()
            }
            continue
        symbols = [int(i) for i in np.flatnonzero(step > cutoff) if i != BLANK]
        grown: dict[tuple[int, ...], tuple[float, float]] = {}

        def add(
            prefix: tuple[int, ...],
            blank: float,
            symbol: float,
            grown: dict[tuple[int, ...], tuple[float, float]] = grown,
        ) -> None:
            b, s = grown.get(prefix, (float(NEGATIVE), float(NEGATIVE)))
            grown[prefix] = (float(np.logaddexp(b, blank)), float(np.logaddexp(s, symbol)))

        for prefix, (b, s) in beams.items():
            total = float(np.logaddexp(b, s))
            last = prefix[-1] if prefix else -1
            add(prefix, total + float(step[BLANK]), s + float(step[last]) if prefix else float(NEGATIVE))
            for symbol in symbols:
                score = float(step[symbol])
                # The same symbol again needs a blank between; without one it is the same letter going on.
                add((*prefix, symbol), float(NEGATIVE), (b if symbol == last else total) + score)
        ranked = sorted(grown.items(), key=lambda item: -float(np.logaddexp(*item[1])))
        beams = dict(ranked[:beam])
    final = [(list(p), float(np.logaddexp(b, s))) for p, (b, s) in beams.items()]
    return sorted(final, key=lambda item: -item[1])


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
