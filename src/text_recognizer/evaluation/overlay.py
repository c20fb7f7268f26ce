"""Draw the lines read over the picture of a page: each in the colour of its fault, with the reading order."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.evaluation.line_alignment import LineAlignment
from text_recognizer.page import Polygon

STYLE = (
    ".overlay{display:flex;gap:1rem;align-items:flex-start}.overlay svg{flex:2;min-width:0;max-height:95vh}"
    ".overlay ol{flex:1;margin:0;padding-left:2rem;font-size:.8rem}"
    "polygon{fill-opacity:.15;stroke-width:2;vector-effect:non-scaling-stroke}"
    ".whole{fill:#1a7f37;stroke:#1a7f37}.split{fill:#bf6a02;stroke:#bf6a02}.merged{fill:#8250df;stroke:#8250df}"
    ".illegible{fill:#6e7781;stroke:#6e7781}.invented{fill:#d1242f;stroke:#d1242f}li.split{color:#bf6a02}li.lost{color:#d1242f}"
    ".overlay polyline{fill:none;stroke:#0969da;stroke-width:1.5;stroke-opacity:.6;vector-effect:non-scaling-stroke}"
)
"""CSS for `overlay`, needed once a document."""

LEGEND = (
    "<p>Outlines: <b style='color:#1a7f37'>read as one line</b>, <b style='color:#bf6a02'>part of a line</b>, "
    "<b style='color:#8250df'>several lines in one</b>, <b style='color:#d1242f'>invented</b>, "
    "<b style='color:#6e7781'>in place of what nobody can read</b>; the blue path is the order of "
    "reading. Lists: the transcript, <b style='color:#bf6a02'>lines read in parts</b>, "
    "<b style='color:#d1242f'>lines not read</b>.</p>"
)


@dataclass(frozen=True)
class PageLines:
    """The lines of a page: the transcript's lines, the lines read, and their alignment."""

    truth: tuple[str, ...]
    read: tuple[str, ...]
    alignment: LineAlignment
    outlines: tuple[tuple[Polygon, ...], ...] = ()  # polygons of each line read, as shares 0…1 of width and height


def overlay(picture: NDArray[np.uint8], lines: PageLines) -> str:
    """An HTML fragment: `picture` (H, W) with the outlines of the lines read, next to the transcript."""
    height, width = picture.shape
    data = base64.b64encode(cv2.imencode(".jpeg", picture)[1].tobytes()).decode()
    found = lines.alignment
    in_parts = {j for i, j in found.links if i in found.split}
    known = {j for _, j in found.links}
    shapes, path = [], []
    for number, polygons in enumerate(lines.outlines):
        kind = (
            "invented"
            if number in found.invented
            else "merged"
            if number in found.merged
            else "split"
            if number in in_parts
            else "whole"
            if number in known
            else "illegible"
        )
        title = f"<title>{number + 1}: {html.escape(lines.read[number])}</title>"
        for polygon in polygons:
            points = " ".join(f"{x * width:.0f},{y * height:.0f}" for x, y in polygon)
            shapes.append(f'<polygon class="{kind}" points="{points}">{title}</polygon>')
            path.append(_middle(polygon, width, height))
    return (
        f'<div class="overlay"><svg viewBox="0 0 {width} {height}"><image width="{width}" height="{height}" '
        f'href="data:image/jpeg;base64,{data}"/>{"".join(shapes)}<polyline points="{" ".join(path)}"/></svg><ol>'
        + "".join(_item(text, number, found) for number, text in enumerate(lines.truth))
        + "</ol></div>"
    )


def _middle(polygon: Sequence[tuple[float, float]], width: int, height: int) -> str:
    xs, ys = zip(*polygon, strict=True)
    return f"{(min(xs) + max(xs)) / 2 * width:.0f},{(min(ys) + max(ys)) / 2 * height:.0f}"


def _item(text: str, number: int, found: LineAlignment) -> str:
    kind = "lost" if number in found.lost else "split" if number in found.split else "known"
    return f'<li class="{kind}">{html.escape(text)}</li>'
