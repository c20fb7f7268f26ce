"""Writing several times as large as the rest of a page is found beside it."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.layout.larger import larger_lines
from text_recognizer.reader import Reader

SMALL = ("the garden was quiet in the early", "morning and nobody had come to", "water the roses since sunday so", "we")


@pytest.fixture(scope="module")
def reader(bundle_dir) -> Reader:
    return Reader(bundle_dir, 1)


def drawn(heading: str = "", size: int = 90) -> np.ndarray:
    image = Image.new("L", (1000, 700), 250)
    pen = ImageDraw.Draw(image)
    for row, text in enumerate(SMALL):
        pen.text((120, 330 + 50 * row), text, 30, font=ImageFont.load_default(24))
    pen.text((90, 60), heading, 30, font=ImageFont.load_default(size))
    return np.asarray(image)


@pytest.mark.parametrize("size", [80, 110])
def test_large_words_are_found_where_only_small_ones_are_known(reader, size):
    page = drawn("Garden", size)
    known = [line for line in reader.line_finder.find(page) if min(y for _, y in line.polygon) > 250]
    found = larger_lines(page, known, reader.line_finder)
    assert len(found) == 1
    xs, ys = np.asarray(found[0].polygon).T
    assert 60 < xs.min() < 110 and ys.min() > 40 and ys.max() < 240


def test_page_of_one_size_has_no_larger_lines(reader):
    page = drawn()
    assert larger_lines(page, reader.line_finder.find(page), reader.line_finder) == []


def test_drawing_without_letters_gives_no_line(reader):
    image = Image.fromarray(drawn())
    ImageDraw.Draw(image).rectangle((100, 80, 290, 170), outline=30, width=5)
    ImageDraw.Draw(image).line((330, 60, 450, 200), fill=30, width=5)
    assert reader.read(np.asarray(image), "fast").text == "\n".join(SMALL)
