"""What is no writing is not read, and costs little; writing around it is."""

from difflib import SequenceMatcher

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.bundle import Bundle
from text_recognizer.reader import Reader
from text_recognizer.recognition.decoding import BLANK, FIRST_CHARACTER
from text_recognizer.recognition.evidence import Evidence

LINES = ("the garden was quiet", "in the early morning", "nobody had come")


@pytest.fixture(scope="module")
def reader(bundle_dir) -> Reader:
    return Reader(bundle_dir, 1)


def dot_grid() -> np.ndarray:
    page = np.full((700, 620), 250, np.uint8)
    for y in range(20, 700, 31):
        for x in range(20, 620, 31):
            cv2.circle(page, (x, y), 2, 140, -1, cv2.LINE_AA)
    return page


def clouds() -> np.ndarray:
    coarse = np.random.default_rng(1).normal(0, 1, (100, 100)).astype(np.float32)
    return np.clip(128 + 50 * cv2.resize(coarse, (480, 480), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def leaves() -> np.ndarray:
    rng = np.random.default_rng(3)
    picture = np.full((420, 560), 120, np.uint8)
    for _ in range(250):
        centre = (int(rng.integers(560)), int(rng.integers(420)))
        axes = (int(rng.integers(8, 60)), int(rng.integers(4, 25)))
        cv2.ellipse(
            picture, centre, axes, float(rng.uniform(0, 360)), 0, 360, float(rng.uniform(0, 255)), -1, cv2.LINE_AA
        )
    return picture


def written(page: np.ndarray) -> np.ndarray:
    image = Image.fromarray(page)
    for row, text in enumerate(LINES):
        ImageDraw.Draw(image).text((110, 60 + 70 * row), text, 20, font=ImageFont.load_default(36))
    return np.array(image)


@pytest.mark.parametrize("picture", [dot_grid, clouds, leaves])
def test_picture_without_writing_has_no_text(reader, picture):
    assert reader.read(picture(), "fast").text == ""


@pytest.mark.parametrize("mode", ["fast", "accurate"])
def test_lines_on_a_dot_grid_are_read(reader, mode):
    found = reader.read(written(dot_grid()), mode)
    assert len(found.lines) == 3
    assert SequenceMatcher(None, found.text, "\n".join(LINES)).ratio() > 0.9  # a dot beside a letter is a quote to it


def test_punch_holes_are_not_letters(reader):
    page = written(np.full((420, 620), 250, np.uint8))
    for y in (60, 180, 300):
        cv2.circle(page, (40, y), 15, 20, -1, cv2.LINE_AA)
    assert reader.read(page, "fast").text == "\n".join(LINES)


def test_lines_that_are_given_are_read_whatever_they_show(reader):
    given = [(((10, 10), (550, 10), (550, 60), (10, 60)), ((10, 51), (550, 51)))]
    assert reader.read(leaves(), "fast", lines=given).text


def scores(probabilities: list[float], size: int, token: int, other: int) -> np.ndarray:
    """A CTC output in which `token` alternates with blanks; what is left of its probability is that of `other`."""
    steps = np.full((2 * len(probabilities), size), 1e-9)
    steps[1::2, BLANK] = 1
    steps[::2, token] = probabilities
    steps[::2, other] += 1 - np.asarray(probabilities)
    return np.log(steps).astype(np.float32)


def test_the_fewer_characters_there_are_the_surer_they_must_be():
    evidence, image = Evidence("abcdefgh"), np.zeros((48, 40), np.uint8)
    a, b = FIRST_CHARACTER, FIRST_CHARACTER + 1
    assert evidence.are_writing([(scores([0.6] * 30, 12, a, b), image)], 0.45) == [True]
    assert evidence.are_writing([(scores([0.6] * 3, 12, a, b), image)], 0.45) == [False]
    assert evidence.are_writing([(scores([0.9] * 3, 12, a, b), image)], 0.45) == [True]


def test_letters_of_one_shape_count_together():
    evidence, image = Evidence("Oab0"), np.zeros((48, 40), np.uint8)
    big, zero, a = FIRST_CHARACTER, FIRST_CHARACTER + 3, FIRST_CHARACTER + 1
    assert evidence.are_writing([(scores([0.6], 8, big, zero), image)], 0.45) == [True]
    assert evidence.are_writing([(scores([0.6], 8, big, a), image)], 0.45) == [False]
    long = scores([0.52] * 9, 8, big, zero)
    assert evidence.are_writing([(long, image)], 0.45) == [False], "a long text is not all of one shape"


def test_every_bundle_has_the_limit(bundle_dir):
    assert 0 < Bundle.open(bundle_dir).description.recognizer.decoding.least_confidence < 1


def test_a_lone_character_may_be_less_sure_among_cells():
    evidence, image = Evidence("abcdefgh"), np.zeros((48, 40), np.uint8)

    def seen(probability: float, count: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """A line of so many characters, of each of which the CTC head is so sure."""
        return scores([probability] * count, 12, FIRST_CHARACTER, FIRST_CHARACTER + 1), image

    unsure = seen(0.65)
    assert evidence.are_writing([unsure], 0.36) == [False]
    assert evidence.are_writing([unsure, *[seen(0.95)] * 6], 0.36) == [True] * 7
    assert evidence.are_writing([unsure, *[seen(0.95, 8)] * 6], 0.36) == [False, *[True] * 6], "running text"
    assert not any(evidence.are_writing([unsure] * 8, 0.36)), "a texture"
    assert evidence.are_writing([seen(0.52), *[seen(0.95)] * 6], 0.36)[0] is False
