"""Reports of a training run: size, gradients, throughput, prediction tables, and its record."""

from __future__ import annotations

import base64
import html
import logging
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor
from torch.optim import Optimizer

from text_recognizer.training.lit import Shown
from text_recognizer.training.record import (
    RECORD,
    fingerprints,
    git_commit,
    now,
    parameters,
    process,
    read_record,
    write_record,
)
from text_recognizer.training.tracking import Tracker

log = logging.getLogger(__name__)

# Ctrl-C, and SIGTERM, which a cloud sends before it reclaims a machine.
TOLD_TO_END = KeyboardInterrupt, SIGTERMException
LAST = "last"  # name of the checkpoint that a run resumes from
HEARTBEAT = 60.0  # at most this many seconds between two writes of a run's record


class RunStatistics(L.Callback):
    """Logs the size of the network, the gradient norm before clipping, samples per second and the time spent waiting.

    `throughput/feed_wait` is the share of time spent waiting for batches: near 0 if the feed is fast enough.
    """

    def __init__(self) -> None:
        self._samples = 0
        self._waited = 0.0
        self._since: float | None = None
        self._ended: float | None = None

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        parameters = list(pl_module.parameters())
        size = {
            "model/parameters": float(sum(p.numel() for p in parameters)),
            "model/megabytes": sum(p.numel() * p.element_size() for p in parameters) / 1e6,
        }
        for logger in trainer.loggers:
            logger.log_metrics(size, step=trainer.global_step)

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Optimizer) -> None:
        if trainer.global_step % trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            norm = torch.nn.utils.get_total_norm([p.grad for p in pl_module.parameters() if p.grad is not None])
            pl_module.log("gradient_norm", norm)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        if self._ended is not None:
            self._waited += now - self._ended
        if self._since is None:
            self._since = now

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        now = time.perf_counter()
        self._ended = now
        self._samples += _count(batch) * trainer.world_size
        if self._since is None or trainer.global_step % trainer.log_every_n_steps:  # type: ignore[attr-defined]
            return
        span = max(1e-9, now - self._since)
        rates = {
            "throughput/samples_per_second": self._samples / span,
            "throughput/feed_wait": self._waited / span,
        }
        for logger in trainer.loggers:
            logger.log_metrics(rates, step=trainer.global_step)
        self._samples, self._waited, self._since = 0, 0.0, now

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        # Validation time counts neither as training nor as waiting.
        self._samples, self._waited, self._since, self._ended = 0, 0.0, None, None


class FirstSteps(L.Callback):
    """Logs that a run has started, and the speed of its first steps, long before a progress bar moves."""

    def __init__(self) -> None:
        self._first = 0
        self._since = 0.0

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._since = time.perf_counter()
        if trainer.is_global_zero:
            millions = sum(p.numel() for p in pl_module.parameters()) / 1e6
            log.info(
                "%.1f M parameters, %s, %d × %s, %d steps, checkpoints in %s; rendering the first batch …",
                millions, trainer.precision, trainer.world_size, pl_module.device.type, trainer.max_steps,
                trainer.default_root_dir,
            )  # fmt: skip

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._first = trainer.global_step  # only now, after a checkpoint is loaded
        if self._first and trainer.is_global_zero:
            log.info("continuing at step %d of %d", self._first, trainer.max_steps)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        done = trainer.global_step - self._first
        if done in (1, 10) and trainer.is_global_zero:
            loss = outputs["loss"] if isinstance(outputs, Mapping) else outputs
            seconds = time.perf_counter() - self._since
            log.info("step %d: loss %.3f, %.1f s so far", trainer.global_step, float(loss), seconds)


def _count(batch: Any) -> int:
    """Samples in a batch: the length of its first tensor."""
    return next((len(value) for value in vars(batch).values() if isinstance(value, Tensor)), 0)


class PredictionTable(L.Callback):
    """Writes `predictions/step-N.html` in the run's folder after each validation: images, texts and readings."""

    def __init__(self, rows: int = 24) -> None:
        self.rows = rows

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        samples: list[Shown] = getattr(pl_module, "samples", [])
        if not samples or trainer.sanity_checking or not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir) / "predictions"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"step-{trainer.global_step:06}.html"
        file.write_text(prediction_page(samples[: self.rows], f"step {trainer.global_step}"), encoding="utf-8")


def prediction_page(samples: list[Shown], title: str) -> str:
    """A self-contained HTML page."""
    names = list(samples[0].readings)
    rows = ["<tr><th>image<th>text" + "".join(f"<th>{html.escape(name)}" for name in names)]
    for shown in samples:
        _, png = cv2.imencode(".png", 255 - shown.image)
        picture = f'<img src="data:image/png;base64,{base64.b64encode(png.tobytes()).decode()}">'
        cells = [shown.truth, *(shown.readings[name] for name in names)]
        rows.append(f"<tr><td>{picture}" + "".join(f"<td><pre>{html.escape(cell)}</pre>" for cell in cells))
    head = f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title>'
    return f"{head}<table border=1>" + "\n".join(rows) + "</table>\n"


class SaveAtEnd(L.Callback):
    """Saves a checkpoint when the run is told to end, so that no step is repeated.

    There are two exceptions, which keep the last regular checkpoint. With several processes, not all of them may be
    told, and the others would wait. During validation, the network holds its averaged weights. Ctrl-C ends the run
    after the current step, as SIGTERM does: in the middle of a step, only some weights are updated. A second Ctrl-C
    ends it at once.
    """

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.world_size == 1 and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, _end_after_step)  # Lightning restores the previous handler

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if isinstance(exception, TOLD_TO_END) and trainer.training and trainer.world_size == 1:
            trainer.save_checkpoint(Path(trainer.default_root_dir) / f"{LAST}.ckpt", weights_only=False)


def _end_after_step(number: int, frame: object) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt when Lightning exits the interpreter because the run was told to end.

    After SIGTERM, Lightning exits with status 0, as if the run had finished, so a script would continue.
    """
    outside = signal.getsignal(signal.SIGTERM) is _end_at_once
    if outside:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Lightning's handler would call it in mid-step
    try:
        yield
    except SystemExit as end:
        if isinstance(end, SIGTERMException) or isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if outside:
            signal.signal(signal.SIGTERM, _end_at_once)


@contextmanager
def ended_at_once() -> Iterator[None]:
    """Raise KeyboardInterrupt also on SIGTERM, in the work before and after a trainer runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end_at_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end_at_once(number: int, frame: object) -> None:
    raise KeyboardInterrupt


class RunRecord(L.Callback):
    """Writes the origin of a run (`training.record`) to its folder, to each checkpoint and to the trackers.

    It writes at the start, at least once a minute, after each validation and at the end, so that a killed run can be
    told from a running one. After each validation, the trackers receive the prediction table.

    Args:
        config: the run's config as plain values. The files and folders named under "data" are fingerprinted as data,
            and those under "model" as parents. The trackers receive all of it as parameters.
        predictions: rows of a prediction table.
        more_follows: the run continues after its training; `record.end_run` ends it.
    """

    def __init__(self, config: Mapping[str, Any], predictions: int = 24, more_follows: bool = False) -> None:
        self.config = config
        self.predictions = predictions
        self.more_follows = more_follows
        self.record: dict[str, Any] = {}
        self._written = 0.0

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir)
        earlier = read_record(folder)
        commit, changed = git_commit()
        self.record = {
            "id": earlier.get("id") or uuid.uuid4().hex,
            "started": earlier.get("started") or now(),
            "command": ["text-recognizer", *sys.argv[1:]],
            "git_commit": commit,
            "uncommitted_changes": changed,
            "config": _plain(self.config),
            "data": fingerprints(self.config.get("data", {})),
            "parents": fingerprints(self.config.get("model", {})),
            **process(),
            "status": "running",
            "trackers": earlier.get("trackers", {}),
        }
        facts = {"run_id": self.record["id"], "git_commit": commit, "uncommitted_changes": changed}
        facts |= {f"sha256.data.{name}": digest for name, digest in self.record["data"].items()}
        facts |= {f"sha256.parent.{name}": digest for name, digest in self.record["parents"].items()}
        facts |= parameters(self.config)
        for tracker in _trackers(trainer):
            tracker.log_hyperparams(facts)
        self._write(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._beat(trainer)

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        self._beat(trainer)

    def _beat(self, trainer: L.Trainer) -> None:
        if self.record and time.monotonic() - self._written > HEARTBEAT:
            self._write(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        samples = list(getattr(pl_module, "samples", []))[: self.predictions]
        if not self.record or trainer.sanity_checking or not samples:
            return
        page = Path(trainer.default_root_dir) / "predictions" / f"step-{trainer.global_step:06}.html"
        for tracker in _trackers(trainer):
            tracker.log_predictions(samples, page, trainer.global_step)
        self._write(trainer)

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        if self.record:
            checkpoint["run_record"] = {**self.record, "metrics": _metrics(trainer)}

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._write(trainer, "stopped" if trainer.interrupted else "running" if self.more_follows else "finished")

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._write(trainer, "interrupted" if isinstance(exception, TOLD_TO_END) else "failed")

    def _write(self, trainer: L.Trainer, status: str = "running") -> None:
        if not self.record:
            return
        self._written = time.monotonic()
        ids = {tracker.kind: tracker.version for tracker in _trackers(trainer)[1:] if tracker.version}
        self.record |= {"status": status, "step": trainer.global_step, "metrics": _metrics(trainer), "seen": now()}
        self.record["trackers"] = {**self.record["trackers"], **ids}
        folder = Path(trainer.default_root_dir)
        try:
            write_record(folder, self.record)
        except OSError as error:
            log.warning("%s cannot be written (%s); training continues.", folder / RECORD, error.strerror)


def _trackers(trainer: L.Trainer) -> list[Tracker]:
    return [logger for logger in trainer.loggers if isinstance(logger, Tracker)]


def _metrics(trainer: L.Trainer) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def _plain(value: Any) -> Any:
    """Convert nested values to JSON types."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
