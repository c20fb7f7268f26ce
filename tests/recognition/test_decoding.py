"""CTC decoding against definitions worked out by brute force."""

import itertools

import numpy as np
import pytest

from text_recognizer.recognition.decoding import EOS, align, best_path, ctc_scores, log_softmax, prefix_beam, repeats


def scores(seed: int, steps: int = 5, symbols: int = 4, sharpness: float = 1.5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return log_softmax((rng.normal(size=(steps, symbols)) * sharpness).astype(np.float32))


def collapse(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(s for s, _ in itertools.groupby(path) if s != 0)


def by_hand(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """Probability of every text, summed over every path."""
    steps, symbols = log_probs.shape
    totals: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(symbols), repeat=steps):
        p = float(np.exp(sum(log_probs[t, s] for t, s in enumerate(path))))
        totals[collapse(path)] = totals.get(collapse(path), 0.0) + p
    return totals


@pytest.mark.parametrize("seed", range(5))
def test_score_of_a_text_is_the_sum_over_all_its_paths(seed: int) -> None:
    log_probs = scores(seed)
    truth = by_hand(log_probs)
    texts = [list(t) for t in truth]
    found = np.exp(ctc_scores(log_probs, texts))
    np.testing.assert_allclose(found, list(truth.values()), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_wide_prefix_beam_finds_the_most_probable_text(seed: int) -> None:
    log_probs = scores(seed)
    truth = by_hand(log_probs)
    best_text, best_score = prefix_beam(log_probs, beam=200, cutoff=-50)[0]
    assert tuple(best_text) == max(truth, key=lambda t: truth[t])
    assert np.exp(best_score) == pytest.approx(max(truth.values()), rel=1e-3)


class _Likes:
    """A language model that likes one symbol after another."""

    def __init__(self, symbols: int) -> None:
        self.table = scores(7, steps=symbols + 1, symbols=symbols, sharpness=2.0)

    def next(self, before: tuple[int, ...]) -> np.ndarray:
        return self.table[before[-1] if before else -1]

    def score(self, text: tuple[int, ...]) -> float:
        return float(sum(self.next(text[:i])[s] for i, s in enumerate((*text, EOS))))


@pytest.mark.parametrize("seed", range(5))
def test_search_with_language_finds_the_text_that_is_best_by_both(seed: int) -> None:
    log_probs, language = scores(seed), _Likes(4)
    joint = {
        text: np.log(p) + 0.7 * language.score(text) + 0.3 * len(text) for text, p in by_hand(log_probs).items() if p
    }
    found = prefix_beam(log_probs, 200, -50, language=language, language_weight=0.7, length_bonus=0.3)
    assert [tuple(text) for text, _ in found[:5]] == sorted(joint, key=joint.__getitem__, reverse=True)[:5]


def test_long_lines_are_scored_where_probabilities_underflow() -> None:
    log_probs = scores(3, steps=1500, symbols=6)
    text = [int(i) for i in np.random.default_rng(3).integers(1, 6, 400)]
    labels = [0] * (2 * len(text) + 1)
    labels[1::2] = text
    alpha = np.full(len(labels), -np.inf)  # the forward algorithm in logarithms
    alpha[:2] = log_probs[0, labels[:2]]
    for step in log_probs[1:]:
        one, two = np.roll(alpha, 1), np.roll(alpha, 2)
        one[0] = two[:2] = -np.inf
        two[[i for i, s in enumerate(labels) if s == 0 or s == labels[i - 2]]] = -np.inf
        alpha = np.logaddexp(np.logaddexp(alpha, one), two) + step[labels]
    expected = np.logaddexp(alpha[-1], alpha[-2])
    assert expected < -1500  # exp of it is 0 in float64
    assert ctc_scores(log_probs, [text])[0] == pytest.approx(expected, abs=0.01)


def test_beam_reads_long_lines_where_probabilities_underflow() -> None:
    log_probs = np.full((1200, 4), np.log(0.1), np.float32)
    path = np.tile([1, 0, 2, 3, 0, 3], 200)
    log_probs[np.arange(1200), path] = np.log(0.7)
    log_probs -= 1.0  # as if most of each step were on symbols that are never followed
    text, found = prefix_beam(log_probs, 16)[0]
    assert text == [1, 2, 3, 3] * 200
    assert found < -1500
    assert found == pytest.approx(ctc_scores(log_probs, [text])[0], rel=0.03)  # paths of pruned prefixes are lost


def test_repeated_letter_needs_a_blank_between() -> None:
    certain = np.full((4, 3), -20, np.float32)
    for step, symbol in enumerate([1, 1, 0, 1]):
        certain[step, symbol] = 0.0
    assert best_path(certain) == [1, 1]
    assert prefix_beam(certain, beam=8)[0][0] == [1, 1]


def test_alignment_covers_the_steps_of_each_letter_in_order() -> None:
    certain = np.full((7, 3), -20, np.float32)
    for step, symbol in enumerate([0, 1, 1, 0, 2, 2, 0]):
        certain[step, symbol] = -0.01
    spans, confidence = align(certain, [1, 2])
    assert spans == [(1, 2), (4, 5)]
    assert confidence == pytest.approx([0.99, 0.99], abs=0.01)


def test_text_longer_than_the_line_is_aligned_with_no_confidence() -> None:
    spans, confidence = align(scores(1, steps=3), [1, 2, 3, 1, 2])
    assert len(spans) == 5
    assert (confidence == 0).all()


@pytest.mark.parametrize(
    ("text", "repeated"),
    [("the the the the the the", True), ("aaaaaaaaaaaaaaaaaaaa", True), ("Mississippi", False), ("1000000", False)],
)
def test_only_long_repetition_counts(text: str, repeated: bool) -> None:
    assert any(repeats([ord(c) for c in text[:end]]) for end in range(1, len(text) + 1)) is repeated
