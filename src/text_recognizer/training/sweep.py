"""`text-recognizer train sweep`: many short runs over a search space. Optuna stores them and prunes poor ones.

The space is a YAML file such as `configs/sweep.yaml`: the metric, its direction, and for each argument of `fit` the
arguments of Optuna's `suggest_float`, `suggest_int` or `suggest_categorical`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import lightning as L
import optuna
import yaml
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from text_recognizer.errors import DataInvalid, OutputFailed, UsageError
from text_recognizer.training.train import find_config, run

KINDS = ("float", "int", "categorical")


class Report(L.Callback):
    """Reports the value of each validation to the study, and prunes a run that is worse than others at that step."""

    def __init__(self, trial: optuna.Trial, metric: str) -> None:
        self.trial, self.metric = trial, metric
        self.value: float | None = None

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        value = trainer.callback_metrics.get(self.metric)
        if value is None or trainer.sanity_checking:
            return
        better = min if self.trial.study.direction == optuna.study.StudyDirection.MINIMIZE else max
        self.value = float(value) if self.value is None else better(self.value, float(value))
        self.trial.report(float(value), trainer.global_step)
        if self.trial.should_prune():
            raise optuna.TrialPruned


def read_space(file: Path) -> dict[str, Any]:
    """The search space in `file`. Raises DataInvalid if it is not valid."""
    try:
        space = yaml.safe_load(file.read_text(encoding="utf-8"))
        for knob in space["parameters"].values():
            if knob["type"] not in KINDS:
                raise ValueError(f"type {knob['type']!r} is not one of {', '.join(KINDS)}")
        space = {"metric": str(space["metric"]), "direction": space.get("direction", "minimize"), **space}
        suggest(optuna.create_study(direction=space["direction"]).ask(), space["parameters"])  # raises for bad limits
        return space
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise DataInvalid(f"{file} is not a search space ({error}): see configs/sweep.yaml.") from error


def suggest(trial: optuna.Trial, parameters: dict[str, dict[str, Any]]) -> list[str]:
    """Command-line arguments of `fit` with a value for each parameter of the space."""
    arguments = []
    for name, knob in parameters.items():
        limits = {key: value for key, value in knob.items() if key != "type"}
        arguments += [f"--{name}", str(getattr(trial, f"suggest_{knob['type']}")(name, **limits))]
    return arguments


def as_arguments(trial: optuna.trial.FrozenTrial) -> str:
    """The arguments that a trial passed to `fit`, as typed."""
    return " ".join(f"--{name} {value}" for name, value in trial.params.items())


def sweep(
    space: dict[str, Any], arguments: list[str], out: Path, trials: int, storage: str, name: str, seed: int = 1
) -> optuna.Study:
    """Run `trials` more trials of the study `name` in `storage`, each in its own folder in `out`.

    Raises DataInvalid if the storage cannot be opened or is damaged, UsageError if the metric is never logged.
    """
    try:
        study = optuna.create_study(storage=storage, study_name=name, direction=space["direction"], load_if_exists=True)
    except (SQLAlchemyError, StorageInternalError, ArgumentError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataInvalid(
            f"the study in {storage} cannot be opened ({reason}): give another --storage, or move it away."
        ) from error
    # The seed includes the number of trials so far; otherwise, a continued study would repeat its first trials.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))

    def objective(trial: optuna.Trial) -> float:
        report = Report(trial, space["metric"])
        folder = out / f"trial-{trial.number:03}"
        chosen = suggest(trial, space["parameters"])
        run(["fit", *arguments, *chosen, "--trainer.default_root_dir", str(folder)], [report])
        if report.value is None:
            raise UsageError(f"the run never logged '{space['metric']}': name a metric that it logs, or validate more.")
        return report.value

    study.optimize(objective, n_trials=trials)
    return study


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer train sweep`; unknown arguments are passed to `fit`."""
    parser = argparse.ArgumentParser(prog="text-recognizer train sweep", description=__doc__, allow_abbrev=False)
    parser.add_argument("--space", default="sweep", help="YAML file of the search space (default: configs/sweep.yaml)")
    parser.add_argument("--trials", type=int, default=20, help="to run now, in addition to the study's (%(default)s)")
    parser.add_argument("--storage", help="default: sqlite in --out")
    parser.add_argument("--name", default="sweep", help="of the study: the same name continues it")
    parser.add_argument("--out", type=Path, default=Path("runs/sweep"), help="folder of the runs (%(default)s)")
    args, arguments = parser.parse_known_args(argv)
    if args.trials < 1:
        raise UsageError("--trials takes 1 or more")
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it shows a traceback for each failed trial
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"cannot make {args.out} ({error.strerror}); give another --out") from None
    storage = args.storage or f"sqlite:///{(args.out / 'study.db').absolute()}"
    space = read_space(find_config(args.space))
    study = sweep(space, arguments, args.out, args.trials, storage, args.name)
    for trial in study.trials:
        value = "-" if trial.value is None else f"{trial.value:.4f}"
        print(f"trial {trial.number}: {trial.state.name.lower()}, {space['metric']} {value}, {as_arguments(trial)}")
    try:
        best = study.best_trial
        print(f"best: trial {best.number}, {space['metric']} {best.value:.4f}; give its arguments to 'train fit':")
        print(as_arguments(best))
    except ValueError:
        print("no trial was finished")
    return 0
