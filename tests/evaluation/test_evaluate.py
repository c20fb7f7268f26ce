"""Evaluation with readers whose errors are known."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from text_recognizer.evaluation.evaluate import evaluate, evaluate_peer, main, only_slices, show, worst_page
from text_recognizer.evaluation.sets import load_set
from text_recognizer.page import Line, Page, Word
from text_recognizer.recognition.recognizer import LineReading, WordReading

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

    def identify_language(self, crops: list[np.ndarray]) -> str:
        return "en"

    def in_language(self, tag: str) -> "Told":
        return self

    def read(self, image: object, mode: str, language: str | None = None) -> Page:
        words = [tuple(Word(text=w, polygon=(), confidence=self.confidence) for w in t.split()) for t in self.texts]
        box = ((0, 0), (400, 0), (400, 200))
        return Page(
            width=400,
            height=200,
            lines=tuple(
                Line(text=t, polygon=box, baseline=(), confidence=1.0, words=w)
                for t, w in zip(self.texts, words, strict=True)
            ),
        )


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


def test_wrong_order_costs_by_page_but_not_in_any_order(folder: Path) -> None:
    report = evaluate(load_set(folder), Told(TEXTS[::-1]), by="page")  # type: ignore[arg-type]
    assert report.cer().value > 0.3
    free = report.cer_any_order()
    assert free is not None
    assert free.value == 0
    assert "any order" in show(report, "set")


def test_parts_of_a_line_cost_no_more_in_any_order(folder: Path) -> None:
    told = Told([TEXTS[2], "a second", "one", TEXTS[0]])
    report = evaluate(load_set(folder), told, by="page")  # type: ignore[arg-type]
    free = report.cer_any_order()
    assert free is not None
    assert free.value == 0 < report.cer().value


def test_worst_page_draws_the_lines_over_pages(folder: Path) -> None:
    report = evaluate(load_set(folder), Told(["the first line", "of ghosts", "a second", "one"]), by="page")  # type: ignore[arg-type]
    page = worst_page(report)
    assert page.count("data:image/jpeg;base64,") == 1
    drawn = re.findall(r'<polygon class="(\w+)" points="0,0 400,0 400,200"><title>\d: ([\w ]+)<', page)
    assert drawn == [("whole", TEXTS[0]), ("invented", "of ghosts"), ("split", "a second"), ("split", "one")]
    assert '<li class="lost">and &lt;the&gt; third</li>' in page
    assert '<li class="split">a second one</li>' in page


def test_lines_that_were_split_merged_lost_and_invented_are_counted(folder: Path) -> None:
    told = Told(["the first", "line", "zzz qqq xxx", "a second one"])
    report = evaluate(load_set(folder), told, by="page")  # type: ignore[arg-type]
    assert {kind: count for kind, (count, _) in report.line_faults().items()} == {
        "split": 1, "merged": 0, "lost": 1, "invented": 1,
    }  # fmt: skip
    assert "split 1: 33.3 %" in show(report, "set")
    assert [page["invented"] for page in report.as_dict()["pages"]] == [1]


def test_what_a_person_cannot_read_is_not_a_character(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "p.png"), np.full((200, 400), 235, np.uint8))
    (tmp_path / "p.txt").write_text("so ⟦?⟧ is\n⟦?⟧\nfine", encoding="utf-8")
    report = evaluate(load_set(tmp_path), Told(["so is", "x = 1", "fine"]), by="page")  # type: ignore[arg-type]
    assert report.samples[0].truth.split() == ["so", "is", "fine"]
    assert report.line_faults()["invented"][0] == 0


def test_line_outside_its_page_and_damaged_image_are_named_and_the_rest_is_measured(folder: Path) -> None:
    (folder / "broken.png").write_bytes(b"no image")
    outside = {"image": "p.png", "text": "x", "polygon": [[900, 900], [950, 900], [950, 950]], "writer": "w"}
    more = [outside, {"image": "broken.png", "text": "y"}]
    with (folder / "m.jsonl").open("a", encoding="utf-8") as manifest:
        manifest.write("\n" + "\n".join(map(json.dumps, more)))
    report = evaluate(load_set(folder), Told(TEXTS), by="line")  # type: ignore[arg-type]
    assert report.cer().value == 0
    assert len(report.samples) == 3
    assert [s.split(":")[0] for s in report.skipped] == ["p.png", "broken.png"]


def test_peer_that_fails_on_an_image_has_read_nothing_there(folder: Path) -> None:
    def fails(path: Path) -> str:
        raise RuntimeError("out of luck")

    report = evaluate_peer(load_set(folder), fails)
    assert report.cer().value == 1
    assert "out of luck" in report.skipped[0]


def test_only_the_slices_asked_for(folder: Path) -> None:
    assert only_slices(load_set(folder), ["long"]).pages == []
    assert len(only_slices(load_set(folder), ["short"]).pages[0].lines) == 3


def test_command_prints_the_rates_and_writes_figures_and_worst_lines(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = Told(["the first lime", *TEXTS[1:]])
    told.model = "told@1"  # type: ignore[attr-defined]
    monkeypatch.setattr("text_recognizer.evaluation.evaluate.Reader", lambda *arguments, **named: told)
    out = folder / "out"
    out.mkdir()
    command = [str(folder / "m.jsonl"), "--json", str(out / "f.json"), "--html", str(out / "w.html")]
    assert main(command) == 0
    assert "CER 2.4 %" in capsys.readouterr().out
    figures = json.loads((out / "f.json").read_text(encoding="utf-8"))
    assert (figures["samples"], figures["writers"], figures["model"]) == (3, 1, "told@1")
    assert figures["normalisation"] == {"quotes": True, "case": False, "punctuation": False}
    assert "the first lime" in (out / "w.html").read_text(encoding="utf-8")
