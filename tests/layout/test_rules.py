"""The rules of lined and graph paper are taken off; writing, underlines and pages without rules stay."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.layout.rules import without_rules

SHAPE = (900, 1100)
WRITTEN = "Milk and bread, No. 407"


def lettered(grey: int = 60) -> np.ndarray:
    image = Image.new("L", SHAPE[::-1], 245)
    for row in range(9):
        ImageDraw.Draw(image).text((60, 30 + 93 * row), WRITTEN, grey, font=ImageFont.load_default(44))
    return np.asarray(image)


def rules(distance: int, grey: int, thickness: int, graph: bool, slope: float = 0.0) -> np.ndarray:
    page = np.full(SHAPE, 245, np.uint8)
    for at in range(-200, 1300, distance):
        cv2.line(page, (0, at), (SHAPE[1], round(at + slope * SHAPE[1])), grey, thickness, cv2.LINE_AA)
        if graph:
            cv2.line(page, (at, 0), (round(at - slope * SHAPE[0]), SHAPE[0]), grey, thickness, cv2.LINE_AA)
    return page


@pytest.mark.parametrize("slope", [0.0, 0.03])
@pytest.mark.parametrize(
    ("distance", "grey", "thickness", "graph"), [(62, 90, 3, False), (31, 150, 2, True), (40, 200, 1, True)]
)
def test_rules_go_and_letters_stay(distance, grey, thickness, graph, slope):
    letters = lettered()
    ink = letters < 150
    far = cv2.dilate(ink.astype(np.uint8), np.ones((9, 9))) == 0
    page = np.minimum(letters, rules(distance, grey, thickness, graph, slope))
    clean = without_rules(page)
    assert (clean[ink] < 160).mean() > 0.97
    assert (clean[far] < 225).mean() < 0.1 * (page[far] < 225).mean()


@pytest.mark.parametrize("bend", [0.0, 0.01])
def test_letters_that_touch_rules_do_not_lead_them_astray(bend):
    rows, columns = np.indices(SHAPE, np.float32)
    rise = np.float32(bend * SHAPE[1]) * np.sin(np.pi * columns / SHAPE[1])
    paper = cv2.remap(rules(62, 150, 2, False), columns, rows + rise, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    page = paper.copy()
    for at in range(-200, 1300, 62):  # feet of letters beside each rule, along a good part of it
        for left in range(40, 1000, 180):
            for foot in range(left, left + 72, 24):
                y = round(at - float(rise[0, foot]))
                cv2.line(page, (foot, y + 1), (foot + 15, y + 1), 60, 2)
    beside = cv2.dilate((page < 120).astype(np.uint8), np.ones((9, 3))) == 0
    clean = without_rules(page)
    assert (clean[beside] < 225).mean() < 0.005 * (page[beside] < 225).mean()


def test_page_without_rules_is_returned_as_it_is():
    page = lettered().copy()
    assert without_rules(page) is page
    cv2.line(page, (60, 200), (700, 203), 60, 3)  # underlined
    cv2.line(page, (60, 480), (900, 484), 60, 3)
    assert without_rules(page) is page


def test_rules_at_no_common_distance_are_a_drawing():
    page = lettered().copy()
    for at in (40, 130, 170, 395, 430, 700, 860):
        cv2.line(page, (0, at), (SHAPE[1], at), 90, 2)
    assert without_rules(page) is page


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (130, 130), (119, 4000)])
def test_images_of_odd_shapes_do_not_trip_it(shape):
    blank = np.full(shape, 200, np.uint8)
    assert without_rules(blank) is blank


@pytest.mark.parametrize("apart", [70, 62, 55])
def test_dense_lines_of_small_letters_are_no_rules(apart):
    page = Image.new("L", (1400, 4300), 245)
    for row in range(4200 // apart):
        text = f"{row + 1}. the quick brown fox jumps over line {row + 1}"
        ImageDraw.Draw(page).text((80, 60 + apart * row), text, 30, font=ImageFont.load_default(40))
    gray = np.asarray(page)
    assert np.array_equal(without_rules(gray), gray)
