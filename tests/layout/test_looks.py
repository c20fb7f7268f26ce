"""Writing of any size, skew and shape of dots is found: where the first look reads badly, others are taken."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.layout.looks import find_lines
from text_recognizer.layout.skew import lies_on_side
from text_recognizer.reader import Reader

NOTE = ("dear Emma", "bring bread", "and some tea", "love Peter")


@pytest.fixture(scope="module")
def reader(bundle_dir) -> Reader:
    return Reader(bundle_dir, 1)


def drawn(lines, size, shape, at=(30, 20), step=1.5) -> np.ndarray:
    image = Image.new("L", shape, 250)
    for row, text in enumerate(lines):
        ImageDraw.Draw(image).text((at[0], at[1] + step * size * row), text, 30, font=ImageFont.load_default(size))
    return np.asarray(image)


def test_rising_word_in_a_small_picture_is_not_read_sideways(reader):
    word = cv2.imread(str(Path(__file__).parent / "rising_word.png"), cv2.IMREAD_GRAYSCALE)
    picture = np.pad(word, ((30, 110), (10, 200)), constant_values=248)
    assert reader.read(picture, "fast").text == "yes"


def test_note_that_fills_the_picture_is_read(reader):
    assert reader.read(drawn(NOTE, 110, (720, 660)), "fast").text == "\n".join(NOTE)


@pytest.mark.parametrize("word", ["Hello", "garden"])
def test_word_that_fills_the_picture_is_read_at_its_place(reader, word):
    page = reader.read(drawn([word], 150, (600, 300), (60, 60)), "fast")
    assert page.text == word
    xs, ys = np.asarray(page.lines[0].polygon).T
    assert 20 < xs.min() < 100 and 300 < xs.max() <= 600
    assert 0 <= ys.min() < 130 and 160 < ys.max() <= 300


@pytest.mark.parametrize("degrees", [-160, -125, -105, -75, -60, -35, -18, 18, 30, 60, 75, 105, 125, 150])
def test_page_at_any_angle_reads_as_level(reader, degrees):
    page = drawn(NOTE, 40, (420, 300))
    around = cv2.copyMakeBorder(page, 150, 150, 150, 150, cv2.BORDER_CONSTANT, value=250)
    turn = cv2.getRotationMatrix2D((360, 300), degrees, 1)
    turned = cv2.warpAffine(around, turn, (720, 600), flags=cv2.INTER_CUBIC, borderValue=250)
    assert reader.read(turned, "fast").text == "\n".join(NOTE)


def test_fax_of_half_the_lines_reads_as_the_page(reader):
    page = drawn(NOTE, 44, (560, 320))
    fax = cv2.resize(page, None, fx=1, fy=0.5, interpolation=cv2.INTER_AREA)
    read = reader.read(fax, "fast")
    assert read.text == "\n".join(NOTE)
    assert max(y for line in read.lines for _, y in line.polygon) <= fax.shape[0]


def test_digits_that_stand_alone_are_found(reader):
    image = Image.new("L", (1000, 500), 250)
    for place in range(20):
        x, y = 80 + 190 * (place % 5), 40 + 110 * (place // 5)
        ImageDraw.Draw(image).text((x, y), "2345678923"[place % 10], 20, font=ImageFont.load_default(40))
    found = reader.read(image, "fast").text.split()
    assert len(found) >= 18
    assert sum(text in "23456789" for text in found) >= 17


@pytest.mark.parametrize("quarters", [1, 3])
def test_page_on_its_side_without_a_found_line_is_looked_at_on_the_other_side(reader, quarters):
    text = "we met in the garden at noon and went home"
    page = drawn([text, text], 20, (900, 1100), (60, 60))
    turned = np.ascontiguousarray(np.rot90(page, quarters))
    assert len(reader.line_finder.find(turned)) == 0
    assert reader.read(turned, "fast").text.splitlines() == [text, text]
    assert reader.orientation(turned).degrees == 90 * quarters


@pytest.mark.parametrize(("character", "size"), [("7", 60), ("K", 90), ("4", 30)])
def test_lone_character_on_a_sheet_is_read(reader, character, size):
    page = Image.new("L", (900, 700), 245)
    ImageDraw.Draw(page).text((400, 300), character, 30, font=ImageFont.load_default(size))
    assert reader.read(page, mode="fast").text == character


def test_lone_doubtful_character_is_no_writing(reader):
    """As a photograph may have by chance; with more beside it, it would be read."""
    page = drawn(["hello"], 40, (500, 300), (100, 100))

    def found(*chances: float) -> int:
        """How many lines are found where the recogniser sees characters of these probabilities in each."""
        return len(find_lines(page, reader.line_finder, lambda crops: np.asarray(chances * len(crops), np.float32), 48))

    assert found(0.95) == 1
    assert found(0.85) == 0
    assert found(0.85, 0.85, 0.85) == 1


def test_grid_of_digits_is_not_taken_for_a_page_on_its_side(reader):
    """Its columns are as straight as lines."""
    digits = [str(place % 4 + 4) for place in range(36)]
    image = Image.new("L", (900, 1200), 250)
    for place, digit in enumerate(digits):
        x, y = 100 + 210 * (place % 4), 50 + 125 * (place // 4)
        ImageDraw.Draw(image).text((x, y), digit, 20, font=ImageFont.load_default(60))
    assert lies_on_side(np.asarray(image))
    assert reader.read(image, "fast").text.split() == digits
