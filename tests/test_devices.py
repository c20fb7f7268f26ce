"""A device that is there reads as the processor does; one that is absent is refused with what to do."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
from PIL import Image

from text_recognizer import cli
from text_recognizer.devices import DEVICES, available
from text_recognizer.errors import UsageError
from text_recognizer.reader import Reader

ROOT = Path(__file__).parent.parent
OPENVINO = ROOT / ".venv" / "openvino"  # `make` puts that build of ONNX Runtime there, beside the usual one


@pytest.fixture
def cuda_built(monkeypatch):
    """An ONNX Runtime that says it was built with CUDA, on a machine where CUDA cannot be started."""
    built = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: built)


@pytest.mark.parametrize("device", ["gpu", "CUDA", "", "cpu:1", "coreml:0"])
def test_unknown_device_is_refused_with_those_that_exist(device):
    with pytest.raises(UsageError, match=f"there is no device '{device}'.*{', '.join(DEVICES)}"):
        Reader(device=device)


def test_absent_device_is_refused_with_what_is_there_and_what_to_install():
    (absent, *_) = (device for device in ("cuda", "directml") if device not in available())
    with pytest.raises(UsageError, match=rf"which has {', '.join(available())}; run .*pip install onnxruntime-"):
        Reader(device=absent)


@pytest.mark.parametrize(
    "arguments",
    [
        ("read", "page.png"), ("batch", "page.png", "--output", "out"), ("evaluate", "set"), ("serve", "--port", "0"),
    ],
)  # fmt: skip
def test_every_command_that_reads_refuses_it(arguments, tmp_path, monkeypatch, capsys, drawn):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TEXT_RECOGNIZER_DEVICE", raising=False)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    Image.fromarray(drawn).save("page.png")
    Path("set").mkdir()
    Image.fromarray(drawn).save("set/page.png")
    Path("set/page.txt").write_text("the quick brown fox")
    assert cli.main([*arguments, "--device", "cuda"]) == 2
    assert "device 'cuda' is not in this ONNX Runtime, which has cpu" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_device_whose_driver_is_missing_is_refused_instead_of_read_by_the_processor(cuda_built, drawn):
    with pytest.raises(UsageError, match="device 'cuda:1' cannot be started on this machine"):
        Reader(device="cuda:1").read(drawn, "fast")


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.parametrize("arguments", [("read",), ("batch", "--output", "out")])
def test_device_whose_driver_is_missing_is_one_error_for_all_pages(
    arguments, cuda_built, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for name in ("1.png", "2.png"):
        Image.new("L", (300, 200), 255).save(name)
    assert cli.main([*arguments, "1.png", "2.png", "--device", "cuda"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "device 'cuda' cannot be started" in line


def test_pickled_reader_keeps_its_device(cuda_built):
    copy = pickle.loads(pickle.dumps(Reader(device="cuda:1", threads=3)))
    assert (copy.device, copy.threads, copy.recognizer.device) == ("cuda:1", 3, "cuda:1")


@pytest.mark.skipif(not OPENVINO.is_dir(), reason="`make test` installs ONNX Runtime's build with OpenVINO")
def test_openvino_reads_as_the_processor_does(drawn, tmp_path):
    page = tmp_path / "page.png"
    Image.fromarray(drawn).save(page)
    program = (
        "import sys, json; from text_recognizer.reader import Reader; from text_recognizer.devices import available\n"
        "reader = Reader(device='openvino:CPU', threads=1)\n"
        "print(json.dumps([available(), *(reader.read(sys.argv[1], mode).text for mode in ('fast', 'accurate'))]))"
    )
    path = os.pathsep.join([str(OPENVINO), str(ROOT / "src")])
    environ = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", program, page], env=environ, check=True, capture_output=True, text=True
    )
    devices, fast, accurate = json.loads(done.stdout)
    assert "openvino" in devices
    usual = Reader(threads=1)
    assert (fast, accurate) == (usual.read(page, "fast").text, usual.read(page, "accurate").text)
    assert "quick" in fast
