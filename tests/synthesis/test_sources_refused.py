"""Data that is missing, damaged or something else is named before anything is trained on what is left."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from text_recognizer.errors import DataInvalid
from text_recognizer.synthesis.rendering.clutter import Pictures
from text_recognizer.synthesis.sources.fonts import load_fonts, write_builtin_font
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import load_writers

WHOLE = {"points": np.zeros((2, 2), "<i2"), "stroke_lengths": [2], "texts": ["a"], "writers": ["w"], "ink_strokes": [1]}


@pytest.mark.parametrize("kind", ["words", "cut", "other arrays", "an array", "empty"])
def test_unipen_cache_that_is_none_is_named(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "unipen.npz"
    np.savez_compressed(file, **(WHOLE if kind == "other arrays" else {**WHOLE, "is_char": [False]}))
    if kind == "words":
        file.write_text("not strokes")
    elif kind == "cut":
        file.write_bytes(file.read_bytes()[:200])
    elif kind == "an array":
        with file.open("wb") as stream:
            np.save(stream, np.zeros(3))
    elif kind == "empty":
        file.write_bytes(b"")
    with pytest.raises(DataInvalid, match=r"unipen\.npz is damaged, or was not made by 'train data prepare'"):
        load_writers(file, "train")


@pytest.mark.parametrize("load", [load_fonts, TextSource, Pictures.of])
def test_folder_that_is_missing_is_not_taken_for_an_empty_one(load: Callable[[Path], Any], tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="nowhere is not a folder of"):
        load(tmp_path / "nowhere")


def test_texts_of_another_encoding_are_named(tmp_path: Path) -> None:
    (tmp_path / "fr.txt").write_bytes("déjà vu".encode("latin-1"))
    with pytest.raises(DataInvalid, match=r"fr\.txt can't be read \(UnicodeDecodeError\): it must be a text in UTF-8"):
        TextSource(tmp_path)


def test_folder_without_texts_is_mentioned(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        TextSource(tmp_path)
    assert "holds no text" in caplog.text


def test_fonts_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    write_builtin_font(tmp_path)
    (tmp_path / "broken.ttf").write_bytes(b"no outlines")
    with pytest.raises(DataInvalid, match=r"broken\.ttf is not a font.*take it out"):
        load_fonts(tmp_path)
    index = tmp_path / "fonts.json"
    index.write_text('[{"name": "a", ')
    with pytest.raises(DataInvalid, match=r"fonts\.json can't be read"):
        load_fonts(tmp_path)
    index.write_text('[{"name": "a", "file": "a.ttf", "kind": "hand", "characters": "a", "x_height": 1, "stroke": 1}]')
    with pytest.raises(DataInvalid, match=r"a\.ttf is missing"):
        load_fonts(tmp_path)
