"""A page with a person's corrections: what stays in its place, and what shares one."""

import pytest

from text_recognizer.app.edits import corrected
from text_recognizer.page import Line, Page, Word


def box(left, right):
    return ((left, 10.0), (right, 10.0), (right, 40.0), (left, 40.0))


WORDS = tuple(
    Word(text=text, polygon=box(left, right), confidence=0.6)
    for text, left, right in (("one", 0.0, 30.0), ("too", 40.0, 70.0), ("three", 80.0, 130.0))
)
LINE = Line(
    text="one too three",
    polygon=box(0.0, 130.0),
    baseline=((0.0, 35.0), (130.0, 35.0)),
    confidence=0.6,
    words=WORDS,
    alternatives=("one two three", "on"),
)
PAGE = Page(width=200, height=100, lines=(LINE, LINE), model="m@1")


def spans(line):
    return [(word.text, min(x for x, _ in word.polygon), max(x for x, _ in word.polygon)) for word in line.words]


def edit(text):
    return corrected(PAGE, [text, LINE.text]).lines[0]


def test_what_was_not_touched_stays_as_it_is():
    assert corrected(PAGE, [LINE.text, LINE.text]) == PAGE


def test_word_for_word_each_keeps_its_place():
    line = edit("one two three")
    assert [word.polygon for word in line.words] == [word.polygon for word in WORDS]
    assert [word.confidence for word in line.words] == [0.6, 1.0, 0.6]
    assert line.alternatives == ("one too three", "on") and line.confidence == 1.0


def test_new_words_share_the_place_of_those_they_replace():
    line = edit("one a bb three")
    assert spans(line) == [
        ("one", 0, 30),
        ("a", 40, pytest.approx(47.5)),
        ("bb", pytest.approx(55), pytest.approx(70)),
        ("three", 80, 130),
    ]


@pytest.mark.parametrize(
    "text",
    ["new one too three", "one too three new", "one new too three", "a b c d e f", "one", "three", "x", "too one"],
)
def test_every_word_has_a_place_within_the_line_from_left_to_right(text):
    line = edit(text)
    assert [word.text for word in line.words] == text.split()
    places = spans(line)
    assert all(0 <= left < right <= 130.01 for _, left, right in places)
    assert [left for _, left, _ in places] == sorted(left for _, left, _ in places)


def test_emptied_line_goes_and_blanks_are_one():
    assert [line.text for line in corrected(PAGE, ["  ", "a \t b"]).lines] == ["a b"]


def test_as_many_texts_as_lines():
    with pytest.raises(ValueError):
        corrected(PAGE, ["one"])


def test_line_without_places_keeps_none():
    bare = Page(
        width=9,
        height=9,
        lines=(
            Line(
                text="a", polygon=(), baseline=(), confidence=0.5, words=(Word(text="a", polygon=(), confidence=0.5),)
            ),
        ),
        model="m@1",
    )
    assert corrected(bare, ["b c"]).lines[0].words == ()
