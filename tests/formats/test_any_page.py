"""Whatever a page holds, every format writes it, and what is XML stays XML."""

import io
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from text_recognizer import formats
from text_recognizer.page import Line, Page, Picture, Word

TEXT = st.text(st.characters(), max_size=12)  # control characters, half characters, emoji, right to left …
NUMBER = st.floats(width=32) | st.floats(-50, 500, width=32)
POINTS = st.lists(st.tuples(NUMBER, NUMBER), max_size=6).map(tuple)
WORDS = st.lists(st.builds(Word, text=TEXT, polygon=POINTS, confidence=st.floats()), max_size=3).map(tuple)
LINES = st.builds(
    Line,
    text=TEXT,
    polygon=POINTS,
    baseline=POINTS,
    confidence=st.floats(),
    words=WORDS,
    alternatives=st.lists(TEXT, max_size=2).map(tuple),
)
# Lines whose words make up their text, as those that were read have.
READ = WORDS.flatmap(
    lambda words: st.builds(
        Line,
        text=st.just(" ".join(word.text for word in words)),
        polygon=POINTS,
        baseline=POINTS,
        confidence=st.floats(0, 1),
        words=st.just(words),
    )
)
PAGES = st.builds(
    Page,
    width=st.integers(0, 2000),
    height=st.integers(0, 2000),
    lines=st.lists(LINES | READ, max_size=4).map(tuple),
    model=TEXT,
)


def _picture():
    out = io.BytesIO()
    Image.new("L", (20, 10), 200).save(out, "PNG")
    return Picture(out.getvalue())


PICTURE = _picture()


@pytest.mark.parametrize("name", [name for name in formats.NAMES if name != "json"])  # json has numbers as they are
@given(page=PAGES, source=TEXT)
def test_any_page_is_written(name, page, source):
    document = formats.get_format(name).write(page, source, PICTURE)
    if name in ("alto", "page", "hocr", "tei"):
        root = ET.fromstring(document)
        lines = [e for e in root.iter() if e.tag.endswith(("}TextLine", "}lb")) or e.get("class") == "ocr_line"]
        assert len(lines) == len(page.lines)
    elif not formats.get_format(name).is_binary:
        document.decode("utf-8")


@given(page=PAGES, source=TEXT)
def test_any_page_fits_the_schemas(schema, page, source):
    schema("alto-4-3.xsd", formats.get_format("alto").write(page, source))
    schema("pagecontent.xsd", formats.get_format("page").write(page, source))
