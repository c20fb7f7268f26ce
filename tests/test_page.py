"""The page's text is its lines in order."""

import pytest

from text_recognizer.page import Line, Page


def test_text_is_one_line_a_line_in_reading_order():
    lines = tuple(
        Line(text=text, polygon=((0, 0), (9, 0), (9, 5)), baseline=((0, 4), (9, 4)), confidence=0.9, words=())
        for text in ("Dear Sir,", "all is well")
    )
    assert Page(width=10, height=10, lines=lines).text == "Dear Sir,\nall is well"


@pytest.mark.parametrize(
    ("baseline", "degrees"),
    [
        (((0, 5), (9, 5)), 0), (((9, 5), (0, 5)), 180), (((5, 9), (5, 0)), 90), (((5, 0), (5, 9)), 270),
        (((0, 5), (9, 8)), 0), ((), 0), (((3, 3),), 0), (((float("nan"), 0), (5, 9)), 0),
    ],
)  # fmt: skip
def test_orientation_is_the_turn_after_which_lines_run_to_the_right(baseline, degrees):
    line = Line(text="a", polygon=((0, 0), (9, 0), (9, 9)), baseline=baseline, confidence=0.9, words=())
    assert Page(width=10, height=10, lines=(line,)).orientation == degrees


def test_blank_page_has_empty_text():
    assert Page(width=10, height=10, lines=()).text == ""
