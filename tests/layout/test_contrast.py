"""Faint writing becomes dark; pages with dark writing, and empty ones, stay as they are."""

from pathlib import Path

import numpy as np
import pytest

from text_recognizer.evaluation.metrics import errors
from text_recognizer.images import load_image
from text_recognizer.layout.contrast import strong_contrast
from text_recognizer.reader import Reader

SAMPLE = Path(__file__).parents[2] / "samples" / "page.png"


@pytest.fixture(scope="module")
def page() -> np.ndarray:
    return load_image(SAMPLE).gray


def faint(page: np.ndarray, paper: int, ink: int, noise: float) -> np.ndarray:
    share = (page.astype(np.float32) - page.min()) / np.ptp(page)
    grain = np.random.default_rng(0).normal(0, noise, page.shape)
    return (ink + (paper - ink) * share + grain).round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("paper", "ink", "noise"), [(205, 196, 0), (205, 193, 0.5), (240, 231, 0), (100, 91, 0)])
def test_faint_page_reads_as_a_dark_one(page, bundle_dir, paper, ink, noise):
    reader = Reader(bundle_dir, 1)
    plain = reader.read(page, "fast").text
    read = reader.read(faint(page, paper, ink, noise), "fast").text
    assert errors(plain, read).character_edits < 0.06 * len(plain)


def test_page_with_dark_writing_is_returned_as_it_is(page):
    for ink in (20, 120):
        dark = faint(page, 235, ink, 2)
        assert strong_contrast(dark) is dark


@pytest.mark.parametrize("noise", [0, 1, 4])
def test_empty_page_stays_empty(bundle_dir, noise):
    empty = (230 + np.random.default_rng(1).normal(0, noise, (1600, 1200))).round().astype(np.uint8)
    assert Reader(bundle_dir, 1).read(empty, "fast").text == ""


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
def test_images_of_a_few_pixels_do_not_trip_it(shape):
    few = np.full(shape, 128, np.uint8)
    assert strong_contrast(few) is few
