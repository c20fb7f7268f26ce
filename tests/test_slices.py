"""Slices of the model card: each differs from the plain one in one thing; only the card's tables are replaced."""

import sys
from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest

from text_recognizer.errors import DataInvalid
from text_recognizer.page import Line, Page, Word
from text_recognizer.recognition.recognizer import LineReading, WordReading
from text_recognizer.synthesis.rendering.ink import Hand
from text_recognizer.synthesis.rendering.page_style import PageStyle
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import Ink, Writer

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import slices

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEXT = TextSource(None)
SMALL = PageStyle(x_height=30, width=20, height=12, margins=(1, 1, 1, 1))


def word(text: str, joined: bool) -> Ink:
    """Arches, one a letter: in one stroke, or each with the pen lifted."""
    t = np.linspace(0, np.pi, 9)
    arches = [
        np.stack([k * 0.9 + 0.35 - 0.35 * np.cos(t), -0.95 * np.sin(t)], axis=1).astype(np.float32)
        for k in range(len(text))
    ]
    return Ink(text, (np.concatenate(arches),) if joined else tuple(arches))


def writer(name: str, joined: bool) -> Hand:
    texts = [LETTERS[k : k + 3 + k % 5] for k in range(20)]
    chars = {} if joined else {c: (word(c, False),) for c in LETTERS}
    return Hand(Writer(name, tuple(word(t, joined) for t in texts), chars))


@pytest.fixture(scope="module")
def hands() -> list[Hand]:
    return [writer("one-joined", True), writer("two-print", False)]


@pytest.fixture(scope="module")
def line(hands: list[Hand]) -> slices.Written:
    return slices.write_line(hands, TEXT, 1)  # of the second, who lifts the pen


@pytest.fixture(scope="module")
def page(hands: list[Hand]) -> slices.WrittenPage:
    return slices.write_page(hands[0], TEXT, 3, SMALL)


def test_each_look_changes_only_what_its_group_is_about():
    for group, (allowed, looks) in slices.LOOKS.items():
        assert slices.PLAIN in looks.values(), group
        for name, look in looks.items():
            changed = {f.name for f in fields(look) if getattr(look, f.name) != getattr(slices.PLAIN, f.name)}
            assert changed <= allowed, name
            assert changed or look is slices.PLAIN, name


def test_every_slice_is_the_same_twice_and_unlike_the_plain_line(line):
    plain = slices.draw(line)
    for _, looks in slices.LOOKS.values():
        for name, look in looks.items():
            once, again = slices.draw(line, look), slices.draw(line, look)
            assert np.array_equal(once, again), name
            assert look is slices.PLAIN or once.shape != plain.shape or not np.array_equal(once, plain), name


def test_another_pen_leaves_the_paper_as_it_is(line):
    plain, faint = slices.draw(line), slices.draw(line, slices.Look(strength=0.2))
    blank = slices.draw(line, slices.Look(strength=0.0))
    paper = cv2.dilate((plain != blank).astype(np.uint8), np.ones((5, 5))) == 0
    assert 0.3 < paper.mean() < 0.99
    assert np.array_equal(plain[paper], faint[paper])
    assert plain[~paper].mean() < faint[~paper].mean() < blank[~paper].mean()


def test_ruled_paper_adds_rules_and_nothing_else(line):
    plain, ruled = slices.draw(line), slices.draw(line, slices.Look(paper="ruled"))
    assert plain.shape == ruled.shape
    assert (ruled <= plain).all()
    assert 0 < (ruled != plain).mean() < 0.25


def test_less_light_darkens_every_pixel_alike(line):
    dark = next(look for name, look in slices.LOOKS["Paper and picture"][1].items() if name.startswith("dark"))
    assert np.array_equal(slices.draw(line, dark), (slices.draw(line) * 0.35).astype(np.uint8))


def test_slant_shears_about_the_baseline_and_keeps_the_text(line):
    leaning = slices.slant(line.ink, 0.5)
    before, after = np.concatenate(line.ink.strokes), np.concatenate(leaning.strokes)
    assert leaning.text == line.ink.text
    assert np.array_equal(before[:, 1], after[:, 1])
    shift = after[:, 0] - before[:, 0] + 0.5 * before[:, 1]
    assert np.ptp(shift) < 1e-4


def test_hands_are_sorted_by_the_strokes_of_the_line_itself(hands):
    groups = slices.lines_by_lifts(hands, TEXT, 4)
    joined, mixed, apart = groups.values()
    assert len(joined) == len(apart) == 4
    assert all(slices.lifts(found.ink) < 0.5 and found.writer == "one-joined" for found in joined)
    assert all(slices.lifts(found.ink) >= 0.85 and found.writer == "two-print" for found in apart)
    assert mixed == []  # nobody here writes so: the search ends


def test_inverted_page_is_exactly_255_less_the_plain_one(page):
    assert np.array_equal(slices.inverted(page), 255 - page.gray)


def test_chalk_is_light_on_a_dark_board_where_the_ink_was(page):
    board = slices.blackboard(page)
    assert board.shape == page.gray.shape
    assert board[page.cover > 200].mean() > 150
    assert board[page.cover == 0].mean() < 80


def test_resolutions_have_the_stated_sizes(page):
    assert page.gray.shape == (12 * 30, 20 * 30)
    for dpi in (200, 150, 100, 75):
        view = slices.VIEWS["Resolution"][f"{dpi} dpi"](page)
        assert view.shape == (round(360 * dpi / 300), round(600 * dpi / 300))
        assert abs(float(view.mean()) - float(page.gray.mean())) < 1


def test_turned_pages_keep_all_their_ink_and_turn_the_right_way(page):
    for name, view in slices.VIEWS["Rotation"].items():
        paper = float(np.median(page.gray))
        turned = view(page)
        ink, ink_before = (np.maximum(paper - 40 - p.astype(float), 0).sum() for p in (turned, page.gray))
        assert ink_before > 0
        assert ink == pytest.approx(ink_before, rel=0.15), name
    dot = np.full((100, 400), 255, np.uint8)
    dot[45:55, 370:380] = 0
    marked = slices.WrittenPage(dot, dot, ("·",), "w", 0)
    turned = slices.turned(10)(marked)
    assert np.argwhere(turned < 128)[:, 0].mean() < turned.shape[0] / 2 - 20  # the right side went up


class Scribe:
    """Reads every line as the same words, half sure of each."""

    model, line_height = "scribe@1", 48

    def __init__(self) -> None:
        self.recognizer = self

    def identify_language(self, crops: list[np.ndarray]) -> str:
        return "und"

    def in_language(self, language: str) -> "Scribe":
        return self

    def read_lines(self, crops: list[np.ndarray], mode: str) -> list[LineReading]:
        return [LineReading("abc def", 0.5, (WordReading("abc", 0, 1, 0.5), WordReading("def", 1, 2, 0.5)))] * len(
            crops
        )

    def read(self, image: object, mode: str, *, language: str | None = None) -> Page:
        return Page(
            width=100,
            height=100,
            lines=(
                Line(
                    text="abc",
                    polygon=(),
                    baseline=(),
                    confidence=0.5,
                    words=(Word(text="abc", polygon=(), confidence=0.5),),
                ),
            ),
        )


@pytest.fixture(scope="module")
def figures(hands: list[Hand], tmp_path_factory: pytest.TempPathFactory) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "STYLE", SMALL)
        folder = tmp_path_factory.mktemp("slices")
        return slices.measure(hands, TEXT, Scribe(), folder, lines=2, pages=1)  # type: ignore[arg-type]


def test_every_slice_is_measured_and_compared_with_the_first_of_its_group(figures):
    groups = figures["groups"]
    assert set(groups) == {"Hands, by strokes a letter", *slices.LOOKS, *slices.VIEWS}
    for group in (*slices.LOOKS, *slices.VIEWS):
        names = slices.LOOKS[group][1] if group in slices.LOOKS else slices.VIEWS[group]
        assert [row["slice"] for row in groups[group]] == list(names)
        assert groups[group][0]["against_plain"] is None
        # This reader says the same of every picture: no slice can differ.
        assert all(row["against_plain"] == [0, 0, 0] for row in groups[group][1:])
        assert len({row["characters"] for row in groups[group]}) == 1
        assert all(row["any_order"] is None for row in groups[group]) == (group in slices.LOOKS)
    assert sum(count for _, _, count, _ in figures["calibration"]) == 2 * (2 + 2 + 2)


def test_tables_hold_every_slice_under_the_command_that_makes_them(figures):
    made = slices.tables(figures)
    assert "Model `scribe@1`, 2 lines or 1 pages a slice" in made
    assert "--lines 2 --pages 1 --write" in made
    for rows in figures["groups"].values():
        for row in rows:
            assert f"\n| {row['slice']} | {100 * row['accurate'][0]:.1f} % (" in made
    for block in made.split("\n\n"):
        if block.startswith("|"):
            assert len({line.count("|") for line in block.splitlines()}) == 1


def test_summary_says_worse_only_where_the_interval_does():
    rows = [
        ("plain", None),
        ("ink-blot", [0.1, 0.05, 0.2]),
        ("faint", [0.2, -0.1, 0.3]),
        ("felt", [-0.01, -0.02, -0.005]),
    ]
    figures = {"groups": {"Pen": [{"slice": name, "against_plain": numbers} for name, numbers in rows]}}
    assert slices.summary(figures) == (
        "Read worse than the first of their table, in points of CER: ink-blot (+10.0). "
        "Read better: felt (−1.0). No difference shown: faint (+20.0)."
    )


def test_difference_counts_edits_of_the_same_texts_only(hands, tmp_path):
    def report(folder: str, text: str):
        image = np.full((96, 300), 230, np.uint8)
        image[40:60, 40:260] = 20
        data = slices.load_set(slices.store(tmp_path / folder, [(image, [text], "w")]))
        return slices.evaluate(data, Scribe())  # type: ignore[arg-type]

    right, wrong = report("a", "abc def"), report("b", "abc dex")
    assert slices.against(right, right).value == 0
    with pytest.raises(DataInvalid, match="same texts"):
        slices.against(right, wrong)


DOCUMENT = "# Card\n\nbefore\n<!-- slices:begin -->\nold\n<!-- slices:end -->\nafter <!-- other:begin -->\n"


def test_only_what_stands_between_the_markers_is_replaced():
    made = slices.put_between(DOCUMENT, "slices", "| new |")
    assert made == DOCUMENT.replace("old", "| new |")
    assert slices.put_between(made, "slices", "old") == DOCUMENT


@pytest.mark.parametrize("document", ["", DOCUMENT * 2, DOCUMENT.replace("begin", "x").replace("end", "begin")])
def test_document_without_its_markers_is_refused(document):
    with pytest.raises(DataInvalid, match="slices:begin"):
        slices.put_between(document, "slices", "new")


def test_document_without_markers_is_refused_before_anything_is_measured(tmp_path):
    card = tmp_path / "card.md"
    card.write_text("nothing here", encoding="utf-8")
    with pytest.raises(DataInvalid, match="slices:begin"):
        slices.main(["--unipen", "is-not-there.npz", "--write", str(card)])
    assert card.read_text(encoding="utf-8") == "nothing here"
