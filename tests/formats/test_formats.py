"""A page as text and as JSON."""

import json
import os

import numpy as np
import pytest

from text_recognizer import formats
from text_recognizer.page import Line, Page, Word

BOX = ((1.0, 2.0), (np.float32(33.333333), 2.0), (33.3, 20.0), (1.0, 20.0))
PAGE = Page(
    width=640,
    height=480,
    lines=(
        Line(
            text="Café – “5 £”",
            polygon=BOX,
            baseline=((1.0, 15.0), (33.0, 15.04)),
            confidence=0.87654321,
            words=(Word(text="Café", polygon=BOX, confidence=0.9),),
            alternatives=("Cafe - 5 £",),
        ),
        Line(text='a "quoted\\" line', polygon=BOX, baseline=(), confidence=0.5, words=()),
    ),
    model="pen@0.1",
)
BLANK = Page(width=640, height=480, lines=(), model="pen@0.1")


def test_text_is_utf8_and_ends_with_a_line_feed():
    assert formats.get_format("text").write(PAGE, "p.png") == 'Café – “5 £”\na "quoted\\" line\n'.encode()


def test_blank_page_has_no_text():
    assert formats.get_format("text").write(BLANK, "p.png") == b""


def test_json_is_one_line_so_that_several_pages_make_json_lines():
    document = formats.get_format("json").write(PAGE, "p.png")
    assert document.count(b"\n") == 1
    assert document.endswith(b"\n")


def test_json_holds_what_the_documentation_says():
    page = json.loads(formats.get_format("json").write(PAGE, "p.png"))
    assert page == {
        "format": 1,
        "source": "p.png",
        "model": "pen@0.1",
        "language": "",
        "width": 640,
        "height": 480,
        "dpi": None,
        "embedded": False,
        "text": PAGE.text,
        "lines": [
            {
                "text": "Café – “5 £”",
                "confidence": 0.8765,
                "polygon": [[1.0, 2.0], [33.3, 2.0], [33.3, 20.0], [1.0, 20.0]],
                "baseline": [[1.0, 15.0], [33.0, 15.0]],
                "alternatives": ["Cafe - 5 £"],
                "words": [
                    {
                        "text": "Café",
                        "confidence": 0.9,
                        "polygon": [[1.0, 2.0], [33.3, 2.0], [33.3, 20.0], [1.0, 20.0]],
                    }
                ],
                "script": None,
                "struck": [],
            },
            {
                "text": 'a "quoted\\" line',
                "confidence": 0.5,
                "polygon": [[1.0, 2.0], [33.3, 2.0], [33.3, 20.0], [1.0, 20.0]],
                "baseline": [],
                "alternatives": [],
                "words": [],
                "script": None,
                "struck": [],
            },
        ],
        "blocks": [],
    }


def test_blank_page_is_json_without_lines():
    page = json.loads(formats.get_format("json").write(BLANK, ""))
    assert page["text"] == ""
    assert page["lines"] == []


@pytest.mark.parametrize("name", formats.NAMES)
def test_every_format_can_be_had_by_its_name(name):
    found = formats.get_format(name)
    assert found.name == name
    assert found.suffix.startswith(".")


def test_file_name_that_is_not_utf8_is_kept_in_json_and_breaks_nothing():
    name = os.fsdecode(b"p\xe9ge.png")
    assert json.loads(formats.get_format("json").write(PAGE, name))["source"] == name
    for other in ("text", "csv", "alto"):
        formats.get_format(other).write(PAGE, name).decode("utf-8")


def test_unknown_format_is_a_key_error():
    with pytest.raises(KeyError):
        formats.get_format("odt")
