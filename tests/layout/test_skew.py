"""Pages laid askew on the scanner are turned back before their lines are looked for."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from text_recognizer.bundle import Bundle
from text_recognizer.images import load_image
from text_recognizer.layout.finder import LineFinder
from text_recognizer.layout.skew import lies_on_side, skew_angle, turn_back

SAMPLE = Path(__file__).parents[2] / "samples" / "page.png"


@pytest.fixture(scope="module")
def page() -> np.ndarray:
    return load_image(SAMPLE).gray


def turned(page: np.ndarray, degrees: float, side: int | None = None) -> np.ndarray:
    """The page turned, on a sheet of its own size or of `side` pixels."""
    height, width = page.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1)
    size = (side or width, side or height)
    matrix[:, 2] += ((size[0] - width) / 2, (size[1] - height) / 2)
    return cv2.warpAffine(page, matrix, size, borderValue=250)


@pytest.mark.parametrize("degrees", [-45, 18, 22, 30, 40, 46])
def test_steep_angle_is_found(page: np.ndarray, degrees: float) -> None:
    sheet = turned(page, degrees, 2200)
    assert skew_angle(sheet) == pytest.approx(degrees, abs=0.6)
    assert not lies_on_side(sheet)


@pytest.mark.parametrize("degrees", [-90, -70, 55, 60, 90])
def test_page_on_its_side_is_told_and_has_no_skew(page: np.ndarray, degrees: float) -> None:
    sheet = turned(page, degrees, 2200)
    assert lies_on_side(sheet)
    assert skew_angle(sheet) == 0
    assert not lies_on_side(page)


@pytest.mark.parametrize("degrees", [-11, -6, 3, 8, 13])
def test_angle_of_a_turned_page_is_found(page: np.ndarray, degrees: float) -> None:
    assert skew_angle(turned(page, degrees)) == pytest.approx(degrees, abs=0.6)


def test_level_pages_and_pages_without_lines_are_left_alone(page: np.ndarray) -> None:
    assert skew_angle(page) == 0
    assert skew_angle(np.full((400, 300), 240, np.uint8)) == 0
    noise = np.random.default_rng(0).integers(200, 255, (500, 400)).astype(np.uint8)
    assert skew_angle(noise) == 0


def test_points_of_the_turned_page_lead_back(page: np.ndarray) -> None:
    level, back = turn_back(page, 7.0)
    assert level.shape[0] > page.shape[0] and level.shape[1] > page.shape[1]
    height, width = level.shape
    centre = back @ np.array([width / 2, height / 2, 1.0])
    assert centre == pytest.approx([page.shape[1] / 2, page.shape[0] / 2], abs=1.0)


@pytest.mark.parametrize("degrees", [-9, 9])
def test_lines_of_a_turned_page_are_those_of_the_level_one(page: np.ndarray, degrees: float) -> None:
    finder = LineFinder(Bundle.open().session("line_finder", 1), Bundle.open().description.line_finder)
    level, askew = finder.find(page), finder.find(turned(page, degrees))
    assert len(askew) == len(level)
    slopes = [
        np.degrees(np.arctan2(line.baseline[-1][1] - line.baseline[0][1], line.baseline[-1][0] - line.baseline[0][0]))
        for line in askew
        if line.baseline[-1][0] - line.baseline[0][0] > 200
    ]
    assert np.median(slopes) == pytest.approx(degrees, abs=1.5)
    points = np.concatenate([line.polygon for line in askew])
    assert (points >= 0).all() and (points <= [page.shape[1], page.shape[0]]).all()
