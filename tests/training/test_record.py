"""The record of a run: what was set, which code, and whether it still runs."""

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from text_recognizer.training.record import STALE, git_commit, parameters, process, status


def test_every_argument_of_model_and_data_is_a_parameter() -> None:
    config = {
        "seed_everything": 3,
        "model": {"class_path": "lit.Recognizer", "init_args": {"ctc_weight": 0.5, "config": {"channels": [1, 2]}}},
        "data": {"class_path": "data.Lines", "init_args": {"batch_size": 32, "fonts": None}},
    }
    assert parameters(config) == {
        "seed_everything": 3,
        "model": "lit.Recognizer",
        "model.ctc_weight": 0.5,
        "model.config.channels": "[1, 2]",
        "data": "data.Lines",
        "data.batch_size": 32,
    }


def running(**facts: Any) -> dict[str, Any]:
    return {"status": "running", "seen": datetime.now(UTC).isoformat(timespec="seconds"), **process(), **facts}


def test_run_whose_process_is_gone_was_killed() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert status(running()) == "running"
    assert status(running(pid=child.pid)) == "killed"
    assert status(running(pid=child.pid, status="finished")) == "finished"


def test_run_on_another_machine_is_killed_when_it_has_been_silent_for_long() -> None:
    elsewhere = {"host": f"not-{platform.node()}", "pid": 2**22 + 1}
    assert status(running(**elsewhere)) == "running"
    silent = datetime.now(UTC) - STALE - timedelta(minutes=1)
    assert status(running(**elsewhere, seen=silent.isoformat())) == "killed"
    assert status({"status": "running"}) == "running"  # a record of an older version says neither


def test_commit_is_that_of_the_code_and_not_of_a_project_around_it(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    installed = tmp_path / "venv" / "record.py"
    installed.parent.mkdir()
    installed.write_text("")
    ours = tmp_path / "ours.py"
    ours.write_text("")
    git("add", "ours.py")
    git("commit", "-qm", "first")
    assert git_commit(ours) == (git("rev-parse", "HEAD"), False)
    assert git_commit(installed) == ("unknown", False)
    ours.write_text("changed")
    assert git_commit(ours)[1]


@pytest.mark.skipif(os.name != "posix", reason="processes are looked for on POSIX alone")
def test_process_of_another_user_still_runs() -> None:
    assert status(running(pid=1)) == "running"
