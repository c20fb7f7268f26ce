"""Lines of a page become paragraphs, headings, columns, tables, forms and notes."""

import math

from text_recognizer.layout.blocks import arrange, join_pieces
from text_recognizer.page import Line, Page


def line(text, left, baseline, right=None, x_height=10.0, degrees=0.0):
    """A line of `text`, its outline 2.4 x-heights high, turned about the page's corner."""
    right = left + 0.6 * x_height * len(text) if right is None else right
    turn = math.radians(degrees)

    def at(x, y):
        return (x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn))

    top, foot = baseline - 1.7 * x_height, baseline + 0.7 * x_height
    outline = (at(left, top), at(right, top), at(right, foot), at(left, foot))
    ends = (at(left, baseline), at(right, baseline))
    return Line(text=text, polygon=outline, baseline=ends, confidence=0.9, words=())


def page_of(lines):
    arranged, blocks = arrange(lines)
    return Page(width=1000, height=1000, lines=arranged, blocks=blocks)


def kinds(page):
    return [(block.kind, page.lines[block.start].text) for block in page.blocks]


PROSE = "the garden was quiet in the early morning"


def table(degrees=0.0):
    rows = [["Item", "Qty", "Price"], ["Apples", "12", "$0.50"], ["Bread", "3", "$2.25"]]
    return [
        line(text, x, y, degrees=degrees)
        for y, row in zip((100, 140, 180), rows, strict=True)
        for x, text in zip((10, 150, 290), row, strict=True)
    ]


def test_blank_page_has_no_blocks():
    assert arrange([]) == ((), ())


def test_rows_of_a_table_are_one_line_of_text_with_tabs():
    page = page_of(table()[::-1])
    assert page.text == "Item\tQty\tPrice\nApples\t12\t$0.50\nBread\t3\t$2.25"
    assert [(b.kind, len(b.blocks)) for b in page.blocks] == [("table", 3)]
    assert {row.kind for row in page.blocks[0].blocks} == {"row"}


def test_a_form_is_labels_with_their_values():
    rows = [["Name:", "Mary Johnson"], ["Date of birth:", "12/03/1987"], ["Phone:", "555-0142"]]
    lines = [
        line(text, x, y)
        for y, row in zip((100, 150, 200), rows, strict=True)
        for x, text in zip((10, 290), row, strict=True)
    ]
    page = page_of(lines[::2] + lines[1::2])
    assert page.text == "Name: Mary Johnson\nDate of birth: 12/03/1987\nPhone: 555-0142"
    assert [block.kind for block in page.blocks] == ["row"] * 3


def test_a_page_on_its_side_has_the_same_blocks():
    for degrees in (8, 90, 180, -90):
        page = page_of(table(degrees)[::-1])
        assert page.text.startswith("Item\tQty\tPrice\nApples\t12"), degrees


def test_paragraphs_end_at_gaps_and_indents():
    first = [line(PROSE, 10, y, 500) for y in (100, 130, 160)]
    second = [line("a gap later", 10, y, 500) for y in (220, 250)]
    third = [line("indented", 50, 280, 500), line("as it goes on", 10, 310, 480)]
    page = page_of(first + second + third)
    assert kinds(page) == [("paragraph", PROSE), ("paragraph", "a gap later"), ("paragraph", "indented")]
    assert [(block.start, block.stop) for block in page.blocks] == [(0, 3), (3, 5), (5, 7)]


def test_larger_letters_and_room_around_make_a_heading():
    body = [line(PROSE, 10, y, 500) for y in (160, 190, 220)]
    assert kinds(page_of([line("Minutes", 10, 100, x_height=18), *body]))[0] == ("heading", "Minutes")
    assert kinds(page_of([line("Shopping list", 10, 100), *body]))[0] == ("heading", "Shopping list")
    for text in ("Dear Anna,", "- milk"):
        assert kinds(page_of([line(text, 10, 100), *body]))[0] == ("paragraph", text)


def test_items_of_a_list_are_a_block_of_their_own():
    texts = ["we need some things", "and cannot go", "- milk", "- eggs", "from the farm", "- tea"]
    lines = [line(text, 40 if text.startswith("from") else 10, 100 + 30 * n, 400) for n, text in enumerate(texts)]
    assert kinds(page_of(lines)) == [("paragraph", texts[0]), ("paragraph", "- milk")]


def test_columns_hold_their_paragraphs():
    left = [line(PROSE, 10, y, 250) for y in (100, 130, 160, 220, 250)]
    right = [line(PROSE, 300, y, 540) for y in (104, 133, 165, 195)]
    page = page_of(right + left)
    assert [(b.kind, b.start, b.stop, len(b.blocks)) for b in page.blocks] == [("column", 0, 5, 2), ("column", 5, 9, 1)]


def test_pieces_of_a_line_become_one_line_with_the_words_of_all():
    joined = join_pieces([line("a sloping", 10, 100), line("line", 70, 99)])
    assert joined.text == "a sloping line"
    assert (joined.baseline[0], joined.baseline[-1]) == ((10, 100), (94, 99))
    xs = [x for x, _ in joined.polygon]
    assert (min(xs), max(xs)) == (10, 94)
    # Clockwise as seen on the page: the shoelace sum is positive where y runs down.
    around = zip(joined.polygon, joined.polygon[1:] + joined.polygon[:1], strict=True)
    assert sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in around) > 0


def test_lines_without_places_keep_their_order():
    lines = [Line(text=text, polygon=(), baseline=(), confidence=1.0, words=()) for text in ("one", "two", "three")]
    assert [one.text for one in arrange(lines)[0]] == ["one", "two", "three"]
