"""Words stand where their part of the line's crop was taken from."""

import cv2
import numpy as np
import pytest

from text_recognizer.layout.crops import crop_line, word_polygon

BOX = ((10.0, 20.0), (110.0, 20.0), (110.0, 60.0), (10.0, 60.0))


def area(polygon) -> float:
    return cv2.contourArea(np.float32(polygon))


def test_part_of_a_level_box_is_a_box():
    part = word_polygon(BOX, ((10, 50), (110, 50)), 0.25, 0.5)
    assert area(part) == pytest.approx(25 * 40)
    assert min(x for x, _ in part) == pytest.approx(35)
    assert max(x for x, _ in part) == pytest.approx(60)


def test_whole_width_is_the_whole_polygon():
    assert area(word_polygon(BOX, None, 0, 1)) == pytest.approx(area(BOX))


def test_parts_stay_clockwise_and_cover_the_line():
    slanted = ((10.0, 60.0), (110.0, 20.0), (118.0, 40.0), (18.0, 80.0))
    parts = [word_polygon(slanted, ((18, 75), (118, 35)), a, b) for a, b in ((0, 0.3), (0.3, 0.7), (0.7, 1))]
    assert sum(area(part) for part in parts) == pytest.approx(area(slanted), rel=1e-3)
    for part in parts:
        assert cv2.contourArea(np.float32(part), oriented=True) > 0  # clockwise on the page, y down


@pytest.mark.parametrize("slope", [-0.4, 0.0, 0.3])
def test_mark_in_the_crop_lies_in_the_word_polygon(slope):
    """The cut is the inverse of cropping: a blot on the page is found again by where the crop shows it."""
    baseline = tuple((float(x), 120 + slope * x) for x in range(40, 361, 40))
    polygon = tuple((x, y - 30) for x, y in baseline) + tuple((x, y + 12) for x, y in reversed(baseline))
    blot = (200.0, 120 + slope * 200.0 - 8)
    gray = np.full((300, 400), 255, np.uint8)
    cv2.circle(gray, (round(blot[0]), round(blot[1])), 5, 0, -1)
    crop = crop_line(gray, polygon, baseline)
    columns = np.flatnonzero((crop < 128).any(0))
    start, end = columns[0] / crop.shape[1], (columns[-1] + 1) / crop.shape[1]
    part = np.float32(word_polygon(polygon, baseline, start, end))
    assert cv2.pointPolygonTest(part, blot, measureDist=False) > 0
    assert area(part) < 0.1 * area(polygon)
