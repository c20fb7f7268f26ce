"""A page as hOCR."""

import dataclasses
import re
from xml.etree import ElementTree as ET

import pytest

from text_recognizer import formats
from text_recognizer.page import Line, Page

HTML = "{http://www.w3.org/1999/xhtml}"


def write(page, source="scans/p 1.png"):
    return formats.get_format("hocr").write(page, source)


def of_class(document, name):
    return [element for element in ET.fromstring(document).iter() if element.get("class") == name]


def properties(element):
    return dict(part.strip().partition(" ")[::2] for part in element.get("title").split(";"))


def test_the_specification_s_program_finds_no_fault(hocr_spec, page, blank, slanted, divided):
    scanned = dataclasses.replace(page, dpi=300.0)
    assert hocr_spec(write(page), write(blank), write(slanted), write(divided), write(scanned)) == []


def test_the_specification_s_program_would_find_one(hocr_spec, page):
    assert hocr_spec(write(page).replace(b" ocrp_poly", b""))


def test_places_confidences_and_the_model_are_where_hocr_has_them(page):
    document = write(page)
    metas = {meta.get("name"): meta.get("content") for meta in ET.fromstring(document).iter(HTML + "meta")}
    assert metas["ocr-system"].endswith(" pen@0.1")
    assert set(metas["ocr-capabilities"].split()) == {
        *("ocr_page", "ocr_carea", "ocr_par", "ocr_line", "ocrx_word", "ocrp_poly")
    }
    sheet = properties(of_class(document, "ocr_page")[0])
    assert (sheet["image"], sheet["bbox"]) == ('"p 1.png"', "0 0 640 480")
    line = properties(of_class(document, "ocr_line")[0])
    assert (line["bbox"], line["poly"]) == ("50 78 350 108", "50 78 350 78 350 108 50 108")
    word = of_class(document, "ocrx_word")[0]
    assert (word.text, properties(word)["x_wconf"]) == ("Café", "88")


def test_baseline_is_slope_and_height_over_the_lower_left_corner(slanted):
    line = properties(of_class(write(slanted), "ocr_line")[0])
    slope, height = map(float, line["baseline"].split())
    left, _, right, bottom = map(int, line["bbox"].split())
    (x0, y0), *_, (x1, y1) = slanted.lines[0].baseline
    for x, y in ((x0, y0), (x1, y1)):
        assert bottom + height + slope * (x - left) == pytest.approx(y, abs=1)
    assert left < right


def test_line_that_runs_upwards_has_an_angle():
    box = ((10, 10), (40, 10), (40, 200), (10, 200))
    line = properties(
        of_class(
            write(
                Page(
                    width=60,
                    height=220,
                    lines=(Line(text="up", polygon=box, baseline=((30, 200), (30, 10)), confidence=1, words=()),),
                )
            ),
            "ocr_line",
        )[0]
    )
    assert line["textangle"] == "90.0"
    assert "baseline" not in line


def test_text_is_the_words_in_order(page):
    lines = of_class(write(page), "ocr_line")
    assert [" ".join("".join(line.itertext()).split()) for line in lines] == [line.text for line in page.lines]


def test_name_with_quotes_and_semicolons_ends_no_property(page, hocr_spec):
    document = write(page, 'a "b"; bbox 1 1 1 1.png')
    assert properties(of_class(document, "ocr_page")[0])["bbox"] == "0 0 640 480"
    assert hocr_spec(document) == []
    assert re.search(rb'image "a %22b%22%3B bbox 1 1 1 1.png"', document.replace(b"&quot;", b'"'))


def test_blocks_are_areas_of_paragraphs_and_tables_and_notes_float(divided):
    sheet = of_class(write(divided), "ocr_page")[0]
    areas = [(area.get("class"), len(area)) for area in sheet]
    assert areas == [
        ("ocr_carea", 2), ("ocr_table", 2), ("ocr_carea", 2), ("ocr_textfloat", 1), ("ocr_carea", 1), ("ocr_carea", 1),
    ]  # fmt: skip
    assert len(of_class(write(divided), "ocr_par")) == 9
    assert properties(sheet[2])["bbox"] == "50 418 310 488"
    lines = of_class(write(divided), "ocr_line")
    assert [line.get("id") for line in lines] == [f"line_{n}" for n in range(1, 18)]


def test_resolution_of_the_scan_is_stated_where_it_is_known(page):
    known = dataclasses.replace(page, dpi=299.7)
    assert properties(of_class(write(known), "ocr_page")[0])["scan_res"] == "300 300"
    assert "scan_res" not in properties(of_class(write(page), "ocr_page")[0])
