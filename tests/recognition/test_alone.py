"""Letters that stand for digits among numbers become digits; words stay words."""

import pytest

from text_recognizer.recognition.alone import numbers_of


def test_letters_among_lone_digits_are_digits():
    assert numbers_of(["O", "I", "2", "3", "4", "S", "6", "1O", "Total: 5 O"]) == [
        "0", "1", "2", "3", "4", "5", "6", "10", "Total: 5 O",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "texts", [["I", "O", "so"], ["I", "go", "to", "2", "3", "4"], ["O", "5"], [], ["2", "3", "ab"]]
)
def test_short_words_without_many_numbers_stay(texts):
    assert numbers_of(texts) == texts


def test_amounts_keep_their_marks():
    assert numbers_of(["$5.O", "3", "7", "4", "1O%"]) == ["$5.0", "3", "7", "4", "10%"]


def test_letter_in_a_column_of_numbers_is_a_digit():
    texts = ["Item", "Qty", "Price", "Bread", "2", "3.20", "Butter", "I", "1.95", "Eggs", "12", "4.l0", "Tea", "3"]
    spans = [(0.0, 50.0), (100.0, 130.0), (200.0, 250.0)] * 4 + [(0.0, 30.0), (100.0, 110.0)]
    read = numbers_of(texts, spans)
    assert read == [{"I": "1", "4.l0": "4.10"}.get(text, text) for text in texts]


def test_letter_in_a_column_of_words_stays():
    texts = ["Who", "2", "I", "3", "you", "4", "we", "6"]
    spans = [(0.0, 50.0), (100.0, 130.0)] * 4
    assert numbers_of(texts, spans) == texts
