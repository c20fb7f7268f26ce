"""The page's text is its lines in order."""

from text_recognizer.page import Line, Page


def test_text_is_one_line_a_line_in_reading_order():
    lines = tuple(
        Line(text, ((0, 0), (9, 0), (9, 5)), ((0, 4), (9, 4)), 0.9, ()) for text in ("Dear Sir,", "all is well")
    )
    assert Page(10, 10, lines).text == "Dear Sir,\nall is well"


def test_blank_page_has_empty_text():
    assert Page(10, 10, ()).text == ""
