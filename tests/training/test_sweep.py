"""Sweeps: knobs from a file, trials that stay in their storage, and a metric that must be there."""

from pathlib import Path

import optuna
import pytest

from text_recognizer.errors import DataInvalid, OutputFailed, UsageError
from text_recognizer.training import sweep
from text_recognizer.training.train import CONFIGS

TINY = """
trainer: {val_check_interval: 2, log_every_n_steps: 2, enable_progress_bar: false, max_steps: 2, accelerator: cpu}
model:
  init_args: {config: {channels: [16, 16, 16, 16], d_model: 32, d_ff: 32, heads: 2}}
data:
  init_args: {batch_size: 4}
trackers: []
"""


def test_shipped_space_becomes_arguments_of_fit() -> None:
    space = sweep.read_space(CONFIGS / "sweep.yaml")
    trial = optuna.create_study().ask()
    arguments = sweep.suggest(trial, space["parameters"])
    assert arguments[::2] == [f"--{name}" for name in space["parameters"]]
    assert 3e-4 <= float(arguments[1]) <= 3e-3


def test_space_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text("parameters: {a: {type: guess}}\nmetric: x")
    with pytest.raises(DataInvalid, match=r"space\.yaml"):
        sweep.read_space(tmp_path / "space.yaml")


@pytest.mark.parametrize(
    "knob", ["{type: float, low: 1.0, high: 0.1}", "{type: int, low: a, high: b}", "{type: float, lowest: 1}", "3"]
)
def test_space_with_odd_limits_is_named_before_any_trial(knob: str, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(f"parameters: {{a: {knob}}}\nmetric: x")
    with pytest.raises(DataInvalid, match=r"space\.yaml is not a search space"):
        sweep.read_space(tmp_path / "space.yaml")


@pytest.mark.parametrize("storage", ["sqlite:////proc/none/study.db", "no address", "torn"])
def test_storage_that_cannot_be_opened_is_named(storage: str, tmp_path: Path) -> None:
    if storage == "torn":
        (tmp_path / "study.db").write_text("no database")
        storage = f"sqlite:///{tmp_path / 'study.db'}"
    with pytest.raises(DataInvalid, match=r"the study in .* cannot be opened"):
        sweep.main(["--out", str(tmp_path), "--storage", storage, "--trials", "1"])


def test_arguments_that_make_no_sweep_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--trials"):
        sweep.main(["--out", str(tmp_path), "--trials", "0"])
    (tmp_path / "out").write_text("notes")
    with pytest.raises(OutputFailed, match="give another --out"):
        sweep.main(["--out", str(tmp_path / "out"), "--trials", "1"])


def test_sweep_goes_on_in_its_storage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "space.yaml").write_text(
        "metric: val/cer_decoder\nparameters: {model.init_args.learning_rate: {type: float, low: 0.001, high: 0.01}}"
    )
    command = ["--space", str(tmp_path / "space.yaml"), "--trials", "1", "--out", str(tmp_path / "runs"),
               "--config", "debug", "--config", str(tmp_path / "tiny.yaml")]  # fmt: skip
    assert sweep.main(command) == 0
    assert sweep.main(command) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "val/cer_decoder" in printed[-2]
    assert printed[-1].startswith("--model.init_args.learning_rate 0.00")  # to be pasted
    study = optuna.load_study(study_name="sweep", storage=f"sqlite:///{tmp_path / 'runs' / 'study.db'}")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE"]
    first, second = study.trials
    assert first.params != second.params  # a continued study draws new values
    assert (tmp_path / "runs" / "trial-001" / "last.ckpt").is_file()
