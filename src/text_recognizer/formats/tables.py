"""Tables: `csv` has a row for each text line, `tables` the tables on the paper, `tsv` a row for each word."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from text_recognizer.formats.blocks import blocks_of, corners_of, grid, leaves
from text_recognizer.formats.format import Format
from text_recognizer.formats.shapes import Pixels, box, outline, share, words_of
from text_recognizer.page import Block, Line, Page, Picture, Word

_NUMBER = re.compile(r"[+-]?[\d.,]*")
LINE_COLUMNS = ("source", "line", "left", "top", "width", "height", "confidence", "text", "kind", "block", "script")
WORD_COLUMNS = (
    *("level", "page_num", "block_num", "par_num", "line_num", "word_num"),
    *("left", "top", "width", "height", "conf", "text"),
)


def write_lines(page: Page, source: str = "", picture: Picture | None = None) -> bytes:
    """A head, and a row for each line, with its bounding box and the kind and number of its block."""
    rows = []
    for count, block in enumerate(leaves(blocks_of(page)), 1):
        for number in range(block.start, block.stop):
            line = page.lines[number]
            place = (harmless(source), number + 1, *_box(outline(line, page)), share(line.confidence))
            rows.append((*place, harmless(line.text), block.kind, count, line.script or ""))
    return _HEAD + _rows(rows)


def write_words(page: Page, source: str = "", picture: Picture | None = None) -> bytes:
    """Tesseract's TSV: a head, and rows at levels 1 page, 2 block, 3 paragraph, 4 line, 5 word.

    `conf` is 0…100 for words, else -1. A line whose words have no positions is one word.
    """
    whole = (0, 0, page.width, page.height)
    rows: list[tuple[object, ...]] = [(1, 1, 0, 0, 0, 0, *whole, -1, "")]
    for count, outer in enumerate(blocks_of(page), 1):
        rows.append((2, 1, count, 0, 0, 0, *_box(corners_of(outer, page)), -1, ""))
        for paragraph, block in enumerate(leaves([outer]), 1):
            place = (1, count, paragraph)
            rows.append((3, *place, 0, 0, *_box(corners_of(block, page)), -1, ""))
            for number, line in enumerate(page.lines[block.start : block.stop], 1):
                rows.append((4, *place, number, 0, *_box(outline(line, page)), -1, ""))
                words: tuple[Line | Word, ...] = words_of(line) or (line,)
                for nth, word in enumerate(words, 1):
                    # The format has no quoting, so characters that would end the field or the row become blanks.
                    text = harmless(" ".join(word.text.split()))
                    known = (*_box(outline(word, page)), round(100 * share(word.confidence), 2), text)
                    rows.append((5, *place, number, nth, *known))
    lines = ["\t".join(map(str, row)) for row in [WORD_COLUMNS, *rows]]
    return ("\n".join(lines) + "\n").encode(errors="replace")


def write_tables(page: Page, source: str = "", picture: Picture | None = None) -> bytes:
    """The tables and forms of a page, row by row and cell by cell, with a blank row between two of them."""
    written: list[list[list[str]]] = []
    form: list[Block] = []
    for block in _tables(blocks_of(page)):
        if block.kind == "table":
            written.append([[_cell(page, number) for number in row] for row in grid(block, page)])
        elif form and form[-1].stop == block.start:
            written[-1].append([_cell(page, number) for number in range(block.start, block.stop)])
        else:
            written.append([[_cell(page, number) for number in range(block.start, block.stop)]])
        form = [block] if block.kind == "row" else []
    return b"\n".join(_rows(rows) for rows in written)


def _tables(blocks: Sequence[Block]) -> Iterator[Block]:
    """The tables, and the rows of forms."""
    for block in blocks:
        if block.kind in ("table", "row"):
            yield block
        else:
            yield from _tables(block.blocks)


def _cell(page: Page, number: int | None) -> str:
    return "" if number is None else harmless(page.lines[number].text)


def harmless(text: str) -> str:
    """`text` as a cell that a spreadsheet treats as text: formulas get an apostrophe in front.

    Numbers such as "-5" and single signs such as a dash stay as they are.
    """
    begins = text[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{text}" if begins and not _NUMBER.fullmatch(text) else text


def _box(points: Pixels) -> tuple[int, int, int, int]:
    left, top, right, bottom = box(points)
    return left, top, right - left, bottom - top


def _rows(rows: Sequence[Sequence[object]]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    return written.getvalue().encode(errors="replace")


_HEAD = _rows([LINE_COLUMNS])

FORMATS = {
    "csv": Format("csv", ".csv", "text/csv; charset=utf-8", write_lines, opening=_HEAD),
    "tables": Format("tables", ".tables.csv", "text/csv; charset=utf-8", write_tables, heads_several=True),
    "tsv": Format("tsv", ".tsv", "text/tab-separated-values; charset=utf-8", write_words, stands_alone=True),
}
