"""Wording: the recogniser's characters only, lines as long as asked for, look-alikes in one form."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from text_recognizer.synthesis.sources import text as wording
from text_recognizer.synthesis.sources.alphabet import ALPHABET
from text_recognizer.synthesis.sources.download import Package, read_lock
from text_recognizer.synthesis.sources.text import LOCK, WEIGHTS, TextSource, fetch_texts, normalise_text

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
        ("5 − 3 × 2", "5 - 3 × 2"),
        ("● eggs, □ milk, ✔ ⇒", "• eggs, ☐ milk, ✓ →"),
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
    assert len(ALPHABET) == len(set(ALPHABET)) == 95 + 18 + 68
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


def test_texts_are_drawn_by_language_english_first(tmp_path: Path) -> None:
    for name, word in {"novel": "whale", "en_letters": "dearest", "fr_x": "été", "de": "weiß", "notes": "memo"}.items():
        (tmp_path / f"{name}.txt").write_text(f"{word} " * 3000 + "\n漢字 is left out\n", encoding="utf-8")
    source = TextSource(tmp_path)
    rng = np.random.default_rng(0)
    words = " ".join(source.line(rng, 20, 40) for _ in range(1500)).lower().replace("weiss", "weiß").split()
    counts = {w: words.count(w) for w in ("whale", "dearest", "été", "weiß", "memo")}
    english = (counts["whale"] + counts["dearest"] + counts["memo"]) / sum(counts.values())
    assert 0.45 < english < 0.65  # short words come more often in a line of so many characters
    assert 0.6 < counts["été"] / counts["weiß"] < 2.2
    assert "漢字" not in words


def test_lists_begin_with_their_marks() -> None:
    rng = np.random.default_rng(3)
    starts = [BUILT_IN.line(rng, 20, 50)[:2] for _ in range(8000)]
    for mark in ("• ", "- ", "→ ", "☐ ", "☑ ", "✓ ", "1.", "5)"):
        assert mark in starts, mark


def test_smaller_alphabet_keeps_its_own_forms() -> None:
    assert normalise_text("« 2 × 3 º »") == "« 2 × 3 º »"
    assert normalise_text("« 2 × 3 º »", ALPHABET[:113]) == "“ 2 x 3 ° “"


def test_lock_file_names_versions_hashes_and_licences() -> None:
    for package in read_lock(LOCK):
        assert package.version
        assert len(bytes.fromhex(package.sha256)) == 32
        assert package.licence
        assert package.about["form"]


def _extracted(
    form: str, fill: Callable[[Path], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[str]]:
    """Corpora that `fetch_texts` makes of a package of the lock file whose contents `fill` writes."""
    package = next(p for p in read_lock(LOCK) if p.about["form"] == form)

    def unpack(package: Package, scratch: Path) -> Path:
        fill(scratch)
        return scratch

    monkeypatch.setattr(wording, "read_lock", lambda lock: [replace(package)])
    monkeypatch.setattr(wording, "unpack", unpack)
    fetch_texts(folder, report=lambda message: None)
    return {f.stem: f.read_text(encoding="utf-8").splitlines() for f in sorted(folder.iterdir())}


def test_books_give_their_prose_without_headings_verse_and_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = """[A Tale by Somebody 1909]

CHAPTER I

     It was a _very_ quiet
evening in town.


"Who is there?" he said.

     The king was in his counting house,
     Counting out his money.

He went home,
late and happy.

End of Project Gutenberg's A Tale

Project Gutenberg eBooks are often created from several printed editions.
"""

    def fill(folder: Path) -> None:
        (folder / "package" / "gutenberg").mkdir(parents=True)
        for name in [name for names in wording.BOOKS.values() for name in names]:
            (folder / "package" / "gutenberg" / f"{name}.txt").write_text(book, encoding="cp1252")

    corpora = _extracted("books", fill, tmp_path / "out", monkeypatch)
    tale = ["It was a very quiet evening in town.", '"Who is there?" he said.', "He went home, late and happy."]
    assert corpora == {name: tale * len(books) for name, books in wording.BOOKS.items()}


def test_country_profiles_give_their_sentences_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = {
        "Introduction": {"Background": {"text": "The islands were settled late. Ferries came in 1902."}},
        "Geography": {"Area": {"total": {"text": "243 sq km"}}, "Map references": {"text": None}},
    }

    def fill(folder: Path) -> None:
        for region in ("europe", "oceans"):
            (folder / "package" / region).mkdir(parents=True)
            (folder / "package" / region / "xx.json").write_text(json.dumps(profile), encoding="utf-8")

    corpora = _extracted("facts", fill, tmp_path / "out", monkeypatch)
    assert corpora == {"facts": ["The islands were settled late. Ferries came in 1902."]}


def test_jargon_entries_give_their_paragraphs_without_headwords_and_references(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = """tea break
 n.

    A pause in which {work} is talked about by
    those who ‘rest’. See also {coffee}.

        make tea &&
        drink.

    See {coffee}.
"""

    def fill(folder: Path) -> None:
        (folder / "jargon.dict.dz").write_bytes(gzip.compress(entries.encode()))

    corpora = _extracted("banter", fill, tmp_path / "out", monkeypatch)
    assert corpora == {"banter": ["A pause in which work is talked about by those who 'rest'."]}


def test_a_folder_without_some_corpora_keeps_the_proportions_of_the_rest(tmp_path: Path) -> None:
    words = {"speeches": "Congress ", "bible": "Behold "}
    for name, word in words.items():
        (tmp_path / f"{name}.txt").write_text(word * 3000, encoding="utf-8")
    source = TextSource(tmp_path)
    rng = np.random.default_rng(0)
    drawn = [source.paragraph(rng, 100) for _ in range(400)]
    share = sum("Congress" in p for p in drawn) / len(drawn)
    assert abs(share - WEIGHTS["speeches"] / (WEIGHTS["speeches"] + WEIGHTS["bible"])) < 0.06
