"""A line image is trimmed to its writing."""

import cv2
import numpy as np

from text_recognizer.layout.line_image import line_polygon


def written(height: int, width: int, at: tuple[int, int]) -> np.ndarray:
    gray = np.full((height, width), 230, np.uint8)
    cv2.putText(gray, "hello", at, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1, 30, 2)
    return gray


def box(gray: np.ndarray) -> tuple[float, float, float, float]:
    points = np.asarray(line_polygon(gray))
    return (*points.min(0), *points.max(0))


def test_wide_margins_are_trimmed():
    left, top, right, bottom = box(written(300, 600, (200, 150)))
    assert 180 < left < 205
    assert 255 < right < 280
    assert 110 < top < 135
    assert 150 < bottom < 180


def test_trimming_leaves_all_ink_inside():
    gray = written(300, 600, (200, 150))
    ys, xs = np.nonzero(gray < 100)
    left, top, right, bottom = box(gray)
    assert left < xs.min()
    assert xs.max() < right
    assert top < ys.min()
    assert ys.max() < bottom


def test_tight_image_and_blank_image_stay_whole():
    tight = written(300, 600, (200, 150))[130:152, 202:258]
    assert box(tight) == (0, 0, 56, 22)
    assert box(np.full((64, 400), 200, np.uint8)) == (0, 0, 400, 64)


def test_a_speck_does_not_widen_the_line():
    gray = written(300, 600, (200, 150))
    gray[5, 590] = 0
    assert box(gray)[2] < 320


def test_pencil_beside_a_blot_stays_in_the_line():
    gray = written(300, 600, (200, 150))
    gray[gray < 230] = 180
    gray[130:150, 500:520] = 0
    assert box(gray)[0] < 205
