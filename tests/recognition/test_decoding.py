"""CTC decoding against definitions worked out by brute force."""

import itertools

import numpy as np
import pytest

from text_recognizer.recognition.decoding import align, best_path, ctc_scores, log_softmax, prefix_beam
from text_recognizer.recognition.recognizer import _loops


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


def test_repeated_letter_needs_a_blank_between() -> None:
    certain = np.full((4, 3), -20, np.float32)
    for step, symbol in enumerate([1, 1, 0, 1]):
        certain[step, symbol] = 0.0
    assert best_path(certain) == [1, 1]
    assert prefix_beam(certain)[0][0] == [1, 1]


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
    ("text", "loops"),
    [("the the the the the the", True), ("aaaaaaaaaaaaaaaaaaaa", True), ("Mississippi", False), ("1000000", False)],
)
def test_only_long_repetition_counts_as_a_loop(text: str, loops: bool) -> None:
    assert any(_loops([ord(c) for c in text[:end]]) for end in range(1, len(text) + 1)) is loops
