"""The layout of a page's lines: letterhead, date, heading, columns, lists, cells, marginal notes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from text_recognizer.synthesis.rendering.page_style import PageStyle
from text_recognizer.synthesis.rendering.script import FontScript, Piece, PrintScript, Script
from text_recognizer.synthesis.sources.fonts import HandFont

LineKind = Literal["text", "heading", "addition", "printed"]

LETTERS = tuple("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+=?!&")


@dataclass
class Row:
    """A line before it is drawn: its pieces, and their starts in pixels from `x`."""

    script: Script
    x: float
    y: float
    pieces: list[tuple[Piece, float]]
    kind: LineKind = "text"
    struck: list[int] = field(default_factory=list)
    underlined: bool = False

    @property
    def width(self) -> float:
        return self.pieces[-1][1] + self.pieces[-1][0].width


def _fill_row(
    script: Script, rng: np.random.Generator, width: float, style: PageStyle, limit: int = 99
) -> list[tuple[Piece, float]]:
    """Words side by side in `width` pixels; a word that does not fit is kept for the next row."""
    pieces: list[tuple[Piece, float]] = []
    x = 0.0
    tries = 0
    while len(pieces) < limit:
        piece = script.take(rng)
        if piece is None:
            break
        gap = 0.0
        if pieces:
            gap = max(0.45, style.word_gap * (1 + float(rng.normal(0, 0.22)))) * script.x_height
        if x + gap + piece.width <= width:
            pieces.append((piece, x + gap))
            x += gap + piece.width
            continue
        if not pieces:
            # The phrase is longer than the line: look for a shorter one.
            tries += 1
            if tries > 25:
                break
            continue
        head = piece.text[: int(rng.integers(3, 8))]
        if piece.text.isalpha() and len(piece.text) - len(head) >= 3 and rng.random() < style.hyphens:
            first, rest = script.word(head + "-", rng), script.word(piece.text[len(head) :], rng)
            if first is not None and rest is not None and x + gap + first.width <= width * 1.02:
                pieces.append((first, x + gap))
                script.waiting.appendleft(rest)
                break
        if " " not in piece.text:
            script.waiting.appendleft(piece)
        break
    return pieces


def lay_out(script: Script, style: PageStyle, rng: np.random.Generator, faces: Sequence[HandFont] = ()) -> list[Row]:
    """The rows of a page in reading order, in pixels; `faces`: printed faces for a letterhead."""
    page = _Layout(script, style, rng)
    if style.letterhead:
        page.letterhead(faces)
    if style.date:
        page.date()
    if style.heading:
        page.heading()
    if style.cells is not None and style.fill > 0:
        return page.rows + _lay_out_cells(script, style, rng, page.y)
    top = page.y
    for column in range(style.columns):
        page.column(column, top)
    if style.marginalia:
        page.marginalia()
    return page.rows


class _Layout:
    """The rows of a page so far, and the `y` of the next baseline in pixels."""

    def __init__(self, script: Script, style: PageStyle, rng: np.random.Generator) -> None:
        self.script, self.style, self.rng = script, style, rng
        self.x_height = style.x_height
        self.left, right, top, self.bottom = (m * style.x_height for m in style.margins)
        self.width = style.width * style.x_height - right - self.left  # between the margins
        self.step = style.spacing * style.x_height
        self.y = top + float(rng.uniform(1.6, 2.4)) * style.x_height
        self.rows: list[Row] = []

    def add(
        self, source: Script, x: float, width: float, align: float, kind: LineKind = "text", limit: int = 99
    ) -> Row | None:
        """Add a row at height y within `width`; align 0 = left … 1 = right."""
        source.waiting.clear() if kind != "text" else None
        pieces = _fill_row(source, self.rng, width, self.style, limit)
        if not pieces:
            return None
        row = Row(source, x, self.y, pieces, kind)
        row.x += align * (width - row.width)
        self.rows.append(row)
        return row

    def letterhead(self, faces: Sequence[HandFont]) -> None:
        """Add one to four printed lines at the top."""
        rng = self.rng
        size = self.x_height * float(rng.uniform(0.45, 1.1))
        printed: Script = PrintScript(size, self.script.text, rng)
        if faces and rng.random() < 0.8:
            face = faces[int(rng.integers(len(faces)))]
            printed = FontScript(face, size, self.script.text, int(rng.integers(1 << 31)))
        align = float(rng.choice([0.0, 0.5, 1.0], p=[0.2, 0.6, 0.2]))
        for _ in range(int(rng.integers(1, 5))):
            line = printed.resized(float(rng.uniform(0.7, 1.4)))
            if self.add(line, self.left, self.width, align, "printed", int(rng.integers(1, 6))) is not None:
                self.y += line.x_height * float(rng.uniform(2.0, 3.2))
        self.y += float(rng.uniform(1, 4)) * self.x_height

    def date(self) -> None:
        """Add a few words at the right."""
        align = float(self.rng.uniform(0.8, 1))
        self.add(self.script, self.left, self.width, align, "text", int(self.rng.integers(1, 4)))
        self.y += self.step * float(self.rng.uniform(1, 1.8))

    def heading(self) -> None:
        """Add a few larger words, sometimes underlined."""
        rng = self.rng
        big = self.script.resized(float(rng.uniform(1.0, 1.7)))
        align = float(rng.choice([0.0, 0.5]))
        row = self.add(big, self.left, self.width, align, "heading", int(rng.integers(1, 5)))
        if row is not None:
            row.underlined = rng.random() < 0.4
            self.y += self.step * float(rng.uniform(1.2, 1.8)) + (big.x_height - self.x_height)

    def column(self, column: int, top: float) -> None:
        """Add paragraphs and lists down a column, from `top` until the page is filled as far as the style says."""
        style, rng, xh = self.style, self.rng, self.x_height
        gutter = style.gutter * xh
        width = (self.width - (style.columns - 1) * gutter) / style.columns
        left = self.left + column * (width + gutter)
        self.y = top + (float(rng.normal(0, 0.4)) * xh if column else 0.0)
        end = style.height * xh - self.bottom - 0.5 * xh
        stop = min(end, top + (end - top) * max(style.fill, 0.0) + 0.01 * xh)
        ragged = float(rng.uniform(0, 0.12))
        number, begun = 1, False
        while self.y <= stop:
            length = int(rng.integers(1, 10))
            in_list = style.lists and rng.random() < 0.5
            for k in range(length):
                if self.y > stop:
                    break
                inset = style.indent * xh if k == 0 and not in_list else 0.0
                if in_list:
                    inset = float(rng.uniform(1.5, 2.0)) * xh
                room = width - inset
                if k == length - 1 and begun:
                    room *= float(rng.uniform(0.2, 1.0))
                elif in_list:
                    room *= float(rng.uniform(0.3, 1.0))
                else:
                    room *= 1 - float(rng.uniform(0, ragged))
                wobble = float(rng.normal(0, 0.15)) * xh
                row = self.add(self.script, max(2.0, left + inset + wobble), room, 0.0)
                if row is not None and in_list and rng.random() < 0.8:
                    self._put_bullet(row, number)
                    number += 1
                if row is not None and style.crossings:
                    row.struck = [i for i in range(len(row.pieces)) if rng.random() < style.crossings]
                if row is not None and rng.random() < style.additions and k:
                    _add_above(self.rows, row, self.script, style, rng)
                begun = True
                self.y += self.step * (1 + float(rng.normal(0, 0.03)))
            self.y += style.paragraph_gap * xh

    def _put_bullet(self, row: Row, number: int) -> None:
        """Put a bullet or the entry's number before a row of a list."""
        bullet = self.script.word(str(self.rng.choice(["-", "*", f"{number}.", f"{number})"])), self.rng)
        if bullet is not None:
            shift = bullet.width + 0.8 * self.x_height
            row.pieces = [(bullet, 0.0), *((p, x + shift) for p, x in row.pieces)]
            row.x -= shift

    def marginalia(self) -> None:
        """Add some short, small lines in the left margin."""
        rng = self.rng
        small = self.script.resized(float(rng.uniform(0.6, 0.9)))
        self.y = float(rng.uniform(0.2, 0.6)) * self.style.height * self.x_height
        for _ in range(int(rng.integers(1, 5))):
            self.add(small, 0.8 * self.x_height, self.left - 2.2 * self.x_height, 0.0, "addition", 3)
            self.y += 2.6 * small.x_height


def cell_edges(style: PageStyle, top: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The edges of the rows (y) and columns (x) of a page's cells, in pixels; `top`: of the first row."""
    assert style.cells is not None
    xh = style.x_height
    left, right, _, bottom = (m * xh for m in style.margins)
    rows, columns = style.cells
    tall = max(style.spacing * 1.05 * xh, min((style.height * xh - bottom - top) / rows, 3.0 * style.spacing * xh))
    across = np.linspace(left, style.width * xh - right, columns + 1)
    return np.asarray(top + tall * np.arange(rows + 1), np.float64), np.asarray(across, np.float64)


def _lay_out_cells(script: Script, style: PageStyle, rng: np.random.Generator, y: float) -> list[Row]:
    """Put a short entry in most cells: a number, an amount, a word or two. `y`: of the first baseline, pixels."""
    xh = style.x_height
    ys, xs = cell_edges(style, y - 0.7 * style.spacing * xh)
    rows: list[Row] = []
    numbers = float(rng.uniform(0, 1)) if style.numbers is None else style.numbers
    lengths = [0.85, 0.1, 0.03, 0.02] if style.lone else [0.5, 0.2, 0.2, 0.1]
    for top, bottom in itertools.pairwise(ys):
        for left, right in itertools.pairwise(xs):
            if rng.random() < 0.12:
                continue
            text = script.text.line(rng, 2, 16)
            if rng.random() < numbers:
                digits = "".join(map(str, rng.integers(0, 10, int(rng.choice([1, 2, 3, 4], p=lengths)))))
                text = str(
                    rng.choice([digits, digits, f"{digits}.{rng.integers(10, 100)}", f"{digits}%", f"${digits}"])
                )
                if style.lone:
                    text = digits if rng.random() < 0.8 else str(rng.choice(LETTERS))
            pieces: list[tuple[Piece, float]] = []
            x = 0.0
            for word in text.split():
                piece = script.word(word, rng)
                if piece is None or x + piece.width > right - left - 1.6 * xh:
                    break
                pieces.append((piece, x))
                x += piece.width + style.word_gap * xh
            if pieces:
                room = right - left - 1.6 * xh - (pieces[-1][1] + pieces[-1][0].width)
                at = left + 0.8 * xh + room * float(rng.choice([0.0, 0.5, 1.0]))
                rows.append(Row(script, at, top + 0.7 * (bottom - top) + float(rng.normal(0, 0.1)) * xh, pieces))
    return rows


def _add_above(rows: list[Row], row: Row, script: Script, style: PageStyle, rng: np.random.Generator) -> None:
    """Add a small word or two between this line and the one above; it is read before the line under it."""
    small = script.resized(float(rng.uniform(0.5, 0.75)))
    pieces = _fill_row(small, rng, row.width * 0.35, style, int(rng.integers(1, 3)))
    if not pieces:
        return
    x = row.x + float(rng.uniform(0.1, 0.6)) * row.width
    above = float(rng.uniform(0.45, 0.6)) * style.spacing * style.x_height
    rows.insert(len(rows) - 1, Row(small, x, row.y - above, pieces, "addition"))
