"""A model folder that is damaged or of someone else is refused before anything in it is used."""

import json
import shutil
from pathlib import Path

import pytest

from text_recognizer.bundle import Bundle
from text_recognizer.errors import BundleInvalid


@pytest.fixture
def copied(bundle_dir, tmp_path) -> Path:
    return Path(shutil.copytree(bundle_dir, tmp_path / "bundle"))


def refusal(folder: Path) -> str:
    with pytest.raises(BundleInvalid) as caught:
        Bundle.open(folder)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


def test_shipped_bundle_and_a_copy_of_it_are_accepted(copied):
    assert Bundle.open().version == Bundle.open(copied).version


def test_one_flipped_bit_is_seen_in_every_file(copied):
    for name in json.loads((copied / "bundle.json").read_text())["files"]:
        file = copied / name
        whole = file.read_bytes()
        file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert name in refusal(copied)
        file.write_bytes(whole)
    Bundle.open(copied)


def test_truncated_and_missing_files_are_seen(copied):
    encoder = copied / "encoder.onnx"
    encoder.write_bytes(encoder.read_bytes()[:1000])
    assert "encoder.onnx" in refusal(copied)
    encoder.unlink()
    assert "encoder.onnx" in refusal(copied)


def test_swapped_files_are_seen(copied):
    (copied / "encoder.onnx").rename(copied / "other")
    (copied / "decoder.onnx").rename(copied / "encoder.onnx")
    (copied / "other").rename(copied / "decoder.onnx")
    refusal(copied)


@pytest.mark.parametrize(
    "description",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"format": 99}',
        b'{"format": 1, "name": "x", "version": "1", "files": {}}',
        b'{"_name_or_path": "someone/else", "model_type": "vision-encoder-decoder"}',
    ],
)
def test_foreign_or_broken_description_is_refused(copied, description):
    (copied / "bundle.json").write_bytes(description)
    assert "bundle.json" in refusal(copied)


def test_description_cannot_reach_out_of_the_folder(copied):
    info = json.loads((copied / "bundle.json").read_text())
    info["files"]["../secret"] = "0" * 64
    (copied / "bundle.json").write_text(json.dumps(info))
    assert "outside" in refusal(copied)


def test_folder_without_a_bundle_is_refused(tmp_path):
    refusal(tmp_path)
    refusal(tmp_path / "nothing")
    (tmp_path / "file").write_text("text")
    refusal(tmp_path / "file")
