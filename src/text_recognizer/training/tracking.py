"""Trackers of training runs: CSV always, MLflow in a local file by default, Weights & Biases, TensorBoard.

A tracker that is unreachable or has a full disk never stops the training, and the CSV file and the run's folder contain
everything. W&B buffers and retries in its own process, and a run that cannot start online becomes an offline run.
MLflow has no offline mode: its asynchronous queue drops a batch that the server does not accept. So `Tracker` queues
failed messages and sends them in order when the tracker responds again.
"""

from __future__ import annotations

import importlib.util
import logging
import netrc
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from text_recognizer.errors import ExtraMissing, UsageError, install_hint
from text_recognizer.training.record import read_record

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import ModelCheckpoint

log = logging.getLogger(__name__)

TRACKERS = ("csv", "mlflow", "wandb", "tensorboard")
STORE = "mlflow.db"
PAUSE = 60.0  # least seconds until a failed tracker is tried again
PATIENCE = 10.0  # the same as a multiple of the failed call's duration: a hanging tracker costs a tenth of the time
MISSED = 20_000  # most messages queued for an unreachable tracker
TRIES = 3  # failures after which a message is dropped, because the message itself may be wrong


class Tracker(Logger):
    """A Lightning logger whose failures never stop the training: it warns once, queues messages, and retries later.

    Args:
        kind: one of TRACKERS.
        folder: the run's folder.
        make: opens the real logger; called for the first message, and only in the first process.
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
        """The run's id in the tracker, once it is known."""
        version = self._inner.version if self._inner else None
        return None if version is None else str(version)

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    @property
    def experiment(self) -> Any:
        """The tracker's own object; None while it cannot be reached."""
        return getattr(self._inner, "experiment", None)

    @rank_zero_only
    def send(self, message: Callable[[Any], None]) -> None:
        """Call `message` with the real logger, after all queued messages; failures are queued for later."""
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
        except Exception as error:  # a tracker may raise anything, but nothing of that may end a training run
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
                    "%s cannot be written (%s: %s). Training continues, %s holds everything, and the missing messages "
                    "are sent when the tracker answers again.",
                    self.kind, type(error).__name__, reason[0][:200], self.folder,
                )  # fmt: skip

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        held = dict(metrics)
        self.send(lambda inner: inner.log_metrics(held, step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.send(lambda inner: inner.log_hyperparams(params))

    def log_predictions(self, samples: Sequence[Any], page: Path | None, step: int) -> None:
        """Log images with their texts and readings (`lit.Shown`); `page` has the same as an HTML file."""
        held = list(samples)
        self.send(lambda inner: _PREDICTIONS.get(self.kind, _nowhere)(inner, held, page, step))

    def save(self) -> None:
        if self._inner is not None and not self._missed:
            self.send(lambda inner: inner.save())

    def after_save_checkpoint(self, checkpoint_callback: ModelCheckpoint) -> None:
        # The best checkpoints become artifacts; the latest ones are only for resuming.
        if checkpoint_callback.monitor:
            self.send(lambda inner: inner.after_save_checkpoint(checkpoint_callback))

    def finalize(self, status: str) -> None:
        self._again = 0.0
        if self._inner is not None or self._missed:
            self.send(lambda inner: inner.finalize(status))


# ------------------------------------------------------------------------------------------------ the trackers


def default_trackers() -> tuple[str, ...]:
    """MLflow in a local file, and Weights & Biases if its key or WANDB_MODE=offline is set."""
    return ("mlflow", "wandb") if wandb_is_set() and importlib.util.find_spec("wandb") else ("mlflow",)


def wandb_is_set() -> bool:
    """Whether there is a key of Weights & Biases, or WANDB_MODE=offline."""
    if os.environ.get("WANDB_MODE") == "offline" or os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def parse_trackers(text: str) -> tuple[str, ...]:
    """Parse the trackers of a command line: `mlflow,wandb` or `[mlflow,wandb]`; `none` or `[]` for none."""
    names = tuple(name.strip(" '\"") for name in text.strip().removeprefix("[").removesuffix("]").split(","))
    return () if names in (("",), ("none",)) else names


def check_trackers(trackers: Sequence[str] | None) -> None:
    """Raise UsageError for an unknown tracker or W&B without a key, ExtraMissing if a package is missing."""
    for kind in trackers or ():
        if kind not in TRACKERS:
            raise UsageError(f"there is no tracker '{kind}'; give some of: {', '.join(TRACKERS)}")
        if kind != "csv" and importlib.util.find_spec(kind) is None:
            extra = "train,wandb" if kind == "wandb" else "train"
            raise ExtraMissing(f"the tracker '{kind}' needs the package '{kind}'; {install_hint(extra)}")
        if kind == "wandb" and not wandb_is_set():
            raise UsageError("Weights & Biases needs a key: set WANDB_API_KEY, or WANDB_MODE=offline to sync later.")


def store_uri(folder: Path) -> str:
    """The address of MLflow's store for the runs in `folder`: MLFLOW_TRACKING_URI, else `mlflow.db` there."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.absolute() / STORE}"


def open_loggers(
    trackers: Sequence[str] | None,
    folder: Path,
    experiment: str = "recognizer",
    run_name: str | None = None,
    config: Mapping[str, Any] | None = None,
    store: Path | None = None,
) -> list[Logger]:
    """Open loggers for Lightning's Trainer; the first is always CSV.

    Args:
        trackers: of TRACKERS; None for `default_trackers()`.
        folder: the run's folder. A resumed run also resumes in its trackers.
        run_name: name in the trackers; the folder's name if None.
        config: hyperparameters in addition to those that the module saves.
        store: folder of `mlflow.db` and its artifacts; None for the parent of `folder`, so that runs can be compared.

    Raises as `check_trackers` does.
    """
    check_trackers(trackers)
    chosen = ["csv", *(default_trackers() if trackers is None else trackers)]
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
    # By default, MLflow retries each message for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import mlflow
    from lightning.pytorch.loggers import MLFlowLogger
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for noisy in ("mlflow", "alembic", "lightning.pytorch.loggers.mlflow"):
        logging.getLogger(noisy).setLevel(logging.ERROR)

    class Resumable(MLFlowLogger):
        def log_hyperparams(self, params: Any) -> None:
            # MLflow refuses to change a parameter, so a resumed run keeps its original values.
            from lightning.fabric.utilities.logger import _convert_params, _flatten_dict

            known = self.experiment.get_run(self.run_id).data.params
            flat = _flatten_dict(_convert_params(params))
            super().log_hyperparams({k: v for k, v in flat.items() if k not in known})

    given, uri = os.environ.get("MLFLOW_TRACKING_URI"), store_uri(store)
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
    try:
        _ = logger.experiment  # raises if the store cannot be opened
    finally:
        # Lightning sets the store for the whole process; the next run in another folder would go there too.
        mlflow.set_tracking_uri(given)  # type: ignore[arg-type]  # None is for "not set"
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
            "Weights & Biases cannot be reached (%s): the run is stored in %s; send it later with 'wandb sync'.",
            str(error).splitlines()[0][:200], folder / "wandb",
        )  # fmt: skip
        return open_run(mode="offline")


# -------------------------------------------------------------------------------------------------- predictions


def _nowhere(inner: Any, samples: Sequence[Any], page: Path | None, step: int) -> None:
    """For CSV, do nothing: the HTML page is already in the run's folder."""


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
