"""A model folder that is damaged or of someone else is refused before anything in it is used."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from text_recognizer.bundle import Bundle
from text_recognizer.errors import BundleInvalid
from text_recognizer.promotion.registrar import Registrar


@pytest.fixture
def copied(bundle_dir, tmp_path) -> Path:
    """A bundle with the shipped one's description and a few bytes in place of each large file."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    info = json.loads((bundle_dir / "bundle.json").read_text(encoding="utf-8"))
    for name in info["files"]:
        body = f"the bytes of {name}".encode()
        (folder / name).write_bytes(body)
        info["files"][name] = hashlib.sha256(body).hexdigest()
    (folder / "bundle.json").write_text(json.dumps(info))
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(BundleInvalid) as caught:
        Bundle.open(folder)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


def test_whole_bundles_are_accepted(copied, bundle_dir, tmp_path):
    moved = shutil.copytree(bundle_dir, tmp_path / "moved")
    assert Bundle.open().version == Bundle.open(str(moved)).version == Bundle.open(copied).version


def test_shipped_bundle_is_small_enough_to_ship(bundle_dir):
    assert sum(file.stat().st_size for file in bundle_dir.iterdir()) <= 60 * 2**20


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
    encoder.write_bytes(encoder.read_bytes()[:5])
    assert "encoder.onnx" in refusal(copied)
    encoder.unlink()
    assert "encoder.onnx" in refusal(copied)


def test_copy_without_the_weights_of_training_reads_and_is_not_a_whole_bundle(copied):
    weights = copied / "recognizer.safetensors"
    assert Bundle.open(copied, whole=True).description.for_training == ("line_finder.safetensors", weights.name)
    whole = weights.read_bytes()
    weights.write_bytes(whole + b"x")
    assert weights.name in refusal(copied)
    weights.unlink()
    Bundle.open(copied)
    with pytest.raises(BundleInvalid, match="whole"):
        Bundle.open(copied, whole=True)


def test_description_without_marks_needs_every_file(copied):
    info = json.loads((copied / "bundle.json").read_text())
    del info["for_training"]
    (copied / "bundle.json").write_text(json.dumps(info))
    Bundle.open(copied)
    (copied / "recognizer.safetensors").unlink()
    assert "recognizer.safetensors" in refusal(copied)


@pytest.mark.parametrize("marks", [["encoder.onnx"], "encoder.onnx", [1], None])
def test_what_reading_needs_cannot_be_marked_as_training_s(copied, marks):
    info = json.loads((copied / "bundle.json").read_text())
    info["for_training"] = marks
    (copied / "bundle.json").write_text(json.dumps(info))
    refusal(copied)


def test_copy_that_only_reads_cannot_be_registered(copied, tmp_path):
    registry = Registrar(tmp_path / "models")
    registry.add(copied)
    (copied / "line_finder.safetensors").unlink()
    with pytest.raises(BundleInvalid, match="line_finder"):
        Registrar(tmp_path / "other").add(copied)


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


def test_runtime_reports_nothing_before_it_is_asked_to(bundle_dir: Path) -> None:
    code = f"""
import os, sys
os.environ.pop("ORT_DISABLE_TELEMETRY", None)
from text_recognizer.reader import Reader
assert "onnxruntime" not in sys.modules
Reader({str(bundle_dir)!r}, 1).bundle.session("line_finder", 1)
print(os.environ["ORT_DISABLE_TELEMETRY"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "1"
