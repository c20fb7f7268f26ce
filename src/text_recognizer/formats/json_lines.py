"""JSON: one object a page on one line, so that several pages make JSON Lines. Schema in docs/cli.md."""

import json
from collections.abc import Iterable
from typing import Any

from text_recognizer.formats.format import Format
from text_recognizer.page import Line, Page, Point

VERSION = 1
"""Raised when a field changes its meaning or goes away; new fields may come at any time."""


def to_dict(page: Page, source: str = "") -> dict[str, Any]:
    """The page as plain lists and dicts. Places are [x, y] in pixels of the image, to a tenth."""
    return {
        "format": VERSION,
        "source": source,
        "model": page.model,
        "width": page.width,
        "height": page.height,
        "text": page.text,
        "lines": [line_to_dict(line) for line in page.lines],
    }


def line_to_dict(line: Line) -> dict[str, Any]:
    """One of the lines in `to_dict`."""
    return {
        "text": line.text,
        "confidence": round(line.confidence, 4),
        "polygon": _points(line.polygon),
        "baseline": _points(line.baseline),
        "alternatives": list(line.alternatives),
        "words": [
            {
                "text": word.text,
                "confidence": round(word.confidence, 4),
                "polygon": _points(word.polygon),
            }
            for word in line.words
        ],
    }


def write(page: Page, source: str = "") -> bytes:
    """`to_dict` as one line of UTF-8."""
    return (json.dumps(to_dict(page, source), ensure_ascii=False, allow_nan=False) + "\n").encode()


def _points(points: Iterable[Point]) -> list[list[float]]:
    return [[round(float(x), 1), round(float(y), 1)] for x, y in points]


FORMAT = Format("json", ".json", "application/json", write)
