"""What a run says of itself while it goes on: size, gradients, throughput, tables of predictions."""

from __future__ import annotations

import base64
import html
import time
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import torch
from torch import Tensor
from torch.optim import Optimizer

from text_recognizer.training.lit import Shown


class RunStatistics(L.Callback):
    """Logs the size of the network, the norm of the gradients before clipping, samples a second, and waiting for data.

    `throughput/feed_wait` is the share of the time in which the step waited for its batch: near 0 where the feed is
    faster than the trainer.
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
        # Time of validation is neither learning nor waiting.
        self._samples, self._waited, self._since, self._ended = 0, 0.0, None, None


def _count(batch: Any) -> int:
    """Samples of a batch: the length of its first tensor."""
    return next((len(value) for value in vars(batch).values() if isinstance(value, Tensor)), 0)


class PredictionTable(L.Callback):
    """After each validation, `predictions/step-N.html` in the run's folder: images beside their text and readings."""

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
    """One HTML page, images inside: it opens anywhere."""
    names = list(samples[0].readings)
    rows = ["<tr><th>image<th>text" + "".join(f"<th>{html.escape(name)}" for name in names)]
    for shown in samples:
        _, png = cv2.imencode(".png", 255 - shown.image)
        picture = f'<img src="data:image/png;base64,{base64.b64encode(png.tobytes()).decode()}">'
        cells = [shown.truth, *(shown.readings[name] for name in names)]
        rows.append(f"<tr><td>{picture}" + "".join(f"<td><pre>{html.escape(cell)}</pre>" for cell in cells))
    head = f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title>'
    return f"{head}<table border=1>" + "\n".join(rows) + "</table>\n"
