"""Where a run's metrics, predictions and checkpoints go: CSV always, MLflow in a local file, W&B, TensorBoard.

A tracker may be away, or its disk full: training goes on, the CSV file and the run's folder keep everything, and what a
tracker missed is sent when it answers again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import netrc
import os
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from text_recognizer.bundle import sha256
from text_recognizer.errors import ExtraMissing, UsageError, install_hint

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import ModelCheckpoint

log = logging.getLogger(__name__)

TRACKERS = ("csv", "mlflow", "wandb", "tensorboard")
RECORD = "run.json"
STORE = "mlflow.db"
PAUSE = 60.0  # seconds before a tracker that failed is tried again, at least
PATIENCE = 10.0  # the same as a multiple of what the failure took: a tracker that hangs may cost a tenth of the time
MISSED = 20_000  # messages kept for a tracker that is away
TRIES = 3  # a message that fails so often is dropped: it may be the message that is wrong


class Tracker(Logger):
    """A Lightning logger that never stops the training: it warns once when it fails, and catches up when it can.

    Args:
        kind: one of TRACKERS.
        folder: the run's folder.
        make: opens the real logger; called when there is something to log, in the first process only.
    """

    def __init__(self, kind: str, folder: Path, make: Callable[[], Logger]) -> None:
        super().__init__()
        self.kind, self.folder = kind, folder
        self._make = make
        self._inner: Logger | None = None
        self._missed: deque[Callable[[Any], None]] = deque(maxlen=MISSED)
        self._tries = 0
        self._again = 0.0
        self._warned = False

    @property
    def name(self) -> str:
        return self.kind

    @property
    def version(self) -> str | None:
        """The run's id there, once it is known."""
        version = self._inner.version if self._inner else None
        return None if version is None else str(version)

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    @property
    def experiment(self) -> Any:
        """The tracker's own object; None while it is away."""
        return getattr(self._inner, "experiment", None)

    @rank_zero_only
    def send(self, message: Callable[[Any], None]) -> None:
        """Call `message` with the real logger, after all messages that it missed; failures are kept for later."""
        self._missed.append(message)
        started = time.monotonic()
        if started < self._again:
            return
        try:
            if self._inner is None:
                self._inner = self._make()
            while self._missed:
                self._missed[0](self._inner)
                self._missed.popleft()
                self._tries = 0
        except Exception as error:  # a tracker may raise anything; none of it is worth a training run
            now = time.monotonic()
            self._again = now + max(PAUSE, PATIENCE * (now - started))
            self._tries += 1
            if self._inner is not None and self._tries >= TRIES:
                self._missed.popleft()
                self._tries = 0
            if not self._warned:
                self._warned = True
                reason = str(error).strip().splitlines() or [""]
                log.warning(
                    "%s cannot be written (%s: %s); training goes on, everything is kept in %s, and what it missed is "
                    "sent if it answers again.", self.kind, type(error).__name__, reason[0][:200], self.folder,
                )  # fmt: skip

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        held = dict(metrics)
        self.send(lambda inner: inner.log_metrics(held, step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.send(lambda inner: inner.log_hyperparams(params))

    def log_predictions(self, samples: Sequence[Any], page: Path | None, step: int) -> None:
        """Images beside their text and readings (`lit.Shown`); `page` is the same as a file of HTML."""
        held = list(samples)
        self.send(lambda inner: _PREDICTIONS.get(self.kind, _nowhere)(inner, held, page, step))

    def save(self) -> None:
        if self._inner is not None and not self._missed:
            self.send(lambda inner: inner.save())

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        # The best checkpoints become artifacts; the latest ones are there to go on from.
        if checkpoint_callback.monitor:
            self.send(lambda inner: inner.after_save_checkpoint(checkpoint_callback))

    def finalize(self, status: str) -> None:
        self._again = 0.0
        if self._inner is not None or self._missed:
            self.send(lambda inner: inner.finalize(status))


# ------------------------------------------------------------------------------------------------ the trackers


def default_trackers() -> tuple[str, ...]:
    """MLflow in a local file, and Weights & Biases where its key or WANDB_MODE=offline is set."""
    return ("mlflow", "wandb") if wandb_is_set() and importlib.util.find_spec("wandb") else ("mlflow",)


def wandb_is_set() -> bool:
    """Whether there is a key of Weights & Biases, or WANDB_MODE=offline."""
    if os.environ.get("WANDB_MODE") == "offline" or os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def store_uri(folder: Path) -> str:
    """Where MLflow keeps the runs of `folder`: MLFLOW_TRACKING_URI, or `mlflow.db` there."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.absolute() / STORE}"


def open_loggers(
    trackers: Sequence[str] | None,
    folder: Path,
    experiment: str = "recognizer",
    run_name: str | None = None,
    config: Mapping[str, Any] | None = None,
    store: Path | None = None,
) -> list[Logger]:
    """Loggers for Lightning's Trainer. CSV comes first and is always there.

    Args:
        trackers: of TRACKERS; None for `default_trackers()`.
        folder: the run's folder. A run that goes on there goes on in its trackers too.
        run_name: name in the trackers; the folder's name if None.
        config: hyperparameters beyond those that the module saves.
        store: folder of `mlflow.db` and its artifacts; the parent of `folder` if None, so that runs can be compared.

    Raises UsageError for an unknown tracker and for W&B without a key, ExtraMissing where its package is missing.
    """
    chosen = ["csv", *(default_trackers() if trackers is None else trackers)]
    for kind in chosen:
        if kind not in TRACKERS:
            raise UsageError(f"there is no tracker '{kind}'; give some of: {', '.join(TRACKERS)}")
        if kind in ("mlflow", "wandb") and importlib.util.find_spec(kind) is None:
            extra = "train,wandb" if kind == "wandb" else "train"
            raise ExtraMissing(f"the tracker '{kind}' needs the package '{kind}'; {install_hint(extra)}")
    if "wandb" in chosen and not wandb_is_set():
        raise UsageError("Weights & Biases needs a key: set WANDB_API_KEY, or WANDB_MODE=offline to sync later.")
    name = run_name or folder.absolute().name
    ids = read_record(folder).get("trackers", {})
    makers: dict[str, Callable[[], Logger]] = {
        "csv": lambda: _csv(folder),
        "mlflow": lambda: _mlflow(store or folder.absolute().parent, experiment, name, ids.get("mlflow")),
        "wandb": lambda: _wandb(folder, experiment, name, ids.get("wandb")),
        "tensorboard": lambda: _tensorboard(folder),
    }
    loggers = [Tracker(kind, folder, makers[kind]) for kind in dict.fromkeys(chosen)]
    if config:
        for logger in loggers[1:]:
            logger.log_hyperparams(dict(config))
    return list(loggers)


def _csv(folder: Path) -> Logger:
    from lightning.pytorch.loggers import CSVLogger

    return CSVLogger(folder, name="log")


def _tensorboard(folder: Path) -> Logger:
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder, name="tensorboard")


def _mlflow(store: Path, experiment: str, run_name: str, run_id: str | None) -> Logger:
    # Its own patience with a server that is away would be minutes for each message.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    from lightning.pytorch.loggers import MLFlowLogger
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for noisy in ("mlflow", "alembic", "lightning.pytorch.loggers.mlflow"):
        logging.getLogger(noisy).setLevel(logging.ERROR)

    class Resumable(MLFlowLogger):
        def log_hyperparams(self, params: Any) -> None:
            # MLflow refuses to change a parameter; of a run that goes on the first value stays.
            from lightning.fabric.utilities.logger import _convert_params, _flatten_dict

            known = self.experiment.get_run(self.run_id).data.params
            flat = _flatten_dict(_convert_params(params))
            super().log_hyperparams({k: v for k, v in flat.items() if k not in known})

    uri = store_uri(store)
    local = uri.startswith("sqlite:")
    if local:
        store.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(uri)
    if run_id is not None:
        try:
            client.update_run(run_id, status="RUNNING")
        except MlflowException:  # another store, or the run was deleted
            run_id = None
    logger = Resumable(
        experiment, run_name=run_name, tracking_uri=uri, log_model=True, run_id=run_id, synchronous=True,
        artifact_location=(store.absolute() / "mlartifacts").as_uri() if local else None,
    )  # fmt: skip
    _ = logger.experiment  # a store that cannot be opened shows here
    return logger


def _wandb(folder: Path, project: str, run_name: str, run_id: str | None) -> Logger:
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    folder.mkdir(parents=True, exist_ok=True)

    def open_run(**more: Any) -> Logger:
        logger = WandbLogger(
            run_name, save_dir=folder, id=run_id, project=os.environ.get("WANDB_PROJECT", project), log_model=True,
            settings=wandb.Settings(init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT", "30"))), **more,
        )  # fmt: skip
        _ = logger.experiment
        return logger

    try:
        return open_run()
    except wandb.errors.Error as error:
        if os.environ.get("WANDB_MODE") == "offline":
            raise
        log.warning(
            "Weights & Biases cannot be reached (%s): the run is kept in %s; send it later with 'wandb sync'.",
            str(error).splitlines()[0][:200], folder / "wandb",
        )  # fmt: skip
        return open_run(mode="offline")


# -------------------------------------------------------------------------------------------------- predictions


def _nowhere(inner: Any, samples: Sequence[Any], page: Path | None, step: int) -> None:
    """CSV: the page of HTML lies in the run's folder already."""


def _to_mlflow(inner: Any, samples: Sequence[Any], page: Path | None, step: int) -> None:
    if page is not None and page.is_file():
        inner.experiment.log_artifact(inner.run_id, str(page), "predictions")


def _to_wandb(inner: Any, samples: Sequence[Any], page: Path | None, step: int) -> None:
    import wandb

    heads = list(samples[0].readings)
    rows = [[wandb.Image(255 - s.image), s.truth, *(s.readings[h] for h in heads)] for s in samples]
    inner.log_metrics({"predictions": wandb.Table(["image", "text", *heads], rows)}, step)


def _to_tensorboard(inner: Any, samples: Sequence[Any], page: Path | None, step: int) -> None:
    heads = list(samples[0].readings)
    lines = ["|".join(("text", *heads)), "|".join(["---"] * (1 + len(heads)))]
    lines += ["|".join(t.replace("|", "¦") for t in (s.truth, *(s.readings[h] for h in heads))) for s in samples]
    inner.experiment.add_text("predictions", "\n".join(lines), step)
    for number, sample in enumerate(samples):
        inner.experiment.add_image(f"predictions/{number:02}", 255 - sample.image, step, dataformats="HW")


_PREDICTIONS: dict[str, Callable[[Any, Sequence[Any], Path | None, int], None]] = {
    "mlflow": _to_mlflow,
    "wandb": _to_wandb,
    "tensorboard": _to_tensorboard,
}


# ------------------------------------------------------------------------------------------------------ lineage


class RunRecord(L.Callback):
    """Keeps where a run comes from: `run.json` in its folder, the same in each checkpoint and in the trackers.

    It holds the run's id, command, config, git commit, the sha256 of its data and of the weights it began with, the ids
    in the trackers, and at the end the metrics. After each validation it hands the prediction tables to the trackers.

    Args:
        config: the run's config as plain values. What paths below "data" name is fingerprinted as data, below "model"
            as parents.
        predictions: rows of a prediction table.
    """

    def __init__(self, config: Mapping[str, Any], predictions: int = 24) -> None:
        self.config = config
        self.predictions = predictions
        self.record: dict[str, Any] = {}

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        folder = Path(trainer.default_root_dir)
        earlier = read_record(folder)
        commit, changed = git_commit()
        self.record = {
            "id": earlier.get("id") or uuid.uuid4().hex,
            "started": earlier.get("started") or _now(),
            "command": ["text-recognizer", *sys.argv[1:]],
            "git_commit": commit,
            "uncommitted_changes": changed,
            "config": _plain(self.config),
            "data": fingerprints(self.config.get("data", {})),
            "parents": fingerprints(self.config.get("model", {})),
            "status": "running",
            "trackers": earlier.get("trackers", {}),
        }
        facts = {"run_id": self.record["id"], "git_commit": commit, "uncommitted_changes": changed}
        facts |= {f"data.{name}": digest for name, digest in self.record["data"].items()}
        facts |= {f"parent.{name}": digest for name, digest in self.record["parents"].items()}
        for tracker in _trackers(trainer):
            tracker.log_hyperparams(facts)
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
        self._write(trainer, "stopped" if trainer.interrupted else "finished")

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        self._write(trainer, "interrupted" if isinstance(exception, KeyboardInterrupt) else "failed")

    def _write(self, trainer: L.Trainer, status: str = "running") -> None:
        if not self.record:
            return
        ids = {tracker.kind: tracker.version for tracker in _trackers(trainer)[1:] if tracker.version}
        self.record |= {"status": status, "step": trainer.global_step, "metrics": _metrics(trainer), "seen": _now()}
        self.record["trackers"] = {**self.record["trackers"], **ids}
        file = Path(trainer.default_root_dir) / RECORD
        try:
            fresh = file.with_suffix(".tmp")
            fresh.write_text(json.dumps(self.record, indent=1, ensure_ascii=False, default=str) + "\n", "utf-8")
            fresh.replace(file)
        except OSError as error:
            log.warning("%s cannot be written (%s); training goes on.", file, error.strerror)


def read_record(folder: Path) -> dict[str, Any]:
    """The record of the run in `folder`; empty where there is none that can be read."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def fingerprints(config: Mapping[str, Any]) -> dict[str, str]:
    """Argument → sha256 of the file or folder it names, for all arguments of `config`, nested too, that name one."""
    found: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= fingerprints(value)
        elif isinstance(value, str | Path) and str(value) and Path(value).exists():
            found[name] = fingerprint(Path(value))
    return found


def fingerprint(path: Path) -> str:
    """sha256 of a file; of a folder that of its files' names and digests."""
    if path.is_file():
        return sha256(path)
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{sha256(file)}  {file.relative_to(path).as_posix()}\n".encode())
    return digest.hexdigest()


def git_commit() -> tuple[str, bool]:
    """(commit of this code, whether tracked files differ from it); ("unknown", False) outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent).stdout

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # an installed package may lie in another's checkout
        return git("rev-parse", "HEAD").strip(), bool(git("status", "--porcelain", "--untracked-files=no").strip())
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False


def _trackers(trainer: L.Trainer) -> list[Tracker]:
    return [logger for logger in trainer.loggers if isinstance(logger, Tracker)]


def _metrics(trainer: L.Trainer) -> dict[str, float]:
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def _plain(value: Any) -> Any:
    """Nested values as JSON knows them."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
