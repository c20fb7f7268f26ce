"""Fonts as hands: what their outlines say is believed, not what they claim, and no two letters come out the same."""

from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen

from text_recognizer import cli
from text_recognizer.evaluation.versions import fingerprint
from text_recognizer.synthesis.sources import fonts as fonts_module
from text_recognizer.synthesis.sources.download import Package, read_lock
from text_recognizer.synthesis.sources.fonts import LOCK, HandFont, fetch_fonts, inspect_font, load_fonts, render_text

LETTERS = "xzvnurcsaepH"
EMPTY = "q"  # in the cmap, with no outline
BOX = "Q"  # in the cmap, drawn as the missing-glyph box


def _glyph(*boxes: tuple[int, int, int, int]) -> object:
    pen = TTGlyphPen(None)
    for left, bottom, right, top in boxes:
        pen.moveTo((left, bottom))
        for corner in ((left, top), (right, top), (right, bottom)):
            pen.lineTo(corner)
        pen.closePath()
    return pen.glyph()


@pytest.fixture(scope="module")
def font_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A font of upright bars: x-height half the em, ascender of H and descender of p a quarter more."""
    names = {c: f"g{ord(c)}" for c in LETTERS + EMPTY + BOX}
    glyphs = {".notdef": _glyph((50, 0, 450, 700)), "space": _glyph()}
    for char, name in names.items():
        bottom, top = (-250 if char == "p" else 0), (750 if char == "H" else 500)
        glyphs[name] = _glyph((60, bottom, 120, top), (260, bottom, 320, top))
    glyphs[names[EMPTY]], glyphs[names[BOX]] = _glyph(), glyphs[".notdef"]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(list(glyphs))
    builder.setupCharacterMap({32: "space", **{ord(c): n for c, n in names.items()}})
    builder.setupGlyf(glyphs)
    builder.setupHorizontalMetrics(dict.fromkeys(glyphs, (400, 60)))
    builder.setupHorizontalHeader(ascent=800, descent=-300)
    builder.setupNameTable({"familyName": "Bars", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    path = tmp_path_factory.mktemp("fonts") / "bars.ttf"
    builder.save(path)
    return path


@pytest.fixture(scope="module")
def font(font_file: Path) -> HandFont:
    return inspect_font(font_file, "bars")


def test_empty_and_missing_glyphs_are_not_covered_though_the_cmap_names_them(font: HandFont) -> None:
    assert font.covers("xenus nap")
    assert not font.covers("queen")
    assert not font.covers("Queen")
    assert not font.covers("xylem")


def test_x_height_and_stroke_are_measured_from_the_outlines(font: HandFont) -> None:
    assert font.x_height == pytest.approx(0.5)
    # bars of 60 by 500: twice the area over the way around
    assert font.stroke == pytest.approx(2 * 60 * 500 / (2 * 560) / 500, rel=0.02)


def test_text_with_a_character_the_font_lacks_is_refused(font: HandFont) -> None:
    with pytest.raises(ValueError, match=r"\['q'\]"):
        render_text(font, "seqr", 20, np.random.default_rng(0))


@pytest.mark.parametrize("x_height", [10.0, 24.0, 60.0])
def test_letters_stand_on_the_baseline_and_are_of_the_x_height(font: HandFont, x_height: float) -> None:
    for seed in range(12):
        coverage, baseline = render_text(font, "xnu", x_height, np.random.default_rng(seed))
        rows = np.flatnonzero(coverage.max(1) > 127)
        assert coverage.dtype == np.uint8
        assert rows[-1] == pytest.approx(baseline, abs=0.55 * x_height + 1)
        assert rows[-1] - rows[0] == pytest.approx(x_height, rel=0.6, abs=2)
        assert coverage[:, [0, -1]].max() == 0, "ink is cut at the edge"


def test_printed_faces_stand_exactly(font: HandFont) -> None:
    printed = HandFont(font.name, font.path, "printed", font.characters, font.x_height, font.stroke)
    coverage, baseline = render_text(printed, "xnu exa", 40, np.random.default_rng(0))
    rows = np.flatnonzero(coverage.max(1) > 127)
    assert rows[-1] == pytest.approx(baseline, abs=1.5)
    assert rows[0] == pytest.approx(baseline - 40, abs=1.5)


def test_the_same_letter_is_never_drawn_the_same_way_twice(font: HandFont) -> None:
    coverage, _ = render_text(font, "n n n n", 40, np.random.default_rng(4))
    columns = coverage.max(0) > 32
    edges = np.flatnonzero(np.diff(columns.astype(int), prepend=0))
    widths = [int(end - start) for start, end in zip(edges[::4], edges[3::4], strict=False)]
    inks = {int(coverage[:, start : start + w].sum()) for start, w in zip(edges[::4], widths, strict=False)}
    assert len(inks) == 4


def test_same_seed_draws_the_same_pixels(font: HandFont) -> None:
    first, second, other = (
        render_text(font, "some xenon".replace("o", "a").replace("m", "n"), 22, np.random.default_rng(s))
        for s in (7, 7, 8)
    )
    assert np.array_equal(first[0], second[0])
    assert first[1] == second[1]
    assert first[0].shape != other[0].shape or not np.array_equal(first[0], other[0])


def test_text_of_spaces_gives_an_empty_bitmap(font: HandFont) -> None:
    coverage, _ = render_text(font, " ", 20, np.random.default_rng(0))
    assert coverage.max() == 0


def test_a_font_that_cannot_be_fetched_is_reported_and_the_others_are_kept(
    font_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unpack(package: Package, folder: Path) -> Path:
        if package.package == "gone":
            raise ValueError("gone 1.0: npm brought no archive")
        (folder / "bars.ttf").write_bytes(font_file.read_bytes())
        return folder

    entries = [
        Package("npm", name, "1.0", "00" * 32, "OFL-1.1", {"name": name, "kind": "school", "file": "bars.ttf"})
        for name in ("gone", "bars")
    ]
    monkeypatch.setattr(fonts_module, "read_lock", lambda _: entries)
    monkeypatch.setattr(fonts_module, "unpack", unpack)
    # The command prints what a training run on this folder records of it.
    assert cli.main(["train", "data", "fonts", str(tmp_path / "printed")]) == 0
    assert capsys.readouterr().out == f"{fingerprint(tmp_path / 'printed')}  {tmp_path / 'printed'}\n"
    said: list[str] = []
    fetch_fonts(tmp_path, said.append)
    assert any("skipped: gone" in line for line in said)
    (kept,) = load_fonts(tmp_path)
    assert (kept.name, kept.kind) == ("bars", "school")
    assert kept.covers("xenus")
    assert not kept.covers("q")
    assert kept.x_height == pytest.approx(0.5)


def test_converted_font_has_the_same_bytes_at_any_time(
    font_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seconds in ("1000000000", "1700000000"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", seconds)  # what fontTools takes for the time of the change
        fonts_module.to_truetype(font_file, tmp_path / seconds)
    assert (tmp_path / "1000000000").read_bytes() == (tmp_path / "1700000000").read_bytes()


def test_a_folder_of_ones_own_fonts_needs_no_index(font_file: Path) -> None:
    (only,) = load_fonts(font_file.parent)
    assert only.covers("xenus")


def test_a_file_that_is_not_a_font_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"not a font at all")
    with pytest.raises(ValueError, match=r"broken\.ttf is not a font"):
        inspect_font(tmp_path / "broken.ttf", "broken")


def test_lock_file_names_each_font_once_with_its_version_hash_and_open_licence() -> None:
    entries = read_lock(LOCK)
    names = [e.about["name"] for e in entries]
    assert len(names) == len(set(names)) >= 60
    assert {e.about["kind"] for e in entries} == {"hand", "school", "printed"}
    for entry in entries:
        assert entry.licence in ("OFL-1.1", "Apache-2.0")
        assert len(bytes.fromhex(entry.sha256)) == 32
