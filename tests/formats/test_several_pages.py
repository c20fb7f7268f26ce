"""Documents of several pages in every format, streamed page by page."""

import csv
import io
import json
import zipfile
from dataclasses import replace
from xml.etree import ElementTree as ET

import docx
import pytest
from PIL import Image

from text_recognizer import formats
from text_recognizer.errors import OutputFailed, UsageError
from text_recognizer.formats import About, Sheet
from text_recognizer.formats.document import DocumentFile, format_of, open_document, write_document
from text_recognizer.images import to_picture
from text_recognizer.page import Block

METS = "{http://www.loc.gov/METS/}"
HREF = "{http://www.w3.org/1999/xlink}href"


def written(name, pages, source="scan.pdf"):
    out = io.BytesIO()
    writer = open_document(name, out, About(title="scan"))
    for number, page in enumerate(pages, 1):
        writer.add(Sheet(page=page, source=source, number=number))
    writer.close()
    return out.getvalue()


def test_text_has_a_form_feed_between_pages(page, slanted, blank):
    assert written("text", [page, blank, slanted]).decode().split("\f") == [page.text + "\n", "", slanted.text + "\n"]


def test_json_lines_have_a_page_a_line_with_its_number(page, blank):
    first, second = map(json.loads, written("json", [page, blank]).splitlines())
    assert (first["page"], first["text"], first["source"]) == (1, page.text, "scan.pdf")
    assert (second["page"], second["lines"]) == (2, [])


def test_csv_of_several_pages_is_one_table(page):
    rows = list(csv.DictReader(io.StringIO(written("csv", [page, page]).decode())))
    assert [row["text"] for row in rows] == 2 * [line.text for line in page.lines]


def test_tsv_counts_the_pages(page, slanted):
    rows = list(
        csv.DictReader(
            io.StringIO(written("tsv", [page, slanted]).decode()), dialect="excel-tab", quoting=csv.QUOTE_NONE
        )
    )
    assert [row["page_num"] for row in rows if row["level"] == "1"] == ["1", "2"]
    assert {row["page_num"] for row in rows} == {"1", "2"}
    words = [row["text"] for row in rows if row["level"] == "5" and row["page_num"] == "2"]
    assert words == slanted.text.split()


def test_hocr_has_all_pages_with_names_of_their_own(hocr_spec, page, slanted, blank):
    document = written("hocr", [page, slanted, blank])
    root = ET.fromstring(document)
    sheets = [element for element in root.iter() if element.get("class") == "ocr_page"]
    assert [sheet.get("title").split("; ")[-1] for sheet in sheets] == ["ppageno 0", "ppageno 1", "ppageno 2"]
    names = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(set(names)) == len(names) > 10
    assert "".join(sheets[1].itertext()).split() == slanted.text.split()
    assert hocr_spec(document) == []


@pytest.mark.parametrize(("name", "schema_name"), [("alto", "alto-4-3.xsd"), ("page", "pagecontent.xsd")])
def test_xml_of_pages_comes_with_mets_that_holds_them_together(schema, page, slanted, name, schema_name):
    with zipfile.ZipFile(io.BytesIO(written(name, [page, slanted]))) as archive:
        files = {file: archive.read(file) for file in archive.namelist()}
    mets = ET.fromstring(files.pop("mets.xml"))
    groups = {group.get("USE"): group for group in mets.iter(f"{METS}fileGrp")}
    assert [place.get(HREF) for place in groups["FULLTEXT"].iter(f"{METS}FLocat")] == sorted(files)
    assert [place.get(HREF) for place in groups["DEFAULT"].iter(f"{METS}FLocat")] == [
        "scan.pdf#page=1",
        "scan.pdf#page=2",
    ]
    known = {file.get("ID") for file in mets.iter(f"{METS}file")}
    pages = [div for div in mets.iter(f"{METS}div") if div.get("TYPE") == "page"]
    assert [[pointer.get("FILEID") in known for pointer in div] for div in pages] == [[True, True]] * 2
    for document in files.values():
        schema(schema_name, document)


def test_files_of_alto_and_page_lie_in_one_folder(tmp_path, page):
    for name in ("alto", "page"):
        write_document([page, page], tmp_path / f"scan.{name}.mets.xml", name)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "scan-001.alto.xml", "scan-001.page.xml", "scan-002.alto.xml", "scan-002.page.xml",
        "scan.alto.mets.xml", "scan.page.mets.xml",
    ]  # fmt: skip


def test_document_appears_whole_or_not_at_all(tmp_path, page):
    path = tmp_path / "all.txt"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), DocumentFile("text", path) as document:
        document.add(Sheet(page=page))
        assert path.read_text() == "before"
        raise ZeroDivisionError
    assert [file.name for file in tmp_path.iterdir()] == ["all.txt"]
    write_document([page], path)
    assert path.read_text() == page.text + "\n"
    with pytest.raises(OutputFailed):
        write_document([page], tmp_path / "missing" / "all.txt")


def test_page_saves_itself_by_the_ending_of_the_file(tmp_path, page):
    Image.new("L", (page.width, page.height), 255).save(tmp_path / "scan.png")
    page.save(tmp_path / "a.pdf", image=tmp_path / "scan.png")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")
    page.save(tmp_path / "b.pdf", image=to_picture((tmp_path / "scan.png").read_bytes()))
    page.save(str(tmp_path / "a.txt"))
    assert (tmp_path / "a.txt").read_text() == page.text + "\n"
    page.save(tmp_path / "a.xml", format="page")
    assert b"PcGts" in (tmp_path / "a.xml").read_bytes()
    with pytest.raises(ValueError, match="to_picture"):
        page.save(tmp_path / "c.pdf")
    with pytest.raises(UsageError, match="none of the endings"):
        page.save(tmp_path / "a.bin")
    with pytest.raises(OutputFailed):
        page.save(tmp_path / "missing" / "a.txt")


@pytest.mark.parametrize("name", formats.NAMES)
def test_ending_of_each_format_names_it(tmp_path, name):
    chosen = formats.get_format(name)
    assert format_of(tmp_path / f"scan{chosen.suffix}") == ("alto" if name == "page" else name)


@pytest.mark.parametrize("name", formats.NAMES)
def test_every_format_writes_documents(name, divided, blank):
    page = divided
    picture = io.BytesIO()
    Image.new("L", (page.width, page.height), 255).save(picture, "PNG")
    out = io.BytesIO()
    writer = open_document(name, out, About(title="scan", language="en"))
    for number in (1, 2):
        writer.add(Sheet(page=page if number == 2 else blank, number=number, picture=to_picture(picture.getvalue())))
    writer.close()
    assert len(out.getvalue()) > 30


def test_tei_links_every_line_to_its_place(page, slanted, blank):
    root = ET.fromstring(written("tei", [page, blank, slanted]))
    known = {element.get("{http://www.w3.org/XML/1998/namespace}id") for element in root.iter()}
    breaks = [element for element in root.iter() if element.tag.endswith(("}pb", "}lb"))]
    assert {element.get("facs").removeprefix("#") for element in breaks} == known - {None, "handwritten", "printed"}
    assert [element.get("n") for element in breaks if element.tag.endswith("}pb")] == ["1", "2", "3"]
    body = next(element for element in root.iter() if element.tag.endswith("}body"))
    assert "".join(body.itertext()).split() == (page.text + "\n" + slanted.text).split()
    graphics = [element.get("url") for element in root.iter() if element.tag.endswith("}graphic")]
    assert graphics == ["scan.pdf#page=1", "scan.pdf#page=2", "scan.pdf#page=3"]


def test_word_gets_headings_and_tables(divided):
    document = docx.Document(io.BytesIO(formats.get_format("docx").write(divided)))
    assert [p.text for p in document.paragraphs if p.style.name.startswith("Heading")] == ["Minutes"]
    cells = [[cell.text for cell in row.cells] for row in document.tables[0].rows]
    assert cells == [["Item", "Qty", "Price"], ["Apples", "", "$0.50"]]
    assert "Name: Mary" in [p.text for p in document.paragraphs]


def test_word_gets_a_page_for_each_page(page, blank, slanted):
    document = docx.Document(io.BytesIO(written("docx", [page, blank, slanted])))
    assert document.core_properties.title == "scan"
    texts = [paragraph.text for paragraph in document.paragraphs if paragraph.text.strip()]
    assert texts == [page.text, slanted.text]
    assert document.element.xml.count('w:type="page"') == 2


def test_markdown_has_a_rule_between_pages(page, slanted):
    first, second = written("md", [page, slanted]).decode().split("\n---\n\n")
    assert first == formats.get_format("md").write(page).decode()
    assert second.startswith("we do not know how")


def test_blocks_stand_in_tei_and_word(page):
    kinds = (Block(kind="heading", start=0, stop=1), Block(kind="table", start=1, stop=3, blocks=(
        Block(kind="row", start=1, stop=2), Block(kind="row", start=2, stop=3))))  # fmt: skip
    parted = replace(page, blocks=kinds)
    root = ET.fromstring(written("tei", [parted]))
    tags = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert (tags.count("row"), tags.count("cell"), tags.count("lb")) == (2, 2, 3)
    document = docx.Document(io.BytesIO(written("docx", [parted])))
    assert document.paragraphs[0].style.name == "Heading 2"
    assert [cell.text for row in document.tables[0].rows for cell in row.cells] == [
        line.text for line in page.lines[1:]
    ]
