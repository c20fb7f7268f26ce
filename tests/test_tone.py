"""Ink is dark and paper light in what is read, whatever their colours are and wherever they change sides."""

import time

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.images import load_image
from text_recognizer.reader import Reader

LINES = ("the garden was quiet", "in the early morning", "nobody had come")


def drawn(paper, ink, lines=LINES, size=(900, 320), at=30) -> Image.Image:
    image = Image.new("RGB", size, paper)
    for row, text in enumerate(lines):
        ImageDraw.Draw(image).text((40, at + 80 * row), text, ink, font=ImageFont.load_default(44))
    return image


@pytest.fixture(scope="module")
def reader(bundle_dir) -> Reader:
    return Reader(bundle_dir, 1)


@pytest.mark.parametrize(
    ("paper", "ink"),
    [((60, 90, 190), (180, 40, 50)), ((40, 130, 60), (160, 80, 40)), ((250, 250, 250), (255, 235, 60))],
    ids=["red on blue", "brown on green", "yellow on white"],
)
def test_ink_of_the_papers_brightness_is_read_by_its_colour(reader, paper, ink):
    assert reader.read(drawn(paper, ink), "fast").text.lower() == "\n".join(LINES)


@pytest.mark.parametrize("ink", [(20, 20, 20), (30, 40, 160), (180, 30, 30)], ids=["black", "blue", "red"])
def test_ink_on_white_paper_keeps_its_brightness(ink):
    page = drawn("white", ink)
    assert np.array_equal(load_image(page).gray, np.asarray(page.convert("L")))


@pytest.mark.parametrize("band", [(20, 20, 20), (30, 60, 150), (150, 30, 40)], ids=["black", "blue", "red"])
def test_light_line_on_a_dark_band_is_read(reader, band):
    page = drawn("white", "black", lines=LINES[1:], at=150)
    ImageDraw.Draw(page).rectangle((0, 10, 900, 100), band)
    ImageDraw.Draw(page).text((40, 25), LINES[0], "white", font=ImageFont.load_default(44))
    assert reader.read(page, "fast").text.lower() == "\n".join(LINES)


def test_short_thin_line_on_a_wide_dark_band_is_read(reader):
    """Its letters take less than a hundredth of the band."""
    page = drawn("white", "black", lines=LINES[1:], at=150)
    ImageDraw.Draw(page).rectangle((0, 10, 900, 120), (40, 40, 40))
    ImageDraw.Draw(page).text((40, 40), "the rain", (235, 235, 235), font=ImageFont.load_default(30))
    assert reader.read(page, "fast").text.lower() == "\n".join(("the rain", *LINES[1:]))


def test_dark_line_on_a_light_band_of_a_blackboard_is_read(reader):
    page = drawn((30, 40, 35), (235, 235, 235), lines=LINES[1:], at=150)
    ImageDraw.Draw(page).rectangle((30, 10, 800, 100), (240, 235, 225))
    ImageDraw.Draw(page).text((40, 25), LINES[0], "black", font=ImageFont.load_default(44))
    assert reader.read(page, "fast").text.lower() == "\n".join(LINES)


def test_dark_things_without_letters_and_frames_stay_as_they_are():
    page = drawn("white", "black")
    draw = ImageDraw.Draw(page)
    draw.rectangle((600, 20, 860, 120), "black")
    draw.rectangle((10, 10, 890, 310), outline="black", width=6)
    draw.ellipse((600, 160, 720, 280), "black")
    assert np.array_equal(load_image(page).gray, np.asarray(page.convert("L")))


def test_large_page_costs_little():
    page = np.full((2400, 1800, 3), 240, np.uint8)
    page[100::60, 100:1700] = 60
    begin = time.process_time()
    load_image(page)
    assert time.process_time() - begin < 2.0
