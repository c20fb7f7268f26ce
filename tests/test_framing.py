"""A small sheet in a large picture: found, read, and not taken for light writing on a dark ground."""

import cv2
import numpy as np
import pytest

from text_recognizer.evaluation.metrics import errors
from text_recognizer.framing import sheet_box
from text_recognizer.images import load_image
from text_recognizer.reader import Reader
from text_recognizer.tone import is_light_on_dark

WHERE = (900, 700)  # left and top of the sheet


def afar(page: np.ndarray, ground: int, times: float) -> np.ndarray:
    """A page (H, W) on a plain desk, in a picture that is `times` as wide and as high."""
    height, width = page.shape
    picture = np.full((int(times * height), int(times * width)), ground, np.uint8)
    left, top = WHERE
    picture[top : top + height, left : left + width] = page
    return picture


@pytest.fixture(scope="module")
def sheet(letter) -> np.ndarray:
    gray = load_image(letter).gray
    return cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("ground", [20, 100, 150])
def test_box_is_that_of_the_sheet(sheet, ground):
    box = sheet_box(afar(sheet, ground, 5))
    wanted = (*WHERE, WHERE[0] + sheet.shape[1], WHERE[1] + sheet.shape[0])
    assert box is not None
    assert np.abs(np.subtract(box, wanted)).max() < 0.03 * 5 * max(sheet.shape)


def test_box_holds_all_sheets(sheet):
    picture = afar(sheet, 60, 6)
    picture[2500 : 2500 + sheet.shape[0], 2000 : 2000 + sheet.shape[1]] = sheet
    left, top, right, bottom = sheet_box(picture)
    assert left < WHERE[0] and top < WHERE[1] and right > 2000 + sheet.shape[1] and bottom > 2500 + sheet.shape[0]


def test_pages_and_their_inversions_are_no_small_sheets(letter, drawn):
    gray = load_image(letter).gray
    noise = np.random.default_rng(1).integers(0, 256, (900, 1200)).astype(np.uint8)
    for page in (gray, 255 - gray, drawn, np.full((50, 50), 255, np.uint8), noise):
        assert sheet_box(page) is None


@pytest.mark.parametrize("ground", [20, 100, 150])
def test_small_sheet_is_no_light_writing(sheet, ground):
    picture = afar(sheet, ground, 6)
    assert not is_light_on_dark(picture)


def test_blackboard_with_a_small_sheet_on_it_is_inverted(letter):
    board = 255 - load_image(letter).gray
    board[1200:1300, 900:1020] = 230
    cv2.putText(board, "menu", (910, 1260), cv2.FONT_HERSHEY_SIMPLEX, 1, 40, 2)
    assert is_light_on_dark(board)


def test_small_sheet_is_read_in_its_place(sheet):
    reader = Reader(threads=1)
    alone = reader.read(sheet, "fast")
    page = reader.read(afar(sheet, 60, 5), "fast")
    # Not the same crops to the pixel, so not the same text to the letter.
    assert len(page.lines) == len(alone.lines)
    assert errors(alone.text, page.text).character_edits < 0.1 * len(alone.text)
    for line, other in zip(page.lines, alone.lines, strict=True):
        shift = np.mean(line.polygon, axis=0) - np.mean(other.polygon, axis=0)
        assert np.abs(shift - WHERE).max() < 20


def test_writing_around_a_light_part_is_read_too(letter):
    gray = load_image(letter).gray
    form = (0.8 * gray).astype(np.uint8)  # shaded, but for one field
    part = np.s_[760:960, 300:900]
    form[part] = gray[part]
    assert sheet_box(form) is not None
    reader = Reader(threads=1)
    assert len(reader.read(form, "fast").lines) >= len(reader.read(gray, "fast").lines) - 1
