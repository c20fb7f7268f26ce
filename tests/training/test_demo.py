"""The demo: from nothing to a model in production that reads a page, without data or network."""

import json
from pathlib import Path

import torch

from text_recognizer.promotion.registrar import Registrar
from text_recognizer.training import demo


def test_demo_trains_tracks_stages_gates_promotes_and_reads(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    pairs = demo.demo(tmp_path, ["--trainer.enable_progress_bar", "false", "--model.total_steps", "160"])
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "finished"
    (promotion,) = Registrar(tmp_path / "models").history("production")
    assert promotion["model"] == "demo@1"
    (compared,) = promotion["gate"]["comparisons"]
    assert compared["candidate"] < 0.06, compared
    assert (tmp_path / "mlflow.db").is_file()
    assert sum(written == read for written, read in pairs) >= len(pairs) - 1, pairs
