"""`text-recognizer train runs`: what the local store holds, listed, sorted and compared in the terminal."""

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from text_recognizer import cli

mlflow = pytest.importorskip("mlflow")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs in a store: `small` with a CER of 0.3, `large` with 0.2 and another rate."""
    folder = tmp_path_factory.mktemp("runs")
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.create_experiment("recognizer", artifact_location=(folder / "mlartifacts").as_uri())
    for name, cer, rate in (("large", 0.2, "0.001"), ("small", 0.3, "0.002")):
        run = client.create_run(experiment, run_name=name).info.run_id
        client.log_param(run, "rate", rate)
        client.log_param(run, "seed", "1")
        client.log_metric(run, "val/cer_decoder", cer)
        client.set_terminated(run)
    return folder


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_runs_are_listed_newest_first_and_sorted_by_a_metric(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "runs", "--folder", str(folder)]) == 0
    said = capsys.readouterr().out
    assert said.index("small") < said.index("large")
    assert "val/cer_decoder" in said
    assert cli.main(["train", "runs", "--folder", str(folder), "--sort", "val/cer_decoder"]) == 0
    said = capsys.readouterr().out
    assert said.index("large") < said.index("small")


def test_two_runs_are_compared_by_what_differs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "runs", "--folder", str(folder), "--compare", "small", "large"]) == 0
    said = capsys.readouterr().out
    assert "0.002" in said
    assert "-0.1" in said
    assert "seed" not in said


def test_run_that_went_on_with_another_argument_is_compared_by_the_latest(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(folder, tmp_path / "runs")
    client = mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    (small,) = client.search_runs(["1"], filter_string="attributes.run_name = 'small'")
    held = {"trackers": {"mlflow": small.info.run_id}, "config": {"rate": 0.004, "seed": 1}}
    (folder / "small").mkdir()
    (folder / "small" / "run.json").write_text(json.dumps(held), encoding="utf-8")
    assert cli.main(["train", "runs", "--folder", str(folder), "--compare", "small", "large"]) == 0
    said = capsys.readouterr().out
    assert "0.004" in said and "0.002" not in said
    assert "seed" not in said


def test_runs_are_there_for_programs_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "runs", "--folder", str(folder), "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {r["name"]: r["metrics"]["val/cer_decoder"] for r in records} == {"large": 0.2, "small": 0.3}


def test_metric_run_or_store_that_is_not_there_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "runs", "--folder", str(folder), "--sort", "val/wer"]) == 2
    assert "known: val/cer_decoder" in capsys.readouterr().err
    assert cli.main(["train", "runs", "--folder", str(folder), "--compare", "small", "medium"]) == 2
    assert "there is no run 'medium'" in capsys.readouterr().err
    assert cli.main(["train", "runs", "--folder", str(tmp_path)]) == 7
    (tmp_path / "mlflow.db").write_bytes(b"no database at all" * 100)
    assert cli.main(["train", "runs", "--folder", str(tmp_path)]) == 7
    assert "cannot be read" in capsys.readouterr().err


def test_run_that_was_killed_is_not_called_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.create_experiment("recognizer", artifact_location=(tmp_path / "mlartifacts").as_uri())
    run = client.create_run(experiment, run_name="lost").info.run_id
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    record = {"status": "running", "host": platform.node(), "pid": child.pid, "trackers": {"mlflow": run}}
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "run.json").write_text(json.dumps(record), encoding="utf-8")
    assert cli.main(["train", "runs", "--folder", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "killed"
