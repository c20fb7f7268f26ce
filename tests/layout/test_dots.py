"""The dots of dot-grid paper are taken off; full stops, textures and dots of other kinds stay."""

from functools import partial

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.layout.dots import without_dots


def paper(step=30, radius=2, size=(700, 900), turn=0.0) -> np.ndarray:
    page = np.full(size, 245, np.uint8)
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    for row in range(-40, 60):
        for column in range(-40, 60):
            x, y = step * (column * cos - row * sin), step * (column * sin + row * cos)
            if 0 <= x < size[1] and 0 <= y < size[0]:
                cv2.circle(page, (round(x), round(y)), radius, 140, -1, cv2.LINE_AA)
    return page


def written(
    page: np.ndarray, text="Milk. Tea. Bread... No. 5: i.", rows=4, start=(70, 60), pitch=90, grey=30, size=40
) -> np.ndarray:
    image = Image.fromarray(page)
    for row in range(rows):
        at = (start[0], start[1] + pitch * row)
        ImageDraw.Draw(image).text(at, text, grey, font=ImageFont.load_default(size))
    return np.asarray(image)


@pytest.mark.parametrize(("step", "radius", "turn"), [(30, 2, 0), (22, 1, 2), (45, 4, -4)])
def test_dots_go_and_writing_stays(step, radius, turn):
    on_white = written(np.full((700, 900), 245, np.uint8))
    cleaned = without_dots(written(paper(step, radius, turn=turn)))
    ink = on_white < 100
    assert (cleaned[ink] < 110).mean() > 0.99
    # Few dots are left: those that touch letters, and at the edges.
    far = cv2.dilate(ink.astype(np.uint8), np.ones((9, 9))) == 0
    far[:30], far[-30:], far[:, :30], far[:, -30:] = False, False, False, False
    assert (cleaned[far] < 200).mean() < 0.1 * (paper(step, radius, turn=turn)[far] < 200).mean()


def test_page_without_grid_is_returned_as_it_is():
    page = written(np.full((700, 900), 245, np.uint8))
    assert without_dots(page) is page


def test_specks_that_stand_anywhere_stay():
    page = np.full((700, 900), 245, np.uint8)
    for x, y in np.random.default_rng(1).integers(10, 690, (400, 2)).tolist():
        cv2.circle(page, (x, y), 2, 120, -1, cv2.LINE_AA)
    assert without_dots(page) is page


def test_full_stop_on_a_dot_stays_and_dots_on_strokes_go():
    page = paper(30, 2)
    cv2.line(page, (300, 180), (300, 400), 30, 3)  # along a column of dots
    cv2.rectangle(page, (421, 298), (425, 303), 30, -1)  # beside the dot at (420, 300)
    cleaned = without_dots(page)
    assert (cleaned[190:390, 299:302] < 60).all()
    assert (cleaned[299:303, 422:425] < 60).all()
    beside = cleaned[190:390, 295:306].copy()
    beside[:, 3:8] = 255
    assert beside.min() > 200


@pytest.mark.parametrize("shape", [(1, 4000), (4000, 1), (2, 5000)])
def test_image_of_a_pixel_s_breadth_stays(shape):
    """Shrunk to the size at which dots are looked for, it would have no pixels."""
    strip = np.full(shape, 200, np.uint8)
    assert without_dots(strip) is strip


def test_dots_that_touch_letters_as_light_as_they_go_and_the_letters_stay():
    letters = partial(
        written, text="Reading and writing, room 407", rows=8, start=(50, 40), pitch=78, grey=140, size=44
    )
    page = letters(paper(30, 2))
    ink = letters(np.full(page.shape, 245, np.uint8)) < 200
    near = cv2.dilate(ink.astype(np.uint8), np.ones((3, 3))) > 0
    touching = (page < 200) & ~ink & near
    assert touching.sum() > 200
    cleaned = without_dots(page)
    assert (cleaned[touching] < 200).mean() < 0.2
    assert (cleaned[ink] < 200).mean() > 0.97
