"""The page's text is its lines in order."""

from text_recognizer.page import Line, Page


def test_text_is_one_line_a_line_in_reading_order():
    lines = tuple(
        Line(text=text, polygon=((0, 0), (9, 0), (9, 5)), baseline=((0, 4), (9, 4)), confidence=0.9, words=())
        for text in ("Dear Sir,", "all is well")
    )
    assert Page(width=10, height=10, lines=lines).text == "Dear Sir,\nall is well"


def test_blank_page_has_empty_text():
    assert Page(width=10, height=10, lines=()).text == ""
