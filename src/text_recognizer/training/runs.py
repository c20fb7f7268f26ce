"""`text-recognizer train runs`: list and compare the runs in MLflow's store. Needs no torch."""

from __future__ import annotations

import argparse
import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from text_recognizer.errors import DataInvalid, UsageError
from text_recognizer.training import record

STORE = "mlflow.db"
SHOWN = 4  # metrics in the list by default


def load_runs(folder: Path) -> list[Any]:
    """MLflow's runs, newest first. Raises DataInvalid if there is no store or it cannot be read."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri is None:
        if not (folder / STORE).is_file():
            raise DataInvalid(
                f"there is no {STORE} in {folder}: give your runs' folder with --folder, or set MLFLOW_TRACKING_URI."
            )
        uri = f"sqlite:///{(folder / STORE).absolute()}"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    from mlflow import MlflowClient

    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        client = MlflowClient(uri)
        experiments = [e.experiment_id for e in client.search_experiments()]
        found: list[Any] = []
        token: str | None = None
        while experiments:
            page = client.search_runs(experiments, order_by=["attributes.start_time DESC"], page_token=token)
            found += page
            token = page.token
            if not token:
                break
    except Exception as error:  # MLflow, SQLAlchemy and the network each raise their own
        reason = str(error).strip().splitlines()[0][:200]
        raise DataInvalid(f"the runs in {uri} cannot be read ({type(error).__name__}: {reason}).") from error
    return found


def find_run(runs: list[Any], name: str) -> Any:
    """The newest run with this name, or the run whose id begins with it. Raises UsageError."""
    for run in runs:
        if run.info.run_name == name:
            return run
    for run in runs:
        if len(name) >= 4 and run.info.run_id.startswith(name):
            return run
    raise UsageError(f"there is no run '{name}'; known: {', '.join(r.info.run_name for r in runs[:10]) or 'none'}")


def sort_runs(runs: list[Any], metric: str) -> list[Any]:
    """Sort by the last value of `metric`, ascending; runs without it come last. Raises UsageError if no run has it."""
    if not any(metric in run.data.metrics for run in runs):
        known = ", ".join(sorted({name for run in runs for name in run.data.metrics})) or "none"
        raise UsageError(f"no run has the metric '{metric}'; known: {known}")
    return sorted(runs, key=lambda run: run.data.metrics.get(metric, float("inf")))


def run_status(run: Any, folder: Path) -> str:
    """The status of a run from its `run.json` in `folder`, or else from the store.

    The store does not notice a kill, and reports a fine-tuning as finished before its bundle is written.
    """
    held = record.read_record(folder / run.info.run_name)
    if held.get("trackers", {}).get("mlflow") == run.info.run_id:
        return record.status(held)
    return str(run.info.status).lower()


def run_parameters(run: Any, folder: Path) -> dict[str, str]:
    """The parameters of a run. Its `run.json` in `folder` takes precedence over the store.

    The store keeps the first value of each parameter, though a run may resume with another value.
    """
    held = record.read_record(folder / run.info.run_name)
    ours = held.get("trackers", {}).get("mlflow") == run.info.run_id
    latest = record.parameters(held.get("config", {})) if ours else {}
    return {**run.data.params, **{name: str(value) for name, value in latest.items()}}


def list_table(runs: list[Any], metrics: list[str], folder: Path) -> Table:
    """A table with one row for each run."""
    table = Table("run", "id", "started", "status", "commit", *metrics, box=None, pad_edge=False)
    for run in runs:
        started = datetime.fromtimestamp(run.info.start_time / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        figures = [_figure(run.data.metrics.get(name)) for name in metrics]
        commit = run.data.params.get("git_commit", "")[:10]
        table.add_row(run.info.run_name, run.info.run_id[:8], started, run_status(run, folder), commit, *figures)
    return table


def compare_table(first: Any, second: Any, folder: Path) -> Table:
    """The parameters that differ between two runs, and all metrics with their differences."""
    table = Table("", first.info.run_name, second.info.run_name, "difference", box=None, pad_edge=False)
    a, b = (run_parameters(run, folder) for run in (first, second))
    for name in sorted(a.keys() | b.keys()):
        if a.get(name) != b.get(name):
            table.add_row(name, a.get(name, "—"), b.get(name, "—"), "")
    a, b = first.data.metrics, second.data.metrics
    for name in sorted(a.keys() | b.keys()):
        difference = f"{b[name] - a[name]:+.5g}" if name in a and name in b else ""
        table.add_row(name, _figure(a.get(name)), _figure(b.get(name)), difference)
    return table


def _figure(value: float | None) -> str:
    return "—" if value is None else f"{value:.5g}"


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer train runs`."""
    parser = argparse.ArgumentParser(prog="text-recognizer train runs", description="List and compare training runs.")
    parser.add_argument("--folder", type=Path, default=Path("runs"), help=f"folder of {STORE} (%(default)s)")
    parser.add_argument("--sort", metavar="METRIC", help="by the last value of this metric, ascending")
    parser.add_argument("--metrics", help="columns, comma separated (default: those of validation)")
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"), help="two runs, by name or id")
    parser.add_argument("--json", action="store_true", help="one object a run on one line")
    args = parser.parse_args(argv)
    runs = load_runs(args.folder)
    console = Console(width=None if Console().is_terminal else 200, highlight=False)
    if args.compare:
        first, second = (find_run(runs, name) for name in args.compare)
        console.print(compare_table(first, second, args.folder))
        return 0
    if args.sort:
        runs = sort_runs(runs, args.sort)
    if args.json:
        for run in runs:
            about = {"id": run.info.run_id, "name": run.info.run_name, "status": run_status(run, args.folder)}
            print(json.dumps(about | {"params": run_parameters(run, args.folder), "metrics": run.data.metrics}))
        return 0
    known = sorted({name for run in runs for name in run.data.metrics})
    chosen = args.metrics.split(",") if args.metrics else [n for n in known if n.startswith("val/")][:SHOWN]
    if args.sort and args.sort not in chosen:
        chosen.insert(0, args.sort)
    console.print(list_table(runs, chosen, args.folder))
    return 0
