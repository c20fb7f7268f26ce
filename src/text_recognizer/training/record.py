"""`run.json`: the origin of a training run, and whether it is still running. Needs no torch.

It has the run's id, command, config, git commit, the SHA-256 of its data and of its initial weights, its ids in the
trackers, its status and its latest metrics. `callbacks.RunRecord` writes it.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from text_recognizer.errors import OutputFailed, UsageError
from text_recognizer.evaluation.versions import fingerprint

RECORD = "run.json"
LOCK = ".lock"
# A run writes its record at least every minute. If it has not for this long, it was killed.
STALE = timedelta(minutes=30)


def read_record(folder: Path) -> dict[str, Any]:
    """The record of the run in `folder`; empty if there is no readable one."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Replace the record of the run in `folder`. Raises OSError."""
    fresh = (folder / RECORD).with_suffix(".tmp")
    fresh.write_text(json.dumps(record, indent=1, ensure_ascii=False, default=str) + "\n", "utf-8")
    fresh.replace(folder / RECORD)


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """In this context, no other process may train in `folder`: both would write the same checkpoints.

    Raises UsageError if another process does, OutputFailed if `folder` cannot be created. The system releases the
    lock when the process ends, however it ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"cannot make {folder} ({error.strerror}): give another folder for the run") from None
    with ExitStack() as stack:
        with suppress(OSError):  # it cannot be written; the next write will report why
            stream = stack.enter_context((folder / LOCK).open("w"))
            try:
                import fcntl

                fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike a flock lock, a fork does not inherit it
            except (BlockingIOError, PermissionError):
                other = read_record(folder).get("pid")
                who = f"process {other}" if isinstance(other, int) else "another process"
                raise UsageError(f"{who} trains in {folder}: wait for its end, or give another folder") from None
        yield


def end_run(folder: Path, how: str) -> None:
    """Write the final status of the run in `folder`, if this process runs it and has not written one yet."""
    record = read_record(folder)
    if record.get("status") == "running" and record.items() >= process().items():
        with suppress(OSError):  # the record then shows a run without a process
            write_record(folder, {**record, "status": how, "seen": now()})


def fingerprints(config: Mapping[str, Any]) -> dict[str, str]:
    """Argument → SHA-256 of its file or folder, for all arguments of `config`, nested ones too, that name one."""
    found: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= fingerprints(value)
        elif isinstance(value, str | Path) and str(value) and Path(value).exists():
            found[name] = fingerprint(Path(value))
    return found


def git_commit(file: Path = Path(__file__)) -> tuple[str, bool]:
    """(commit of the checkout that tracks `file`, whether its tracked files have changes); else ("unknown", False)."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=file.parent).stdout

    try:
        git("ls-files", "--error-unmatch", file.name)  # an installed package may be inside another project's checkout
        return git("rev-parse", "HEAD").strip(), bool(git("status", "--porcelain", "--untracked-files=no").strip())
    except (OSError, subprocess.CalledProcessError):
        return "unknown", False


def parameters(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value of a training config under a flat name, for trackers to compare: `model.ctc_weight`, `seed`, …

    Values of None are left out, and the names omit `init_args` and `class_path`.
    """
    flat: dict[str, Any] = {}
    for name, value in config.items():
        full = prefix if name in ("init_args", "class_path") else f"{prefix}.{name}" if prefix else name
        if isinstance(value, Mapping):
            flat |= parameters(value, full)
        elif value is not None:
            flat[full] = value if isinstance(value, str | int | float | bool) else str(value)
    return flat


def process() -> dict[str, Any]:
    """The identity of this process, for `status` to look up."""
    return {"host": platform.node(), "pid": os.getpid()}


def status(record: Mapping[str, Any]) -> str:
    """The status of a run: "running", "finished", "stopped", "interrupted", "failed", or "killed".

    "killed": the record says "running", but its process on this machine is gone or has not written for `STALE`.
    """
    written = str(record.get("status", "unknown"))
    if written != "running":
        return written
    gone = record.get("host") == platform.node() and not _alive(record.get("pid"))
    try:
        silent = datetime.now(UTC) - datetime.fromisoformat(str(record.get("seen"))) > STALE
    except ValueError:
        silent = False
    return "killed" if gone or silent else written


def _alive(pid: Any) -> bool:
    """Whether a process has this id; True if that cannot be known."""
    if not isinstance(pid, int) or os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it exists and belongs to another user
        return True
    return True


def now() -> str:
    """The time in UTC, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")
