"""Wording: the recogniser's characters only, lines as long as asked for, look-alikes in one form."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from text_recognizer.training.sources.alphabet import ALPHABET
from text_recognizer.training.sources.download import read_lock
from text_recognizer.training.sources.text import LOCK, TextSource, normalise_text

BUILT_IN = TextSource(None)


@pytest.mark.parametrize(
    ("free", "written"),
    [
        ("a\tb\r\n c", "a b c"),
        ("  10\u00a0000\u202f€ ", "10 000 €"),
        ("‘quoted’", "'quoted’"),
        ("„Gänse“", "“Gänse“"),
        ("e\u0301te\u0301", "été"),
        ("ﬁve ﬂags, o\ufb00", "five flags, off"),
        ("5 − 3 × 2", "5 - 3 x 2"),
        ("co\u00adoperate", "cooperate"),
        ("20 ˚C", "20 °C"),
        ("plain (ASCII) stays: ~`|", "plain (ASCII) stays: ~`|"),
        ("£5 — “why?” – it’s…", "£5 — “why?” – it’s…"),
        ("", ""),
    ],
)
def test_look_alikes_have_one_form(free: str, written: str) -> None:
    assert normalise_text(free) == written


def test_characters_outside_the_alphabet_stay_as_they_are() -> None:
    assert normalise_text("日本 ¿qué? œuvre") == "日本 ¿qué? œuvre"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise_text(text)
    assert normalise_text(once) == once


def test_alphabet_is_that_of_the_design() -> None:
    assert len(ALPHABET) == len(set(ALPHABET)) == 95 + 18
    assert normalise_text(ALPHABET[1:]) == ALPHABET[1:]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 70), st.integers(0, 40))
def test_lines_are_as_long_as_asked_for_and_of_the_alphabet(seed: int, low: int, more: int) -> None:
    line = BUILT_IN.line(np.random.default_rng(seed), low, low + more)
    assert low <= len(line) <= low + more
    assert set(line) <= set(ALPHABET)
    assert line == normalise_text(line)


def test_every_character_of_the_alphabet_is_written_sooner_or_later() -> None:
    rng = np.random.default_rng(0)
    assert set(ALPHABET) <= set("".join(BUILT_IN.line(rng, 20, 60) for _ in range(8000)))


def test_same_seed_gives_the_same_words() -> None:
    one, other = ([BUILT_IN.line(np.random.default_rng(s), 5, 50) for s in range(50)] for _ in range(2))
    assert one == other
    assert len(set(one)) > 45


def test_lines_begin_and_end_in_mid_sentence_and_some_words_are_divided() -> None:
    rng = np.random.default_rng(1)
    lines = [BUILT_IN.line(rng, 30, 60) for _ in range(600)]
    assert 100 < sum(line[0].islower() for line in lines) < 550
    assert sum(line[-1].isalpha() for line in lines) > 200
    assert sum(line.endswith("-") and line[-2].isalpha() for line in lines) > 10
    assert sum(line.isupper() for line in lines) > 3


def test_paragraphs_are_running_text_of_about_the_length_asked_for() -> None:
    for seed in range(60):
        paragraph = BUILT_IN.paragraph(np.random.default_rng(seed), 400)
        assert 200 < len(paragraph) < 720
        assert set(paragraph) <= set(ALPHABET)


def test_corpora_of_a_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "novel.txt").write_text("Zanzibar zebras zigzag. " * 400, encoding="utf-8")
    source = TextSource(tmp_path)
    rng = np.random.default_rng(0)
    found = sum("zigzag" in source.line(rng, 40, 60).lower() for _ in range(100))
    assert found > 60


def test_lock_file_names_versions_hashes_and_licences() -> None:
    for package in read_lock(LOCK):
        assert package.version
        assert len(bytes.fromhex(package.sha256)) == 32
        assert package.licence
        assert package.about["form"]
