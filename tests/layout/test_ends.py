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


@pytest.mark.parametrize("x", [130, 20])
def test_signs_are_measured_by_their_own_line(x):
    """A number in a ring before a heading is larger than any sign of the small lines below it; nearness too."""
    page = Image.new("L", (700, 500), 250)
    pen = ImageDraw.Draw(page)
    pen.text((300, 60), "Tests", 30, font=ImageFont.load_default(80))
    pen.ellipse((x, 45, x + 110, 165), outline=30, width=5)
    lines = [_line(300, 480, 138, 42.0)]
    for k in range(3):
        pen.text((300, 250 + 60 * k), "check the value", 30, font=ImageFont.load_default(28))
        lines.append(_line(300, 500, 277 + 60 * k, 14.0))
    signed = with_signs(np.asarray(page), lines, lambda line: float(np.ptp(np.asarray(line.polygon)[:, 0])))
    assert [line.polygon[0][0] < 290 for line in signed] == [x > 100, False, False, False]


def _line(left: float, right: float, baseline: float, x_height: float) -> FoundLine:
    top, foot = baseline - 1.8 * x_height, baseline + 0.6 * x_height
    outline = ((left, top), (right, top), (right, foot), (left, foot))
    return FoundLine(outline, ((left, baseline), (right, baseline)), 1.0, x_height)
