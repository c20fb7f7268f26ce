"""Clutter: the same seed gives the same pixels, drawings leave writing alone, lines move with their sheet."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from text_recognizer.synthesis.rendering.clutter import Pictures, bind, grid, paste_drawings, scene, surround


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    rng = np.random.default_rng(1)
    cv2.imwrite(str(tmp_path / "photograph.jpg"), rng.integers(0, 255, (80, 120, 3), np.uint8))
    drawing = np.zeros((40, 30, 4), np.uint8)
    cv2.circle(drawing, (15, 20), 10, (10, 20, 30, 255), -1)
    (tmp_path / "drawings").mkdir()
    cv2.imwrite(str(tmp_path / "drawings" / "disc.png"), drawing)
    found = Pictures.of(tmp_path)
    assert (len(found.photographs), len(found.drawings)) == (1, 1)
    return found


def test_a_seed_gives_one_scene_of_the_size_asked_for(pictures: Pictures) -> None:
    for seed in range(40):
        one, again = (scene(np.random.default_rng(seed), 70, 90, pictures) for _ in range(2))
        assert one.shape == (70, 90, 3)
        assert one.dtype == np.uint8
        assert np.array_equal(one, again)


def test_there_are_scenes_without_any_pictures() -> None:
    scenes = [scene(np.random.default_rng(seed), 60, 60, Pictures.of(None)) for seed in range(20)]
    assert sum(np.ptp(s) > 20 for s in scenes) == 20


def test_drawings_stay_off_what_is_written(pictures: Pictures) -> None:
    drawn = 0
    for seed in range(30):
        sheet = np.full((200, 300, 3), 240, np.uint8)
        occupied = np.zeros((200, 300), np.uint8)
        occupied[80:120, 20:280] = 1
        written = occupied.astype(bool)
        paste_drawings(sheet, np.random.default_rng(seed), occupied, 12.0, pictures)
        assert (sheet[written] == 240).all()
        drawn += bool((sheet != 240).any())
    assert drawn > 15


@pytest.mark.parametrize("draw", [lambda rgb, rng: grid(rgb, rng, 12.0), bind])
def test_grids_and_bindings_are_drawn_on_the_sheet(draw) -> None:
    for seed in range(12):
        sheet = np.full((160, 120, 3), 240, np.uint8)
        draw(sheet, np.random.default_rng(seed))
        assert (sheet != 240).any()


def test_a_sheet_lies_on_a_desk_where_it_says(pictures: Pictures) -> None:
    sheet = np.random.default_rng(2).integers(0, 255, (50, 70, 3), np.uint8)
    for seed in range(10):
        desk, (x, y) = surround(sheet, np.random.default_rng(seed), pictures)
        assert np.array_equal(desk[y : y + 50, x : x + 70], sheet)
