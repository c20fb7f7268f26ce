"""The doctor: what it finds here, and what it says where something is broken."""

import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from text_recognizer import doctor
from text_recognizer.cli import main
from text_recognizer.doctor import Check

TOPICS = {
    "python",
    "package",
    "reading",
    "processor",
    "threads",
    "memory",
    "disk",
    "gpu",
    "model",
    "registry",
    "mlflow",
}


def checks(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Check]]:
    status = main(["doctor", "--json", *arguments])
    found = [Check(**json.loads(line)) for line in capsys.readouterr().out.splitlines()]
    return status, {check.topic: check for check in found}


@pytest.fixture
def server():
    """An address whose /readyz answers 200 and everything else 503."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/readyz" else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_working_installation_passes_every_check_that_reading_needs(capsys, server, tmp_path) -> None:
    status, found = checks(capsys, "--service", server, "--models", str(tmp_path / "none"))
    assert status == 0
    assert found.keys() >= TOPICS
    assert {found[topic].status for topic in ("python", "package", "reading", "model")} <= {"ok", "note"}
    assert found["reading"].found.startswith("numpy ")
    assert "CPUExecutionProvider" in found["execution providers"].found
    assert found["service"] == Check("service", "ok", f"{server} is ready")
    assert found["registry"].status == "note"
    assert all(check.advice for check in found.values() if check.status == "problem")


def test_service_that_was_named_must_answer(capsys) -> None:
    status, found = checks(capsys, "--service", "http://127.0.0.1:9")
    assert status == 6
    assert found["service"].status == "problem"


def test_package_that_cannot_be_imported_is_a_problem(monkeypatch, tmp_path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = {check.topic: check for check in doctor.check_packages()}
    assert found["reading"].status == "problem"
    assert "libGL.so.1" in found["reading"].found


def test_changed_model_in_production_is_a_problem(capsys, bundle_dir: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    assert main(["models", "--folder", str(models), "add", str(bundle_dir)]) == 0
    (folder,) = (models / json.loads((bundle_dir / "bundle.json").read_text())["name"]).iterdir()
    name = f"{folder.parent.name}@{folder.name}"
    forced = ["--force", "--reason", "a test"]
    assert main(["models", "--folder", str(models), "promote", name, *forced]) == 0
    capsys.readouterr()
    (check,) = [c for c in doctor.check_models(models) if c.topic == "registry"]
    assert check.status == "ok" and f"production is {name}" in check.found
    (folder / "encoder.onnx").chmod(0o644)
    (folder / "encoder.onnx").write_bytes(b"changed")
    (check,) = [c for c in doctor.check_models(models) if c.topic == "registry"]
    assert check.status == "problem" and "rollback" in check.advice


def test_extra_lacks_what_an_extra_inside_it_lacks(monkeypatch) -> None:
    requires = ["numpy>=2", "torch>=2; extra == 'train'", "text-recognizer[measure]; extra == 'train'"]
    requires += ["nowhere-to-be-found>=1; extra == 'measure'", "numpy; extra == 'measure'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda _: requires)
    monkeypatch.setattr(doctor.metadata, "metadata", lambda _: SimpleNamespace(get_all=lambda _: ["train", "measure"]))
    monkeypatch.setattr(doctor, "installed", lambda name: name != "nowhere-to-be-found")
    assert doctor.extras() == {"train": ["nowhere-to-be-found"], "measure": ["nowhere-to-be-found"]}


@pytest.mark.parametrize(
    ("gpu", "expected"),
    [("Tesla T4, 550.54, 15360 MiB, 7.5", "training uses float32"), ("NVIDIA H100, 550.54, 81559 MiB, 9.0", "")],
)
def test_gpus_are_those_of_the_driver(gpu: str, expected: str, monkeypatch, tmp_path) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{gpu}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "python", lambda _: (0, "torch 2.13.0, no GPU", ""))
    found = list(doctor.check_gpus())
    assert found[0].found.startswith(gpu)
    assert expected in found[0].found
    if len(found) > 1:  # torch is installed here
        assert found[1].status == "note" and "CUDA" in found[1].advice


def test_memory_is_that_of_the_control_group(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\n")
    assert doctor.memory(tmp_path) == (16e6 * 1024, 8e6 * 1024)
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("2000000000\n")
    (group / "memory.current").write_text("500000000\n")
    assert doctor.memory(tmp_path) == (2e9, 1.5e9)


def test_missing_tracker_server_is_noted(monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    found = {check.topic: check for check in doctor.check_trackers()}
    assert found["mlflow"].status == "note"
    assert found["mlflow"].advice


def test_nothing_heavy_is_imported_here() -> None:
    program = "import sys, text_recognizer.doctor; print(*{m.partition('.')[0] for m in sys.modules})"
    code, out, _ = doctor.run([sys.executable, "-c", program])
    assert code == 0
    assert not set(out.split()) & {"numpy", "cv2", "onnxruntime", "torch", "mlflow", "rich"}


def doctor_lines(*arguments: str, cwd: Path | None = None, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "text_recognizer", "doctor", *arguments],
        capture_output=True, text=True, errors="replace", cwd=cwd, env=os.environ | environment,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_odd_surroundings_are_findings_and_no_tracebacks(tmp_path: Path) -> None:
    """An ASCII terminal, broken packages, a driver that prints bytes, a garbled registry, all at once."""
    (tmp_path / "bin").mkdir()
    driver = tmp_path / "bin" / "nvidia-smi"
    driver.write_text("#!/bin/sh\nprintf '\\377\\376 no driver'; exit 9\n")
    driver.chmod(0o755)
    (tmp_path / "onnxruntime.py").write_text("import os; os._exit(11)")
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so: no such file')")
    (tmp_path / "registry.json").write_text('{"production": [7]}')
    status, out, err = doctor_lines(
        "--models", str(tmp_path), "--service", "http://a b/",
        PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}", PYTHONIOENCODING="ascii",
    )  # fmt: skip
    assert err == ""
    assert status == 6
    for found in ("status 11", "nvidia-smi fails", "libcudart.so", "is damaged", "control characters", "? "):
        assert found in out, found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems do not keep to this limit")
def test_little_memory_is_named_and_not_taken_for_broken_packages(tmp_path: Path) -> None:
    def little() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (300_000_000, 300_000_000))

    done = subprocess.run(
        [sys.executable, "-m", "text_recognizer", "doctor", "--models", str(tmp_path)],
        capture_output=True, text=True, preexec_fn=little, env=os.environ | {"HOME": "/proc"}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (6, "")
    assert "0.3 GB available of 0.3 GB" in done.stdout
    assert "raise the limit" in done.stdout and "--force-reinstall" not in done.stdout


def test_working_directory_that_is_gone_is_a_finding(monkeypatch, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    found = {check.topic: check for check in doctor.check_memory()}
    assert found["disk"].status == "note"
    assert found["disk"].advice
