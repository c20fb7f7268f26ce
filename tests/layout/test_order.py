"""Lines come in the order in which people read them."""

import time
from collections.abc import Iterable

import numpy as np

from text_recognizer.layout.order import LineBox, find_parts, reading_order


def box(left: float, right: float, middle: float, x_height: float = 10) -> LineBox:
    return LineBox(left, right, middle, x_height)


def shuffled(boxes: list[LineBox], seed: int = 0) -> list[int]:
    """The order found when the lines come in any order, named by their places in `boxes`."""
    turn = np.random.default_rng(seed).permutation(len(boxes))
    return [int(turn[i]) for i in reading_order([boxes[k] for k in turn])]


def keeps_order(boxes: list[LineBox]) -> bool:
    """Whether `boxes`, given in the order in which people read them, are found in that order."""
    return shuffled(boxes) == list(range(len(boxes)))


def column(left: float, right: float, middles: Iterable[float]) -> list[LineBox]:
    return [box(left, right, middle) for middle in middles]


def test_no_lines_have_no_order():
    assert reading_order([]) == []


def test_a_column_is_read_from_the_top():
    assert keeps_order(column(10, 200, range(20, 300, 30)))


def test_two_columns_are_read_one_after_the_other_though_their_lines_stand_level():
    left = column(10, 200, (20, 50, 80, 110))
    right = column(230, 420, (21, 49, 82, 109))
    assert keeps_order(left + right)


def test_a_heading_over_two_columns_comes_first_and_a_footer_last():
    heading = [box(10, 420, 20)]
    left = column(10, 200, (60, 90, 120))
    right = column(230, 420, (60, 90, 120))
    footer = [box(60, 400, 170)]
    assert keeps_order(heading + left + right + footer)


def test_three_columns():
    columns = [[box(x, x + 100, y) for y in (20, 50, 80)] for x in (0, 130, 260)]
    assert keeps_order([b for column in columns for b in column])


def test_a_date_on_the_right_is_read_before_the_letter_below_it():
    date, salutation = box(300, 420, 20), box(10, 120, 60)
    body = column(10, 420, (100, 130, 160))
    assert keeps_order([date, salutation, *body])


def test_pieces_on_one_height_are_read_from_left_to_right():
    assert shuffled([box(10, 100, 52), box(150, 250, 48), box(280, 400, 50), box(10, 300, 90)]) == [0, 1, 2, 3]


def test_short_lines_and_indents_are_not_columns():
    lines = [
        box(60, 400, 20),
        box(10, 400, 50),
        box(10, 130, 80),
        box(60, 400, 110),
        box(10, 380, 140),
        box(250, 400, 170),
    ]
    assert keeps_order(lines)


def test_a_long_line_of_the_left_column_below_the_right_one_stays_in_its_column():
    left = [box(10, 150 + 7 * n, y) for n, y in enumerate((20, 50, 80, 110, 140))]
    left += [box(20, 330, 170), box(20, 300, 200), box(10, 120, 230)]
    right = column(220, 400, (25, 53, 84))
    assert keeps_order(left + right)


def test_a_line_that_begins_in_the_gutter_stays_in_its_column_beside_near_lines_of_the_other():
    ends = (90, 46), (60, 51), (90, 73), (90, 99), (80, 110), (90, 131), (88, 147), (90, 162)
    left = [box(20, end, y, 3) for end, y in ends]
    right = [box(106, 130, 37, 3), box(111, 140, 44, 3), box(98, 117, 60, 3), box(86, 161, 69, 3), box(99, 151, 77, 3)]
    right += [box(99, 178, 85, 3), box(117, 157, 93, 3)]
    assert keeps_order(left + right)


def test_a_line_that_reaches_into_the_gutter_ends_no_column():
    left = column(10, 200, (20, 50, 80, 110, 140))
    left[2] = box(10, 245, 80)
    right = column(230, 420, (20, 50, 110, 140))
    assert keeps_order(left + right)


def test_lines_of_two_columns_that_were_found_as_one_leave_the_others_in_their_columns():
    left = column(10, 200, (20, 50, 80, 110, 140))
    left[2] = box(10, 420, 80)
    right = column(230, 420, (20, 50, 110, 140))
    assert keeps_order(left + right)


def test_a_letter_below_the_columns_of_its_head_is_not_a_column():
    head = [box(x, x + 90, y + x // 50, 5) for x in (10, 330) for y in (20, 34, 48)]
    body = column(10, 400, range(80, 320, 30))
    assert keeps_order([*head, *body])


def test_a_heading_amid_columns_ends_them():
    above = [box(x, x + 190, y) for x in (10, 230) for y in (20, 50, 80)]
    below = [box(x, x + 190, y) for x in (10, 230) for y in (190, 220, 250)]
    assert keeps_order([*above, box(60, 380, 135), *below])


def test_headings_beside_what_is_indented_below_them_are_not_a_column():
    lines = [
        box(10, 60, 20),
        box(80, 300, 45),
        box(80, 300, 70),
        box(10, 60, 110),
        box(80, 300, 135),
        box(80, 300, 160),
    ]
    assert keeps_order(lines)


def test_cells_on_common_baselines_are_read_row_by_row_and_prose_is_not():
    texts = [["Item", "Qty", "Price"], ["Apples", "12", "$0.50"], ["Bread", "3", "$2.25"]]
    cells = [
        LineBox(x, x + 12 * len(text), y + 0.5 * (x // 150), 10, 0.0, text)
        for y, row in zip((100, 140, 180), texts, strict=True)
        for x, text in zip((10, 150, 290), row, strict=True)
    ]
    before, after = box(10, 420, 40), box(10, 420, 230)
    assert keeps_order([before, *cells, after])
    assert [part.kind for part in find_parts([before, *cells, after])] == ["text", "table", "text"]
    words = "and nobody had come to water the roses"
    prose = [LineBox(x, x + 190, y, 10, 0.0, words) for x in (10, 230) for y in (20, 50, 80)]
    assert keeps_order(prose)


def test_labels_are_read_with_their_values():
    form = [
        LineBox(x, x + 12 * len(text), y, 10, 0.0, text)
        for y, row in ((20, ["Name:", "Mary Johnson"]), (70, ["Date of birth:", "12/03/87"]), (120, ["Phone:", "555"]))
        for x, text in zip((10, 230), row, strict=True)
    ]
    assert keeps_order(form)


def test_values_in_a_hand_stand_a_little_off_their_printed_labels():
    """Hands have an x-height of their own, and the slope of a short word leads astray far from it."""
    rows = (
        ("Name:", "Anna Miller", 0.01),
        ("Date:", "12 May 2021", 0.02),
        ("City:", "Rome", -0.03),
        ("Sum:", "48.50", 0),
    )
    form = []
    for y, (label, value, slope) in zip((20, 120, 220, 320), rows, strict=True):
        form += [LineBox(10, 80, y, 12, slope, label), LineBox(400, 400 + 12 * len(value), y + 8, 14, -slope, value)]
    assert keeps_order(form)
    dense = [LineBox(x, x + 190, y + x // 32, 10, 0.0, "12") for x in (10, 330) for y in (20, 50, 80)]
    assert keeps_order(dense), "columns whose lines are as far off are no rows"


def test_values_all_written_higher_than_their_labels_are_in_their_rows():
    values = ("Anna Miller", "12 May 2021", "Rome", "48.50")
    form = []
    rows = zip((40, 140, 240, 340), ("Name:", "Date:", "City:", "Sum:"), values, strict=True)
    for y, label, value in rows:
        form += [LineBox(10, 80, y, 14, 0.0, label), LineBox(400, 400 + 12 * len(value), y - 20, 20, 0.0, value)]
    assert keeps_order(form)
    prose = [
        LineBox(x, x + 290, y + x // 25, 10, 0.0, "several words in each of the lines")
        for x in (10, 330)
        for y in (20, 80, 140, 200)
    ]
    assert keeps_order(prose), "columns of prose stay columns"


def test_an_empty_cell_does_not_move_the_others():
    cells = [LineBox(x, x + 30, y, 10, 0.0, "12") for y in (20, 60, 100, 140) for x in (10, 110, 210)]
    del cells[4]
    assert keeps_order(cells)


def test_a_note_in_the_margin_is_read_beside_the_line_where_it_begins():
    main = column(100, 420, range(20, 260, 30))
    note = [box(5, 60, 113, 8), box(5, 70, 133, 8), box(5, 50, 153, 8)]
    order = [*main[:3], *note, *main[3:]]
    assert keeps_order(order)
    assert [part.kind for part in find_parts(order)] == ["text", "margin", "text"]


def test_pieces_of_a_sloping_line_are_one_row():
    pieces = [LineBox(10, 100, 50, 10, -0.2), LineBox(105, 200, 30, 10, -0.2), LineBox(206, 300, 10, 10, -0.2)]
    assert find_parts([pieces[1], pieces[2], pieces[0]])[0].rows == ((2, 0, 1),)


def test_a_page_of_many_lines_takes_seconds_at_most():
    boxes = [box(x, x + 100, y) for x in range(0, 1000, 120) for y in range(20, 3000, 40)]
    begin = time.process_time()
    assert sorted(reading_order(boxes)) == list(range(len(boxes)))
    assert time.process_time() - begin < 20


def test_two_notes_in_the_margin_are_read_where_each_begins():
    main = column(100, 400, range(20, 500, 30))
    upper = column(10, 70, (52, 74))
    lower = column(10, 70, (352, 374))
    parts = find_parts([*main, *upper, *lower])
    assert [part.kind for part in parts] == ["text", "margin", "text", "margin", "text"]
    assert parts[1].indices() == [16, 17]
    assert parts[3].indices() == [18, 19]


def test_first_word_that_stands_apart_stays_with_its_line_beside_a_note():
    main = column(100, 400, range(20, 500, 30))
    word, note = box(10, 70, 50), column(10, 70, (352, 374))
    found = reading_order([*main, word, *note])
    assert found.index(16) + 1 == found.index(1)  # before the second line
    assert found.index(17) + 1 == found.index(18)


def test_what_is_narrower_than_a_gutter_is_on_one_side_of_it():
    """It stood on both, was joined with itself, and so on until the memory was full."""
    narrow = [box(350, 353, 160), box(375, 377, 180), box(370, 372, 280)]
    order = reading_order([*narrow, box(5, 305, 180), box(95, 395, 320)])
    assert sorted(order) == [0, 1, 2, 3, 4]


def test_time_grows_little_faster_than_the_number_of_lines():
    """A page of a directory: all pairs of its lines would be 25 million."""
    rows = [
        LineBox(600.0 * k + i % 7, 600.0 * k + 480, 100.0 + 30 * i + 3 * k, 10.0) for k in range(3) for i in range(1700)
    ]
    begin = time.process_time()
    assert reading_order(rows) == list(range(len(rows)))
    assert time.process_time() - begin < 15
