"""ALTO 4.3, the Library of Congress's XML format for a page's layout and text, for eScriptorium, kraken and libraries.

Confidences are in the Strings' WC and the Page's PC; ALTO has no place for alternative readings of a whole line. Tags
mark the kind of a block, the script of a line, and struck-out words. A struck-out word is an empty String with its text
as ALTERNATIVE, because the Strings of a line make up its text.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from text_recognizer.formats import markup
from text_recognizer.formats.blocks import blocks_of, corners_of, leaves
from text_recognizer.formats.format import Format
from text_recognizer.formats.shapes import (
    Pixels,
    box,
    file_name,
    marked_words,
    mean_confidence,
    outline,
    pixels,
    share,
    words_of,
)
from text_recognizer.page import Block, Line, Page, Picture
from text_recognizer.version import __version__

NAMESPACE = "http://www.loc.gov/standards/alto/ns-v4#"
SCHEMA = "http://www.loc.gov/standards/alto/v4/alto-4-3.xsd"


def write(page: Page, source: str = "", picture: Picture | None = None) -> bytes:
    """The page as TextBlocks in reading order, tagged with their kinds; columns and tables contain other blocks."""
    root = ET.Element(
        "alto",
        {
            "xmlns": NAMESPACE,
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:schemaLocation": f"{NAMESPACE} {SCHEMA}",
            "SCHEMAVERSION": "4.3",
        },
    )
    description = markup.add(root, "Description")
    markup.add(description, "MeasurementUnit", text="pixel")
    markup.add(markup.add(description, "sourceImageInformation"), "fileName", text=file_name(source))
    processing = markup.add(description, "Processing", {"ID": "reading"})
    markup.add(processing, "processingCategory", text="contentGeneration")
    markup.add(processing, "processingDateTime", text=datetime.now(UTC).isoformat(timespec="seconds"))
    markup.add(processing, "processingStepDescription", text="handwriting recognition")
    markup.add(processing, "processingStepSettings", text=f"model: {page.model}")
    software = markup.add(processing, "processingSoftware")
    markup.add(software, "softwareName", text="text-recognizer")
    markup.add(software, "softwareVersion", text=__version__)

    blocks = blocks_of(page)
    meanings = {kind: f"block type {kind}" for kind in sorted({block.kind for block in leaves(blocks)})}
    known = {f"kind_{kind}": (str(kind), meaning) for kind, meaning in meanings.items()}
    scripts = {line.script for line in page.lines if line.script is not None}
    known |= {script: (script, f"{script} line") for script in sorted(scripts)}
    if any(line.struck for line in page.lines):
        known["struck"] = ("struck", "struck-out word")
    if known:
        tags = markup.add(root, "Tags")
        for name, (label, meaning) in known.items():
            markup.add(tags, "OtherTag", {"ID": name, "LABEL": label, "DESCRIPTION": meaning})

    size = {"WIDTH": page.width, "HEIGHT": page.height}
    confidence = mean_confidence(page) if page.lines else None
    about = {"ID": "page", "PHYSICAL_IMG_NR": 1, **size, "PC": confidence, "PROCESSINGREFS": "reading"}
    sheet = markup.add(markup.add(root, "Layout"), "Page", about)
    space = markup.add(sheet, "PrintSpace", {"HPOS": 0, "VPOS": 0, **size})
    _blocks(space, blocks, page, "block")
    return markup.document(root)


def _blocks(parent: ET.Element, blocks: Sequence[Block], page: Page, name: str) -> None:
    for count, block in enumerate(blocks, 1):
        known = {"ID": f"{name}{count}", **_box(corners_of(block, page))}
        if block.blocks:
            inner = markup.add(parent, "ComposedBlock", {**known, "TYPE": block.kind})
            _blocks(inner, block.blocks, page, f"{name}{count}_")
        else:
            element = markup.add(parent, "TextBlock", {**known, "TAGREFS": f"kind_{block.kind}"})
            for number in range(block.start, block.stop):
                _line(element, page.lines[number], f"line{number + 1}", page)


def _line(block: ET.Element, line: Line, name: str, page: Page) -> None:
    shape, baseline = outline(line, page), pixels(line.baseline, page)
    place = {**_box(shape), "BASELINE": _points(baseline) if len(baseline) > 1 else None}
    about: dict[str, object] = {"ID": name, "TAGREFS": line.script, **place}
    element = markup.add(block, "TextLine", about)
    _shape(element, shape)
    words = marked_words(line)
    if not words_of(line):
        markup.add(element, "String", {"CONTENT": line.text, **_box(shape), "WC": share(line.confidence)})
    for number, (word, struck) in enumerate(words, 1):
        outer = outline(word, page)
        if number > 1:
            markup.add(element, "SP")
        content: dict[str, object] = {"CONTENT": word.text}
        if struck:
            content = {"CONTENT": "", "TAGREFS": "struck", "STYLE": "strikethrough"}
        about = {"ID": f"{name}word{number}", **content, **_box(outer), "WC": share(word.confidence)}
        string = markup.add(element, "String", about)
        _shape(string, outer)
        if struck:
            markup.add(string, "ALTERNATIVE", text=word.text)


def _shape(parent: ET.Element, points: Pixels) -> None:
    markup.add(markup.add(parent, "Shape"), "Polygon", {"POINTS": _points(points)})


def _box(points: Pixels) -> dict[str, object]:
    left, top, right, bottom = box(points)
    return {"HPOS": left, "VPOS": top, "WIDTH": right - left, "HEIGHT": bottom - top}


def _points(points: Pixels) -> str:
    # Separated by blanks, as kraken and eScriptorium read and write them, although the standard also allows "x,y".
    return " ".join(f"{x} {y}" for x, y in points)


FORMATS = {"alto": Format("alto", ".xml", "application/xml", write, stands_alone=True)}
