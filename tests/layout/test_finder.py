"""The shipped line finder on pages with text, and on images without any."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.bundle import Bundle
from text_recognizer.images import load_image
from text_recognizer.layout.finder import LineFinder


@pytest.fixture(scope="module")
def finder(bundle_dir: Path) -> LineFinder:
    bundle = Bundle.open(bundle_dir)
    return LineFinder(bundle.session("line_finder", 1), bundle.description.line_finder)


def ruled(height: int = 600, width: int = 500) -> np.ndarray:
    page = np.full((height, width), 240, np.uint8)
    page[60::40] = 150
    page[:, 70] = 120
    return page


@pytest.mark.parametrize(
    "image",
    [
        np.full((700, 500), 255, np.uint8),
        np.zeros((700, 500), np.uint8),
        np.full((300, 400), 128, np.uint8),
        np.full((1, 900), 200, np.uint8),
        np.full((900, 1), 200, np.uint8),
        np.full((1, 1), 0, np.uint8),
        np.random.default_rng(0).normal(228, 4, (600, 500)).clip(0, 255).astype(np.uint8),
        ruled(),
    ],
    ids=["white", "black", "gray", "1 × N", "N × 1", "one pixel", "grain", "ruled"],
)
def test_an_image_without_text_has_no_lines(finder, image):
    assert finder.find(image) == []


def test_lines_of_a_page_come_in_order_with_polygons_around_them(finder, drawn):
    lines = finder.find(drawn)
    assert len(lines) == 3
    for row, line in enumerate(lines):
        y = 60 + 70 * row
        base = np.array(line.baseline)
        assert np.abs(base[:, 1] - y).max() < 12
        assert np.all(np.diff(base[:, 0]) > 0)
        polygon = np.array(line.polygon)
        assert polygon[:, 1].min() < y - 15 and polygon[:, 1].max() > y
        assert polygon.min() >= 0 and polygon[:, 0].max() <= 480 and polygon[:, 1].max() <= 240
        assert cv2.contourArea(polygon.astype(np.float32), oriented=True) > 0  # clockwise, as y points down
        assert 0 < line.confidence <= 1
        assert 6 < line.x_height < 30


def test_a_single_line_fills_its_image(finder, drawn):
    lines = finder.find(np.ascontiguousarray(drawn[20:90]))
    assert len(lines) == 1
    assert np.ptp(np.array(lines[0].baseline)[:, 0]) > 200


def test_large_writing_and_small_writing_are_found_too(finder, drawn):
    for factor in (0.5, 5.0):
        page = cv2.resize(
            drawn, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        )
        assert len(finder.find(np.asarray(page, np.uint8))) == 3


def test_the_same_page_gives_the_same_lines(finder, drawn):
    assert finder.find(drawn) == finder.find(drawn.copy())


def test_a_letter_of_1905(finder, letter):
    gray = load_image(letter).gray
    lines = finder.find(gray)
    assert 12 <= len(lines) <= 16  # 13 lines; the signature and marks of the archive may count
    tops = [np.array(line.baseline)[:, 1].mean() for line in lines]
    assert np.mean(np.diff(tops) > 0) > 0.9


def test_large_page_is_seen_in_halves_as_it_is_seen_whole(finder, monkeypatch):
    page = np.random.default_rng(0).integers(0, 256, (900, 300)).astype(np.uint8)
    whole, _ = finder.maps(page, 1.0)
    monkeypatch.setattr("text_recognizer.layout.finder.AT_ONCE", 200_000)
    halves, _ = finder.maps(page, 1.0)
    assert np.array_equal(whole, halves)
    monkeypatch.setattr("text_recognizer.layout.finder.SEEN", 0)
    assert not np.array_equal(whole, finder.maps(page, 1.0)[0])


def test_a_dusty_empty_sheet_is_looked_at_once(finder, monkeypatch):
    chance = np.random.default_rng(0)
    sheet = chance.normal(236, 3, (1650, 1250)).clip(0, 255).astype(np.uint8)
    for x, y, radius in chance.integers([20, 20, 1], [1230, 1630, 3], (60, 3)).tolist():
        cv2.circle(sheet, (x, y), radius, 60, -1)
    looks = []
    see = LineFinder.traces
    monkeypatch.setattr(LineFinder, "traces", lambda *given: looks.append(given) or see(*given))
    assert finder.find(sheet) == [] and len(looks) == 1
    cv2.putText(sheet, "tiny", (600, 800), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 40, 1)
    finder.find(sheet)
    assert len(looks) > 2  # what may be writing is looked at more closely


def test_a_strip_with_one_long_line_is_found_whole(finder):
    """Shrunk until its longer side is that of a page, its letters would be four pixels tall."""
    font = ImageFont.load_default(40)
    text = "we left the harbour before dawn and sailed along the coast until the wind turned " * 7
    width = int(font.getlength(text))
    image = Image.new("L", (width + 80, 110), 248)
    ImageDraw.Draw(image).text((40, 30), text, 40, font=font)
    (line,) = finder.find(np.asarray(image))
    left, right = line.ends()
    assert left < 80
    assert right > width - 20
