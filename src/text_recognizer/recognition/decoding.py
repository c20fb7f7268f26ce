"""Turn CTC scores and decoder scores into text: best path, prefix beam, exact scores, alignment. numpy only.

References
- Graves et al., "Connectionist Temporal Classification", ICML 2006 (forward score, best path)
- Hannun et al., "First-Pass Large Vocabulary Continuous Speech Recognition using Bi-Directional Recurrent DNNs",
  arXiv:1408.2873 (prefix beam search)
- Rabiner, "A tutorial on hidden Markov models", 1989 (forward algorithm in scaled probabilities)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Token ids of both heads: 0 is blank for CTC and padding for the decoder; the alphabet starts at FIRST_CHARACTER.
BLANK = 0
BOS = 1
EOS = 2
UNKNOWN = 3
FIRST_CHARACTER = 4
REPLACEMENT = "\ufffd"  # stands for an unknown character

NEGATIVE = np.float32(-1e30)

# If a text repeats itself this often, with a period of up to this many characters, the decoder has lost its place.
REPEAT_PERIOD, REPEAT_TIMES = 8, 5

Scores = NDArray[np.float32]


def to_text(ids: Sequence[int], alphabet: str) -> str:
    """The text of token ids, without blanks and the marks of beginning and end."""
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
    """The interface that a search needs of a language model."""

    def next(self, before: Sequence[int]) -> Scores:
        """Log-probability (V,) of each id after the ids `before` of a line; EOS ends it."""


@dataclass(slots=True, eq=False)
class _Prefix:
    """The beginning of a text. Each prefix is a single object, so that extending it never hashes or copies the text."""

    ids: tuple[int, ...]
    last: int  # the last id; BLANK for the empty prefix
    language: float  # weighted score of the language model and of the length
    after: Scores | None = None  # (V,) log-probability of each next id, computed when needed
    longer: dict[int, _Prefix] = field(default_factory=dict)  # prefixes that are longer by one id, by that id


def prefix_beam(
    log_probs: Scores,
    beam: int,
    cutoff: float = -5.0,
    language: NextScores | None = None,
    language_weight: float = 0.0,
    length_bonus: float = 0.0,
) -> list[tuple[list[int], float]]:
    """Most likely texts of `log_probs` (T, V) as (ids, CTC log-probability), best first.

    Symbols whose log-probability at a step is below `cutoff` are skipped there. With a language model, texts are pruned
    and ranked by CTC + `language_weight` × language model + `length_bonus` × length.
    """
    weighted = language is not None and language_weight > 0
    probabilities = np.exp(log_probs.astype(np.float64))
    followed = log_probs > cutoff
    followed[:, BLANK] = False
    # (prefix, probability of its paths that end in a blank, of those that end in its last symbol), both relative to
    # exp(scale): products of probabilities are several times faster than sums of logarithms.
    beams = [(_Prefix((), BLANK, 0.0), 1.0, 0.0)]
    scale = 0.0
    for step, blank_log, blank, row in zip(
        probabilities, log_probs[:, BLANK].tolist(), probabilities[:, BLANK].tolist(), followed, strict=True
    ):
        if blank_log > _ONLY_BLANK:
            beams = [(prefix, (b + s) * blank, 0.0) for prefix, b, s in beams]
            continue
        emitted = step.tolist()
        symbols = [(symbol, emitted[symbol]) for symbol in row.nonzero()[0].tolist()]
        ends = [[(b + s) * blank, s * emitted[prefix.last]] for prefix, b, s in beams]
        grown: list[tuple[_Prefix, int, float, float]] = []  # parent, symbol, probability, language score
        if symbols:
            place: dict[_Prefix | None, int] = {prefix: i for i, (prefix, _, _) in enumerate(beams)}
            for prefix, b, s in beams:
                last, both = prefix.last, b + s
                if weighted and prefix.after is None and language is not None:
                    prefix.after = language.next(prefix.ids)
                for symbol, probability in symbols:
                    # A repeated symbol needs a blank in between; without one, the same letter continues.
                    mass = probability * (b if symbol == last else both)
                    at = place.get(prefix.longer.get(symbol))
                    if at is not None:
                        ends[at][1] += mass
                    elif mass > 0:
                        after = prefix.after
                        bonus = length_bonus + (0.0 if after is None else language_weight * after.item(symbol))
                        grown.append((prefix, symbol, mass, prefix.language + bonus))
        survivors = [(prefix, b, s) for (prefix, _, _), (b, s) in zip(beams, ends, strict=True)]
        if grown:
            scores = [_log(b + s) + prefix.language for prefix, b, s in survivors]
            scores += [math.log(mass) + score for _, _, mass, score in grown]
            known = survivors
            survivors = []
            for i in sorted(range(len(scores)), key=scores.__getitem__, reverse=True)[:beam]:
                if i < len(known):
                    survivors.append(known[i])
                    continue
                parent, symbol, mass, score = grown[i - len(known)]
                longer = parent.longer.get(symbol)
                if longer is None:
                    longer = parent.longer[symbol] = _Prefix((*parent.ids, symbol), symbol, score)
                survivors.append((longer, 0.0, mass))
        beams = survivors
        _, b, s = beams[0]
        if 0 < (first := b + s) < _SMALL:
            scale += math.log(first)
            beams = [(prefix, b / first, s / first) for prefix, b, s in beams]
    ranked_texts = []
    for prefix, b, s in beams:
        ctc = _log(b + s) + scale
        end = language_weight * float(language.next(prefix.ids)[EOS]) if weighted and language is not None else 0.0
        ranked_texts.append((ctc + prefix.language + end, list(prefix.ids), ctc))
    ranked_texts.sort(key=lambda entry: -entry[0])
    return [(ids, ctc) for _, ids, ctc in ranked_texts]


def _log(p: float) -> float:
    return math.log(p) if p > 0 else -math.inf


# Log-probability of a blank above which a step holds nothing else: the ranking of the beams does not change.
_ONLY_BLANK = -0.0005
# Relative probabilities are rescaled below this value; exact CTC scores are rescaled every so many steps.
_SMALL, _RESCALED = 1e-100, 8


def ctc_scores(log_probs: Scores, texts: Sequence[Sequence[int]]) -> Scores:
    """Exact log-probability of each of `texts` (N lists of ids) under `log_probs` (T, V): (N,).

    Runs the forward algorithm over all texts at once, in scaled probabilities. `NEGATIVE` for a text that does not fit
    into T steps, or that is less likely than float64 can represent.
    """
    if not texts:
        return np.zeros(0, np.float32)
    n, longest = len(texts), max(1, *(len(text) for text in texts))
    labels = np.full((longest, n), BLANK, np.int64)
    for column, text in enumerate(texts):
        labels[: len(text), column] = text
    # A path may go straight from one symbol to the next if the two differ.
    skip = np.concatenate([np.zeros((1, n)), labels[1:] != labels[:-1]])  # (L, N)
    # Relative to the likeliest symbol of each step, so that products decay slowly.
    top = log_probs.max(-1)
    probabilities = np.exp((log_probs - top[:, None]).astype(np.float64))
    scale = np.full(n, top.sum(dtype=np.float64))
    # Paths that end on the blank before symbol k, and on symbol k: (L + 1, N), (L, N). They start with either.
    blank, symbol = np.zeros((longest + 1, n)), np.zeros((longest, n))
    blank[0], symbol[0] = probabilities[0, BLANK], probabilities[0, labels[0]]
    for begin in range(1, len(probabilities), _RESCALED):
        steps = probabilities[begin : begin + _RESCALED]
        for blank_emitted, emitted in zip(steps[:, BLANK], steps[:, labels], strict=True):
            entered = symbol + blank[:-1]
            entered[1:] += skip[1:] * symbol[:-1]
            blank[1:] += symbol
            blank *= blank_emitted
            np.multiply(entered, emitted, out=symbol)
        largest = np.maximum(blank.max(0), symbol.max(0))
        largest[largest <= 0] = 1
        blank /= largest
        symbol /= largest
        scale += np.log(largest)
    columns = np.arange(n)
    lengths = np.asarray([len(text) for text in texts])
    mass = blank[lengths, columns] + np.where(lengths > 0, symbol[lengths - 1, columns], 0)
    possible = mass > 0
    return np.where(possible, np.log(np.where(possible, mass, 1)) + scale, NEGATIVE).astype(np.float32)


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
    skip = np.full(states, NEGATIVE, np.float32)
    skip[3::2] = np.where(labels[3::2] != labels[1:-2:2], 0, NEGATIVE)
    emitted = log_probs[:, labels]  # (T, S)
    # Two unreachable states precede the first one, so that a shift is a view.
    padded = np.full(states + 2, NEGATIVE, np.float32)
    score, before, two_before = padded[2:], padded[1:-1], padded[:-2]
    score[:2] = emitted[0, :2]
    back = np.zeros((steps, states), np.int8)
    for t in range(1, steps):
        skipped = two_before + skip
        best = np.maximum(score, before)
        back[t] = before > score
        back[t][skipped > best] = 2
        np.add(np.maximum(best, skipped), emitted[t], out=score)
    state = states - 1 if score[-1] >= score[-2] else states - 2
    if score[state] < -1e20:
        edges = np.linspace(0, steps, n + 1).astype(int)
        return [(int(a), int(max(a, b - 1))) for a, b in itertools.pairwise(edges)], np.zeros(n, np.float32)
    path = np.zeros(steps, np.int64)
    for t in range(steps - 1, -1, -1):
        path[t] = state
        state -= int(back[t, state])
    at = np.flatnonzero(path % 2)  # steps on a symbol
    first = np.searchsorted(path[at], np.arange(1, states, 2))
    last = np.searchsorted(path[at], np.arange(1, states, 2), side="right") - 1
    confidence = np.exp(np.maximum.reduceat(emitted[at, path[at]], first))
    return list(zip(at[first].tolist(), at[last].tolist(), strict=True)), np.asarray(confidence, np.float32)


def repeats(ids: Sequence[int]) -> bool:
    """Whether the end of `ids` repeats itself more often than writing does."""
    for period in range(1, REPEAT_PERIOD + 1):
        need = period * REPEAT_TIMES + (10 if period == 1 else 0)
        if len(ids) >= need and all(ids[-k] == ids[-k - period] for k in range(1, need - period + 1)):
            return True
    return False
