"""A bundle's description reads, validates and writes itself, and its decoding steers the recogniser."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from text_recognizer.bundle import Bundle
from text_recognizer.description import Decoding, Description
from text_recognizer.errors import BundleInvalid
from text_recognizer.reader import Reader
from text_recognizer.recognition.recognizer import Recognizer


def within(part: object, whole: object) -> bool:
    """Whether all that the JSON value `part` holds stands in `whole` too."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and within(value, whole[key]) for key, value in part.items())
    return part == whole


def written(folder: Path) -> dict[str, object]:
    return json.loads((folder / "bundle.json").read_text(encoding="utf-8"))


def test_description_is_written_as_it_was_read(bundle_dir, tmp_path):
    description = Description.read(bundle_dir)
    description.write(tmp_path)
    assert within(written(bundle_dir), written(tmp_path))
    assert Description.read(tmp_path) == description


def test_absent_settings_have_defaults_and_unknown_ones_are_ignored(bundle_dir, tmp_path):
    info = written(bundle_dir)
    del info["recognizer"]["beam"], info["licences"]
    info["line_finder"] = {"side": 768, "from_the_future": 1}
    (tmp_path / "bundle.json").write_text(json.dumps(info))
    description = Description.read(tmp_path)
    assert description.recognizer.decoding.beam == Decoding().beam
    assert description.licences == ()
    assert description.line_finder.side == 768
    assert description.line_finder.max_side == 2048


def test_no_views_stay_no_views(bundle_dir, tmp_path):
    description = Description.read(bundle_dir)
    settings = replace(description.recognizer, decoding=replace(description.recognizer.decoding, views=()))
    replace(description, recognizer=settings).write(tmp_path)
    assert Description.read(tmp_path).recognizer.decoding.views == ()


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("name",), 1, "'name' is not a string"),
        (("recognizer",), None, "'recognizer' is not an object"),
        (("recognizer", "beam"), "wide", "'recognizer.beam' is not a whole number"),
        (("recognizer", "beam"), True, "'recognizer.beam' is not a whole number"),
        (("recognizer", "cache"), [3, 4], "'recognizer.cache' is not a list of 3 values"),
        (("recognizer", "views"), [1.2, "wide"], r"'recognizer.views\[1\]' is not a number"),
        (("recognizer", "calibration", "fast", "raw"), 0.5, "'recognizer.calibration.fast.raw' is not a list"),
        (("files", "encoder.onnx"), 5, "'files.encoder.onnx' is not a string"),
        (("run", "base"), {"name": "pen"}, "lacks 'run.base.version'"),
    ],
)
def test_wrong_value_is_named(bundle_dir, tmp_path, place, value, words):
    info = written(bundle_dir)
    part = info
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = value
    (tmp_path / "bundle.json").write_text(json.dumps(info))
    with pytest.raises(BundleInvalid, match=words):
        Description.read(tmp_path)


@pytest.fixture(scope="module")
def crops(letter):
    """Three lines of the letter."""
    reader = Reader(threads=1)
    return list(reader.lay_out(letter).crops[3:6])


def test_decoding_changes_the_search(crops):
    bundle = Bundle.open()
    shipped = bundle.description.recognizer.decoding
    usual = Recognizer(bundle, 1)
    images = usual.normalise(crops)
    encoded = usual.encode(images)

    def texts(**changes: object) -> list[list[list[int]]]:
        recognizer = Recognizer(bundle, 1, decoding=replace(shipped, **changes))
        return [recognizer.search(line.log_probs) for line in encoded]

    expected = [usual.search(line.log_probs) for line in encoded]
    assert texts() == expected
    assert texts(language_weight=5.0) != expected
    assert texts(length_bonus=20.0) != expected
    assert max(map(len, texts(beam=2))) == 2 < max(map(len, expected))


def test_reader_takes_a_decoding():
    decoding = Decoding(language_weight=0.0, views=())
    recognizer = Reader(threads=1, decoding=decoding).recognizer
    assert recognizer.decoding == decoding
    assert recognizer.language is None
