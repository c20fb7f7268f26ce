"""Bullets and numbers that the line finder left out are added to their line; what is no sign is not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.layout.crops import crop_line
from text_recognizer.layout.ends import with_signs
from text_recognizer.layout.finder import FoundLine
from text_recognizer.reader import Reader

TEXT = "water the roses"


@pytest.fixture(scope="module")
def reader(bundle_dir) -> Reader:
    return Reader(bundle_dir, 1)


def found(reader: Reader, sign: str, x: int, y: int = 100) -> tuple[str, bool]:
    """What is read with a sign at (x, y) that the finder does not know, and whether the line became longer."""
    page = Image.new("L", (700, 240), 250)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(36)
    pen.text((200, 100), TEXT, 30, font=font)
    (line,) = reader.line_finder.find(np.asarray(page))
    if sign == "hole":
        pen.ellipse((x, y + 12, x + 25, y + 37), fill=60)
    else:
        pen.text((x, y), sign, 30, font=font)
    image = np.asarray(page)

    def crop(line: FoundLine) -> np.ndarray:
        return crop_line(image, line.polygon, line.baseline, 48)

    def worth(line: FoundLine) -> float:
        return float((reader.recognizer.ctc_probabilities([crop(line)]) - 0.5).sum())

    (longer,) = with_signs(image, [line], worth)
    assert np.diff([px for px, _ in longer.baseline]).min() > 0
    return reader.recognizer.read_lines([crop(longer)], "fast")[0].text, longer != line


@pytest.mark.parametrize(("sign", "x"), [("5)", 130), ("-", 160), ("3.", 140)])
def test_sign_before_a_line_becomes_its_beginning(reader, sign, x):
    assert found(reader, sign, x) == (f"{sign} {TEXT}", True)


def test_sign_after_a_line_becomes_its_end(reader):
    assert found(reader, "?", 475) == (f"{TEXT} ?", True)


@pytest.mark.parametrize(
    ("sign", "x", "y"), [("5)", 20, 100), ("5", 150, 20), ("5", 150, 170), ("/\\", 150, 128), ("hole", 150, 100)]
)
def test_other_marks_stay_outside(reader, sign, x, y):
    assert found(reader, sign, x, y) == (TEXT, False)


def test_line_that_is_worth_no_more_stays(reader):
    page = Image.new("L", (700, 240), 250)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(36)
    pen.text((200, 100), TEXT, 30, font=font)
    lines = reader.line_finder.find(np.asarray(page))
    pen.text((150, 100), "5", 30, font=font)
    assert with_signs(np.asarray(page), lines, lambda line: 1.0) == lines
