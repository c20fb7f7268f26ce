"""The gate: what reads worse for certain, or much slower, does not reach production."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from text_recognizer import cli
from text_recognizer.errors import DataInvalid
from text_recognizer.evaluation import gate as module
from text_recognizer.evaluation.gate import Comparison, compare, gate
from text_recognizer.evaluation.metrics import Rate, rate_difference
from text_recognizer.evaluation.sets import load_set
from text_recognizer.evaluation.truth import EvaluationSet
from text_recognizer.promotion.lineage import lineage
from text_recognizer.recognition.recognizer import LineReading

WRITERS = 8


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """A set of 16 line images of 8 writers."""
    folder = tmp_path / "lines"
    folder.mkdir()
    records = []
    for number in range(2 * WRITERS):
        image = np.full((60, 300), 235, np.uint8)
        text = f"line {number:02}"
        cv2.putText(image, text, (10, 40), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1, 30, 2)
        cv2.imwrite(str(folder / f"{number:02}.png"), image)
        records.append({"image": f"{number:02}.png", "text": text, "writer": f"w{number % WRITERS}"})
    (folder / "set.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return folder


class Reads:
    """A reader that knows the truth of `lines` and makes `errors` errors in each of the first `wrong` lines."""

    line_height = 48

    def __init__(self, name: str, wrong: int = 0, errors: int = 1) -> None:
        self.model, self.recognizer, self.wrong, self.errors = name, self, wrong, errors
        self.page = 0

    def identify_language(self, crops: list[np.ndarray]) -> str:
        return "en"

    def in_language(self, tag: str) -> "Reads":
        return self

    def read_lines(self, crops: list[np.ndarray], mode: str) -> list[LineReading]:
        text = f"line {self.page:02}"
        return [LineReading("#" * self.errors + text if self.page < self.wrong else text, 1.0, ())]


def run(lines: Path, candidate: Reads, production: Reads, monkeypatch: pytest.MonkeyPatch) -> Comparison:
    real = module.evaluate

    def told(data: EvaluationSet, reader: Reads, *rest: object) -> object:
        reader.page = int(data.pages[0].image.stem)
        return real(data, reader, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "evaluate", told)
    return compare(load_set(lines), "lines", candidate, production)  # type: ignore[arg-type]


def test_worse_reading_is_refused_with_its_interval(lines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(lines, Reads("new@2", wrong=16), Reads("old@1"), monkeypatch)
    assert (found.samples, found.writers) == (16, WRITERS)
    assert found.difference.value == pytest.approx(1 / 7)
    assert found.difference.low > 0.1
    assert "CER is 14.29 points higher" in found.faults(slower=1e9)[0]
    assert found.faults(tolerance=0.2, slower=1e9) == []


def test_same_and_better_reading_passes(lines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(lines, Reads("a", wrong=4), Reads("b", wrong=4), monkeypatch).faults(slower=1e9) == []
    better = run(lines, Reads("a"), Reads("b", wrong=16), monkeypatch)
    assert better.difference.high < 0
    assert better.faults(slower=1e9) == []


def test_one_writer_read_worse_is_not_certain(lines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = run(lines, Reads("a", wrong=1), Reads("b"), monkeypatch)
    assert found.difference.value > 0
    assert found.difference.low == 0
    assert found.faults(slower=1e9) == []


def test_pairing_cancels_what_is_hard_for_both() -> None:
    rng = np.random.default_rng(0)
    hard = rng.integers(0, 60, 200)  # edits differ much between writers, and by one between the models
    groups = [f"w{i}" for i in range(200)]
    found = rate_difference((hard + 1).tolist(), hard.tolist(), [100] * 200, groups)
    assert found.low == pytest.approx(0.01)
    assert found.high == pytest.approx(0.01)


def test_much_slower_is_refused() -> None:
    found = Comparison("set", 1, 1, 0.1, 0.1, Rate(0, 0, 0), (2.0, 1.0), 2.0)
    assert found.faults(slower=2.5) == []
    assert "2.00 times as long" in found.faults(slower=1.5)[0]


def test_set_without_anything_to_measure_is_reported(lines: Path) -> None:
    for image in lines.glob("*.png"):
        image.write_bytes(b"no image")
    with pytest.raises(DataInvalid, match="no sample could be measured"):
        compare(load_set(lines), "lines", Reads("a"), Reads("b"))  # type: ignore[arg-type]


@pytest.fixture
def worse_bundle(bundle_dir: Path, tmp_path: Path) -> Path:
    """The shipped model with an alphabet turned around: it runs as fast and reads nothing right."""
    import shutil

    folder = tmp_path / "worse"
    shutil.copytree(bundle_dir, folder)
    info = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    info |= {"name": "worse", "alphabet": info["alphabet"][::-1]}
    (folder / "bundle.json").write_text(json.dumps(info), encoding="utf-8")
    return folder


def test_worse_model_is_refused_with_a_table_and_a_better_one_is_promoted_with_its_report(
    lines: Path, bundle_dir: Path, worse_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = ["models", "--folder", str(tmp_path / "models")]
    measured = ["--sets", str(lines), "--mode", "fast", "--slower", "50"]
    assert cli.main([*models, "add", str(worse_bundle)]) == 0
    assert cli.main([*models, "promote", "worse", *measured]) == 8
    said = capsys.readouterr()
    assert "difference (95 %)" in said.out
    assert "s an image" in said.out  # lines here
    assert "was not promoted" in said.err
    assert cli.main([*models, "promote", "worse", "--force"]) == 2  # no reason given
    assert cli.main([*models, "promote", "worse", *measured, "--force", "--reason", "to see it fail"]) == 0
    assert cli.main([*models, "add", str(bundle_dir)]) == 0
    name = json.loads((bundle_dir / "bundle.json").read_text(encoding="utf-8"))["name"]
    capsys.readouterr()
    assert cli.main([*models, "promote", name, *measured]) == 0
    assert cli.main([*models, "list"]) == 0
    assert cli.main([*models, "show", "production"]) == 0
    said = capsys.readouterr()
    assert "production is" in said.out
    assert "against worse@" in said.out
    history = json.loads((tmp_path / "models" / "registry.json").read_text(encoding="utf-8"))["production"]
    assert [bool(entry["gate"]["faults"]) for entry in history] == [True, False]
    assert cli.main([*models, "rollback"]) == 0
    assert "production is worse@" in capsys.readouterr().out


def test_lineage_of_the_shipped_model_names_run_code_data_and_licences(
    bundle_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", "show"]) == 0
    said = capsys.readouterr().out
    info = json.loads((bundle_dir / "bundle.json").read_text(encoding="utf-8"))
    for known in (
        info["git_commit"],
        info["run"]["checkpoint_sha256"],
        "UNIPEN",
        "CC-BY-4.0",
        "git checkout",
        "parity",
    ):
        assert known in said


def test_gate_of_a_model_against_itself_finds_no_difference(lines: Path, bundle_dir: Path) -> None:
    from text_recognizer.bundle import Bundle

    bundle = Bundle.open(bundle_dir)
    verdict = gate(bundle, bundle, [lines], "fast", slower=50)
    assert verdict.faults == []
    assert verdict.comparisons[0].difference == Rate(0, 0, 0)
    assert lineage(bundle)["code"]
