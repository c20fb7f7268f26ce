"""A page as ALTO."""

from xml.etree import ElementTree as ET

import pytest

from text_recognizer import formats
from text_recognizer.evaluation.sets import load_set

ALTO = {"a": "http://www.loc.gov/standards/alto/ns-v4#"}


def write(page, source="scans/p 1.png"):
    return formats.get_format("alto").write(page, source)


def test_document_fits_the_official_schema(schema, page, blank, slanted, divided):
    for written in (page, blank, slanted, divided):
        schema("alto-4-3.xsd", write(written))


def test_places_confidences_and_the_model_are_where_alto_has_them(page):
    root = ET.fromstring(write(page))
    assert root.findtext(".//a:fileName", None, ALTO) == "p 1.png"
    assert root.findtext(".//a:MeasurementUnit", None, ALTO) == "pixel"
    assert root.findtext(".//a:processingStepSettings", None, ALTO) == "model: pen@0.1"
    assert root.findtext(".//a:softwareName", None, ALTO) == "text-recognizer"
    sheet = root.find(".//a:Page", ALTO)
    assert (sheet.get("WIDTH"), sheet.get("HEIGHT")) == ("640", "480")
    assert float(sheet.get("PC")) == pytest.approx((0.8765 + 0.5 + 0.25) / 3, abs=1e-3)
    line = root.find(".//a:TextLine", ALTO)
    assert line.get("BASELINE") == "50 100 200 100 350 100"
    assert [line.get(key) for key in ("HPOS", "VPOS", "WIDTH", "HEIGHT")] == ["50", "78", "300", "30"]
    assert line.find("a:Shape/a:Polygon", ALTO).get("POINTS") == "50 78 350 78 350 108 50 108"
    word = line.find("a:String", ALTO)
    assert (word.get("CONTENT"), word.get("WC")) == ("Café", "0.8765")


def test_text_is_the_strings_in_order(page):
    lines = ET.fromstring(write(page)).findall(".//a:TextLine", ALTO)
    texts = [" ".join(s.get("CONTENT") for s in line.findall("a:String", ALTO)) for line in lines]
    assert texts == [line.text for line in page.lines]


def test_blank_page_has_no_block(blank):
    assert ET.fromstring(write(blank)).find(".//a:TextBlock", ALTO) is None


def test_evaluation_reads_it_back(page, letter, tmp_path):
    (tmp_path / "p.xml").write_bytes(write(page, "p.jpg"))
    (tmp_path / "p.jpg").write_bytes(letter.read_bytes())
    found = load_set(tmp_path).pages[0].lines
    assert [line.text for line in found] == [line.text for line in page.lines]
    assert found[0].polygon == ((50, 78), (350, 78), (350, 108), (50, 108))
    assert found[0].baseline == ((50, 100), (200, 100), (350, 100))
    assert found[2].baseline is None


def test_blocks_are_tagged_with_their_kinds_and_columns_and_tables_hold_theirs(divided):
    root = ET.fromstring(write(divided))
    space = root.find(".//a:PrintSpace", ALTO)
    assert [(block.tag.partition("}")[2], block.get("TYPE") or block.get("TAGREFS")) for block in space] == [
        ("TextBlock", "kind_heading"),
        ("TextBlock", "kind_paragraph"),
        ("ComposedBlock", "table"),
        ("TextBlock", "kind_row"),
        ("TextBlock", "kind_row"),
        ("TextBlock", "kind_margin"),
        ("ComposedBlock", "column"),
        ("ComposedBlock", "column"),
    ]
    labels = {tag.get("ID"): tag.get("LABEL") for tag in root.find("a:Tags", ALTO)}
    assert labels == {f"kind_{kind}": kind for kind in ("heading", "margin", "paragraph", "row")}
    rows = [[line.find("a:String", ALTO).get("CONTENT") for line in row] for row in space[2]]
    assert rows == [["Item", "Qty", "Price"], ["Apples", "$0.50"]]
    assert [line.get("ID") for line in root.iter(f"{{{ALTO['a']}}}TextLine")] == [f"line{n}" for n in range(1, 18)]
