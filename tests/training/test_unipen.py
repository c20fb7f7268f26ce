"""The UNIPEN reader on a small distribution with every trap of the published one."""

from pathlib import Path

import numpy as np
import pytest

from text_recognizer.training.sources.unipen import (
    clean_label,
    heldout_writers,
    load_writers,
    prepare_unipen,
    writer_id,
)


def stroke(x: float, low: float = 0, high: float = 100) -> str:
    """A loop like an o, 100 units high; UNIPEN's y points up."""
    points = [(x, high), (x - 30, (low + high) / 2), (x, low), (x + 30, (low + high) / 2), (x, high)]
    return "\n".join(f"{a:.0f} {b:.0f}" for a, b in points)


@pytest.fixture
def distribution(tmp_path: Path) -> Path:
    root = tmp_path / "unipen"
    ink = [".VERSION 1.0", ".COORD X Y T", ".WRITER_ID w1"]
    for index in range(8):
        # Empty pen-up blocks are no components; pen-ups with points are.
        ink += [".PEN_DOWN", stroke(100 * index), ".PEN_UP"] + (["5 5"] if index == 3 else [])
    folder = root / "include" / "xyz" / "data"
    folder.mkdir(parents=True)
    (folder / "a.dat").write_text("\n".join(ink) + "\n", encoding="latin-1")
    listing = root / "data" / "7" / "xyz"
    listing.mkdir(parents=True)
    segments = [
        ".INCLUDE xyz/data/a.dat",
        '.SEGMENT WORD 0-1 OK "oo"',
        '.SEGMENT WORD 1,2 OK "on"',
        '.SEGMENT WORD 2-5 OK "ooo"',  # component 4 is the pen-up with a point
        '.SEGMENT WORD 5-7 BAD "no"',
        '.SEGMENT WORD 7-8 OK "a\\"o"',
        '.SEGMENT WORD 90-99 OK "far"',
        '.SEGMENT WORD 5:0-5:2 OK "c"',
        *(f'.SEGMENT WORD {i}-{i + 1} OK "oo"' for i in (0, 1, 2, 5, 6)),
    ]
    (listing / "a.dat").write_text("\n".join(segments) + "\n", encoding="latin-1")
    (root / "data" / "8").mkdir()
    for category in ("1a", "1b", "1c", "1d"):
        (root / "data" / category).mkdir()
    return root


def test_segments_name_components_with_points_only(distribution: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache.npz"
    prepare_unipen(distribution, cache, check=False)
    (writer,) = load_writers(cache, "all")
    by_text: dict[str, list[int]] = {}
    for ink in writer.inks:
        by_text.setdefault(ink.text, []).append(len(ink.strokes))
    assert by_text["oo"][0] == 2
    assert by_text["on"] == [2]
    assert by_text["ooo"] == [3]  # the pen-up inside is not drawn
    assert by_text['a"o'] == [2]
    assert "no" not in by_text
    assert "far" not in by_text


def test_ink_stands_on_its_baseline_in_x_heights(distribution: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache.npz"
    prepare_unipen(distribution, cache, check=False)
    (writer,) = load_writers(cache, "all")
    ink = next(i for i in writer.inks if i.text == "oo")
    points = np.concatenate(ink.strokes)
    assert points[:, 1].max() == pytest.approx(0, abs=0.05)
    assert points[:, 1].min() == pytest.approx(-1, abs=0.15)  # y down: the ink is above the baseline
    assert points[:, 0].min() == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(
    ("label", "clean"),
    [
        ("almost failed physics .", "almost failed physics."),
        ("It wasn ' t until", "It wasn't until"),
        ("Unfor -", "Unfor-"),
        ('say \\"yes\\"', 'say "yes"'),
        ("year , I", "year, I"),
    ],
)
def test_tokenised_labels_are_written_as_people_write(label: str, clean: str) -> None:
    assert clean_label(label) == clean


def test_one_person_has_one_id_across_donors_and_sessions() -> None:
    assert writer_id("cec", "gb2911") == writer_id("ceb", "gb2911") == writer_id("ced", "aike2911_s_1z")
    assert writer_id("apd", "eric_behnke_1") == writer_id("apd", "eric_behnke_2")
    assert writer_id("art", "writer01") != writer_id("art", "writer03")


def test_heldout_list_names_nobody_and_splits_cleanly(distribution: Path, tmp_path: Path) -> None:
    held = heldout_writers()
    assert 40 <= len(held) <= 80
    assert all(len(i.split("-")[1]) == 10 and set(i.split("-")[1]) <= set("0123456789abcdef") for i in held)
    cache = tmp_path / "cache.npz"
    prepare_unipen(distribution, cache, check=False)
    assert not {w.id for w in load_writers(cache, "train")} & {w.id for w in load_writers(cache, "heldout")}


def test_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "x.tar.xz"
    archive.write_bytes(b"not the archive")
    with pytest.raises(ValueError, match="can't be unpacked"):
        prepare_unipen(archive, tmp_path / "cache.npz")


def test_another_distribution_is_refused_by_its_hashes(distribution: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="donors differ by sha256"):
        prepare_unipen(distribution, tmp_path / "cache.npz")
    assert not (tmp_path / "cache.npz").exists()


def test_folder_without_a_distribution_says_what_it_expects(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="'data' and 'include'"):
        prepare_unipen(tmp_path, tmp_path / "cache.npz")
