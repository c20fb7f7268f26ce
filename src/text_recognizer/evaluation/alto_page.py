"""Read ALTO and PAGE XML of any version from any program: lines with their text, position and kind.

The files are untrusted: entities and addresses in them are refused, never followed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING

from defusedxml import DefusedXmlException, ElementTree

from text_recognizer.errors import DataInvalid
from text_recognizer.page import Polygon, Polyline

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class WrittenLine:
    """A line in a file. `label`: its kind, from ALTO's tags or PAGE's production and `custom`.

    `problem`: what is wrong with it; it has no position then.
    """

    name: str
    label: str
    text: str = ""
    polygon: Polygon = ()
    baseline: Polyline | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class WrittenPage:
    """The content of a file: image name, size in pixels if stated, and lines in the order of the file."""

    image: str
    width: float | None
    height: float | None
    lines: tuple[WrittenLine, ...]


def read_page(data: bytes) -> WrittenPage:
    """Parse the page in an ALTO or PAGE XML file. Raises DataInvalid if it is neither."""
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise DataInvalid(" ".join(str(error).split())) from None
    kind = _tag(root).lower()
    label_of: Callable[[Element], str]
    if kind == "pcgts":
        read, label_of = _page_line, _page_label
    elif kind == "alto":
        read, label_of = _alto_line, _alto_label(root)
    else:
        raise DataInvalid(f"neither ALTO nor PAGE: its root element is {_tag(root)}")
    lines = []
    for element in (e for e in root.iter() if _tag(e) == "TextLine"):
        name, label = element.get("ID") or element.get("id") or "?", label_of(element)
        try:
            text, polygon, baseline = read(element)
        except ValueError as error:
            lines.append(WrittenLine(name, label, problem=str(error)))
        else:
            lines.append(WrittenLine(name, label, text, polygon, baseline))
    image = next((name for name in map(_image_name, root.iter()) if name), "")
    page = next((e for e in root.iter() if _tag(e) == "Page"), None)
    width, height = (_size(page, names) for names in (("imageWidth", "WIDTH"), ("imageHeight", "HEIGHT")))
    return WrittenPage(image, width, height, tuple(lines))


def checked_points(points: Iterable[Iterable[float]], least: int) -> Points:
    """Points as numbers. Raises ValueError if there are fewer than `least`, or if a number is not finite."""
    checked = tuple((float(x), float(y)) for x, y in points)
    if len(checked) < least:
        raise ValueError(f"{len(checked)} points where at least {least} are needed")
    if not all(math.isfinite(n) for point in checked for n in point):
        raise ValueError("a point is not finite")
    return checked


def _points(text: str, least: int) -> Points:
    numbers = [float(n) for n in re.split(r"[\s,]+", text.strip()) if n]
    return checked_points(zip(numbers[::2], numbers[1::2], strict=True), least)


def _tag(element: Element) -> str:
    """The name of an element without its namespace, so that files of any version are read alike."""
    return str(element.tag).rsplit("}", 1)[-1]


def _size(page: Element | None, names: tuple[str, ...]) -> float | None:
    value = next((page.get(name) for name in names if page.get(name)), None) if page is not None else None
    try:
        return float(value) if value else None
    except ValueError:
        return None


def _image_name(element: Element) -> str:
    name = (element.text or "").strip() if _tag(element) == "fileName" else element.get("imageFilename", "")
    return PureWindowsPath(name).name  # accepts both kinds of slashes


def _alto_label(root: Element) -> Callable[[Element], str]:
    labels = {tag.get("ID"): tag.get("LABEL", "") for tag in root.iter() if _tag(tag) == "OtherTag"}
    return lambda line: " ".join(labels.get(ref, "") for ref in (line.get("TAGREFS") or "").split())


def _alto_line(line: Element) -> tuple[str, Polygon, Polyline | None]:
    text = " ".join(filter(None, (e.get("CONTENT") for e in line.iter() if _tag(e) == "String")))
    shape = next((e for e in line if _tag(e) == "Shape"), None)
    outline = next((e.get("POINTS", "") for e in shape if _tag(e) == "Polygon"), "") if shape is not None else ""
    if outline:
        polygon = _points(outline, 3)
    else:
        x, y, w, h = (float(line.get(name, "nan")) for name in ("HPOS", "VPOS", "WIDTH", "HEIGHT"))
        polygon = checked_points(((x, y), (x + w, y), (x + w, y + h), (x, y + h)), 4)
    # ALTO before 4.2 states only the height of a baseline, without its slope.
    baseline = line.get("BASELINE", "")
    return text, polygon, _points(baseline, 2) if len(re.split(r"[\s,]+", baseline.strip())) > 3 else None


def _page_label(line: Element) -> str:
    """PAGE: `production="handwritten-cursive"`, or the structure's type in `custom`."""
    label = f"{line.get('production', '')} {line.get('custom', '')}"
    return label.replace("printed", "Print")


def _page_line(line: Element) -> tuple[str, Polygon, Polyline | None]:
    parts = {_tag(e): e for e in line}
    # A line may have several transcripts; the one with the lowest index is the main one. Transcripts of words are
    # nested deeper.
    readings = sorted((e for e in line if _tag(e) == "TextEquiv"), key=lambda e: int(e.get("index") or 0))
    text = next((u.text or "" for e in readings[:1] for u in e if _tag(u) == "Unicode"), "")
    if "Coords" not in parts:
        raise ValueError("no Coords")
    baseline = _points(parts["Baseline"].get("points", ""), 2) if "Baseline" in parts else None
    return text, _points(parts["Coords"].get("points", ""), 3), baseline
