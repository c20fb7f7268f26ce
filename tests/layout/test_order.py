"""Lines come in the order in which people read them."""

import numpy as np

from text_recognizer.layout.order import LineBox, reading_order


def box(left: float, right: float, middle: float, x_height: float = 10) -> LineBox:
    return LineBox(left, right, middle, x_height)


def shuffled(boxes: list[LineBox], seed: int = 0) -> list[int]:
    """The order found when the lines come in any order, named by their places in `boxes`."""
    turn = np.random.default_rng(seed).permutation(len(boxes))
    return [int(turn[i]) for i in reading_order([boxes[k] for k in turn])]


def test_no_lines_have_no_order():
    assert reading_order([]) == []


def test_a_column_is_read_from_the_top():
    assert shuffled([box(10, 200, y) for y in range(20, 300, 30)]) == list(range(10))


def test_two_columns_are_read_one_after_the_other_though_their_lines_stand_level():
    left = [box(10, 200, y) for y in (20, 50, 80, 110)]
    right = [box(230, 420, y) for y in (21, 49, 82, 109)]
    assert shuffled(left + right) == list(range(8))


def test_a_heading_over_two_columns_comes_first_and_a_footer_last():
    heading = [box(10, 420, 20)]
    left = [box(10, 200, y) for y in (60, 90, 120)]
    right = [box(230, 420, y) for y in (60, 90, 120)]
    footer = [box(60, 400, 170)]
    assert shuffled(heading + left + right + footer) == list(range(8))


def test_three_columns():
    columns = [[box(x, x + 100, y) for y in (20, 50, 80)] for x in (0, 130, 260)]
    assert shuffled([b for column in columns for b in column]) == list(range(9))


def test_a_date_on_the_right_is_read_before_the_letter_below_it():
    date, salutation = box(300, 420, 20), box(10, 120, 60)
    body = [box(10, 420, y) for y in (100, 130, 160)]
    assert shuffled([date, salutation, *body]) == list(range(5))


def test_pieces_on_one_height_are_read_from_left_to_right():
    assert shuffled([box(10, 100, 52), box(150, 250, 48), box(280, 400, 50), box(10, 300, 90)]) == [0, 1, 2, 3]


def test_short_lines_and_indents_are_no_columns():
    lines = [
        box(60, 400, 20),
        box(10, 400, 50),
        box(10, 130, 80),
        box(60, 400, 110),
        box(10, 380, 140),
        box(250, 400, 170),
    ]
    assert shuffled(lines) == list(range(6))
