"""Two lines on the same ink become one; lines of different writing stay."""

import time

from text_recognizer.layout.doubles import without_doubles
from text_recognizer.layout.finder import FoundLine


def line(left: float, right: float, baseline: float, x_height: float = 20.0) -> FoundLine:
    top, foot = baseline - 1.6 * x_height, baseline + 0.4 * x_height
    outline = ((left, top), (right, top), (right, foot), (left, foot))
    return FoundLine(outline, ((left, baseline), (right, baseline)), 0.9, x_height)


def height(found: FoundLine) -> float:
    ys = [y for _, y in found.polygon]
    return max(ys) - min(ys)


def test_what_both_cover_together_stays_where_it_is_worth_most():
    upper, lower = line(100, 160, 380), line(102, 154, 396)
    elsewhere = line(300, 360, 388)
    (both, other) = without_doubles([upper, elsewhere, lower], height)
    assert other is elsewhere or both is elsewhere
    merged = both if other is elsewhere else other
    assert height(merged) > height(upper)
    assert {y for _, y in merged.baseline} == {396.0}
    assert (merged.baseline[0][0], merged.baseline[-1][0]) == (100, 160)


def test_one_of_the_two_stays_where_it_is_worth_more():
    upper, lower = line(100, 160, 380), line(102, 154, 396)
    assert without_doubles([upper, lower], lambda found: 1.0 if found is lower else 0.0) == [lower]


def test_lines_of_a_page_cells_and_long_lines_stay():
    lines = [line(100, 160, 380), line(100, 160, 420), line(170, 230, 384), line(100, 500, 600), line(110, 500, 612)]
    assert without_doubles(lines, height) == lines


def test_digits_of_a_longer_cell_are_one_where_they_are_closer_than_they_are_high():
    found = [line(100, 280, 365), line(100, 290, 380)]
    assert without_doubles(found, lambda it: it.baseline[0][1]) == [found[1]]
    apart = [line(100, 280, 365), line(100, 290, 387)]
    assert without_doubles(apart, height) == apart


def test_a_thousand_cells_take_no_time():
    cells = [line(100 * x, 100 * x + 60, 50 * y) for x in range(20) for y in range(100)]
    begin = time.process_time()
    assert without_doubles(cells, height) == cells
    assert time.process_time() - begin < 5
