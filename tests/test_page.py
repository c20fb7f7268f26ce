"""The page's text is its lines in order, and its blocks hold them."""

import pytest

from text_recognizer.formats.json_lines import from_dict, to_dict
from text_recognizer.page import Block, Line, Page


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


def line(text):
    return Line(text=text, polygon=(), baseline=(), confidence=0.9, words=())


def rows(*ranges):
    return tuple(Block(kind="row", start=start, stop=stop) for start, stop in ranges)


BLOCKS = (
    Block(kind="heading", start=0, stop=1),
    Block(kind="table", start=1, stop=5, blocks=rows((1, 3), (3, 5))),
    *rows((5, 7)),
    Block(kind="column", start=7, stop=8, blocks=(Block(kind="paragraph", start=7, stop=8),)),
)
PAGE = Page(width=9, height=9, lines=tuple(map(line, "HabcdxyZ")), blocks=BLOCKS)


def test_cells_of_a_row_are_on_one_line():
    assert PAGE.text == "H\na\tb\nc\td\nx y\nZ"
    assert PAGE.rows()[1] == ("a\tb", 1, 3)


def test_blocks_keep_their_lines_when_others_go():
    changed = PAGE.with_lines([None if one.text in "Ha" else line(one.text.upper()) for one in PAGE.lines])
    assert changed.text == "B\nC\tD\nX Y\nZ"
    assert [block.kind for block in changed.blocks] == ["table", "row", "column"]
    with pytest.raises(ValueError, match="2 lines for a page of 8"):
        PAGE.with_lines([None, None])


def test_blocks_are_in_json_unless_they_are_of_other_lines():
    written = to_dict(PAGE)
    assert from_dict(written) == PAGE
    assert written["blocks"][2] == {"kind": "row", "start": 5, "stop": 7}
    assert from_dict({**written, "lines": written["lines"][1:]}).blocks == ()
    assert from_dict({key: value for key, value in written.items() if key != "blocks"}).blocks == ()
