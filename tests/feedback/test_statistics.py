"""The numbers of a reading: each tells of its own thing, blank pages give no nonsense, and reading pays little."""

import math
import re
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from text_recognizer.feedback.statistics import FEATURES, Wording, image_statistics, page_statistics
from text_recognizer.images import load_image
from text_recognizer.page import Line, Page, Word
from text_recognizer.reader import Reader

BOX = ((0.0, 0.0), (100.0, 0.0), (100.0, 20.0), (0.0, 20.0))
ENGLISH = ("It was a bright cold day in April, and", "the clocks were striking thirteen. The", "hall smelt of cabbage.")
GERMAN = ("Es war ein strahlend kalter Tag im April", "und die Uhren schlugen gerade dreizehn.", "Der Flur roch nach")


def page_of(*texts: str, confidence: float = 0.9) -> Page:
    words = [tuple(Word(text=word, polygon=BOX, confidence=confidence) for word in text.split()) for text in texts]
    return Page(
        width=640,
        height=480,
        lines=tuple(
            Line(text=t, polygon=BOX, baseline=(), confidence=confidence, words=w)
            for t, w in zip(texts, words, strict=True)
        ),
        model="m@1",
    )


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(threads=1)


@pytest.fixture(scope="module")
def wording(reader: Reader) -> Wording:
    recognizer = reader.recognizer
    return Wording(recognizer.alphabet, recognizer.language, frozenset({"the", "day", "and"}))


@pytest.fixture(scope="module")
def gray(letter: Path) -> np.ndarray:
    return load_image(letter).gray


def test_every_number_is_described_and_every_description_is_of_a_number(
    reader: Reader, wording: Wording, letter: Path
) -> None:
    image = load_image(letter)
    found = image_statistics(image.gray) | page_statistics(reader.read(image, "fast"), wording)
    assert set(found) == {feature.name for feature in FEATURES}
    assert all(math.isfinite(value) for value in found.values())
    assert all(feature.unit and feature.means for feature in FEATURES)


def test_dark_photograph_is_dark_and_of_little_contrast(gray: np.ndarray) -> None:
    before, after = image_statistics(gray), image_statistics((gray * 0.4).astype(np.uint8))
    assert after["brightness"] < 0.5 * before["brightness"]
    assert after["contrast"] < 0.5 * before["contrast"]
    assert after["sharpness"] == pytest.approx(before["sharpness"], rel=0.1)
    assert after["ink_share"] == pytest.approx(before["ink_share"], rel=0.1)


def test_blurred_page_is_less_sharp_and_as_bright(gray: np.ndarray) -> None:
    before, after = image_statistics(gray), image_statistics(cv2.GaussianBlur(gray, (0, 0), 3))
    assert after["sharpness"] < 0.4 * before["sharpness"]
    assert after["brightness"] == pytest.approx(before["brightness"], abs=0.02)


def test_size_of_the_image_is_reported_and_changes_little_else(gray: np.ndarray) -> None:
    before = image_statistics(gray)
    after = image_statistics(cv2.resize(gray, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
    assert after["width"] == 2 * before["width"]
    for name in ("brightness", "contrast", "ink_share"):
        assert after[name] == pytest.approx(before[name], rel=0.15)


@pytest.mark.parametrize("size", [(8, 8), (9, 400), (1200, 900)])
def test_blank_page_gives_what_it_has_and_no_more(size: tuple[int, int], wording: Wording) -> None:
    rng = np.random.default_rng(0)
    blank = (240 + rng.integers(-4, 5, size)).astype(np.uint8)
    found = image_statistics(blank) | page_statistics(Page(width=size[1], height=size[0], lines=()), wording)
    assert set(found) == {"width", "height", "brightness", "ink_share", "lines", "characters"}
    assert found["lines"] == found["characters"] == 0


def test_lines_without_a_place_or_a_word_are_no_obstacle(wording: Wording) -> None:
    found = page_statistics(
        Page(
            width=10,
            height=10,
            lines=(
                Line(text="", polygon=(), baseline=(), confidence=1.0, words=()),
                Line(text="\ufffd€☃", polygon=(), baseline=(), confidence=0.2, words=()),
            ),
        ),
        wording,
    )
    assert found["confidence_least"] == 0.2
    assert all(math.isfinite(value) for value in found.values())


def test_foreign_and_garbled_text_costs_more_bits_than_english(wording: Wording) -> None:
    english = page_statistics(page_of(*ENGLISH), wording)["bits_per_character"]
    german = page_statistics(page_of(*GERMAN), wording)["bits_per_character"]
    garbled = page_statistics(page_of("xqz jvk wpf", "tnh4 &%a lrk"), wording)["bits_per_character"]
    assert english < 2.6 < 3.4 < german < garbled


def test_bits_are_those_that_the_language_model_gives_one_by_one(reader: Reader) -> None:
    language = reader.recognizer.language
    assert language is not None
    lines = [[20, 30, 4, 80], [], [5, 3, 60], [40] * 12]
    one_by_one = [float(language.next(line[:i])[symbol]) for line in lines for i, symbol in enumerate([*line, 2])]
    assert language.likelihoods(lines) == pytest.approx(one_by_one, abs=1e-4)
    assert len(language.likelihoods([])) == 0


def test_measuring_leaves_the_memory_of_the_language_model_alone(reader: Reader, wording: Wording) -> None:
    language = reader.recognizer.language
    assert language is not None
    before = len(language.cached)
    page_statistics(page_of(*ENGLISH, *GERMAN), wording)
    assert len(language.cached) == before


def test_words_of_the_dictionary_are_counted() -> None:
    wording = Wording("abc", None, frozenset({"day", "april", "don't", "the"}))
    found = page_statistics(page_of("The day, 12 April: don’t xq!"), wording)
    assert found["dictionary_words"] == pytest.approx(4 / 5)
    assert "bits_per_character" not in found


def test_reader_that_loops_repeats_itself(wording: Wording) -> None:
    loop = page_statistics(page_of("and then and then and then and then and then and then"), wording)
    assert page_statistics(page_of(*ENGLISH), wording)["repetition"] < 0.05 < 0.5 < loop["repetition"]


def test_doubtful_words_and_signs_are_shares(wording: Wording) -> None:
    assert page_statistics(page_of("a b", confidence=0.6), wording)["doubtful_words"] == 1
    assert page_statistics(page_of("a b", confidence=0.95), wording)["doubtful_words"] == 0
    assert page_statistics(page_of("a+b=c"), wording)["other_characters"] == pytest.approx(0.4)


def test_numbers_of_a_page_take_far_less_than_reading_it(reader: Reader, wording: Wording, letter: Path) -> None:
    image = load_image(letter)
    begin = time.process_time()
    page = reader.read(image, "fast")
    reading = time.process_time() - begin
    begin = time.process_time()
    for _ in range(5):
        image_statistics(image.gray)
        page_statistics(page, wording)
    assert (time.process_time() - begin) / 5 < 0.25 * reading


def test_numbers_need_no_package_beyond_those_of_reading() -> None:
    source = Path(sys.modules["text_recognizer.feedback.statistics"].__file__ or "").read_text(encoding="utf-8")
    assert not any(f"import {name}" in source for name in ("scipy", "sqlalchemy", "matplotlib", "rapidfuzz"))


def test_guide_has_a_row_for_each_number() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "review" / "monitoring.md").read_text(encoding="utf-8")
    table = guide.partition("## The numbers of a reading")[2].partition("\n## ")[0]
    rows = [name for row in re.findall(r"^\| (`[^|]*) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]
    assert set(rows) == {feature.name for feature in FEATURES}
