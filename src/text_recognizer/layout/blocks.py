"""Order the lines of a page and group them into blocks: paragraphs, headings, columns, tables, notes."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.layout.order import LineBox, Part, find_parts
from text_recognizer.page import Block, BlockKind, Line

Floats = NDArray[np.float64]

LISTED = re.compile(r"(?:[-–—•·*○●▪■□☐☑☒✓✗✔✘→⇒↳>]|\(?(?:\d{1,2}|[a-z]|[ivx]{1,4})[.)]|[\u2460-\u2473])\s+\S")
"""How a list item begins: a bullet, a box, an arrow, a number or a letter."""

OUTLINE = 2.4  # x-heights: usual height of a line's outline
# Times the usual line spacing: a gap that ends a paragraph; the gap below a heading.
GAP, AROUND = 1.45, 1.2
INDENT = 1.5  # x-heights
LARGER, WORDS = 1.35, 8  # of a heading: least ratio of its letter size to the others', most words


def arrange(lines: Sequence[Line]) -> tuple[tuple[Line, ...], tuple[Block, ...]]:
    """The lines in reading order, with the pieces of each line joined, and the blocks that they form."""
    if not lines:
        return (), ()
    if not all(line.polygon for line in lines):  # positions are unknown
        return tuple(lines), (Block(kind="paragraph", start=0, stop=len(lines)),)
    across = _across(lines)
    aside = [line for line, runs_across in zip(lines, across, strict=True) if runs_across]
    level = [line for line, runs_across in zip(lines, across, strict=True) if not runs_across]
    boxes = _boxes(level)
    writer = _Writer(level, boxes)
    blocks = writer.blocks(find_parts(boxes))
    if aside:
        blocks.append(Block(kind="margin", start=len(writer.out), stop=len(writer.out) + len(aside)))
    return (*writer.out, *aside), tuple(blocks)


def _across(lines: Sequence[Line]) -> list[bool]:
    """Which lines run across most others, such as notes up the margin."""
    runs = np.array([_run(line) for line in lines])
    along, beside = runs.sum(0), np.array([-runs[:, 1].sum(), runs[:, 0].sum()])
    return [bool(crosses) for crosses in np.abs(runs @ beside) > np.abs(runs @ along)]


def _boxes(lines: Sequence[Line]) -> list[LineBox]:
    """The position of each line after the page is rotated so that its lines run level from left to right."""
    runs = np.array([_run(line) for line in lines])  # (lines, 2)
    total = runs.sum(0)
    length = float(np.hypot(*total))
    cos, sin = (total / length) if length > 0 else (1.0, 0.0)
    turn = np.array([[cos, sin], [-sin, cos]])
    boxes = []
    for line in lines:
        outline = np.asarray(line.polygon, float).reshape(-1, 2) @ turn.T
        base = np.asarray(line.baseline if len(line.baseline) > 1 else line.polygon, float).reshape(-1, 2) @ turn.T
        x, y = outline[:, 0], outline[:, 1]
        area = abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2
        x_height = max(1.0, area / max(1.0, float(np.ptp(x))) / OUTLINE)
        start, end = base[0], base[-1]
        slope = float((end[1] - start[1]) / (end[0] - start[0])) if len(line.baseline) > 1 and end[0] > start[0] else 0
        boxes.append(
            LineBox(
                float(base[:, 0].min()),
                float(base[:, 0].max()),
                float(base[:, 1].mean()) - x_height / 2,
                x_height,
                slope,
                line.text,
            )
        )
    return boxes


def _run(line: Line) -> tuple[float, float]:
    """Vector from the start to the end of a line; level if it has no baseline."""
    if len(line.baseline) > 1:
        (x0, y0), (x1, y1) = line.baseline[0], line.baseline[-1]
        return x1 - x0, y1 - y0
    xs = [x for x, _ in line.polygon]
    return max(xs) - min(xs), 0.0


class _Writer:
    """Converts parts of a page to blocks; `out` collects their lines in reading order."""

    def __init__(self, lines: Sequence[Line], boxes: Sequence[LineBox]) -> None:
        self._lines, self._boxes = lines, boxes
        self._x_height = float(np.median([box.x_height for box in boxes]))
        self.out: list[Line] = []

    def blocks(self, parts: Sequence[Part]) -> list[Block]:
        found: list[Block] = []
        for part in parts:
            start = len(self.out)
            if part.kind == "columns":
                for column in part.columns:
                    begin = len(self.out)
                    inner = tuple(self.blocks(column))
                    found.append(Block(kind="column", start=begin, stop=len(self.out), blocks=inner))
            elif part.kind == "table":
                rows = tuple(self._row(row) for row in part.rows)
                form = _is_form([[self._boxes[i].text for i in row] for row in part.rows])
                table = Block(kind="table", start=start, stop=len(self.out), blocks=rows)
                found += _form_rows(rows) if form else [table]
            elif part.kind == "margin":
                self.out += [self._line(row) for row in part.rows]
                found.append(Block(kind="margin", start=start, stop=len(self.out)))
            else:
                found += self._paragraphs(part.rows)
        return found

    def _row(self, row: Sequence[int]) -> Block:
        start = len(self.out)
        self.out += [self._lines[i] for i in row]
        return Block(kind="row", start=start, stop=len(self.out))

    def _line(self, pieces: Sequence[int]) -> Line:
        return join_pieces([self._lines[i] for i in pieces])

    def _paragraphs(self, rows: Sequence[Sequence[int]]) -> list[Block]:
        """Blocks of a part that is read from the top down: paragraphs, lists and headings."""
        boxes = [_around([self._boxes[i] for i in row]) for row in rows]
        steps = [b.middle - a.middle for a, b in pairwise(boxes)]
        usual = float(np.median([step for step in steps if step > 0] or [3 * self._x_height]))
        left = float(np.percentile([box.left for box in boxes], 25))
        right = max(box.right for box in boxes)
        starts = _starts(boxes, left, usual)
        heights = sorted(box.x_height for box in boxes)
        found: list[Block] = []
        for first, after in zip(starts, [*starts[1:], len(rows)], strict=True):
            begin = len(self.out)
            self.out += [self._line(row) for row in rows[first:after]]
            kind: BlockKind = "paragraph"
            if after - first == 1 and self._is_heading(first, boxes, heights, usual, left, right):
                kind = "heading"
            found.append(Block(kind=kind, start=begin, stop=len(self.out)))
        return found

    def _is_heading(
        self, n: int, boxes: Sequence[LineBox], heights: Sequence[float], usual: float, left: float, right: float
    ) -> bool:
        """Whether a single line above others is larger than they are, or short with space around it.

        `heights`: the x-heights of all lines, sorted.
        """
        box, text = boxes[n], boxes[n].text.strip()
        if n + 1 == len(boxes) or not text or LISTED.match(text) or len(text.split()) > WORDS:
            return False
        if box.x_height > LARGER * _median_without(heights, box.x_height):
            return True
        short = box.right - left < 0.6 * (right - left) and box.left - left < 0.4 * (right - left)
        below = boxes[n + 1].middle - box.middle > AROUND * usual
        above = n == 0 or box.middle - boxes[n - 1].middle > GAP * usual
        return short and above and below and text[-1] not in ",;.:!?-" and text[0].isupper()


def _median_without(values: Sequence[float], one: float) -> float:
    """The median of sorted `values`, two or more, after `one` of them is removed."""
    place, most = bisect_left(values, one), len(values) - 1
    low, high = (values[at + (at >= place)] for at in ((most - 1) // 2, most // 2))
    return (low + high) / 2


def _around(boxes: Sequence[LineBox]) -> LineBox:
    """One box around the pieces of a line."""
    if len(boxes) == 1:
        return boxes[0]
    return LineBox(
        min(box.left for box in boxes),
        max(box.right for box in boxes),
        float(np.mean([box.middle for box in boxes])),
        max(box.x_height for box in boxes),
        0.0,
        " ".join(box.text for box in boxes),
    )


def _starts(boxes: Sequence[LineBox], left: float, usual: float) -> list[int]:
    """Which lines begin a paragraph, a list or a heading."""
    starts = [0]
    item = boxes[0] if LISTED.match(boxes[0].text) else None  # latest item of the current list
    for n, (above, box) in enumerate(pairwise(boxes), 1):
        unit = min(above.x_height, box.x_height)
        apart = box.middle - above.middle > GAP * usual or max(above.x_height, box.x_height) > LARGER * unit
        if LISTED.match(box.text):
            begins = apart or item is None
            item = box
        elif item is not None:
            begins = apart or box.left < item.left + 0.5 * unit
            item = None if begins else item
        else:
            begins = apart or box.left - left > INDENT * unit > above.left - left
        if begins:
            starts.append(n)
    return starts


def _is_form(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the rows are labels with values rather than the rows of a table."""
    labels = sum(row[0].rstrip().endswith((":", "?")) for row in rows)
    return max(len(row) for row in rows) <= 2 and labels >= 0.4 * len(rows)


def _form_rows(rows: Sequence[Block]) -> list[Block]:
    """The rows of a form; a row with a single line becomes a paragraph."""
    return [row if row.stop - row.start > 1 else replace(row, kind="paragraph") for row in rows]


def join_pieces(pieces: Sequence[Line]) -> Line:
    """Join the pieces of a line, ordered from left to right."""
    if len(pieces) == 1:
        return pieces[0]
    outline = cv2.convexHull(np.asarray([point for piece in pieces for point in piece.polygon], np.float32))
    words = tuple(word for piece in pieces for word in piece.words)
    weights = [max(1, len(piece.text)) for piece in pieces]
    return Line(
        text=" ".join(piece.text for piece in pieces),
        # OpenCV's hulls run counter-clockwise in a frame with y up: clockwise as seen on the page.
        polygon=tuple((float(x), float(y)) for x, y in outline.reshape(-1, 2)),
        baseline=tuple(point for piece in pieces for point in piece.baseline),
        confidence=float(np.average([piece.confidence for piece in pieces], weights=weights)),
        words=words,
        script=max(pieces, key=lambda piece: len(piece.text)).script,
        struck=tuple(word for piece in pieces for word in piece.struck),
    )
