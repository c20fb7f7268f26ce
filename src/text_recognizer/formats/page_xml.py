"""PAGE XML (2019-07-15), PRImA's format for layout and text, for Transkribus, eScriptorium and OCR-D.

Alternative readings of a line are further TextEquivs, in the order of their `index`. Struck-out words are Words with
the style of that name; the line's TextEquiv leaves them out.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from text_recognizer.formats import markup
from text_recognizer.formats.blocks import blocks_of, corners_of, grid
from text_recognizer.formats.format import Format
from text_recognizer.formats.shapes import Pixels, box, corners, file_name, marked_words, outline, pixels, share
from text_recognizer.page import Block, Line, Page, Picture
from text_recognizer.version import __version__

KINDS = {"paragraph": "paragraph", "heading": "heading", "margin": "marginalia", "row": "other"}
"""The standard's region types for our kinds of blocks."""

PRODUCTION = {"printed": "printed", "handwritten": "handwritten-cursive"}
"""The standard's productions for our scripts; it has no name for handwriting in general."""

NAMESPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"


def write(page: Page, source: str = "", picture: Picture | None = None) -> bytes:
    """The page as regions in reading order, none if it is blank; columns are groups in that order."""
    root = ET.Element(
        "PcGts",
        {
            "xmlns": NAMESPACE,
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:schemaLocation": f"{NAMESPACE} {NAMESPACE}/pagecontent.xsd",
        },
    )
    metadata = markup.add(root, "Metadata")
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    markup.add(metadata, "Creator", text=f"text-recognizer {__version__}, model {page.model}")
    markup.add(metadata, "Created", text=now)
    markup.add(metadata, "LastChange", text=now)
    step = {"type": "processingStep", "name": "handwriting recognition", "value": page.model}
    markup.add(metadata, "MetadataItem", step)

    name = {"imageFilename": file_name(source), "imageWidth": page.width, "imageHeight": page.height}
    sheet = markup.add(root, "Page", name)
    if page.lines:
        order = markup.add(markup.add(sheet, "ReadingOrder"), "OrderedGroup", {"id": "order"})
        _regions(sheet, order, blocks_of(page), page, "region")
    return markup.document(root)


def _regions(sheet: ET.Element, order: ET.Element, blocks: Sequence[Block], page: Page, name: str) -> None:
    for index, block in enumerate(blocks):
        known = f"{name}{index + 1}"
        if block.kind == "column":
            group = markup.add(
                order, "OrderedGroupIndexed", {"index": index, "id": f"{known}order", "caption": "column"}
            )
            _regions(sheet, group, block.blocks, page, f"{known}_")
            continue
        markup.add(order, "RegionRefIndexed", {"index": index, "regionRef": known})
        if block.kind == "table":
            _table(sheet, block, page, known, index)
        else:
            _text_region(sheet, block, page, {"id": known, "type": KINDS[block.kind], "custom": _custom(index, block)})


def _table(sheet: ET.Element, table: Block, page: Page, name: str, index: int) -> None:
    """A table region with a region for each cell."""
    rows = grid(table, page)
    size = {"rows": len(rows), "columns": len(rows[0])}
    region = markup.add(sheet, "TableRegion", {"id": name, "custom": _custom(index, table), **size})
    _coords(region, corners(box(corners_of(table, page))))
    for row, cells in enumerate(rows):
        for column, number in enumerate(cells):
            if number is not None:
                cell = Block(kind="paragraph", start=number, stop=number + 1)
                role: dict[str, object] = {"rowIndex": row, "columnIndex": column}
                _text_region(region, cell, page, {"id": f"{name}_{row + 1}_{column + 1}", "type": "other"}, role)


def _text_region(
    parent: ET.Element, block: Block, page: Page, about: dict[str, object], cell: dict[str, object] | None = None
) -> None:
    region = markup.add(parent, "TextRegion", about)
    _coords(region, corners(box(corners_of(block, page))))
    if cell is not None:
        markup.add(markup.add(region, "Roles"), "TableCellRole", cell)
    for index, number in enumerate(range(block.start, block.stop)):
        _line(region, page.lines[number], number, index, page)


def _custom(index: int, block: Block) -> str:
    # Transkribus stores the order here, and the kinds for which the standard has no type.
    return f"readingOrder {{index:{index};}} structure {{type:{block.kind};}}"


def _line(region: ET.Element, line: Line, number: int, index: int, page: Page) -> None:
    name = f"line{number + 1}"
    # Transkribus stores the order of lines in `custom`.
    production = PRODUCTION.get(line.script or "")
    about = {"id": name, "production": production, "custom": f"readingOrder {{index:{index};}}"}
    element = markup.add(region, "TextLine", about)
    _coords(element, outline(line, page))
    baseline = pixels(line.baseline, page)
    if len(baseline) > 1:
        markup.add(element, "Baseline", {"points": _points(baseline)})
    for count, (word, struck) in enumerate(marked_words(line), 1):
        inner = markup.add(element, "Word", {"id": f"{name}word{count}"})
        _coords(inner, outline(word, page))
        _text(inner, word.text, {"conf": share(word.confidence)})
        if struck:
            markup.add(inner, "TextStyle", {"strikethrough": "true"})
    _text(element, line.text, {"index": 0, "conf": share(line.confidence)})
    for index, other in enumerate(line.alternatives, 1):
        _text(element, other, {"index": index})


def _text(parent: ET.Element, text: str, attributes: dict[str, object]) -> None:
    markup.add(markup.add(parent, "TextEquiv", attributes), "Unicode", text=text)


def _coords(parent: ET.Element, points: Pixels) -> None:
    markup.add(parent, "Coords", {"points": _points(points)})


def _points(points: Pixels) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


FORMATS = {"page": Format("page", ".xml", "application/xml", write, stands_alone=True)}
