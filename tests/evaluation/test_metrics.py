"""Error rates of known texts, and what they must be for any texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from text_recognizer.evaluation.metrics import Normalisation, any_order, calibration, errors, rate, words_right

texts = st.text(alphabet="ab c’-", max_size=30)


@pytest.mark.parametrize(
    ("truth", "read", "characters", "words"),
    [
        ("the cat", "the cat", 0, 0),
        ("the cat", "the cut", 1, 1),
        ("the cat", "thecat", 1, 2),
        ("the cat", "", 7, 2),
        ("line one\nline two", "line one line two", 0, 0),
        ("it’s “fine” – yes…", 'it\'s "fine" - yes...', 0, 0),
        ("The Cat", "the cat", 2, 2),
    ],
)
def test_edits_of_known_texts(truth: str, read: str, characters: int, words: int) -> None:
    found = errors(truth, read)
    assert (found.character_edits, found.word_edits) == (characters, words)


def test_switches_of_normalisation() -> None:
    assert errors("The Cat.", "the cat", Normalisation(case=True, punctuation=True)).character_edits == 0
    assert errors("it’s", "it's", Normalisation(quotes=False)).character_edits == 1


@given(texts, texts)
def test_edits_are_none_only_for_equal_texts_and_never_more_than_the_longer(truth: str, read: str) -> None:
    found = errors(truth, read)
    same = Normalisation()(truth) == Normalisation()(read)
    assert (found.character_edits == 0) == same
    assert found.character_edits <= max(found.characters, len(Normalisation()(read)))


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(5, 9), st.sampled_from("abc")), min_size=1, max_size=20))
def test_interval_holds_the_range_of_the_writers(samples: list[tuple[int, int, str]]) -> None:
    edits, lengths, writers = zip(*samples, strict=True)
    found = rate(edits, lengths, writers, draws=50)
    assert found.value == pytest.approx(sum(edits) / sum(lengths))
    per_writer = [
        sum(e for e, _, w in samples if w == v) / sum(n for _, n, w in samples if w == v) for v in set(writers)
    ]
    assert min(per_writer) - 1e-9 <= found.low <= found.high <= max(per_writer) + 1e-9


def test_interval_is_wide_when_writers_differ_and_narrow_when_they_do_not() -> None:
    alike = rate([1] * 20, [10] * 20, [str(i) for i in range(20)])
    apart = rate([0, 2] * 10, [10] * 20, [str(i) for i in range(20)])
    assert alike.high - alike.low < 1e-9
    assert apart.high - apart.low > 0.03


def test_words_are_right_at_their_place_only() -> None:
    assert words_right("the cat sat", ["the", "cut", "sat"]) == [True, False, True]
    assert words_right("the cat sat", ["cat", "sat", "the"]) == [True, True, False]
    assert words_right("", ["ghost"]) == [False]


def test_calibration_counts_words_in_their_bins() -> None:
    table = calibration([0.95, 0.99, 1.0, 0.2], [True, True, False, False])
    assert table == [(0.2, 0.3, 1, 0.0), (0.9, 1.0, 3, pytest.approx(2 / 3))]


def test_lines_in_any_order_are_paired_with_fewest_edits() -> None:
    truth = ["the cat", "a dog", "birds"]
    assert any_order(truth, ["birds", "the cat", "a dog"]) == (0, 17)
    assert any_order(truth, ["a fog", "the cat"]) == (1 + 5, 17)
    assert any_order(truth, [*truth, "ghost"]) == (5, 17)
    assert any_order(truth, []) == (17, 17)
    assert any_order([], ["ghost"]) == (5, 0)


@given(st.lists(texts, max_size=5), st.lists(texts, max_size=5), st.randoms())
def test_any_order_knows_no_order_and_is_never_more_than_all_lines(truth: list, read: list, random: object) -> None:
    edits, characters = any_order(truth, read)
    shuffled = random.sample(read, len(read))  # type: ignore[attr-defined]
    assert any_order(truth, shuffled) == (edits, characters)
    assert edits <= characters + sum(len(Normalisation()(r)) for r in read)
    assert any_order(truth, list(reversed(truth)))[0] == 0
