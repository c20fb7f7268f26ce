"""`text-recognizer train`: configs, resuming after a kill, several processes, and what goes wrong along the way."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from text_recognizer.cli import main
from text_recognizer.errors import INTERRUPTED, DataInvalid, OutputFailed, UsageError
from text_recognizer.training import rate, train
from text_recognizer.training.data import Batch, Codec, Pools
from text_recognizer.training.lit import precision
from text_recognizer.training.models.recognizer import RecognizerConfig
from text_recognizer.training.record import only_run

TINY = """
trainer: {val_check_interval: 6, log_every_n_steps: 2, enable_progress_bar: false, accelerator: cpu}
model:
  init_args:
    config: {channels: [16, 16, 16, 16], d_model: 32, d_ff: 32, heads: 2, max_tokens: 40, dropout: 0.1}
    token_noise: 0.1
    warmup_steps: 2
    total_steps: 12
data:
  init_args: {batch_size: 4, overfit_batches: 3}
latest: {every_n_train_steps: 4}
average: {decay: 0.5, update_starting_at_step: 2}
trackers: []
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config on top of `debug`: a network that learns nothing, at once."""
    file = tmp_path_factory.mktemp("config") / "tiny.yaml"
    file.write_text(TINY)
    return file


def arguments(tiny: Path, out: Path, *more: str) -> list[str]:
    return ["fit", "--config", "debug", "--config", str(tiny), "--trainer.default_root_dir", str(out), *more]


def start(tiny: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """The same in a process of its own, as users run it."""
    command = [sys.executable, "-m", "text_recognizer", "train", *arguments(tiny, out, *more)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def state(checkpoint: Path) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint, weights_only=True)["state_dict"]


def logged(out: Path) -> str:
    return "\n".join(file.read_text() for file in out.rglob("metrics.csv"))


@pytest.fixture(scope="module")
def whole(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of 12 steps that nothing disturbed."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs") / "whole"
    train.run(arguments(tiny, out))
    return out


def test_run_leaves_ranked_checkpoints_readings_and_figures(whole: Path) -> None:
    assert torch.load(whole / "last.ckpt", weights_only=True)["global_step"] == 12
    assert sorted(p.name for p in whole.glob("best-*.ckpt")) == ["best-12.ckpt", "best-6.ckpt"]
    table = (whole / "predictions" / "step-000012.html").read_text()
    assert "data:image/png" in table
    assert "decoder" in table
    assert (whole / "samples.txt").read_text().count("step ") == 2
    figures = logged(whole)
    for name in ("lr-AdamW", "gradient_norm", "samples_per_second", "feed_wait", "model/parameters", "val/cer_decoder"):
        assert name in figures, name
    assert any(whole.rglob("config.yaml"))
    record = json.loads((whole / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["config"]["data"]["init_args"]["batch_size"] == 4  # all that was set, as the trackers get it
    assert record["config"]["model"]["init_args"]["weight_decay"] > 0


def test_killed_run_goes_on_as_if_nothing_had_happened(whole: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    run = start(tiny, out, "--trainer.max_steps", "400")
    deadline = time.monotonic() + 300
    while not (out / "last.ckpt").exists() and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    reached = torch.load(out / "last.ckpt", weights_only=True)["global_step"]
    assert reached % 4 == 0  # the last checkpoint, and it is whole
    train.run(arguments(tiny, out))
    assert torch.load(out / "last.ckpt", weights_only=True)["global_step"] == 12
    # The same lines in the same order, the same dropout, and no step left out or done twice: the same weights.
    ours, theirs = state(out / "last.ckpt"), state(whole / "last.ckpt")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(("workers", "told"), [(0, signal.SIGTERM), (1, signal.SIGTERM), (0, signal.SIGINT)])
def test_run_told_to_end_loses_no_step(tiny: Path, tmp_path: Path, workers: int, told: signal.Signals) -> None:
    out = tmp_path / "terminated"
    run = start(tiny, out, "--trainer.max_steps", "4000", "--latest.every_n_train_steps", "4000",
                "--data.workers", str(workers), "--data.overfit_batches", str(0 if workers else 3),
                "--data.pool", "2", "--trainer.val_check_interval", "4000",
                "--model.init_args.config.max_tokens", "256")  # fmt: skip
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    deadline = time.monotonic() + 300
    while run.poll() is None and time.monotonic() < deadline:
        if logged(out) and len(children.read_text().split()) == workers:
            break
        time.sleep(0.02)
    time.sleep(1)
    # `scancel` and `systemctl stop` tell all processes, in any order.
    for worker in children.read_text().split():
        os.kill(int(worker), signal.SIGTERM)
        time.sleep(1)
    run.send_signal(told)
    output, _ = run.communicate(timeout=120)
    assert run.returncode == INTERRUPTED, output  # not 0: a script must not go on as if the run were finished
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "interrupted", output
    assert torch.load(out / "last.ckpt", weights_only=True)["global_step"] == record["step"] > 0


def test_two_processes_train_one_network_from_where_a_run_stopped(whole: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "two"
    out.mkdir()
    shutil.copy(whole / "last.ckpt", out)
    run = start(tiny, out, "--trainer.devices", "2", "--trainer.max_steps", "18")
    output, _ = run.communicate(timeout=600)
    assert run.returncode == 0, output
    assert "gloo" in output
    assert "continuing at step 12 of 18" in output
    assert "step 13: loss" in output
    assert "litlogger" not in output  # what Lightning's makers sell
    assert "weights_only" not in output
    assert torch.load(out / "last.ckpt", weights_only=True)["global_step"] == 18
    assert "val/cer_decoder" in logged(out)


def test_damaged_checkpoint_is_named_and_kept(whole: Path, tiny: Path, tmp_path: Path) -> None:
    damaged = (whole / "last.ckpt").read_bytes()[:5000]
    (tmp_path / "last.ckpt").write_bytes(damaged)
    (tmp_path / "best-6.ckpt").write_bytes(b"")
    with pytest.raises(DataInvalid, match=r"last\.ckpt is damaged.*best-6\.ckpt"):
        train.run(arguments(tiny, tmp_path))
    assert (tmp_path / "last.ckpt").read_bytes() == damaged


def test_two_processes_never_train_in_one_folder(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = start(tiny, out, "--model.total_steps", "100000")
    try:
        deadline = time.monotonic() + 300
        while not (out / "run.json").exists() and first.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        second = start(tiny, out)
        said, _ = second.communicate(timeout=300)
        assert second.returncode == UsageError.exit_status, said
        assert f"process {first.pid} trains in {out}" in said
    finally:
        first.kill()
        first.communicate()
    with only_run(out):  # a process that was killed holds no place
        pass


def test_checkpoint_of_another_network_is_refused(whole: Path, tiny: Path, tmp_path: Path) -> None:
    other = ("--model.init_args.config.d_model", "16", "--ckpt_path", str(whole / "last.ckpt"))
    with pytest.raises(DataInvalid, match="other sizes"):
        train.run(arguments(tiny, tmp_path, *other))


def test_metric_that_nobody_logs_is_named(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="val/beauty"):
        train.run(arguments(tiny, tmp_path, "--best.monitor", "val/beauty"))
    assert (tmp_path / "last.ckpt").is_file()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("model: {init_args: {learning_rat: 1}}", "model: Option 'learning_rat' is not accepted"),
        ("model: {init_args: {config: {d_modl: 1}}}", "model: Group 'config' does not accept option 'd_modl'"),
        ("trainr: {max_steps: 1}", "does not accept option 'trainr.max_steps'"),
        ("data: {init_args: {batch_size: many}}", "data.batch_size: Expected a <class 'int'>. Got value: many"),
        ("a: [1", "Problems parsing config"),
    ],
)
def test_mistyped_config_is_one_line(wrong: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "wrong.yaml").write_text(wrong)
    assert main(["train", "fit", "--config", "debug", "--config", str(tmp_path / "wrong.yaml")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line
    assert "--print_config" in line


def test_more_processes_than_batches_of_validation_are_refused_before_any_work(tiny: Path, tmp_path: Path) -> None:
    few = ("--data.init_args.overfit_batches", "0", "--data.init_args.validation_lines", "32")
    with pytest.raises(UsageError, match=r"2 processes cannot share 1 batches.*--data\.validation_lines"):
        train.run(arguments(tiny, tmp_path, "--trainer.devices", "2", *few))


@pytest.mark.parametrize(("has_bf16", "chosen"), [(True, "bf16-mixed"), (False, "32-true")])
def test_bf16_is_chosen_only_on_gpus_that_compute_it(
    has_bf16: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    # A T4 emulates it.
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or has_bf16
    )
    assert precision() == chosen


def test_first_line_of_progress_comes_before_the_first_batch_is_rendered(
    tiny: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Pools.__getitem__
    before: list[str] = []

    def render(self: Pools, index: int) -> list[Batch]:
        before.extend(record.getMessage() for record in caplog.records)
        return real(self, index)

    monkeypatch.setattr(Pools, "__getitem__", render)
    with caplog.at_level("INFO", logger="text_recognizer.training.callbacks"):
        train.run(arguments(tiny, tmp_path, "--trainer.max_steps", "1"))
    assert any("rendering the first batch" in message for message in before)
    assert any(record.getMessage().startswith("step 1: loss") for record in caplog.records)


def test_full_disk_is_reported_and_the_last_checkpoint_stays(whole: Path, tiny: Path, tmp_path: Path) -> None:
    kept = (whole / "best-6.ckpt").read_bytes()
    (tmp_path / "last.ckpt").write_bytes(kept)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OutputFailed, match="disk is full"):
            train.run(arguments(tiny, tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / "last.ckpt").read_bytes() == kept


def test_learning_rate_is_suggested_by_a_range_test(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["train", "rate", "--config", "debug", "--config", str(tiny), "--steps", "24", "--to", "0.1"]
    assert main([*command, "--json", "rates.json"]) == 0
    held = json.loads((tmp_path / "rates.json").read_text())
    assert 20 <= len(held["rates"]) == len(held["losses"]) <= 24
    assert held["rates"] == sorted(held["rates"])
    assert held["suggestion"] in held["rates"]
    assert f"--model.learning_rate {held['suggestion']:.1e}" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["rates.json"]  # no run is left
    with pytest.raises(UsageError, match="--from less than --to"):
        rate.find_rate([], least=1.0, most=0.1)


def test_validation_without_a_checkpoint_says_so(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="train first"):
        train.run(["validate", *arguments(tiny, tmp_path)[1:]])


def test_trained_network_is_tested_on_other_lines(whole: Path, tiny: Path) -> None:
    cli = train.run(["test", *arguments(tiny, whole)[1:], "--data.init_args.overfit_batches", "0",
                     "--data.init_args.validation_lines", "8"])  # fmt: skip
    assert cli.trainer.callback_metrics["test/cer_decoder"] > 0


@pytest.mark.parametrize("name", ["debug", "line-small", "line-base", "paragraph", "lines-finder"])
def test_shipped_config_is_found_by_name_and_fits_the_code(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        train.run(["fit", "--config", name, "--print_config"])
    assert stop.value.code == 0
    assert f"runs/{name.replace('lines-', '')}" in capsys.readouterr().out


def test_unknown_config_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"debug.*line-base.*line-small"):
        train.run(["fit", "--config", "huge"])


def test_unknown_tracker_is_refused_before_the_data_is_touched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tracker 'mlfow'; give some of: csv, mlflow"):
        train.run(["fit", "--config", "line-small", "--data.unipen", str(tmp_path / "none"), "--trackers", "csv,mlfow"])


@pytest.mark.parametrize("given", [["--trackers", "mlflow,csv"], ["--trackers=[mlflow,csv]"]])
def test_trackers_are_given_as_fine_tuning_takes_them(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train.run(["fit", "--config", "debug", "--print_config", *given])
    assert "trackers:\n- mlflow\n- csv\n" in capsys.readouterr().out


def test_default_vocabulary_is_that_of_the_alphabet() -> None:
    assert RecognizerConfig().vocabulary == len(Codec())
