"""Varied lines stay lines: the same height and ink, another picture each time, the same again for the same seed."""

import cv2
import numpy as np
import pytest

from text_recognizer.synthesis.rendering.augment import augment


@pytest.fixture
def line() -> np.ndarray:
    image = np.full((48, 420), 230, np.uint8)
    cv2.putText(image, "the quick brown fox", (8, 34), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1.0, 40, 2, cv2.LINE_AA)
    return image


def test_without_strength_a_line_stays_as_it_is(line: np.ndarray) -> None:
    assert np.array_equal(augment(line, np.random.default_rng(0), 0.0), line)


def test_varied_lines_differ_and_still_hold_their_ink(line: np.ndarray) -> None:
    varied = [augment(line, np.random.default_rng(seed)) for seed in range(40)]
    assert all(image.dtype == np.uint8 and image.shape[0] == 48 for image in varied)
    assert len({image.tobytes() for image in varied}) >= 38
    for image in varied:
        assert 0.6 * line.shape[1] < image.shape[1] < 1.7 * line.shape[1]
        columns = (image < np.percentile(image, 80) - 35).any(0)
        assert 0.4 < columns.mean() < 1.0


def test_the_same_seed_gives_the_same_line(line: np.ndarray) -> None:
    one, two = (augment(line, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("size", [(48, 1), (48, 4), (48, 3000), (12, 30)])
def test_lines_of_any_size_can_be_varied(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    for _ in range(25):
        assert augment(np.full(size, 200, np.uint8), rng).shape[0] == size[0]


def test_paper_without_ink_stays_without_ink() -> None:
    rng = np.random.default_rng(2)
    for _ in range(25):
        assert augment(np.full((48, 200), 220, np.uint8), rng).min() > 160
