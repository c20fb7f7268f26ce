"""hOCR 1.2: HTML with positions in `title`, like Tesseract's, for OCRmyPDF, gImageReader and others.

Alternative readings of a line are left out: programs that only know the main classes would show them as more text. The
script of a line is in its attribute `data-script`; struck-out words are `del` elements and not `ocrx_word`.
"""

from __future__ import annotations

import math
from collections import Counter
from xml.etree import ElementTree as ET

from text_recognizer.formats import markup
from text_recognizer.formats.blocks import blocks_of, corners_of, leaves
from text_recognizer.formats.format import Format
from text_recognizer.formats.shapes import Pixels, box, file_name, marked_words, outline, pixels, share, words_of
from text_recognizer.page import Block, Line, Page, Picture
from text_recognizer.version import __version__

STEEP = 45.0
"""Degrees; steeper lines have a `textangle`, because a slope cannot describe a vertical line."""

_FLOATS = {"table": "ocr_table", "margin": "ocr_textfloat"}
"""Blocks outside the flow of text; all other blocks are areas of the flow."""

_DOCTYPE = (
    b'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"'
    b' "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n'
)
# Characters that would end a quoted name or a property.
_IN_QUOTES = str.maketrans({'"': "%22", ";": "%3B", "%": "%25", "\\": "%5C", "\n": "%0A", "\r": "%0D", "\t": "%09"})


def write(page: Page, source: str = "", picture: Picture | None = None) -> bytes:
    """The page as areas of paragraphs in reading order; none if it is blank. A row of a table is a paragraph."""
    root = ET.Element("html", {"xmlns": "http://www.w3.org/1999/xhtml"})
    head = markup.add(root, "head")
    markup.add(head, "title", text=file_name(source))
    markup.add(head, "meta", {"http-equiv": "Content-Type", "content": "text/html; charset=utf-8"})
    blocks = blocks_of(page)
    found = {_FLOATS.get(block.kind, "ocr_carea") for block in blocks}
    kinds = " ".join(["ocr_page", "ocr_carea", *sorted(found - {"ocr_carea"}), "ocr_par ocr_line ocrx_word ocrp_poly"])
    for name, content in (
        ("ocr-system", f"text-recognizer {__version__} {page.model}"),
        ("ocr-capabilities", kinds),
        ("ocr-number-of-pages", "1"),
    ):
        markup.add(head, "meta", {"name": name, "content": content})
    name = file_name(source).translate(_IN_QUOTES)
    title = f'image "{name}"; bbox 0 0 {page.width} {page.height}; ppageno 0'
    if page.dpi:
        title += f"; scan_res {round(page.dpi)} {round(page.dpi)}"
    sheet = markup.add(markup.add(root, "body"), "div", {"class": "ocr_page", "id": "page_1", "title": title})
    counts: Counter[str] = Counter()
    area: ET.Element | None = None
    for block in blocks:
        kind = _FLOATS.get(block.kind, "ocr_carea")
        # Consecutive paragraphs on a page without columns share an area.
        if area is None or block.blocks or kind != "ocr_carea" or area.get("class") != "ocr_carea":
            area = _area(sheet, kind, corners_of(block, page), counts)
        for paragraph in leaves([block]):
            _paragraph(area, paragraph, page, counts)
        _widen(area, corners_of(block, page))
        if block.blocks:
            area = None
    return markup.document(root, _DOCTYPE)


def _area(sheet: ET.Element, kind: str, corners: Pixels, counts: Counter[str]) -> ET.Element:
    name = kind.partition("_")[2]
    counts[name] += 1
    return markup.add(sheet, "div", {"class": kind, "id": f"{name}_{counts[name]}", "title": _bbox(corners)})


def _widen(area: ET.Element, corners: Pixels) -> None:
    left, top, right, bottom = map(int, area.get("title", "").split()[1:])
    area.set("title", _bbox([(left, top), (right, bottom), *corners]))


def _paragraph(area: ET.Element, block: Block, page: Page, counts: Counter[str]) -> None:
    counts["par"] += 1
    about = {"class": "ocr_par", "id": f"par_{counts['par']}", "title": _bbox(corners_of(block, page))}
    element = markup.add(area, "p", about)
    for number in range(block.start, block.stop):
        _line(element, page.lines[number], number + 1, page)


def _line(paragraph: ET.Element, line: Line, number: int, page: Page) -> None:
    shape = outline(line, page)
    title = [_bbox(shape), *_direction(pixels(line.baseline, page), shape), _confidence(line.confidence), _poly(shape)]
    about: dict[str, object] = {"class": "ocr_line", "id": f"line_{number}", "title": "; ".join(title)}
    about["data-script"] = line.script
    element = markup.add(paragraph, "span", about, None if words_of(line) else line.text)
    for count, (word, struck) in enumerate(marked_words(line), 1):
        place = outline(word, page)
        title = [_bbox(place), _confidence(word.confidence), _poly(place)]
        kind = {} if struck else {"class": "ocrx_word"}
        about = {**kind, "id": f"word_{number}_{count}", "title": "; ".join(title)}
        markup.add(element, "del" if struck else "span", about, word.text)


def _direction(baseline: Pixels, shape: Pixels) -> list[str]:
    """The slope of the baseline and its height above the lower left corner of the box; for a steep line, its angle."""
    if len(baseline) < 2 or baseline[0] == baseline[-1]:
        return []
    (x0, y0), (x1, y1) = baseline[0], baseline[-1]
    angle = math.degrees(math.atan2(y0 - y1, x1 - x0))
    if abs(angle) > STEEP:
        return [f"textangle {angle % 360:.1f}"]
    left, _, _, bottom = box(shape)
    slope = (y1 - y0) / (x1 - x0)
    # hOCR requires a polynomial: the straight line through the middle of the baseline, parallel to its chord.
    middle_x = sum(x for x, _ in baseline) / len(baseline)
    middle_y = sum(y for _, y in baseline) / len(baseline)
    return [f"baseline {slope:.4f} {middle_y + slope * (left - middle_x) - bottom:.1f}"]


def _bbox(points: Pixels) -> str:
    return "bbox " + " ".join(map(str, box(points)))


def _poly(points: Pixels) -> str:
    return "poly " + " ".join(f"{x} {y}" for x, y in points)


def _confidence(confidence: float) -> str:
    return f"x_wconf {round(100 * share(confidence))}"


FORMATS = {"hocr": Format("hocr", ".hocr", "application/xhtml+xml; charset=utf-8", write, stands_alone=True)}
