"""Evaluation with readers whose errors are known."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from text_recognizer.page import Line, Page, Word
from text_recognizer.recognition.recognizer import LineReading, WordReading
from text_recognizer.training.evaluate import evaluate, evaluate_peer, show, worst_page
from text_recognizer.training.sets import load_set

TEXTS = ["the first line", "a second one", "and <the> third"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    page = np.full((200, 400), 235, np.uint8)
    records = []
    for row, text in enumerate(TEXTS):
        cv2.putText(page, text, (20, 40 + 60 * row), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1, 30, 2)
        polygon = [[10, 10 + 60 * row], [390, 10 + 60 * row], [390, 55 + 60 * row], [10, 55 + 60 * row]]
        records.append({"image": "p.png", "text": text, "polygon": polygon, "writer": "w", "slice": "short"})
    cv2.imwrite(str(tmp_path / "p.png"), page)
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return tmp_path


class Told:
    """Reads what it was told to, with a confidence for each word."""

    line_height = 48

    def __init__(self, texts: list[str], confidence: float = 0.95) -> None:
        self.texts, self.confidence, self.recognizer = texts, confidence, self

    def read_lines(self, crops: list[np.ndarray], mode: str) -> list[LineReading]:
        assert len(crops) == len(self.texts)
        assert all((c < 120).any() for c in crops)  # each crop holds its line's ink
        return [
            LineReading(t, 1.0, tuple(WordReading(w, 0, 1, self.confidence) for w in t.split())) for t in self.texts
        ]

    def read(self, image: object, mode: str) -> Page:
        words = [tuple(Word(w, (), self.confidence) for w in t.split()) for t in self.texts]
        return Page(400, 200, tuple(Line(t, (), (), 1.0, w) for t, w in zip(self.texts, words, strict=True)))


def test_reader_that_knows_the_truth_makes_no_errors(folder: Path) -> None:
    for by in ("line", "page"):
        report = evaluate(load_set(folder), Told(TEXTS), by=by)  # type: ignore[arg-type]
        assert report.cer().value == 0
        assert report.wer().value == 0
        assert report.table() == [(0.9, 1.0, 9, 1.0)]


def test_known_errors_are_counted_exactly(folder: Path) -> None:
    wrong = ["the first lime", "a second one", ""]
    report = evaluate(load_set(folder), Told(wrong), by="line")  # type: ignore[arg-type]
    assert report.cer().value == pytest.approx((1 + 15) / (14 + 12 + 15))
    assert report.slices()["short"] == report.samples
    assert "CER" in show(report, "set")


def test_line_that_was_not_found_counts_in_full_by_page(folder: Path) -> None:
    report = evaluate(load_set(folder), Told(TEXTS[:2]), by="page")  # type: ignore[arg-type]
    assert report.samples[0].errors.character_edits == len(" " + TEXTS[2])


def test_peers_are_measured_alike(folder: Path) -> None:
    report = evaluate_peer(load_set(folder), lambda path: "\n".join(TEXTS))
    assert report.cer().value == 0
    assert report.as_dict()["samples"] == 1


def test_worst_lines_come_first_with_their_picture_and_escaped(folder: Path) -> None:
    report = evaluate(load_set(folder), Told(["the first lime", "a second one", "x"]), by="line")  # type: ignore[arg-type]
    page = worst_page(report, 2)
    assert page.count("data:image/png;base64,") == 2
    assert "and &lt;the&gt; third" in page
    assert page.index("the&gt; third") < page.index(TEXTS[0], page.index("<article>"))
