"""What formats need of a page's blocks: all of a page's lines in some, their places, and the columns of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from text_recognizer.formats.shapes import Pixels, outline
from text_recognizer.page import Block, Page, Point


def blocks_of(page: Page) -> tuple[Block, ...]:
    """The blocks of a page; one paragraph where nobody looked for any, none where it is blank."""
    if page.blocks or not page.lines:
        return page.blocks
    return (Block(kind="paragraph", start=0, stop=len(page.lines)),)


def leaves(blocks: Sequence[Block]) -> Iterator[Block]:
    """The innermost blocks: those that hold lines."""
    for block in blocks:
        if block.blocks:
            yield from leaves(block.blocks)
        else:
            yield block


def corners_of(block: Block, page: Page) -> Pixels:
    """All corners of the lines of a block."""
    return [point for line in page.lines[block.start : block.stop] for point in outline(line, page)]


def grid(table: Block, page: Page) -> list[list[int | None]]:
    """The rows of a table, all of one length: the number of the line in each cell, None where it is empty.

    A column is where cells of the fullest rows stand; each other cell belongs to the one that it is nearest to.
    """
    rows = [range(row.start, row.stop) for row in table.blocks]
    spans = {n: _span(page, n) for row in rows for n in row}
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
            left, right = spans[n]
            last = widest - (len(row) - k)  # the cells that follow need room
            at = min(range(at, last + 1), key=lambda c: _distance((left, right), columns[c]))
            cells[at] = n
            at += 1
        out.append(cells)
    return out


def _distance(cell: Point, column: Point) -> float:
    """How far apart two spans begin, end or have their middles, whichever is least: cells stand left, right or amid."""
    return min(abs(cell[0] - column[0]), abs(cell[1] - column[1]), abs(sum(cell) - sum(column)) / 2)


def _span(page: Page, number: int) -> Point:
    """From where to where a line runs along the direction of the page's lines."""
    line = page.lines[number]
    turn = page.orientation
    along = {0: (1, 0), 90: (0, -1), 180: (-1, 0), 270: (0, 1)}[turn]
    places = [x * along[0] + y * along[1] for x, y in outline(line, page)]
    return min(places), max(places)
