"""A page as PAGE XML."""

from xml.etree import ElementTree as ET

from text_recognizer import formats
from text_recognizer.evaluation.sets import load_set

PAGE = {"p": "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"}


def write(page, source="scans/p 1.png"):
    return formats.get_format("page").write(page, source)


def test_document_fits_the_official_schema(schema, page, blank, slanted, divided):
    for written in (page, blank, slanted, divided):
        schema("pagecontent.xsd", write(written))


def test_places_confidences_and_the_model_are_where_page_has_them(page):
    root = ET.fromstring(write(page, "https://example.org/scans/p%201.png?size=full"))
    sheet = root.find("p:Page", PAGE)
    assert [sheet.get(key) for key in ("imageFilename", "imageWidth", "imageHeight")] == ["p 1.png", "640", "480"]
    assert root.findtext("p:Metadata/p:Creator", None, PAGE).endswith("model pen@0.1")
    line = root.find(".//p:TextLine", PAGE)
    assert line.find("p:Coords", PAGE).get("points") == "50,78 350,78 350,108 50,108"
    assert line.find("p:Baseline", PAGE).get("points") == "50,100 200,100 350,100"
    word = line.find("p:Word/p:TextEquiv", PAGE)
    assert (word.get("conf"), word.findtext("p:Unicode", None, PAGE)) == ("0.8765", "Café")


def test_other_readings_follow_by_their_index(page):
    readings = ET.fromstring(write(page)).find(".//p:TextLine", PAGE).findall("p:TextEquiv", PAGE)
    assert [(r.get("index"), r.get("conf"), r.findtext("p:Unicode", None, PAGE)) for r in readings] == [
        ("0", "0.8765", "Café – “5 £”"),
        ("1", None, "Cafe - 5 £"),
        ("2", None, "Cafe – 5"),
    ]


def test_reading_order_is_written(page):
    root = ET.fromstring(write(page))
    assert root.find(".//p:RegionRefIndexed", PAGE).get("regionRef") == root.find(".//p:TextRegion", PAGE).get("id")
    customs = [line.get("custom") for line in root.findall(".//p:TextLine", PAGE)]
    assert customs == [f"readingOrder {{index:{number};}}" for number in range(3)]


def test_blank_page_has_no_region(blank):
    assert len(ET.fromstring(write(blank)).find("p:Page", PAGE)) == 0


def test_evaluation_reads_it_back(page, letter, tmp_path):
    (tmp_path / "p.xml").write_bytes(write(page, "p.jpg"))
    (tmp_path / "p.jpg").write_bytes(letter.read_bytes())
    found = load_set(tmp_path).pages[0].lines
    assert [line.text for line in found] == [line.text for line in page.lines]
    assert found[0].polygon == ((50, 78), (350, 78), (350, 108), (50, 108))
    assert found[0].baseline == ((50, 100), (200, 100), (350, 100))


def test_blocks_are_regions_of_their_types_in_order(divided):
    root = ET.fromstring(write(divided))
    sheet = root.find("p:Page", PAGE)
    regions = {region.get("id"): region for region in sheet if region.tag.endswith("Region")}
    order = sheet.find("p:ReadingOrder/p:OrderedGroup", PAGE)
    kinds = [regions[ref.get("regionRef")].get("type") if ref.get("regionRef") else ref.get("caption") for ref in order]
    assert kinds == ["heading", "paragraph", None, "other", "other", "marginalia", "column", "column"]
    inside = [ref.get("regionRef") for ref in order.findall("p:OrderedGroupIndexed/p:RegionRefIndexed", PAGE)]
    assert [regions[name].findtext(".//p:TextLine/p:TextEquiv/p:Unicode", None, PAGE) for name in inside] == [
        "left", "right",
    ]  # fmt: skip
    assert "structure {type:row;}" in regions["region4"].get("custom")


def test_cells_of_a_table_know_their_row_and_column(divided):
    table = ET.fromstring(write(divided)).find(".//p:TableRegion", PAGE)
    assert (table.get("rows"), table.get("columns")) == ("2", "3")
    cells = {}
    for region in table.findall("p:TextRegion", PAGE):
        role = region.find("p:Roles/p:TableCellRole", PAGE)
        text = region.findtext("p:TextLine/p:TextEquiv/p:Unicode", None, PAGE)
        cells[int(role.get("rowIndex")), int(role.get("columnIndex"))] = text
    assert cells == {(0, 0): "Item", (0, 1): "Qty", (0, 2): "Price", (1, 0): "Apples", (1, 2): "$0.50"}
