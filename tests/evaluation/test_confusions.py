"""Which characters are misread as which, counted on texts whose alignment is known."""

import csv
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from text_recognizer import cli
from text_recognizer.errors import UsageError
from text_recognizer.evaluation.confusions import Confusions, confusions, page, summary, write
from text_recognizer.evaluation.metrics import Normalisation, edits

EXACT = Normalisation(quotes=False)


def test_substitutions_losses_and_inventions_are_told_apart() -> None:
    found = confusions([("cat", "cut"), ("cats", "cat"), ("at", "fat"), ("cat", "cot")])
    assert found.worst() == [("", "f", 1), ("a", "o", 1), ("a", "u", 1), ("s", "", 1)]
    assert found.pairs["c", "c"] == 3
    by_name = {report.character: report for report in found.characters()}
    assert (by_name["a"].truth, by_name["a"].read, by_name["a"].recall, by_name["a"].precision) == (4, 2, 0.5, 1.0)
    assert by_name["a"].mostly == "o"
    assert (by_name["f"].recall, by_name["f"].precision) == (None, 0.0)
    assert (by_name["s"].recall, by_name["s"].precision) == (0.0, None)
    assert next(report.character for report in found.characters()) == "a"  # the most errors first
    assert summary(found, 1) == "nothing → f 1×"


texts = st.text("ab c,", max_size=12)


@given(st.lists(st.tuples(texts, texts), max_size=4))
def test_counts_are_those_of_the_texts_and_errors_those_of_the_error_rate(pairs: list[tuple[str, str]]) -> None:
    found = confusions(pairs, EXACT)
    truth, read = ([EXACT(pair[side]) for pair in pairs] for side in (0, 1))
    left: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for (a, b), n in found.pairs.items():
        left[a] += n
        right[b] += n
    del left[""], right[""]
    assert left == Counter("".join(truth))
    assert right == Counter("".join(read))
    assert sum(n for _, _, n in found.worst(1000)) == sum(map(edits, truth, read))


def test_report_is_written_for_people_and_programs(tmp_path: Path) -> None:
    found = confusions([("<i>", "<j>"), ("a b", "ab")])
    for ending in (".html", ".json", ".csv"):
        write(found, tmp_path / f"characters{ending}")
    shown = (tmp_path / "characters.html").read_text()
    assert "<i>" not in shown
    assert "&lt; read as &lt;: 1 of 1" in shown
    assert "latin small letter j" in shown
    made = json.loads((tmp_path / "characters.json").read_text())
    assert {"truth": "i", "read": "j", "count": 1} in made["confusions"]
    rows = list(csv.reader((tmp_path / "characters.csv").open(newline="")))
    assert [" ", "", "1"] in rows
    with pytest.raises(UsageError, match=r"\.csv"):
        write(found, tmp_path / "characters.txt")


def test_nothing_read_has_an_empty_report() -> None:
    assert summary(Confusions()) == ""
    assert "<table>" in page(Confusions())


def test_evaluate_reports_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = np.full((64, 300), 235, np.uint8)
    cv2.putText(image, "brown fox", (8, 44), cv2.FONT_HERSHEY_COMPLEX, 1.1, 40, 2, cv2.LINE_AA)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    (tmp_path / "lines.jsonl").write_text(json.dumps({"image": "a.png", "text": "brown fax"}))
    target = tmp_path / "characters.json"
    command = [
        "evaluate",
        str(tmp_path / "lines.jsonl"),
        "--mode",
        "fast",
        "--threads",
        "1",
        "--characters",
        str(target),
    ]
    assert cli.main(command) == 0
    assert "most frequent errors:" in capsys.readouterr().out
    assert sum(entry["truth"] for entry in json.loads(target.read_text())["characters"]) == len("brown fax")
    with pytest.raises(SystemExit) as stop:
        cli.main([*command[:-1], str(tmp_path / "characters.txt")])
    assert stop.value.code == 2
