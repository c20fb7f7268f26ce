"""TorchScript and torch.export: the same tokens as torch, for any batch and width, with plain torch alone."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from text_recognizer.bundle import Bundle
from text_recognizer.errors import DataInvalid
from text_recognizer.training import export
from text_recognizer.training.models.recognizer import EOS, PAD, Recognizer
from text_recognizer.training.stage import bundle_network


@pytest.fixture(scope="module")
def network(bundle_dir: Path) -> Recognizer:
    torch.set_num_threads(1)
    return bundle_network(Bundle.open(bundle_dir))


@pytest.fixture(scope="module")
def crops() -> list[np.ndarray]:
    """Grey lines of 1 to 4 words."""
    out = []
    for text in ("the", "the quick", "brown fox jumps", "over the lazy dog"):
        image = np.full((64, 26 * len(text) + 30), 225, np.uint8)
        cv2.putText(image, text, (8, 44), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1.1, 40, 2, cv2.LINE_AA)
        out.append(image)
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, network: Recognizer, crops: list[np.ndarray]) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    found = export.write_formats(network, folder, export.FORMATS, crops)
    assert found == {"torchscript": {"lines": 4, "same": 4}, "export": {"lines": 4, "same": 4}}
    return folder


def test_torchscript_loads_with_plain_torch_and_reads_a_batch(folder: Path) -> None:
    program = (
        "import sys, warnings; warnings.simplefilter('ignore'); import torch; torch.set_num_threads(1)\n"
        "images = torch.zeros(3, 1, 48, 320, dtype=torch.uint8); images[:, :, 20:24, 10:60] = 255\n"
        "scores, tokens = torch.jit.load(sys.argv[1])(images, torch.tensor([320, 200, 64]), 7)\n"
        "assert 'text_recognizer' not in sys.modules\n"
        "print(scores.shape[0], scores.shape[1], tokens.shape[0], tokens.shape[1] <= 7)\n"
    )
    command = [sys.executable, "-c", program, str(folder / export.TORCHSCRIPT)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "3 80 3 True\n"


def test_files_are_hardly_larger_than_the_weights(folder: Path, bundle_dir: Path) -> None:
    weights = 2 * (bundle_dir / "recognizer.safetensors").stat().st_size  # matrices have 16 bits there, 32 here
    assert (folder / export.TORCHSCRIPT).stat().st_size < 2.2 * weights  # traced twice at most
    assert sum((folder / n).stat().st_size for n in (export.ENCODER, export.DECODER)) < 2.2 * weights


def test_tokens_behind_the_end_are_padding(folder: Path, network: Recognizer) -> None:
    images = torch.zeros(2, 1, network.config.height, 256, dtype=torch.uint8)
    images[0, :, 10:30, 10:200:9] = 255
    _, tokens = torch.jit.load(str(folder / export.TORCHSCRIPT))(images, torch.tensor([256, 64]), 40)
    for row in tokens.tolist():
        if EOS in row:
            assert set(row[row.index(EOS) + 1 :]) <= {PAD}


def test_format_that_reads_otherwise_is_refused(
    tmp_path: Path, network: Recognizer, crops: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "torchscript_greedy", lambda file: lambda images, widths, limit: [[4]])
    with pytest.raises(DataInvalid, match="4 of 4 lines differently"):
        export.write_formats(network, tmp_path, ["torchscript"], crops)
