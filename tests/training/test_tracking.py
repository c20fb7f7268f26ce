"""Tracking: a run is kept in a local file, and no tracker that fails can stop it."""

import json
import logging
import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader

from text_recognizer.errors import UsageError
from text_recognizer.evaluation.versions import fingerprint
from text_recognizer.training import tracking
from text_recognizer.training.callbacks import RunRecord
from text_recognizer.training.record import read_record
from text_recognizer.training.tracking import open_loggers

pytest.importorskip("mlflow")


@dataclass
class Shown:
    """As `lit.Shown`."""

    image: np.ndarray
    truth: str
    readings: dict[str, str] = field(default_factory=dict)


class Tiny(L.LightningModule):
    """One weight, four steps an epoch, and a sample to show."""

    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.weight = torch.nn.Parameter(torch.ones(size))
        self.samples: list[Shown] = []

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        loss = (self.weight * batch).square().mean()
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Tensor, index: int) -> None:
        self.log("val/cer", 0.25)
        self.samples = [Shown(np.zeros((48, 60), np.uint8), "truth", {"ctc": "trvth", "decoder": "truth"})]

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.01)


def fit(folder: Path, trackers: list[str], config: dict[str, Any] | None = None, epochs: int = 1) -> L.Trainer:
    folder.mkdir(parents=True, exist_ok=True)
    last = folder / "last.ckpt"
    config = config or {}
    trainer = L.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        accelerator="cpu",
        logger=open_loggers(trackers, folder, config=config),
        callbacks=[ModelCheckpoint(folder, filename="best", monitor="val/cer"), RunRecord(config)],
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    data = DataLoader(torch.ones(4, 1), batch_size=1)
    trainer.fit(Tiny(), data, data, ckpt_path=last if last.is_file() else None)
    trainer.save_checkpoint(last)
    return trainer


def mlflow_runs(folder: Path) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    return client.search_runs([e.experiment_id for e in client.search_experiments()])


@pytest.fixture(autouse=True)
def no_accounts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MLFLOW_TRACKING_URI", "WANDB_MODE", "WANDB_API_KEY", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))  # where netrc looks


def test_run_is_stored_in_a_local_file_with_data_code_predictions_and_its_best_checkpoint(tmp_path: Path) -> None:
    data = tmp_path / "data.npz"
    data.write_bytes(b"strokes")
    folder = tmp_path / "runs" / "first"
    (folder / "predictions").mkdir(parents=True)
    (folder / "predictions" / "step-000004.html").write_text("<table>", encoding="utf-8")
    config = {
        "seed_everything": 5,
        "data": {"init_args": {"unipen": str(data), "batch_size": 4}},
        "model": {"class_path": "Tiny", "init_args": {"ctc_weight": 0.5, "config": {"size": 1}}},
    }
    fit(folder, ["mlflow"], config)
    (run,) = mlflow_runs(tmp_path / "runs")
    assert run.data.metrics["val/cer"] == 0.25
    assert run.data.params["sha256.data.unipen"] == fingerprint(data)
    for name, value in {
        "seed_everything": "5", "data.batch_size": "4", "model.ctc_weight": "0.5", "model.config.size": "1"
    }.items():  # fmt: skip
        assert run.data.params[name] == value
    assert re.fullmatch("[0-9a-f]{40}|unknown", run.data.params["git_commit"])
    assert run.info.status == "FINISHED"
    artifacts = tmp_path / "runs" / "mlartifacts" / run.info.run_id / "artifacts"
    assert (artifacts / "predictions" / "step-000004.html").read_text(encoding="utf-8") == "<table>"
    assert (artifacts / "best" / "best.ckpt").is_file()
    record = read_record(folder)
    assert record["trackers"]["mlflow"] == run.info.run_id
    assert (record["status"], record["metrics"]["val/cer"]) == ("finished", 0.25)
    held = torch.load(folder / "best.ckpt", weights_only=True)["run_record"]
    assert (held["id"], held["data"]) == (record["id"], {"unipen": fingerprint(data)})


def test_runs_of_one_process_are_stored_each_in_its_own_place(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (logger,) = open_loggers(["mlflow"], tmp_path / name / "run", config={"name": name})[1:]
        assert logger.version is not None
        assert "MLFLOW_TRACKING_URI" not in os.environ
    for name in ("one", "other"):
        (run,) = mlflow_runs(tmp_path / name)
        assert run.data.params["name"] == name


def test_run_that_goes_on_stays_one_run(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "first"
    fit(folder, ["mlflow"], {"epochs": 1})
    first = read_record(folder)
    fit(folder, ["mlflow"], {"epochs": 2}, epochs=2)  # a parameter that changed does not stop it
    (run,) = mlflow_runs(tmp_path / "runs")
    assert read_record(folder)["id"] == first["id"]
    assert read_record(folder)["trackers"] == first["trackers"] == {"mlflow": run.info.run_id}
    assert run.info.status == "FINISHED"
    assert read_record(folder)["step"] == 8


def test_tracker_that_cannot_be_reached_costs_one_warning_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as probe:  # a port on which nobody listens
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with caplog.at_level(logging.WARNING, logger=tracking.__name__):
        trainer = fit(tmp_path / "run", ["mlflow"])
    assert trainer.global_step == 4
    assert sum("mlflow cannot be written" in r.getMessage() for r in caplog.records) == 1
    assert "val/cer" in (tmp_path / "run" / "log" / "version_0" / "metrics.csv").read_text(encoding="utf-8")
    assert (tmp_path / "run" / "best.ckpt").is_file()
    assert read_record(tmp_path / "run")["status"] == "finished"


class Flaky:
    """A logger that is away for some calls."""

    version = "1"

    def __init__(self, away: int) -> None:
        self.away, self.got = away, []

    def log_metrics(self, metrics: dict[str, float], step: int | None) -> None:
        if self.away > 0:
            self.away -= 1
            raise ConnectionError("away")
        if metrics.get("bad"):
            raise ValueError("not a metric")
        self.got.append(step)


def test_tracker_that_answers_again_gets_what_it_missed_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = Flaky(away=1)
    tracker = tracking.Tracker("mlflow", tmp_path, lambda: inner)  # type: ignore[arg-type,return-value]
    for step in range(3):
        tracker.log_metrics({"x": 1.0}, step)
    assert inner.got == []  # it is not asked again at once
    monkeypatch.setattr(tracking.time, "monotonic", lambda: 1e12)
    tracker.log_metrics({"x": 1.0}, 3)
    assert inner.got == [0, 1, 2, 3]


def test_message_that_a_tracker_never_takes_does_not_hold_up_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "PAUSE", 0.0)
    monkeypatch.setattr(tracking, "PATIENCE", 0.0)
    inner = Flaky(away=0)
    tracker = tracking.Tracker("mlflow", tmp_path, lambda: inner)  # type: ignore[arg-type,return-value]
    tracker.log_metrics({"bad": 1.0}, 0)
    for step in range(1, 5):
        tracker.log_metrics({"x": 1.0}, step)
    assert inner.got == [1, 2, 3, 4]


def test_tracker_that_hangs_before_it_fails_is_asked_the_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]

    def hang() -> Any:
        calls.append(clock[0])
        clock[0] += 100.0
        raise TimeoutError("no answer")

    calls: list[float] = []
    monkeypatch.setattr(tracking.time, "monotonic", lambda: clock[0])
    tracker = tracking.Tracker("mlflow", tmp_path, hang)
    for step in range(50):
        tracker.log_metrics({"x": 1.0}, step)
        clock[0] += 30.0
    assert len(calls) == 2  # in 25 minutes of training
    assert calls[1] - calls[0] >= tracking.PATIENCE * 100


def test_full_disk_under_the_trackers_does_not_stop_the_training(tmp_path: Path) -> None:
    # A process of its own, whose files may not grow beyond 40 KiB: less than an empty MLflow store.
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40960, 40960))\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_tracking import fit, read_record\n"
        f"folder = Path({str(tmp_path / 'run')!r})\n"
        "trainer = fit(folder, ['mlflow'])\n"
        "print('steps', trainer.global_step, read_record(folder)['status'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert "steps 4 finished" in done.stdout, done.stderr
    assert "mlflow cannot be written" in done.stderr
    assert "val/cer" in (tmp_path / "run" / "log" / "version_0" / "metrics.csv").read_text(encoding="utf-8")


def test_wandb_without_a_key_is_refused_before_training(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    with pytest.raises(UsageError, match="WANDB_API_KEY"):
        open_loggers(["wandb"], tmp_path)
    with pytest.raises(UsageError, match="mlflow"):
        open_loggers(["mlfow"], tmp_path)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("mlflow,tensorboard", ("mlflow", "tensorboard")), ("[mlflow, 'csv']", ("mlflow", "csv")), ("csv", ("csv",)),
        ("none", ()), ("[]", ()), ("", ()), ("mlflow,", ("mlflow", "")),
    ],
)  # fmt: skip
def test_trackers_are_named_by_commas_or_as_a_list(given: str, meant: tuple[str, ...]) -> None:
    assert tracking.parse_trackers(given) == meant


def test_trackers_are_chosen_by_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking.default_trackers() == ("mlflow",)
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert tracking.default_trackers() == ("mlflow", "wandb")


def test_wandb_offline_keeps_metrics_tables_and_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staged"))
    trainer = fit(tmp_path / "run", ["wandb"])
    assert trainer.loggers[1].experiment.summary["val/cer"] == 0.25
    wandb.finish()
    wandb.teardown()  # settings of one account are kept in the process
    (run,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    assert read_record(tmp_path / "run")["trackers"]["wandb"] in run.name
    assert next(run.glob("*.wandb")).stat().st_size > 0  # what 'wandb sync' sends
    assert list((run / "files" / "media").rglob("*.table.json"))
    staged = [p.read_bytes() for p in (tmp_path / "staged").rglob("*") if p.is_file()]
    assert (tmp_path / "run" / "best.ckpt").read_bytes() in staged


def test_wandb_that_cannot_be_reached_becomes_an_offline_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "4")
    with caplog.at_level(logging.WARNING, logger=tracking.__name__):
        trainer = fit(tmp_path / "run", ["wandb"])
    wandb.finish()
    wandb.teardown()  # settings of one account are kept in the process
    assert trainer.global_step == 4
    assert any("cannot be reached" in r.getMessage() for r in caplog.records)
    assert list((tmp_path / "run" / "wandb").glob("offline-run-*"))


def test_tensorboard_shows_images_beside_their_readings(tmp_path: Path) -> None:
    fit(tmp_path / "run", ["tensorboard"])
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(next((tmp_path / "run" / "tensorboard").iterdir()))).Reload()
    assert "predictions/00" in events.Tags()["images"]
    assert any("predictions" in tag for tag in events.Tags()["tensors"])


def test_run_that_fails_says_so_in_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Tiny, batch: Tensor, _: int) -> Tensor:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(Tiny, "training_step", fail)
    with pytest.raises(RuntimeError, match="out of luck"):
        fit(tmp_path / "runs" / "run", ["mlflow"])
    assert read_record(tmp_path / "runs" / "run")["status"] == "failed"
    assert mlflow_runs(tmp_path / "runs")[0].info.status == "FAILED"


def test_damaged_record_is_not_a_record(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{", encoding="utf-8")
    assert read_record(tmp_path) == {}
    (tmp_path / "run.json").write_text(json.dumps([1]), encoding="utf-8")
    assert read_record(tmp_path) == {}
