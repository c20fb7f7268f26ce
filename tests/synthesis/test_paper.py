"""Paper and cameras: the same seed gives the same picture, and what stood at a point is found where it says."""

import itertools

import cv2
import numpy as np
import pytest

from text_recognizer.synthesis.rendering.camera import CAMERA_KINDS, STRIP_CAMERAS, photograph, picture_line
from text_recognizer.synthesis.rendering.paper import INKS, PAPER_KINDS, make_sheet, put_ink

POINTS = np.array([(x, y) for x in (90, 260, 430) for y in (80, 300, 560)], np.float64)


def written(height: int = 640, width: int = 520) -> np.ndarray:
    cover = np.zeros((height, width), np.uint8)
    for x, y in POINTS:
        cv2.circle(cover, (int(x), int(y)), 7, 255, -1, cv2.LINE_AA)
    return cover


@pytest.mark.parametrize("kind", CAMERA_KINDS)
def test_points_are_found_where_the_camera_says(kind: str) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        paper = np.full((640, 520, 3), 235, np.uint8)
        page = put_ink(paper, written(), rng, "felt")
        picture, (moved,) = photograph(page, [POINTS], rng, kind)
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64)
        if kind == "inverted":
            grey = 255 - grey
        assert picture.dtype == np.uint8
        for x, y in moved:
            left, top = round(float(x)) - 13, round(float(y)) - 13
            patch = grey[max(0, top) : top + 27, max(0, left) : left + 27]
            weight = np.clip(0.6 * np.percentile(patch, 90) - patch, 0, None)
            assert weight.sum() > 0, "no mark there"
            ys, xs = np.mgrid[: patch.shape[0], : patch.shape[1]]
            found = (xs * weight).sum() / weight.sum() + max(0, left), (ys * weight).sum() / weight.sum() + max(0, top)
            assert np.hypot(found[0] - x, found[1] - y) < 0.9


@pytest.mark.parametrize("kind", CAMERA_KINDS)
def test_same_seed_takes_the_same_picture(kind: str) -> None:
    def take(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        page = put_ink(make_sheet(200, 300, rng).rgb, written()[:200, :300], rng)
        return photograph(page, [POINTS], rng, kind)[0]

    assert np.array_equal(take(1), take(1))
    assert take(1).shape != take(2).shape or not np.array_equal(take(1), take(2))


@pytest.mark.parametrize("kind", STRIP_CAMERAS)
def test_cameras_for_strips_keep_size_and_points(kind: str) -> None:
    rng = np.random.default_rng(0)
    picture, (moved,) = photograph(make_sheet(64, 500, rng).rgb, [POINTS], rng, kind)
    assert picture.shape == (64, 500, 3)
    assert np.array_equal(moved, POINTS.astype(np.float32))


@pytest.mark.parametrize("kind", PAPER_KINDS)
def test_paper_is_light_and_of_the_size_asked_for(kind: str) -> None:
    for seed, (height, width) in itertools.product(range(3), ((64, 700), (500, 380), (8, 8))):
        sheet = make_sheet(height, width, np.random.default_rng(seed), kind, 40)
        assert sheet.rgb.shape == (height, width, 3)
        assert np.median(sheet.rgb) > 130
        assert sheet.kind == kind


@pytest.mark.parametrize("ink", INKS)
def test_ink_darkens_where_it_covers_and_nowhere_else(ink: str) -> None:
    rng = np.random.default_rng(3)
    paper = make_sheet(640, 520, rng, "plain").rgb
    cover = written()
    page = put_ink(paper, cover, rng, ink)
    core = cv2.erode(cover, np.ones((5, 5), np.uint8)) == 255
    away = cv2.dilate(cover, np.ones((15, 15), np.uint8)) == 0
    assert page[core].mean() < 0.8 * paper[core].mean()
    assert np.array_equal(page[away], paper[away])


def test_binarised_pictures_have_two_values_and_keep_the_ink() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        page = put_ink(make_sheet(640, 520, rng, "plain").rgb, written(), rng, "ballpoint_black")
        picture, _ = photograph(page, [], rng, "binarised")
        assert set(np.unique(picture)) <= {0, 255}
        assert picture[80, 90].max() == 0


def test_inverted_pictures_are_light_on_dark() -> None:
    rng = np.random.default_rng(0)
    picture, _ = photograph(make_sheet(100, 200, rng, "plain").rgb, [], rng, "inverted")
    assert np.median(picture) < 128


def test_line_pictures_are_grey_dark_on_light_and_keep_their_geometry() -> None:
    for seed in range(30):
        cover = np.zeros((64, 300), np.uint8)
        cover[20:44, 100:104] = 255
        picture = picture_line(cover, np.random.default_rng(seed))
        assert picture.shape == (64, 300)
        assert picture[22:42, 101:103].mean() < np.median(picture)


def test_unknown_camera_is_refused() -> None:
    with pytest.raises(ValueError, match="not a camera"):
        photograph(np.zeros((9, 9, 3), np.uint8), [], np.random.default_rng(0), "drone")
