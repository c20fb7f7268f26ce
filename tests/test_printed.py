"""The page of the printed benchmark: its lines are where the manifest says, and its faces are none of training's."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from text_recognizer.evaluation.sets import load_set
from text_recognizer.synthesis.sources.alphabet import ALPHABET
from text_recognizer.synthesis.sources.fonts import LOCK, write_builtin_font

FILE = Path(__file__).parents[1] / "benchmarks" / "printed.py"
spec = importlib.util.spec_from_file_location("printed", FILE)
assert spec is not None and spec.loader is not None
printed = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = printed
spec.loader.exec_module(printed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("printed")
    write_builtin_font(out)
    printed.write_set(out / "set", out, [{"name": "aileron"}], (100,))
    return out / "set"


def test_every_word_of_the_text_is_on_the_page_once(folder: Path) -> None:
    (page,) = load_set(folder).pages
    words = " ".join(line.text for line in page.lines).split()
    written = printed.PAGES["en"]
    assert words == [*written["head"].split(), *" ".join(written["paragraphs"]).split(), printed.NUMBER]


@pytest.mark.parametrize("language", printed.PAGES)
def test_page_of_each_language_fits_and_can_be_read(folder: Path, language: str) -> None:
    page, lines = printed.draw_page(folder.parent / "aileron.ttf", 60, language)
    assert set("".join(line.text for line in lines)) <= {*ALPHABET, "„"}  # which is read as “
    (*text, number) = lines
    assert text[-1].baseline < number.baseline - 5  # mm
    assert not any(line.right > printed.PAPER[0] - printed.MARGINS[0] + 1 for line in lines), page.shape


def test_ink_lies_inside_the_given_lines(folder: Path) -> None:
    page, lines = printed.draw_page(folder.parent / "aileron.ttf", 100)
    ink = page < 150
    mm = 100 / 25.4
    covered = np.zeros_like(ink)
    for line in lines:
        rows = slice(int((line.baseline - 3.3) * mm), int((line.baseline + 1.4) * mm) + 1)
        covered[rows, int((line.left - 1) * mm) : int((line.right + 1) * mm) + 1] = True
    assert ink.sum() > 3000
    assert (ink & covered).sum() > 0.995 * ink.sum()


def test_no_face_is_one_that_training_uses() -> None:
    trained = {entry["package"] for entry in json.loads(LOCK.read_text(encoding="utf-8"))}
    measured = {entry["package"] for entry in json.loads(printed.LOCK.read_text(encoding="utf-8"))}
    assert len(measured) == 10
    assert not measured & trained
