"""Cutting lines: straight, sloped and bent lines come out level, and only their own ink is in them."""

import cv2
import numpy as np
import pytest

from text_recognizer.layout.crops import crop_line


def page_with_bar(angle: float, width: int = 600, height: int = 400) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """A dark bar 300 × 20 px in the middle of a light page, turned by `angle` degrees, and its outline + 10 px."""
    page = np.full((height, width), 230, np.uint8)
    bar = cv2.boxPoints(((width / 2, height / 2), (300, 20), angle))
    cv2.fillPoly(page, [np.round(bar).astype(np.int32)], 20)
    outline = cv2.boxPoints(((width / 2, height / 2), (320, 40), angle))
    return page, [(float(x), float(y)) for x, y in outline]


@pytest.mark.parametrize("angle", [0, 7, -12])
def test_sloped_line_comes_out_level(angle: float) -> None:
    page, outline = page_with_bar(angle)
    crop = crop_line(page, outline, height=40)
    assert crop.shape[0] == 40
    assert crop.shape[1] == pytest.approx(320, abs=8)
    dark_rows = np.flatnonzero((crop < 120).mean(axis=1) > 0.8)
    assert 16 <= len(dark_rows) <= 22  # level: the bar fills whole rows


def test_bent_baseline_is_straightened() -> None:
    page = np.full((300, 700), 240, np.uint8)
    x = np.arange(50, 650)
    y = 150 + 30 * np.sin((x - 50) / 600 * np.pi)
    points = np.stack([x, y], axis=1)
    cv2.polylines(page, [np.round(points).astype(np.int32)], False, 0, 5)
    polygon = [(float(a), float(b) - 20) for a, b in points] + [(float(a), float(b) + 20) for a, b in points[::-1]]
    crop = crop_line(page, polygon, [(float(a), float(b)) for a, b in points[::20]], height=40)
    assert ((crop < 120).sum(axis=0) > 0).mean() > 0.95
    dark = np.flatnonzero((crop < 120).any(axis=1))
    assert np.ptp(dark) <= 10


def test_ink_outside_the_polygon_is_painted_over() -> None:
    page, outline = page_with_bar(0)
    page[150:160, 200:400] = 0  # another line, above the polygon
    page[170:178, 200:210] = 0
    assert (crop_line(page, outline, height=40)[:6] > 200).all()


@pytest.mark.parametrize(
    "polygon",
    [
        [],
        [(1.0, 1.0)],
        [(5.0, 5.0), (5.0, 5.0), (5.0, 5.0)],
        [(900.0, 900.0), (950.0, 900.0), (950.0, 950.0), (900.0, 950.0)],
    ],
)
def test_polygon_without_area_or_off_the_page_gives_a_blank_crop(polygon: list[tuple[float, float]]) -> None:
    page = np.zeros((100, 100), np.uint8)
    crop = crop_line(page, polygon, height=32)
    assert crop.shape == (32, 1)
    assert (crop == 255).all()


def test_polygon_partly_off_the_page_is_read_as_far_as_it_goes() -> None:
    page, _ = page_with_bar(0)
    crop = crop_line(page, [(-40.0, 170.0), (700.0, 170.0), (700.0, 230.0), (-40.0, 230.0)], height=30)
    assert (crop < 120).any()
