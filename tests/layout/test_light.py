"""Shadows on a page are evened out; pages in even light, photographs and dark surroundings stay as they are."""

from pathlib import Path

import numpy as np
import pytest

from text_recognizer.evaluation.metrics import errors
from text_recognizer.images import load_image
from text_recognizer.layout.light import even_light
from text_recognizer.reader import Reader

SAMPLE = Path(__file__).parents[2] / "samples" / "page.png"


@pytest.fixture(scope="module")
def page() -> np.ndarray:
    return load_image(SAMPLE).gray


def shaded(page: np.ndarray, share: float) -> np.ndarray:
    """With the sharp edge of a shadow across it that takes `share` of the light."""
    y, x = np.mgrid[0 : page.shape[0], 0 : page.shape[1]]
    edge = x / page.shape[1] + 0.6 * y / page.shape[0] - 0.8
    return np.asarray(page * (1 - share / (1 + np.exp(-30 * edge))), np.uint8)


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_paper_in_the_shadow_becomes_as_light_as_the_other(page, share):
    even = even_light(shaded(page, share)).astype(int)
    paper, ink = page >= np.percentile(page, 70), page <= np.percentile(page, 1)
    assert even[paper].std() < 12
    assert even[ink].mean() < even[paper].mean() - 0.7 * (page[paper].mean() - page[ink].mean())


def test_page_in_even_light_is_returned_as_it_is(page):
    assert even_light(page) is page
    dim = np.asarray(page * 0.4, np.uint8)
    assert even_light(dim) is dim


def test_picture_of_many_edges_is_returned_as_it_is():
    tiles = np.kron(np.random.default_rng(0).integers(20, 255, (12, 12)), np.ones((40, 40))).astype(np.uint8)
    assert even_light(tiles) is tiles


@pytest.mark.parametrize("gaps", [(300, 300, 300, 300), (300, 300, 300, 0), (0, 200, 400, 300)])
def test_desk_around_a_sheet_stays_dark(page, gaps):
    top, bottom, left, right = gaps
    picture = np.pad(page, ((top, bottom), (left, right)), constant_values=110)
    grain = 12 * np.sin(np.arange(picture.shape[0]) / 3)[:, None]
    desk = np.pad(np.zeros(page.shape, bool), ((top, bottom), (left, right)), constant_values=True)
    picture = np.where(desk, picture + grain, picture).astype(np.uint8)
    assert even_light(picture) is picture


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
def test_images_of_a_few_pixels_do_not_trip_it(shape):
    assert even_light(np.full(shape, 128, np.uint8)).shape == shape


def test_page_with_a_shadow_reads_as_without(page, bundle_dir):
    reader = Reader(bundle_dir, 1)
    plain = reader.read(page, "fast").text
    read = reader.read(shaded(page, 0.75), "fast").text
    assert errors(plain, read).character_edits < 0.03 * len(plain)
