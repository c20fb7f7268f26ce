"""The model card says what the bundle, the licences and the slices are; its pictures are there and small."""

import json
import re
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from text_recognizer.bundle import Bundle
from text_recognizer.page import Line, Page
from text_recognizer.synthesis.rendering.ink import Hand
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import Ink, Writer, heldout_writers

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))
import failures
import slices

ROOT = Path(__file__).parent.parent
CARD = (ROOT / "docs" / "measure" / "model-card.md").read_text(encoding="utf-8")
SOURCES = ROOT / "src" / "text_recognizer" / "synthesis" / "sources"
TEXT = TextSource(None)


def test_every_licence_of_the_notice_is_named():
    notice = " ".join((ROOT / "NOTICE").read_text(encoding="utf-8").split())
    licences = set(
        re.findall(r"Apache License,? (?:Version )?[\d.]+\d|CC BY [\d.]+\d|SIL Open Font License [\d.]+\d", notice)
    )
    assert len(licences) >= 4
    for licence in licences | {"public-domain"}:
        assert licence in notice
        assert licence in CARD


def test_notice_card_and_bundle_name_as_many_photographs():
    places = {
        "NOTICE": (ROOT / "NOTICE").read_text(encoding="utf-8"),
        "card": CARD,
        "training": (ROOT / "docs" / "learn" / "training.md").read_text(encoding="utf-8"),
        "bundle": "\n".join(Bundle.open().description.data),
        "licences": "\n".join(licence.data for licence in Bundle.open().description.licences),
    }
    counts = {}
    for place, text in places.items():
        near = [line for line in text.splitlines() if "lomiri-wallpapers" in line]
        counts[place] = re.findall(r"(\w+) photographs", "\n".join(near))
    expected = ["ten"]  # of the pictures of the package, those without a share-alike licence
    assert counts == dict.fromkeys(places, expected)


@pytest.mark.parametrize("lock", ["fonts.lock.json", "texts.lock.json"])
def test_every_licence_of_what_is_fetched_for_training_is_named(lock):
    packages = json.loads((SOURCES / lock).read_text(encoding="utf-8"))
    for package in packages:
        for licence in re.split(r"[;,] ", package["licence"]):
            words = licence.replace("King James text", "text")
            assert words in CARD, package["package"]


def test_no_writer_is_named_and_the_data_is_cited():
    assert not any(writer in CARD for writer in heldout_writers())
    assert "10.1109/ICPR.1994.576870" in CARD
    assert f"{len(heldout_writers())} UNIPEN writers" in CARD


def test_figures_are_of_the_model_that_ships():
    bundle = Bundle.open()
    for name in ("slices", "failures"):
        section = CARD.split(f"<!-- {name}:begin -->")[1].split(f"<!-- {name}:end -->")[0]
        assert f"Model `{bundle.name}@{bundle.version}`" in section, (
            f"the card's {name} are of another model: run benchmarks/slices.py and tools/failures.py with --write"
        )


def test_every_slice_and_every_failure_stands_in_the_card():
    names = [*slices.HANDS, *(n for _, looks in slices.LOOKS.values() for n in looks)]
    names += [n for views in slices.VIEWS.values() for n in views]
    for name in names:
        assert f"\n| {name} | " in CARD
    for kind in failures.KINDS:
        assert f"**{kind.title}.**" in CARD


def test_links_lead_somewhere_and_pictures_are_small_and_all_shown():
    shown = set()
    for target in re.findall(r"\]\(([^)#]+)\)", CARD):
        if not target.startswith("http"):
            path = ROOT / "docs" / "measure" / target
            assert path.exists(), target
            if path.suffix == ".png":
                assert path.stat().st_size <= failures.LARGEST
                shown.add(path.resolve())
    assert shown == {p.resolve() for p in (ROOT / "docs" / "images" / "failures").iterdir()}
    assert 1 <= len(shown) <= 8


# ------------------------------------------------------------------------------------------- how they are made


def ink(text: str) -> Ink:
    t = np.linspace(0, np.pi, 9)
    arches = [np.stack([k * 0.9 + 0.35 - 0.35 * np.cos(t), -0.95 * np.sin(t)], axis=1) for k in range(len(text))]
    return Ink(text, (np.concatenate(arches).astype(np.float32),))


@pytest.fixture(scope="module")
def hands() -> list[Hand]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = tuple(ink(letters[k : k + 4]) for k in range(12))
    return [Hand(Writer(name, words, {c: (ink(c),) for c in letters + "2"})) for name in ("one", "two")]


@pytest.mark.parametrize("kind", failures.KINDS, ids=lambda kind: kind.name)
def test_each_kind_draws_writing_with_its_truth_the_same_each_time(kind, hands):
    if kind.name == "cursive":
        hands = [Hand(Writer(h.id, h.inks, {})) for h in hands]  # who can print would do so
    once, again = kind.make(hands, TEXT, 1), kind.make(hands, TEXT, 1)
    assert np.array_equal(once.gray, again.gray)
    assert once.truth == again.truth
    assert all(line.strip() for line in once.truth)
    assert np.ptp(once.gray) > 60  # ink on paper
    assert once.is_line == (kind.name in ("cursive", "formula"))


class Worse:
    """Reads each picture with one more wrong letter than the last."""

    def __init__(self, order: list[int]) -> None:
        self.wrong = iter(order)

    def read(self, _: np.ndarray) -> Page:
        return Page(
            width=10,
            height=10,
            lines=(Line(text="x" * next(self.wrong), polygon=(), baseline=(), confidence=0.5, words=()),),
        )


def test_the_picture_in_the_middle_is_shown():
    picture = failures.Picture(np.full((20, 20), 255, np.uint8), ("oooooooooo",))
    kind = failures.Kind("k", "T", "E.", lambda *_: picture)
    shown, rates = failures.middle_one(kind, [], TEXT, Worse([14, 11, 12, 15, 13]))  # type: ignore[arg-type]
    assert rates == [1.1, 1.2, 1.3, 1.4, 1.5]
    assert shown.read == ("x" * 13,)
    made = failures.section(kind, shown, rates, "images/k.png")
    assert "CER 130 %; of the 5 drawn 110 to 150 %" in made
    assert "![T](images/k.png)" in made
    assert "- written: `oooooooooo`" in made


def test_pictures_show_ink_on_white_and_stay_small():
    noise = np.random.default_rng(0).integers(0, 256, (900, 1400)).astype(np.uint8)
    assert len(failures.png(noise)) <= failures.LARGEST
    page = np.full((300, 1800), 235, np.uint8)
    page[100:140, 200:1600] = 30
    shown = np.asarray(Image.open(BytesIO(failures.png(page))).convert("L")).astype(int)
    assert shown.shape == (150, 900)
    assert shown[10, 10] == 255
    assert abs(shown[60, 400] - 30 * 255 / (0.9 * 235)) <= 9


def test_readings_stand_as_code_whatever_they_hold():
    assert failures.code(["a|b", "c*d*"]) == "`a|b / c*d*`"
    assert failures.code(["a`b"]) == "`` a`b ``"
    assert failures.code([]) == failures.code([" "]) == "nothing"
