"""The blocks of a page for the formats: blocks that cover all lines, their positions, and the columns of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from text_recognizer.formats.shapes import Pixels, outline
from text_recognizer.page import Block, Page, Point

REACH = 40  # most columns from a cell to the next one; each is tried


def blocks_of(page: Page) -> tuple[Block, ...]:
    """The blocks of a page: a single paragraph if blocks were not detected, none if the page is blank."""
    if page.blocks or not page.lines:
        return page.blocks
    return (Block(kind="paragraph", start=0, stop=len(page.lines)),)


def leaves(blocks: Sequence[Block]) -> Iterator[Block]:
    """The innermost blocks, which contain the lines."""
    for block in blocks:
        if block.blocks:
            yield from leaves(block.blocks)
        else:
            yield block


def corners_of(block: Block, page: Page) -> Pixels:
    """All corners of the lines of a block."""
    return [point for line in page.lines[block.start : block.stop] for point in outline(line, page)]


def grid(table: Block, page: Page) -> list[list[int | None]]:
    """The rows of a table, all of the same length: the line number in each cell, None for an empty cell.

    The cells of the fullest rows define the columns; each other cell belongs to the nearest column.
    """
    rows = [range(row.start, row.stop) for row in table.blocks]
    along = _ALONG[page.orientation]
    spans = {n: _span(outline(page.lines[n], page), along) for row in rows for n in row}
    widest = max(len(row) for row in rows)
    full = [row for row in rows if len(row) == widest]
    columns = [
        (
            sum(spans[row[k]][0] for row in full) / len(full),
            sum(spans[row[k]][1] for row in full) / len(full),
        )
        for k in range(widest)
    ]
    out: list[list[int | None]] = []
    for row in rows:
        cells: list[int | None] = [None] * widest
        at = 0
        for k, n in enumerate(row):
            span, last = spans[n], widest - (len(row) - k)  # leave room for the cells that follow
            within = range(at, min(last, at + REACH) + 1)
            at = min(within, key=lambda c: _distance(span, columns[c]))
            cells[at] = n
            at += 1
        out.append(cells)
    return out


def cells_of(page: Page) -> int:
    """The number of cells in the largest table of a page, including the empty cells that `grid` adds."""
    tables = (block for block in _all(page.blocks) if block.kind == "table" and block.blocks)
    return max((len(t.blocks) * max(row.stop - row.start for row in t.blocks) for t in tables), default=0)


def _all(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        yield from _all(block.blocks)


def _distance(cell: Point, column: Point) -> float:
    """The least distance between the starts, the ends or the middles of two spans: cells may be aligned in any way."""
    return min(abs(cell[0] - column[0]), abs(cell[1] - column[1]), abs(sum(cell) - sum(column)) / 2)


# The direction of a page's lines, by its orientation.
_ALONG = {0: (1, 0), 90: (0, -1), 180: (-1, 0), 270: (0, 1)}


def _span(points: Pixels, along: tuple[int, int]) -> Point:
    """The start and end of a line along the direction of the page's lines."""
    places = [x * along[0] + y * along[1] for x, y in points]
    return min(places), max(places)
