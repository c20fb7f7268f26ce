"""Scripts and struck-out words in every format: marked where it has a place for them, and never in the text."""

import csv
import io
import json
from xml.etree import ElementTree as ET

import pytest

from text_recognizer import formats
from text_recognizer.evaluation.alto_page import read_page
from text_recognizer.formats.json_lines import from_dict

TEXTS = ["Name and place", "we saw them", "in May"]


def write(name, page):
    return formats.get_format(name).write(page, "p.png")


def elements(document, tag):
    return [element for element in ET.fromstring(document).iter() if element.tag.rpartition("}")[2] == tag]


@pytest.mark.parametrize("name", ["text", "md", "csv", "tsv", "tables"])
def test_struck_words_are_left_out(marked, name):
    written = write(name, marked).decode()
    assert "never" not in written and "again" not in written


def test_json_holds_all_of_it(marked):
    answer = json.loads(write("json", marked))
    assert answer["text"].split("\n") == TEXTS
    assert [line["script"] for line in answer["lines"]] == ["printed", "handwritten", "handwritten"]
    assert [word["text"] for word in answer["lines"][1]["struck"]] == ["never", "again"]
    again = from_dict(answer)
    assert [line.script for line in again.lines] == [line.script for line in marked.lines]
    assert [word.text for word in again.lines[1].struck] == ["never", "again"]


def test_json_of_an_earlier_version_has_neither(marked):
    answer = json.loads(write("json", marked))
    for line in answer["lines"]:
        del line["script"], line["struck"]
    assert [(line.script, line.struck) for line in from_dict(answer).lines] == [(None, ())] * 3


def test_page_has_productions_and_styles(schema, marked):
    document = write("page", marked)
    schema("pagecontent.xsd", document)
    lines = elements(document, "TextLine")
    assert [line.get("production") for line in lines] == ["printed", "handwritten-cursive", "handwritten-cursive"]
    words = [
        ("".join(word.itertext()).strip(), any(e.get("strikethrough") == "true" for e in word))
        for word in lines[1]
        if word.tag.endswith("}Word")
    ]
    assert words == [("we", False), ("never", True), ("saw", False), ("them", False), ("again", True)]


def test_alto_has_tags(schema, marked):
    document = write("alto", marked)
    schema("alto-4-3.xsd", document)
    tags = {tag.get("ID"): tag.get("LABEL") for tag in elements(document, "OtherTag")}
    assert {tags[line.get("TAGREFS")] for line in elements(document, "TextLine")} == {"printed", "handwritten"}
    struck = [string for string in elements(document, "String") if string.get("TAGREFS") == "struck"]
    assert [string.get("CONTENT") for string in struck] == ["", ""]
    assert [word.text for word in elements(document, "ALTERNATIVE")] == ["never", "again"]


@pytest.mark.parametrize("name", ["alto", "page"])
def test_evaluation_reads_text_and_script(marked, name):
    lines = read_page(write(name, marked)).lines
    assert [line.text for line in lines] == TEXTS
    assert ["print" in line.label.lower() for line in lines] == [True, False, False]


def test_hocr_has_deletions_that_are_not_words(hocr_spec, marked):
    document = write("hocr", marked)
    assert hocr_spec(document) == []
    assert [gone.text for gone in elements(document, "del")] == ["never", "again"]
    spans = elements(document, "span")
    words = [span.text for span in spans if span.get("class") == "ocrx_word"]
    assert words == " ".join(TEXTS).split()
    scripts = [span.get("data-script") for span in spans if span.get("class") == "ocr_line"]
    assert scripts == ["printed", "handwritten", "handwritten"]


def test_tei_has_hands_and_deletions(marked):
    document = write("tei", marked)
    assert [gone.text for gone in elements(document, "del")] == ["never", "again"]
    assert [shift.get("new") for shift in elements(document, "handShift")] == ["#printed", "#handwritten"]
    body = elements(document, "body")[0]
    assert "".join(body.itertext()).split() == [
        "Name",
        "and",
        "place",
        "we",
        "never",
        "saw",
        "them",
        "again",
        "in",
        "May",
    ]


def test_tei_has_columns_and_rows(divided):
    document = write("tei", divided)
    assert len(elements(document, "cb")) == 2
    assert ["".join(row.itertext()).split() for row in elements(document, "ab") if row.get("type") == "row"] == [
        ["Name:", "Mary"],
        ["Phone:", "555"],
    ]


def test_csv_has_scripts_and_blocks(marked, divided):
    rows = list(csv.DictReader(io.StringIO(write("csv", marked).decode())))
    assert [row["script"] for row in rows] == ["printed", "handwritten", "handwritten"]
    rows = list(csv.DictReader(io.StringIO(write("csv", divided).decode())))
    assert [row["kind"] for row in rows[:6]] == ["heading", *["paragraph"] * 4, "row"]
    assert [row["block"] for row in rows[4:9]] == ["2", "3", "3", "3", "4"]
