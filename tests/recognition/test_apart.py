"""Digits in a row of cells are apart in the text; those of a number are not, nor are spaced letters."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.bundle import Bundle
from text_recognizer.recognition.recognizer import Recognizer


@pytest.fixture(scope="module")
def recognizer(bundle_dir) -> Recognizer:
    return Recognizer(Bundle.open(bundle_dir), 1)


def row(text: str, size: int, step: float) -> np.ndarray:
    """A line (48, W) with a character at every so many times the size of its font."""
    font = ImageFont.load_default(size)
    image = Image.new("L", (round(step * size * len(text)) + 30, 60), 250)
    for place, character in enumerate(text):
        ImageDraw.Draw(image).text((15 + place * step * size, 30), character, 30, font=font, anchor="lm")
    return np.asarray(image.resize((image.width * 48 // 60, 48)))


@pytest.mark.parametrize("mode", ["fast", "accurate"])
@pytest.mark.parametrize(("text", "step", "read"), [
    ("47825", 2.6, "4 7 8 2 5"), ("47825", 0.62, "47825"), ("house", 0.8, "house"),
])  # fmt: skip
def test_digits_far_apart_are_no_number(recognizer, text, step, read, mode):
    (line,) = recognizer.read_lines([row(text, 34, step)], mode)
    assert line.text == read
    assert [word.text for word in line.words] == read.split()
    ends = [end for word in line.words for end in (word.start, word.end)]
    assert ends == sorted(ends)
