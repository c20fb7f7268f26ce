"""JSON: one object on one line for each page, so several pages make JSON Lines. The schema is in docs/cli.md."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from text_recognizer.formats.format import Format
from text_recognizer.page import Block, BlockKind, Line, Page, Picture, Point, Polygon, Script, Word

VERSION = 1
"""Raised when a field changes its meaning or is removed. New fields may be added at any time."""


def to_dict(page: Page, source: str = "") -> dict[str, Any]:
    """The page as plain lists and dicts. Points are [x, y] in pixels of the image, rounded to tenths."""
    return {
        "format": VERSION,
        "source": source,
        "model": page.model,
        "language": page.language,
        "width": page.width,
        "height": page.height,
        "dpi": None if page.dpi is None else round(page.dpi, 2),
        "embedded": page.embedded,
        "text": page.text,
        "lines": [line_to_dict(line) for line in page.lines],
        "blocks": [_block_to_dict(block) for block in page.blocks],
    }


def _block_to_dict(block: Block) -> dict[str, Any]:
    inner = {"blocks": [_block_to_dict(one) for one in block.blocks]} if block.blocks else {}
    return {"kind": block.kind, "start": block.start, "stop": block.stop, **inner}


def line_to_dict(line: Line) -> dict[str, Any]:
    """One of the lines in `to_dict`."""
    return {
        "text": line.text,
        "confidence": round(line.confidence, 4),
        "polygon": points(line.polygon),
        "baseline": points(line.baseline),
        "alternatives": list(line.alternatives),
        "words": [_word_to_dict(word) for word in line.words],
        "script": line.script,
        "struck": [_word_to_dict(word) for word in line.struck],
    }


def _word_to_dict(word: Word) -> dict[str, Any]:
    return {"text": word.text, "confidence": round(word.confidence, 4), "polygon": points(word.polygon)}


def from_dict(answer: dict[str, Any]) -> Page:
    """The page from the result of `to_dict`. Raises KeyError, TypeError or ValueError for any other object."""
    lines = tuple(line_from_dict(line) for line in answer["lines"])
    return Page(
        width=int(answer["width"]),
        height=int(answer["height"]),
        lines=lines,
        model=str(answer["model"]),
        language=str(answer.get("language", "")),
        blocks=_blocks(answer.get("blocks", ()), 0, len(lines)) or (),
        dpi=None if answer.get("dpi") is None else float(answer["dpi"]),
        embedded=bool(answer.get("embedded", False)),
    )


def _blocks(answers: Iterable[dict[str, Any]], start: int, stop: int) -> tuple[Block, ...] | None:
    """The blocks of lines `start` to `stop`; None if they do not fit, because somebody added or removed lines."""
    found = []
    at = start
    for answer in answers:
        first, after, inner = int(answer["start"]), int(answer["stop"]), answer.get("blocks", ())
        parts = _blocks(inner, first, after) if inner else ()
        if first != at or after <= first or parts is None or answer["kind"] not in get_args(BlockKind):
            return None
        found.append(Block(kind=answer["kind"], start=first, stop=after, blocks=parts))
        at = after
    return tuple(found) if at == stop else None


def line_from_dict(answer: dict[str, Any]) -> Line:
    """The line from the result of `line_to_dict`. Raises as `from_dict` does."""

    def words(answers: Iterable[dict[str, Any]]) -> tuple[Word, ...]:
        return tuple(
            Word(text=str(word["text"]), polygon=_polygon(word["polygon"]), confidence=float(word["confidence"]))
            for word in answers
        )

    script = answer.get("script")
    return Line(
        text=str(answer["text"]),
        polygon=_polygon(answer["polygon"]),
        baseline=_polygon(answer["baseline"]),
        confidence=float(answer["confidence"]),
        words=words(answer["words"]),
        alternatives=tuple(str(text) for text in answer["alternatives"]),
        script=script if script in get_args(Script) else None,
        struck=words(answer.get("struck", ())),
    )


def write(page: Page, source: str = "", picture: Picture | None = None) -> bytes:
    """`to_dict` as one line of UTF-8."""
    written = json.dumps(to_dict(page, source), ensure_ascii=False, allow_nan=False) + "\n"
    # A file name may contain bytes that are not UTF-8. Python represents them as surrogates, which JSON must escape.
    return written.encode(errors="backslashreplace")


def points(places: Iterable[Point]) -> list[list[float]]:
    """Points as in `to_dict`."""
    # A page has thousands of points, and rounding to whole numbers is four times as fast as rounding to one decimal.
    return [[round(10.0 * x) / 10, round(10.0 * y) / 10] for x, y in places]


def _polygon(points: Iterable[Sequence[float]]) -> Polygon:
    return tuple((float(x), float(y)) for x, y in points)


FORMATS = {"json": Format("json", ".json", "application/json", write)}
