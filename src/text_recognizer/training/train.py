"""`text-recognizer train fit`, `validate` and `test`: train a network on data, as a config describes them.

A config names classes and their arguments (`configs/`); command-line arguments override it.
"""

from __future__ import annotations

import errno
import logging
import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import lightning as L
import torch
from jsonargparse import ArgumentError
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import (
    Callback,
    EMAWeightAveraging,
    LearningRateMonitor,
    ModelCheckpoint,
    TQDMProgressBar,
)
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from text_recognizer.errors import DataInvalid, OutputFailed, UsageError
from text_recognizer.training.callbacks import (
    LAST,
    FirstSteps,
    PredictionTable,
    RunRecord,
    RunStatistics,
    SaveAtEnd,
    interruptible,
)
from text_recognizer.training.lit import precision
from text_recognizer.training.record import only_run
from text_recognizer.training.tracking import check_trackers, open_loggers, parse_trackers

# In an installed package, the configs are next to the code; in a checkout, at the top.
CONFIGS = next(
    (p for p in (Path(__file__).parents[1] / "configs", Path(__file__).parents[3] / "configs") if p.is_dir()),
    Path("configs"),
)
# Lightning's warnings about behaviour that is intended here.
_KNOWN = (
    "args parameter is intended", "does not have", "exists and is not empty", "in eval mode at the start", "isinstance",
    "LeafSpec", "many workers", "no last checkpoint available", "num_workers", "on_after_batch_transfer",
    "outside the 'fit' stage", "supported by the model summary", "sync_dist",
)  # fmt: skip
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class TrainCLI(LightningCLI):
    """Lightning's command line with this project's checkpoints, averaging, logging and resuming."""

    def __init__(self, arguments: Sequence[str], extra: Sequence[Callback] = ()) -> None:
        self.extra = list(extra)
        super().__init__(
            L.LightningModule,
            L.LightningDataModule,
            save_config_kwargs={"overwrite": True},
            trainer_defaults={
                "default_root_dir": "runs/recognizer",
                "max_epochs": -1,
                "use_distributed_sampler": False,  # the data modules themselves divide lines among the processes
                "gradient_clip_val": 2.0,
                "val_check_interval": 1000,
                "check_val_every_n_epoch": None,
                "num_sanity_val_steps": 0,
            },
            seed_everything_default=1,
            parser_kwargs={"prog": "text-recognizer train", "exit_on_error": False},
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=spelled_out(arguments),
            auto_configure_optimizers=False,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        return {name: skip for name, skip in LightningCLI.subcommands().items() if name != "predict"}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--threads", type=int, default=0, help="of each process, 0 for torch's own choice")
        parser.add_argument(
            "--trackers", type=list[str] | None, default=None,
            help="of csv, mlflow, wandb, tensorboard, comma separated, or 'none'; CSV is always written",
        )  # fmt: skip
        parser.add_lightning_class_args(ModelCheckpoint, "best")
        parser.add_lightning_class_args(ModelCheckpoint, "latest")
        parser.add_lightning_class_args(EMAWeightAveraging, "average")
        parser.set_defaults(
            {
                "best.filename": "best-{step}",
                "best.monitor": "val/cer_decoder",
                "best.save_top_k": 2,
                "best.auto_insert_metric_name": False,
                # A lost machine costs at most this many steps.
                "latest.filename": LAST,
                "latest.every_n_train_steps": 250,
                "latest.enable_version_counter": False,
                "average.decay": 0.999,
                "average.update_starting_at_step": 800,
            }
        )
        parser.link_arguments("trainer.default_root_dir", "best.dirpath")
        parser.link_arguments("trainer.default_root_dir", "latest.dirpath")
        parser.link_arguments("seed_everything", "data.init_args.seed")

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        parser.set_defaults({"ckpt_path": LAST, "weights_only": True})
        return parser

    def _parse_ckpt_path(self) -> None:
        """Do nothing: the config defines the network, not the checkpoint. `check_checkpoint` compares the two."""

    def before_instantiate_classes(self) -> None:
        if threads := self._get(self.config, "threads"):
            torch.set_num_threads(threads)
        check_trackers(self._get(self.config, "trackers"))

    def after_instantiate_classes(self) -> None:
        self.model.to(memory_format=torch.channels_last)

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        given = self._get(self.config_init, "trainer")
        root = Path(given["default_root_dir"])
        _make(root)
        if given["precision"] is None:
            kwargs["precision"] = precision()
        if given["max_steps"] == -1:
            kwargs["max_steps"] = getattr(self.model, "total_steps", -1)
        logs = given["logger"] is not False and not given["fast_dev_run"]
        if given["logger"] in (None, True):
            kwargs["logger"] = open_loggers(self._get(self.config, "trackers"), root)
        callbacks = [*self.extra, FirstSteps(), RunStatistics(), PredictionTable(), SaveAtEnd()]
        if given["enable_progress_bar"] is not False:
            callbacks.append(TQDMProgressBar(refresh_rate=50))
        if logs:
            self._dump_config()
            callbacks += [LearningRateMonitor("step"), RunRecord(self.config_dump)]
        self.trainer_defaults["callbacks"] = callbacks
        return super().instantiate_trainer(**kwargs)

    def _run_subcommand(self, subcommand: str) -> None:
        alone = subcommand == "fit" and self.trainer.is_global_zero
        with only_run(Path(self.trainer.default_root_dir)) if alone else nullcontext():
            super()._run_subcommand(subcommand)

    def before_fit(self) -> None:
        self._check_resume(must_exist=False)
        self._check_validation()

    def before_validate(self) -> None:
        self._check_resume(must_exist=True)

    def before_test(self) -> None:
        self._check_resume(must_exist=True)

    def after_fit(self) -> None:
        # The last step is rarely a multiple of the checkpoint interval.
        if not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.trainer.save_checkpoint(Path(self.trainer.default_root_dir) / f"{LAST}.ckpt", weights_only=False)

    def _check_resume(self, must_exist: bool) -> None:
        given = self._get(self.config_init, "ckpt_path")
        root = Path(self.trainer.default_root_dir)
        file = root / f"{LAST}.ckpt" if given == LAST else Path(given) if given else None
        if file is not None and (file.is_file() or given != LAST):
            check_checkpoint(file, self.model)
        elif must_exist:
            raise DataInvalid(f"there is no {LAST}.ckpt in {root}: train first, or give --ckpt_path FILE.")

    def _check_validation(self) -> None:
        """Check that each process gets a validation batch; otherwise the others would wait forever."""
        lines = getattr(self.datamodule, "validation_lines", 0)
        batches = lines // min(32, lines) if lines and not getattr(self.datamodule, "overfit_batches", 0) else None
        if batches is not None and batches < self.trainer.world_size:
            raise UsageError(
                f"{self.trainer.world_size} processes cannot share {batches} batches of validation: give more "
                "--data.validation_lines (32 make a batch), or fewer --trainer.devices."
            )


def check_checkpoint(file: Path, model: L.LightningModule) -> None:
    """Raise DataInvalid if `file` cannot be read or contains a network other than `model`."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        held = {name: value.shape for name, value in state["state_dict"].items()}
    except FileNotFoundError:
        raise DataInvalid(
            f"{file} does not exist: give a checkpoint of an earlier run, or leave --ckpt_path out."
        ) from None
    except Exception as error:  # pickle executes any bytes as instructions, so any error may occur
        others = ", ".join(sorted(p.name for p in file.parent.glob("*.ckpt") if p != file)) or "none"
        raise DataInvalid(
            f"{file} is damaged ({type(error).__name__}) and was not changed: continue from another checkpoint of "
            f"the run ({others}) with --ckpt_path, or move it away and start again."
        ) from error
    if held != {name: value.shape for name, value in model.state_dict().items()}:
        raise DataInvalid(f"{file} holds a network of other sizes: use the config of its run (config.yaml in its log).")


def find_config(name: str) -> Path:
    """The file `name`, or the shipped config with that name. Raises UsageError if there is neither."""
    file = Path(name)
    if file.suffix or file.exists():
        return file
    shipped = CONFIGS / f"{name}.yaml"
    if not shipped.is_file():
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.yaml")))
        raise UsageError(f"there is no config '{name}'; give a file, or one of: {known}")
    return shipped


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """`arguments` with the names of shipped configs replaced by their files, and trackers as a YAML list."""
    meant: dict[str, Callable[[str], str]] = {
        "--config": lambda name: str(find_config(name)),
        "-c": lambda name: str(find_config(name)),
        "--trackers": lambda names: names if names == "null" else f"[{','.join(parse_trackers(names))}]",
    }
    out: list[str] = []
    for argument in arguments:
        option, given, value = argument.partition("=")
        if out and out[-1] in meant:
            argument = meant[out[-1]](argument)
        elif given and option in meant:
            argument = f"{option}={meant[option](value)}"
        out.append(argument)
    return out


def run(arguments: Sequence[str], extra: Sequence[Callback] = ()) -> TrainCLI:
    """Run `fit`, `validate` or `test` with the arguments of the command line.

    Args:
        arguments: the command and its options, such as `["fit", "--config", "debug", "--model.total_steps", "100"]`.
        extra: further callbacks.

    Raises UsageError for unknown or incompatible arguments, OutputFailed if the disk is full, DataInvalid if a
    checkpoint is damaged or data is missing. Files written by the run stay.
    """
    return parsed(lambda: TrainCLI(arguments, extra), arguments)


_CLI = TypeVar("_CLI", bound=TrainCLI)


def parsed(make: Callable[[], _CLI], arguments: Sequence[str]) -> _CLI:
    """Call `make()`, which parses and runs `arguments`, and turn the errors of Lightning and its parser into ours."""
    for known in _KNOWN:
        warnings.filterwarnings("ignore", f".*{known}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for package in ("fabric", "pytorch"):
        logging.getLogger(f"lightning.{package}.utilities.rank_zero").addFilter(_is_no_tip)
    try:
        with interruptible():
            return make()
    except ArgumentError as error:
        raise UsageError(_argument_problem(str(error), arguments)) from None
    except MisconfigurationException as error:
        raise UsageError(_sentence(error)) from error
    except RuntimeError as error:
        if "Early stopping conditioned on metric" in str(error):
            raise UsageError(_sentence(error)) from error
        raise
    except FileNotFoundError as error:  # raised by the sources if data was never prepared
        raise DataInvalid(str(error)) from error
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise OutputFailed(
                f"the disk is full ({error.strerror}); the files so far stay: make room and run the same command "
                "again, it continues from the last checkpoint"
            ) from error
        raise


def _is_no_tip(record: logging.LogRecord) -> bool:
    """Whether a Lightning message is about the run and not about its makers' other products."""
    return "Tip:" not in record.getMessage()


def _argument_problem(message: str, arguments: Sequence[str]) -> str:
    """jsonargparse's explanation of a wrong argument on one line: the key and the innermost reason."""
    keys = [key for key in re.findall(r'Parser key "([^"]+)"', message) if key != "config"]
    reasons = re.findall(
        r"(Option '.+' is not accepted|\S+ '\S+' does not accept option '.+'|Expected .+ Got value: .+"
        r"|No module named .+|Problems parsing config.*|File does not exist: .+)",
        message,
    )
    reason = (reasons or [" ".join(message.split())[:300]])[0]
    command = arguments[0] if arguments else "fit"
    where = f"{'.'.join(keys)}: " if keys else ""
    return f"{where}{reason}; 'text-recognizer train {command} … --print_config' shows all arguments"


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(
            f"cannot make {folder} ({error.strerror}); give another --trainer.default_root_dir"
        ) from None
