"""PAGE XML of 2019-07-15, PRImA's format of layout and text: what Transkribus, eScriptorium and OCR-D take.

Other readings of a line are its further TextEquivs, in the order of their `index`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from text_recognizer.formats import markup
from text_recognizer.formats.format import Format
from text_recognizer.formats.shapes import Pixels, box, corners, file_name, outline, pixels, share, words_of
from text_recognizer.page import Line, Page, Picture
from text_recognizer.version import __version__

NAMESPACE = "http://schema.primaresearch.org/PAGE/gts/pagecontent/2019-07-15"


def write(page: Page, source: str = "", picture: Picture | None = None) -> bytes:
    """The page as one TextRegion of lines in reading order, none where it is blank."""
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
        markup.add(order, "RegionRefIndexed", {"index": 0, "regionRef": "region"})
        region = markup.add(sheet, "TextRegion", {"id": "region", "type": "paragraph"})
        everything = [point for line in page.lines for point in outline(line, page)]
        _coords(region, corners(box(everything)))
        for number, line in enumerate(page.lines):
            _line(region, line, number, page)
    return markup.document(root)


def _line(region: ET.Element, line: Line, number: int, page: Page) -> None:
    name = f"line{number + 1}"
    # Transkribus keeps the order of lines in `custom`.
    element = markup.add(region, "TextLine", {"id": name, "custom": f"readingOrder {{index:{number};}}"})
    _coords(element, outline(line, page))
    baseline = pixels(line.baseline, page)
    if len(baseline) > 1:
        markup.add(element, "Baseline", {"points": _points(baseline)})
    for count, word in enumerate(words_of(line), 1):
        inner = markup.add(element, "Word", {"id": f"{name}word{count}"})
        _coords(inner, outline(word, page))
        _text(inner, word.text, {"conf": share(word.confidence)})
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
