"""The UNIPEN reader on a small distribution with every trap of the published one."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from text_recognizer.synthesis.sources import unipen
from text_recognizer.synthesis.sources.unipen import (
    Ink,
    broken_inks,
    heldout_writers,
    ink_id,
    load_writers,
    prepare_unipen,
)
from text_recognizer.synthesis.sources.unipen_format import clean_label, writer_id


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


@pytest.mark.parametrize(
    ("label", "donor", "clean"),
    [
        ("( 5 6 7 ) 8 9 0 - 1 2 3 4", "hpb", "(567)890-1234"),
        ("Bebbington, Martin 2 4 5 2 2", "hpb", "Bebbington, Martin 24522"),
        ("when the comet 's tail", "hpp", "when the comet's tail"),
        ("the word ' bubblet ' which", "hpb", "the word 'bubblet' which"),
        ("red - handed", "hpb", "red-handed"),
        ("red - handed", "kar", "red - handed"),
        ("at 2: 00 2 3 / 3", "hpb", ""),
        ("P&&G", "lex", "P&G"),
        ("YRMQZ A PQ P SXV", "lex", ""),
    ],
)
def test_blanks_that_are_not_in_the_ink_are_not_in_the_label(label: str, donor: str, clean: str) -> None:
    assert clean_label(label, donor) == clean


@pytest.mark.parametrize("depth", [0.0, 0.8])
def test_word_with_f_stands_on_its_baseline_whether_f_hangs_or_not(depth: float) -> None:
    x = np.linspace(0, 1, 9, dtype=np.float32)
    letters = [np.stack([0.5 * k + 0.4 * x, -np.abs(2 * x - 1)], axis=1) for k in range(1, 6)]  # v after v
    f = np.stack([0.2 * x, np.linspace(-1.9, depth, 9)], axis=1)
    slope, offset = unipen.fit_baseline([p.astype(np.float32) for p in [f, *letters]], "fuvuvu", 1.0)
    assert (slope, offset) == (0.0, pytest.approx(0.0, abs=0.05))


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


def test_file_that_is_not_an_archive_is_refused(tmp_path: Path) -> None:
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


def test_ink_on_the_broken_list_is_left_out_of_heldout_writers_only(
    distribution: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache.npz"
    prepare_unipen(distribution, cache, check=False)
    (writer,) = load_writers(cache, "all")
    bad = next(ink for ink in writer.inks if ink.text == "ooo")
    listing = tmp_path / "broken.txt"
    listing.write_text(f"# {writer.id}\n{ink_id(writer.id, bad)} label\n")
    monkeypatch.setattr(unipen, "BROKEN_LIST", listing)

    def texts(split: Literal["train", "heldout"], broken: bool = False) -> list[str]:
        return [ink.text for w in load_writers(cache, split, broken) for ink in w.inks]

    assert "ooo" in texts("train")
    monkeypatch.setattr(unipen, "heldout_writers", lambda: frozenset({writer.id}))
    assert "ooo" not in texts("heldout")
    assert "oo" in texts("heldout")
    assert "ooo" in texts("heldout", broken=True)


def test_id_of_an_ink_is_that_of_its_writer_label_and_points() -> None:
    ink = Ink("o", (np.asarray([[0, 0], [0.5, -1]], np.float32),))
    assert ink_id("xyz-1", ink) == ink_id("xyz-1", Ink("o", (ink.strokes[0].copy(),)))
    assert ink_id("xyz-1", ink) != ink_id("xyz-2", ink)
    assert ink_id("xyz-1", ink) != ink_id("xyz-1", Ink("c", ink.strokes))
    assert ink_id("xyz-1", ink) != ink_id("xyz-1", Ink("o", (ink.strokes[0] + 0.01,)))


def test_committed_broken_list_is_well_formed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken_inks()
    listing = tmp_path / "broken.txt"
    listing.write_text("# a comment\n\n0123456789ab\n")
    monkeypatch.setattr(unipen, "BROKEN_LIST", listing)
    with pytest.raises(ValueError, match="line 3: expected an id of 12 hex digits and a reason"):
        broken_inks()
