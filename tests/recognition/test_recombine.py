"""Texts put together from parts of others: edits, and that a ranking finds what no beam holds."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from text_recognizer.bundle import Bundle
from text_recognizer.recognition import recognizer as module
from text_recognizer.recognition.recognizer import Recognizer
from text_recognizer.recognition.recombine import Edit, apart, applied, differences

texts = st.lists(st.integers(4, 9), max_size=12)


@given(texts, texts)
def test_differences_turn_one_text_into_the_other(text: list[int], other: list[int]) -> None:
    edits = differences(text, other)
    assert applied(text, edits) == other
    assert (edits == []) == (text == other)
    assert apart(edits)[:1] == edits[:1]


def test_edits_are_parts() -> None:
    assert differences([1, 2, 3, 4, 5], [1, 9, 3, 4]) == [Edit(1, 2, (9,)), Edit(4, 5, ())]
    assert applied([1, 2, 3], [Edit(3, 3, (4,)), Edit(0, 1, (7, 8))]) == [7, 8, 2, 3, 4]


def test_edits_that_meet_are_not_apart() -> None:
    first, over, beside, far = Edit(2, 4, (1,)), Edit(3, 5, (2,)), Edit(4, 6, (3,)), Edit(7, 7, (4,))
    assert apart([first, over, beside, far]) == [first, far]


@pytest.fixture
def reader(bundle_dir, monkeypatch: pytest.MonkeyPatch) -> Recognizer:
    """A recogniser that likes exactly one text, which its search never finds."""
    recognizer = Recognizer(Bundle.open(bundle_dir), 1)
    wanted = ids("three warm towels")
    monkeypatch.setattr(module, "ctc_scores", lambda _, found: np.asarray([-distance(t, wanted) for t in found]))
    monkeypatch.setattr(
        Recognizer, "decoder_scores", lambda _, line, found: [np.full(len(t) + 1, -0.01, np.float32) for t in found]
    )
    monkeypatch.setattr(Recognizer, "language", None)
    monkeypatch.setattr(Recognizer, "neural", None)
    return recognizer


def ids(text: str) -> list[int]:
    return [ord(character) for character in text]


def distance(text: Sequence[int], wanted: Sequence[int]) -> float:
    same = sum(a == b for a, b in zip(text, wanted, strict=False))
    return float(max(len(text), len(wanted)) - same)


def test_best_text_is_made_of_parts_of_others(reader: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["threo warn towols", "three warn towols", "threo warm towols", "threo warn towels"]
    monkeypatch.setattr(Recognizer, "candidates", lambda *_: [ids(text) for text in found])
    ranked, probabilities = reader.rank(None, [None], [])  # type: ignore[arg-type, list-item]
    assert "".join(map(chr, ranked[0])) == "three warm towels"
    assert len(probabilities) == len(ranked[0])
    assert len(set(map(tuple, ranked))) == len(ranked) >= 4


def test_text_that_nothing_improves_stays(reader: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["three warm towels", "threo warn towels", "three warm towel"]
    monkeypatch.setattr(Recognizer, "candidates", lambda *_: [ids(text) for text in found])
    ranked, _ = reader.rank(None, [None], [])  # type: ignore[arg-type, list-item]
    assert "".join(map(chr, ranked[0])) == "three warm towels"
    assert {tuple(ids(text)) for text in found} <= set(map(tuple, ranked))
