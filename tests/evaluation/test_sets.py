"""Evaluation sets in each known form; broken samples are named and the rest is read."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from text_recognizer.errors import DataInvalid
from text_recognizer.evaluation.sets import LINE_TYPES, clean_transcript, load_set

ALTO = """<?xml version="1.0"?><alto xmlns="http://www.loc.gov/standards/alto/ns-v4#"><Tags>
<OtherTag ID="H" LABEL="DefaultLine:Handwritten"/><OtherTag ID="P" LABEL="DefaultLine:Print"/>
<OtherTag ID="S" LABEL="DefaultLine:Signature"/></Tags><Layout><Page><PrintSpace><TextBlock>
<TextLine ID="a" TAGREFS="H" BASELINE="10 50 190 52"><Shape><Polygon POINTS="10 20 190 22 190 60 10 58"/></Shape>
<String CONTENT="Dear ^Mr Smith"/></TextLine>
<TextLine ID="b" TAGREFS="P" BASELINE="1 9 9 9"><Shape><Polygon POINTS="1 1 9 1 9 9"/></Shape>
<String CONTENT="HEAD"/></TextLine>
<TextLine ID="c" TAGREFS="H" BASELINE="1 9 9 9"><Shape><Polygon POINTS="1 1 9 1 9 9"/></Shape>
<String CONTENT="an ⟦xx⟧ word"/></TextLine>
<TextLine ID="d" TAGREFS="S" BASELINE="1 9 9 9"><Shape><Polygon POINTS="1 1 9 1 9 9"/></Shape>
<String CONTENT="J."/></TextLine>
</TextBlock></PrintSpace></Page></Layout></alto>"""

PAGE = """<?xml version="1.0"?><PcGts xmlns="http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"><Page>
<TextRegion><TextLine id="l"><Coords points="10,20 190,22 190,60"/><Baseline points="10,50 190,52"/>
<TextEquiv><Unicode>Dear Sir</Unicode></TextEquiv></TextLine></TextRegion></Page></PcGts>"""


def image(path: Path) -> None:
    cv2.imwrite(str(path), np.full((80, 200), 230, np.uint8))


def test_alto_lines_by_type_without_signatures(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    (tmp_path / "a.xml").write_text(ALTO, encoding="utf-8")
    (page,) = load_set(tmp_path).pages
    assert [line.text for line in page.lines] == ["Dear Mr Smith", "an xx word"]
    assert page.lines[0].baseline == ((10, 50), (190, 52))
    assert [line.counts for line in page.lines] == [True, False]
    (page,) = load_set(tmp_path, ("Print",)).pages
    assert [line.text for line in page.lines] == ["HEAD"]


def test_page_xml(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    (tmp_path / "a.xml").write_text(PAGE, encoding="utf-8")
    (page,) = load_set(tmp_path).pages
    assert page.lines[0].text == "Dear Sir"
    assert page.lines[0].polygon == ((10, 20), (190, 22), (190, 60))


def test_manifest_names_its_broken_lines_and_reads_the_rest(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    records = [
        {"image": "a.png", "text": "one", "writer": "w"},
        {"image": "gone.png", "text": "two"},
        {"text": "three"},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join([*map(json.dumps, records), "{broken"]), encoding="utf-8")
    found = load_set(tmp_path / "m.jsonl")
    assert [(p.writer, p.lines[0].text) for p in found.pages] == [("w", "one")]
    assert len(found.skipped) == 3
    assert any("m.jsonl:2" in s and "gone.png" in s for s in found.skipped)
    assert any("m.jsonl:4" in s for s in found.skipped)


def test_paragraphs_with_transcripts_and_lines_with_text_beside(tmp_path: Path) -> None:
    image(tmp_path / "p.png")
    (tmp_path / "transcripts.json").write_text(json.dumps({"p": "two\nlines", "q": "no image"}), encoding="utf-8")
    found = load_set(tmp_path)
    assert found.pages[0].text == "two\nlines"
    assert len(found.skipped) == 1
    lines = tmp_path / "lines"
    lines.mkdir()
    image(lines / "x.png")
    (lines / "x.gt.txt").write_text("a line\n", encoding="utf-8")
    assert load_set(lines).pages[0].lines[0].text == "a line"


def test_damaged_xml_is_named(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    image(tmp_path / "b.jpg")
    (tmp_path / "a.xml").write_text(ALTO, encoding="utf-8")
    (tmp_path / "b.xml").write_text("<alto><unclosed>", encoding="utf-8")
    found = load_set(tmp_path)
    assert len(found.pages) == 1
    assert found.skipped[0].startswith("b.xml")


def test_nothing_readable_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="holds no readable set"):
        load_set(tmp_path)
    with pytest.raises(DataInvalid, match="does not exist"):
        load_set(tmp_path / "nowhere")


def test_marks_of_transcription() -> None:
    assert clean_transcript("the 4^th of ⟦xxx⟧ May") == ("the 4th of xxx May", False)
    assert clean_transcript("plain") == ("plain", True)


def test_line_with_a_broken_outline_is_named_and_its_page_is_read(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    broken = ALTO.replace(
        'POINTS="1 1 9 1 9 9"/></Shape>\n<String CONTENT="an', 'POINTS="1 1 9"/></Shape>\n<String CONTENT="an'
    )
    (tmp_path / "a.xml").write_text(broken, encoding="utf-8")
    found = load_set(tmp_path)
    assert [line.text for line in found.pages[0].lines] == ["Dear Mr Smith"]
    assert len(found.skipped) == 1
    assert found.skipped[0].startswith("a.xml: line c:")


def test_alto_without_namespace_or_outlines_and_with_the_image_named_inside(tmp_path: Path) -> None:
    image(tmp_path / "scan.png")
    (tmp_path / "a.xml").write_text(
        "<alto><Description><sourceImageInformation><fileName>scan.png</fileName></sourceImageInformation></Description>"
        '<Layout><TextLine ID="x" HPOS="5" VPOS="6" WIDTH="90" HEIGHT="20" BASELINE="20">'
        '<String CONTENT="two"/><SP/><String CONTENT="words"/></TextLine></Layout></alto>',
        encoding="utf-8",
    )
    (page,) = load_set(tmp_path).pages
    assert page.image.name == "scan.png"
    assert page.lines[0].text == "two words"
    assert page.lines[0].polygon == ((5, 6), (95, 6), (95, 26), (5, 26))
    assert page.lines[0].baseline is None


def test_line_without_a_type_is_left_out_where_others_have_one(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    (tmp_path / "a.xml").write_text(ALTO.replace('ID="c" TAGREFS="H"', 'ID="c"'), encoding="utf-8")
    assert [line.text for line in load_set(tmp_path).pages[0].lines] == ["Dear Mr Smith"]
    assert len(load_set(tmp_path, LINE_TYPES).pages[0].lines) == 3


def test_main_transcript_of_a_page_xml_line_is_its_own_not_that_of_a_word(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    other = '<TextEquiv index="1"><Unicode>Deer</Unicode></TextEquiv>'
    own = other + '<TextEquiv index="0"><Unicode>Dear Sir</Unicode></TextEquiv>'
    word = '<Word><Coords points="1,1 2,2 3,1"/><TextEquiv><Unicode>Dear</Unicode></TextEquiv></Word>'
    text = PAGE.replace("<TextEquiv><Unicode>Dear Sir</Unicode></TextEquiv>", own + word)
    (tmp_path / "a.xml").write_text(text, encoding="utf-8")
    assert load_set(tmp_path).pages[0].lines[0].text == "Dear Sir"


def test_entity_bombs_are_refused(tmp_path: Path) -> None:
    image(tmp_path / "a.jpg")
    bomb = '<!DOCTYPE alto [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    (tmp_path / "a.xml").write_text(ALTO.replace('<?xml version="1.0"?>', bomb), encoding="utf-8")
    with pytest.raises(DataInvalid, match=r"a\.xml"):
        load_set(tmp_path)


def test_outline_of_two_points_in_a_manifest_is_named(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    records = [{"image": "a.png", "text": "x", "polygon": [[1, 1], [2, 2]]}, {"image": "a.png", "text": "y"}]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    found = load_set(tmp_path)
    assert found.skipped == ["m.jsonl:1: 2 points where at least 3 are needed"]
    assert len(found.pages[0].lines) == 1


def test_text_of_several_lines_beside_an_image_is_a_page(tmp_path: Path) -> None:
    image(tmp_path / "p.png")
    (tmp_path / "p.txt").write_text("two\nlines\n", encoding="utf-8")
    (page,) = load_set(tmp_path).pages
    assert (page.text, page.lines) == ("two\nlines", ())


def test_last_correction_of_a_line_counts(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    place = {"image": "a.png", "polygon": [[1, 1], [90, 1], [90, 40]], "source": "feedback"}
    other = {"image": "a.png", "polygon": [[1, 41], [90, 41], [90, 79]], "source": "feedback", "slice": "cursive"}
    records = [{**place, "text": "Deer Sir"}, {**other, "text": "second"}, {**place, "text": "Dear Sir"}]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    (page,) = load_set(tmp_path / "m.jsonl").pages
    assert [(line.text, line.slice) for line in page.lines] == [("Dear Sir", "feedback"), ("second", "cursive")]


def test_jsonl_about_the_images_is_not_a_manifest_where_transcripts_are_beside_them(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "p.png"), np.full((20, 40), 255, np.uint8))
    (tmp_path / "p.txt").write_text("one\ntwo", encoding="utf-8")
    (tmp_path / "meta.jsonl").write_text('{"file": "p.png", "licence": "MIT"}\n', encoding="utf-8")
    assert [page.text for page in load_set(tmp_path).pages] == ["one\ntwo"]
