"""Render whole pages of handwriting with exact truth: the text, polygon, baseline and x-height of every line.

A page is laid out as people write (margins, indents, paragraphs, headings, lists, columns, hyphens at line ends,
additions between lines and in the margin, words struck out), drawn line by line, put on paper and photographed.
Lengths named without a unit are in x-heights of the writing; lengths in pixels say so.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.synthesis.rendering.clutter import Pictures, bind, grid, paste_drawings, surround
from text_recognizer.synthesis.rendering.ink import Hand, compose_words
from text_recognizer.synthesis.rendering.paper import make_sheet, photograph, put_ink
from text_recognizer.synthesis.rendering.pen import Pen, draw_ink
from text_recognizer.synthesis.rendering.strike import strike_out
from text_recognizer.synthesis.sources.fonts import HandFont, render_text
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import Ink, Writer

Gray = NDArray[np.uint8]
Points = NDArray[np.float32]
LineKind = Literal["text", "heading", "addition", "printed"]

# Of the pages that are cluttered, how many have each kind of what is no writing.
GRID_SHARE, DRAWING_SHARE, BINDING_SHARE, DESK_SHARE, NEIGHBOUR_SHARE = 0.15, 0.3, 0.2, 0.2, 0.12
LETTERS = tuple("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+=?!&")
_INK = 48  # coverage from which a pixel counts as ink when the truth is drawn around it


@dataclass(frozen=True)
class PageLine:
    """Truth of one line, in pixels of the page."""

    text: str
    polygon: Points  # (n, 2) clockwise, around this line's ink
    baseline: Points  # (m, 2) left to right
    x_height: float
    kind: LineKind = "text"
    struck: tuple[Points, ...] = ()  # (2, 2) each: where on the baseline a struck-out word begins and ends


@dataclass(frozen=True)
class RenderedPage:
    """A page as a camera or scanner delivers it, its lines in reading order."""

    rgb: NDArray[np.uint8]  # (H, W, 3)
    lines: tuple[PageLine, ...]


@dataclass(frozen=True)
class PageStyle:
    """How a page is laid out; `sample` draws one of the ways seen on paper."""

    x_height: float = 30.0  # pixels
    spacing: float = 3.0  # from baseline to baseline
    width: float = 60.0
    height: float = 78.0
    margins: tuple[float, float, float, float] = (4.0, 4.0, 5.0, 5.0)  # left, right, top, bottom
    columns: int = 1
    gutter: float = 4.0
    indent: float = 2.0  # of a paragraph's first line
    paragraph_gap: float = 0.0  # on top of the spacing
    slope: float = 0.0  # of all lines, radians
    line_slope: float = 0.004  # spread of each line about it
    bend: float = 0.0  # sag of a line in its middle, as of a book's page
    wander: float = 0.1  # height of the wave that baselines make
    word_gap: float = 1.1
    heading: bool = False
    letterhead: bool = False
    date: bool = False
    lists: bool = False
    additions: float = 0.0  # share of lines with a word written above them
    marginalia: bool = False
    crossings: float = 0.0  # share of words struck out
    underlines: float = 0.0  # share of words underlined
    hyphens: float = 0.3  # share of line ends where a word that does not fit is divided
    fill: float = 1.0  # share of the page that is written on
    cells: tuple[int, int] | None = None  # rows and columns of short entries, as in tables and forms, instead of text
    ruled: bool = False  # the cells have printed rules between them
    numbers: float | None = None  # share of the cells that hold a number; None for any
    lone: bool = False  # the numbers are digits and letters that stand alone
    furniture: float = 0.3  # chance of each kind of marks that are no text: rules, boxes, stamps, blots

    @staticmethod
    def sample(rng: np.random.Generator, x_height: float = 30.0) -> PageStyle:
        """Pages from a few large lines to dense letters; now and then a single paragraph or line."""
        kind = rng.random()
        spacing = float(np.clip(rng.lognormal(np.log(2.75), 0.24), 1.85, 5.5))
        width = float(np.clip(rng.lognormal(np.log(54), 0.38), 20, 125))
        shape = (
            float(np.clip(rng.normal(1.3, 0.14), 0.65, 1.7)) if rng.random() < 0.85 else float(rng.uniform(0.5, 0.9))
        )
        height = width * shape
        left, right = (float(v) for v in rng.uniform(0.01, 0.13, 2) * width)
        margins = (left, right, float(rng.uniform(1.5, 9)), float(rng.uniform(1, 8)))
        if kind < 0.14:  # a paragraph cut out of a page
            height = float(rng.uniform(1.2, 12)) * spacing + 4
            margins = tuple(float(v) for v in rng.uniform(0.4, 2.5, 4))  # type: ignore[assignment]
        elif kind < 0.19:  # a line
            height, width = float(rng.uniform(2.8, 5)), float(rng.uniform(12, 60))
            margins = tuple(float(v) for v in rng.uniform(0.2, 1.5, 4))  # type: ignore[assignment]
        elif kind < 0.23:  # a word or a number that fills its picture
            height, width = float(rng.uniform(2.2, 4.5)), float(rng.uniform(2.5, 14))
            margins = tuple(float(v) for v in rng.uniform(0.1, 1.2, 4))  # type: ignore[assignment]
        elif kind < 0.29:  # a note of few words in large letters
            height, width = float(rng.uniform(1, 5.5)) * spacing + 1.5, float(rng.uniform(7, 22))
            margins = tuple(float(v) for v in rng.uniform(0.2, 2.0, 4))  # type: ignore[assignment]
        whole = kind >= 0.29
        cells = (int(rng.integers(2, 16)), int(rng.integers(1, 7))) if whole and rng.random() < 0.28 else None
        lone = cells is not None and rng.random() < 0.5
        if cells is not None and lone:
            cells = (int(rng.integers(2, 12)), int(rng.integers(2, 10)))
            width, height = cells[1] * float(rng.uniform(3.5, 9)), cells[0] * float(rng.uniform(2, 5)) + 3
            margins = tuple(float(v) for v in rng.uniform(0.5, 4, 4))  # type: ignore[assignment]
        columns = int(rng.choice([1, 2, 3], p=[0.8, 0.16, 0.04])) if whole and width > 44 else 1
        return PageStyle(
            x_height=x_height,
            spacing=spacing,
            width=width,
            height=height,
            margins=margins,
            columns=columns if width > 80 else min(columns, 2),
            gutter=float(rng.uniform(1.4, 6)),
            indent=float(rng.choice([0.0, rng.uniform(1, 8)])),
            paragraph_gap=float(rng.choice([0.0, rng.uniform(0.3, 2.5)])),
            slope=float(rng.normal(0, 0.012)) if rng.random() < 0.85 else float(rng.normal(0, 0.05)),
            line_slope=float(rng.uniform(0, 0.008)) if rng.random() < 0.85 else float(rng.uniform(0.01, 0.06)),
            bend=float(rng.normal(0, 1.2)) if rng.random() < 0.15 else 0.0,
            wander=float(abs(rng.normal(0, 0.11))),
            word_gap=float(np.clip(rng.lognormal(np.log(1.1), 0.33), 0.55, 2.8)),
            heading=whole and rng.random() < 0.25,
            letterhead=whole and rng.random() < 0.15,
            date=whole and rng.random() < 0.25,
            lists=whole and rng.random() < 0.15,
            additions=float(rng.uniform(0.05, 0.25)) if rng.random() < 0.15 else 0.0,
            marginalia=whole and left > 8 and rng.random() < 0.4,
            crossings=float(rng.uniform(0.01, 0.06)) if rng.random() < 0.2 else 0.0,
            hyphens=float(rng.uniform(0, 0.7)),
            fill=1.0 if rng.random() < 0.6 else float(rng.uniform(0.15, 1.0)),
            cells=cells,
            ruled=cells is not None and rng.random() < 0.5,
            numbers=float(rng.uniform(0.7, 1)) if lone else None,
            lone=lone,
        )


# ----------------------------------------------------------------------------------------------------- writing


class _Piece(Protocol):
    """A word or phrase as it stands on the line. `width` in pixels."""

    text: str
    width: float

    def draw(self, canvas: Gray, x: float, baseline: Callable[[Points], Points]) -> None:
        """Draw with its left end at `x`; `baseline` gives y (n,) of the canvas for x (n,), pixels."""
        ...


@dataclass
class _StrokePiece:
    text: str
    strokes: list[Points]  # pixels, left end at x = 0, baseline at y = 0
    width: float
    pen: Pen
    x_height: float

    def draw(self, canvas: Gray, x: float, baseline: Callable[[Points], Points]) -> None:
        placed = []
        for stroke in self.strokes:
            at = stroke[:, 0] + np.float32(x)
            points = np.stack([at, stroke[:, 1] + baseline(at)], axis=1) / self.x_height
            placed.append(points.astype(np.float32))
        draw_ink(placed, self.x_height, (0.0, 0.0), canvas, self.pen)


@dataclass
class _BitmapPiece:
    text: str
    coverage: Gray
    baseline_y: float
    width: float

    def draw(self, canvas: Gray, x: float, baseline: Callable[[Points], Points]) -> None:
        h, w = self.coverage.shape
        left = round(x)
        levels = baseline(np.arange(left, left + w, dtype=np.float32)) - np.float32(self.baseline_y)
        # Rows move by whole pixels in runs of equal shift: a bent line without a resampled, blurred bitmap.
        shift = np.round(levels).astype(int)
        starts = np.flatnonzero(np.diff(shift, prepend=shift[0] - 1))
        for begin, end in zip(starts, [*starts[1:], w], strict=True):
            top, x0, x1 = int(shift[begin]), left + int(begin), left + int(end)
            y0, y1 = max(0, top), min(canvas.shape[0], top + h)
            a, b = max(0, x0), min(canvas.shape[1], x1)
            if y0 < y1 and a < b:
                target = canvas[y0:y1, a:b]
                np.maximum(target, self.coverage[y0 - top : y1 - top, a - left : b - left], out=target)


class _Script:
    """One hand at one size: gives words, divides them, and keeps what did not fit on the last line."""

    def __init__(self, x_height: float, text: TextSource) -> None:
        self.x_height, self.text = x_height, text
        self.waiting: deque[_Piece] = deque()

    def more(self, rng: np.random.Generator) -> list[_Piece]:
        raise NotImplementedError

    def word(self, text: str, rng: np.random.Generator) -> _Piece | None:
        raise NotImplementedError

    def resized(self, scale: float) -> _Script:
        raise NotImplementedError

    def take(self, rng: np.random.Generator) -> _Piece | None:
        """The next word or phrase; None from a hand that cannot write."""
        for _ in range(20):
            if self.waiting:
                return self.waiting.popleft()
            self.waiting.extend(self.more(rng))
        return None


class _PenScript(_Script):
    def __init__(
        self, hand: Hand, x_height: float, text: TextSource, rng: np.random.Generator, variation: float
    ) -> None:
        super().__init__(x_height, text)
        self.hand = hand
        self.pen = Pen.sample(rng)
        self.slant = float(rng.normal(0, 0.2)) * variation
        self.stretch = float(np.exp(np.clip(rng.normal(0, 0.15), -0.35, 0.35) * variation))
        self.tall = float(np.exp(rng.normal(0, 0.12) * variation))  # ascenders and descenders against the x-height
        self.jitter = float(rng.uniform(0, 0.07))  # words off the baseline
        # Letters written one after another are rare in this hand's data and common on paper.
        self.print_share = float(rng.random() ** 2) if hand.can_print else 0.0

    def resized(self, scale: float) -> _PenScript:
        other = _PenScript.__new__(_PenScript)
        other.__dict__.update(self.__dict__, x_height=self.x_height * scale, waiting=deque())
        return other

    def more(self, rng: np.random.Generator) -> list[_Piece]:
        hand = self.hand
        if hand.phrases and rng.random() < (0.25 if hand.word_list or hand.can_print else 1.0):
            return [self._piece(hand.phrases[int(rng.integers(len(hand.phrases)))], rng)]
        inks: list[Ink] = []
        if hand.can_print or rng.random() < 0.7:
            inks = compose_words(hand, self.text.paragraph(rng, int(rng.integers(40, 240))), rng)
        if not inks and hand.word_list:
            words = [hand.word_list[int(i)] for i in rng.integers(len(hand.word_list), size=4)]
            inks = [hand.words[w][int(rng.integers(len(hand.words[w])))] for w in words]
        if not inks and hand.inks:
            inks = [hand.inks[int(rng.integers(len(hand.inks)))]]
        return [self._piece(ink, rng) for ink in inks]

    def word(self, text: str, rng: np.random.Generator) -> _Piece | None:
        ink = self.hand.piece(text, rng, self.hand.can_print)
        return None if ink is None else self._piece(ink, rng)

    def _piece(self, ink: Ink, rng: np.random.Generator) -> _Piece:
        offset = float(rng.normal(0, self.jitter))
        strokes = []
        for stroke in ink.strokes:
            x, y = stroke[:, 0], stroke[:, 1]
            tall = y + (self.tall - 1) * (np.minimum(y + 1, 0) + np.maximum(y, 0))
            points = np.stack([(x - self.slant * tall) * self.stretch, tall + offset], axis=1) * self.x_height
            strokes.append(points.astype(np.float32))
        left = min(float(s[:, 0].min()) for s in strokes)
        right = max(float(s[:, 0].max()) for s in strokes)
        shifted = [(s - np.array([left, 0], np.float32)).astype(np.float32) for s in strokes]
        return _StrokePiece(ink.text, shifted, right - left, self.pen, self.x_height)


class _FontScript(_Script):
    def __init__(self, font: HandFont, x_height: float, text: TextSource, seed: int) -> None:
        super().__init__(x_height, text)
        self.font, self.seed = font, seed

    def resized(self, scale: float) -> _FontScript:
        return _FontScript(self.font, self.x_height * scale, self.text, self.seed)

    def more(self, rng: np.random.Generator) -> list[_Piece]:
        words = [self.word(w, rng) for w in self.text.paragraph(rng, int(rng.integers(40, 240))).split()]
        return [w for w in words if w is not None]

    def word(self, text: str, rng: np.random.Generator) -> _Piece | None:
        if not self.font.covers(text):
            return None
        # The same draws for every word: one pen, one slant, one width on the whole page.
        coverage, baseline = render_text(self.font, text, self.x_height, np.random.default_rng(self.seed))
        columns = np.flatnonzero(coverage.max(0) > _INK)
        if not len(columns):
            return None
        cut = coverage[:, columns[0] : columns[-1] + 1]
        return _BitmapPiece(text, cut, baseline, float(cut.shape[1]))


class _PrintScript(_Script):
    """Printed and typewritten lines of letterheads and forms: cv2's stroke faces and the face that Pillow carries."""

    FACES = (
        cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX,
        cv2.FONT_HERSHEY_PLAIN,
    )  # fmt: skip

    def __init__(self, x_height: float, text: TextSource, rng: np.random.Generator) -> None:
        super().__init__(x_height, text)
        self.face = int(rng.integers(len(self.FACES) + 3))
        self.capitals = rng.random() < 0.4
        self.bold = int(rng.integers(1, 3))

    def resized(self, scale: float) -> _PrintScript:
        other = _PrintScript.__new__(_PrintScript)
        other.__dict__.update(self.__dict__, x_height=self.x_height * scale, waiting=deque())
        return other

    def more(self, rng: np.random.Generator) -> list[_Piece]:
        words = [self.word(w, rng) for w in self.text.line(rng, 10, 40).split()]
        return [w for w in words if w is not None]

    def word(self, text: str, rng: np.random.Generator) -> _Piece | None:
        text = text.upper() if self.capitals else text
        if not text.isascii():
            return None
        if self.face < len(self.FACES):
            # The Hershey faces draw an x-height of 14 pixels (capitals 21) at scale 1, the plain one of 7.
            face = self.FACES[self.face]
            scale = self.x_height / (7.0 if face == cv2.FONT_HERSHEY_PLAIN else 14.0)
            pen = max(1, round(self.bold * self.x_height / 14))
            (w, h), below = cv2.getTextSize(text, face, scale, pen)
            canvas = np.zeros((h + below + 2 * pen, w + 2 * pen), np.uint8)
            cv2.putText(canvas, text, (pen, h + pen), face, scale, 255, pen, cv2.LINE_AA)
            baseline = float(h + pen)
        else:
            font = ImageFont.load_default(size=max(4.0, self.x_height / 0.53))
            left, top, right, bottom = font.getbbox(text, anchor="ls")
            image = Image.new("L", (int(right - left) + 3, int(bottom - top) + 3))
            ImageDraw.Draw(image).text((1 - left, 1 - top), text, font=font, anchor="ls", fill=255)
            canvas, baseline = np.asarray(image), float(1 - top)
        columns = np.flatnonzero(canvas.max(0) > _INK) if canvas.size else np.zeros(0, int)
        if not len(columns):
            return None
        cut = canvas[:, columns[0] : columns[-1] + 1]
        return _BitmapPiece(text, cut, baseline, float(cut.shape[1]))


# ------------------------------------------------------------------------------------------------------ layout


@dataclass
class _Row:
    """A line before it is drawn: its pieces and where they start, pixels from `x`."""

    script: _Script
    x: float
    y: float
    pieces: list[tuple[_Piece, float]]
    kind: LineKind = "text"
    struck: list[int] = field(default_factory=list)
    underlined: bool = False

    @property
    def width(self) -> float:
        return self.pieces[-1][1] + self.pieces[-1][0].width


def _fill_row(
    script: _Script, rng: np.random.Generator, width: float, style: PageStyle, limit: int = 99
) -> list[tuple[_Piece, float]]:
    """Words side by side in `width` pixels; what does not fit waits for the next row."""
    pieces: list[tuple[_Piece, float]] = []
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
            # A phrase longer than the line: look for a shorter one.
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


def _lay_out(script: _Script, style: PageStyle, rng: np.random.Generator, faces: Sequence[HandFont] = ()) -> list[_Row]:
    """Rows of a page in reading order, pixels."""
    xh = style.x_height
    left, right, top, bottom = (m * xh for m in style.margins)
    page_width, page_height = style.width * xh, style.height * xh
    step = style.spacing * xh
    y = top + float(rng.uniform(1.6, 2.4)) * xh
    end = page_height - bottom - 0.5 * xh
    rows: list[_Row] = []
    area = (left, page_width - right)

    def add(
        source: _Script, x: float, width: float, align: float, kind: LineKind = "text", limit: int = 99
    ) -> _Row | None:
        """Row at height y within `width`; align 0 = left … 1 = right."""
        source.waiting.clear() if kind != "text" else None
        pieces = _fill_row(source, rng, width, style, limit)
        if not pieces:
            return None
        row = _Row(source, x, y, pieces, kind)
        row.x += align * (width - row.width)
        rows.append(row)
        return row

    usable = area[1] - area[0]
    if style.letterhead:
        size = xh * float(rng.uniform(0.45, 1.1))
        printed: _Script = _PrintScript(size, script.text, rng)
        if faces and rng.random() < 0.8:
            printed = _FontScript(faces[int(rng.integers(len(faces)))], size, script.text, int(rng.integers(1 << 31)))
        align = float(rng.choice([0.0, 0.5, 1.0], p=[0.2, 0.6, 0.2]))
        for _ in range(int(rng.integers(1, 5))):
            line = printed.resized(float(rng.uniform(0.7, 1.4)))
            if add(line, area[0], usable, align, "printed", int(rng.integers(1, 6))) is not None:
                y += line.x_height * float(rng.uniform(2.0, 3.2))
        y += float(rng.uniform(1, 4)) * xh
    if style.date:
        add(script, area[0], usable, float(rng.uniform(0.8, 1)), "text", int(rng.integers(1, 4)))
        y += step * float(rng.uniform(1, 1.8))
    if style.heading:
        big = script.resized(float(rng.uniform(1.0, 1.7)))
        row = add(big, area[0], usable, float(rng.choice([0.0, 0.5])), "heading", int(rng.integers(1, 5)))
        if row is not None:
            row.underlined = rng.random() < 0.4
            y += step * float(rng.uniform(1.2, 1.8)) + (big.x_height - xh)
    if style.cells is not None and style.fill > 0:
        return rows + _lay_out_cells(script, style, rng, y)
    body_top = y
    gutter = style.gutter * xh
    column_width = (usable - (style.columns - 1) * gutter) / style.columns
    for column in range(style.columns):
        x0 = area[0] + column * (column_width + gutter)
        y = body_top + (float(rng.normal(0, 0.4)) * xh if column else 0.0)
        stop = min(end, body_top + (end - body_top) * max(style.fill, 0.0) + 0.01 * xh)
        first_line, in_list, ragged = True, False, float(rng.uniform(0, 0.12))
        number = 1
        while y <= stop:
            length = int(rng.integers(1, 10))
            in_list = style.lists and rng.random() < 0.5
            for k in range(length):
                if y > stop:
                    break
                inset = style.indent * xh if k == 0 and not in_list else 0.0
                if in_list:
                    inset = float(rng.uniform(1.5, 2.0)) * xh
                width = column_width - inset
                if k == length - 1 and not first_line:
                    width *= float(rng.uniform(0.2, 1.0))
                elif in_list:
                    width *= float(rng.uniform(0.3, 1.0))
                else:
                    width *= 1 - float(rng.uniform(0, ragged))
                wobble = float(rng.normal(0, 0.15)) * xh
                row = add(script, max(2.0, x0 + inset + wobble), width, 0.0)
                if row is not None and in_list and rng.random() < 0.8:
                    bullet = script.word(str(rng.choice(["-", "*", f"{number}.", f"{number})"])), rng)
                    number += 1
                    if bullet is not None:
                        shift = bullet.width + 0.8 * xh
                        row.pieces = [(bullet, 0.0), *((p, x + shift) for p, x in row.pieces)]
                        row.x -= shift
                if row is not None and style.crossings:
                    row.struck = [i for i in range(len(row.pieces)) if rng.random() < style.crossings]
                if row is not None and rng.random() < style.additions and k:
                    _add_above(rows, row, script, style, rng)
                first_line = False
                y += step * (1 + float(rng.normal(0, 0.03)))
            y += style.paragraph_gap * xh
    if style.marginalia:
        small = script.resized(float(rng.uniform(0.6, 0.9)))
        y = float(rng.uniform(0.2, 0.6)) * page_height
        for _ in range(int(rng.integers(1, 5))):
            add(small, 0.8 * xh, left - 2.2 * xh, 0.0, "addition", 3)
            y += 2.6 * small.x_height
    return rows


def _cell_edges(style: PageStyle, top: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the rows (y) and the columns (x) of the cells of a page begin and end, pixels; `top`: of the first row."""
    assert style.cells is not None
    xh = style.x_height
    left, right, _, bottom = (m * xh for m in style.margins)
    rows, columns = style.cells
    tall = max(style.spacing * 1.05 * xh, min((style.height * xh - bottom - top) / rows, 3.0 * style.spacing * xh))
    across = np.linspace(left, style.width * xh - right, columns + 1)
    return np.asarray(top + tall * np.arange(rows + 1), np.float64), np.asarray(across, np.float64)


def _lay_out_cells(script: _Script, style: PageStyle, rng: np.random.Generator, y: float) -> list[_Row]:
    """A short entry in most cells: a number, an amount, a word or two. `y`: of the first baseline, pixels."""
    xh = style.x_height
    ys, xs = _cell_edges(style, y - 0.7 * style.spacing * xh)
    rows: list[_Row] = []
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
            pieces: list[tuple[_Piece, float]] = []
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
                rows.append(_Row(script, at, top + 0.7 * (bottom - top) + float(rng.normal(0, 0.1)) * xh, pieces))
    return rows


def _add_above(rows: list[_Row], row: _Row, script: _Script, style: PageStyle, rng: np.random.Generator) -> None:
    """A small word or two between this line and the one above, read before the line it stands over."""
    small = script.resized(float(rng.uniform(0.5, 0.75)))
    pieces = _fill_row(small, rng, row.width * 0.35, style, int(rng.integers(1, 3)))
    if not pieces:
        return
    x = row.x + float(rng.uniform(0.1, 0.6)) * row.width
    above = float(rng.uniform(0.45, 0.6)) * style.spacing * style.x_height
    rows.insert(len(rows) - 1, _Row(small, x, row.y - above, pieces, "addition"))


# ----------------------------------------------------------------------------------------------------- drawing


@dataclass
class _Layers:
    """What lies on the paper, as ink coverage (H, W)."""

    hand: Gray
    printed: Gray
    lines: list[PageLine]


def _draw_rows(rows: Sequence[_Row], style: PageStyle, rng: np.random.Generator) -> _Layers:
    xh = style.x_height
    height, width = max(8, round(style.height * xh)), max(8, round(style.width * xh))
    hand, printed = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    lines: list[PageLine] = []
    for row in rows:
        own = row.script.x_height
        is_print = row.kind == "printed"
        slope = 0.0 if is_print else style.slope + float(rng.normal(0, style.line_slope))
        wander = 0.0 if is_print else float(rng.uniform(0.3, 1)) * style.wander * own
        wave = float(rng.uniform(25, 90)) * xh
        phase = float(rng.uniform(0, 2 * np.pi))
        bend = 0.0 if is_print else style.bend * xh
        # The page's slope turns about its middle and a line's own about the line's, so that lines keep their distance.
        middle, pivot = width / 2, row.x + row.width / 2
        start = row.y if is_print else row.y + style.slope * (pivot - middle)
        strip_top = max(0, int(row.y - 5 * own - abs(bend) - abs(slope) * width))
        strip_bottom = min(height, int(row.y + 4 * own + abs(bend) + abs(slope) * width) + 1)
        if strip_bottom - strip_top < 4:
            continue

        def level(
            x: Points,
            y: float = start - strip_top,
            slope: float = slope,
            wander: float = wander,
            wave: float = wave,
            phase: float = phase,
            bend: float = bend,
            middle: float = middle,
            pivot: float = pivot,
        ) -> Points:
            t = (x - middle) / max(1.0, width / 2)
            return np.asarray(
                y + slope * (x - pivot) + wander * np.sin(2 * np.pi * x / wave + phase) + bend * (1 - t * t),
                np.float32,
            )

        strip = np.zeros((strip_bottom - strip_top, width), np.uint8)
        for index, (piece, x) in enumerate(row.pieces):
            piece.draw(strip, row.x + x, level)
            if index in row.struck:
                strike_out(strip, row.x + x, row.x + x + piece.width, level, own, rng)
        line = _truth(strip, strip_top, row, level)
        if line is None:
            continue
        lines.append(line)
        if row.underlined:
            xs = np.linspace(row.x, row.x + row.width, 12).astype(np.float32)
            ys = level(xs) + np.float32(0.45 * own) + rng.normal(0, 0.05 * own, 12).astype(np.float32)
            _polyline(strip, np.stack([xs, ys], axis=1), max(1, round(0.12 * own)))
        for piece, x in row.pieces if style.underlines else ():
            if rng.random() < style.underlines:
                xs = np.linspace(row.x + x, row.x + x + piece.width, 6).astype(np.float32)
                ys = level(xs) + np.float32(rng.uniform(0.15, 0.5) * own) + rng.normal(0, 0.03 * own, 6)
                _polyline(strip, np.stack([xs, ys], axis=1), max(1, round(0.12 * own)))
        target = (printed if is_print else hand)[strip_top:strip_bottom]
        np.maximum(target, strip, out=target)
    return _Layers(hand, printed, lines)


def _truth(strip: Gray, strip_top: int, row: _Row, level: Callable[[Points], Points]) -> PageLine | None:
    """Polygon around the ink of `strip`, baseline under it; None if the page cut the line away."""
    xh = row.script.x_height
    ink = strip > _INK
    columns = np.flatnonzero(ink.any(0))
    if len(columns) < 2:
        return None
    first, last = int(columns[0]), int(columns[-1])
    ys = level(np.asarray([first, last], np.float32)) + strip_top
    if ys.min() < 0.5 * xh or ys.max() > strip_top + strip.shape[0]:
        return None  # the middle of the letters is off the page
    count = max(2, int(np.ceil((last - first) / (0.6 * xh))) + 1)
    xs = np.linspace(first, last, count).astype(np.float32)
    base = level(xs)
    above = np.where(ink.any(0), ink.argmax(0), strip.shape[0]).astype(np.float32)
    below = np.where(ink.any(0), strip.shape[0] - ink[::-1].argmax(0), 0).astype(np.float32)
    reach = int(np.ceil((last - first) / (count - 1))) + 1
    tops, bottoms = np.empty(count, np.float32), np.empty(count, np.float32)
    for i, x in enumerate(xs):
        window = slice(max(0, int(x) - reach), int(x) + reach + 1)
        tops[i], bottoms[i] = above[window].min(), below[window].max()
    pad = 0.15 * xh
    tops = np.minimum(tops - pad, base - 1.2 * xh)
    bottoms = np.maximum(bottoms + pad, base + 0.35 * xh)
    xs_out = xs.copy()
    xs_out[0] -= pad
    xs_out[-1] += pad + 1
    upper = np.stack([xs_out, tops + strip_top], axis=1)
    lower = np.stack([xs_out, bottoms + strip_top], axis=1)[::-1]
    steps = max(2, int((last - first) / (2 * xh)) + 1)
    bx = np.linspace(first, last + 1, steps).astype(np.float32)
    baseline = np.stack([bx, level(bx) + strip_top], axis=1)
    text = " ".join(piece.text for i, (piece, _) in enumerate(row.pieces) if i not in row.struck)
    struck = []
    for i in row.struck:
        piece, start = row.pieces[i]
        ends = np.asarray([row.x + start, row.x + start + piece.width], np.float32)
        struck.append(np.stack([ends, level(ends) + strip_top], axis=1).astype(np.float32))
    outline = np.concatenate([upper, lower]).astype(np.float32)
    return PageLine(text, outline, baseline.astype(np.float32), xh, row.kind, tuple(struck))


def _polyline(canvas: Gray, points: NDArray[np.floating], width: int, strength: int = 255) -> None:
    cv2.polylines(canvas, [np.round(points * 16).astype(np.int32)], False, strength, width, cv2.LINE_AA, 4)


def _furnish(style: PageStyle, rng: np.random.Generator) -> Gray:
    """Marks that are no text: rules, boxes, tables, stamps, ticks, scribbles, blots. Coverage (H, W)."""
    xh = style.x_height
    height, width = max(8, round(style.height * xh)), max(8, round(style.width * xh))
    marks = np.zeros((height, width), np.uint8)
    pen = max(1, round(0.1 * xh))

    def spot() -> tuple[float, float]:
        return float(rng.uniform(0, width)), float(rng.uniform(0, height))

    chance = style.furniture
    if rng.random() < chance * 0.5:  # rules across
        for _ in range(int(rng.integers(1, 4))):
            x, y = spot()
            end = min(width, x + float(rng.uniform(0.2, 1)) * width)
            _polyline(
                marks,
                np.array([[x, y], [end, y + rng.normal(0, 0.3) * xh]], np.float32),
                pen,
                int(rng.integers(90, 256)),
            )
    if style.cells is not None and style.ruled:
        ys, xs = _cell_edges(style, (style.margins[2] + 2 - 0.7 * style.spacing) * xh)
        for y in ys:
            _polyline(marks, np.array([[xs[0], y], [xs[-1], y]], np.float32), pen, 200)
        for x in xs:
            _polyline(marks, np.array([[x, ys[0]], [x, ys[-1]]], np.float32), pen, 200)
    if rng.random() < chance * 0.25:  # a box or a table
        x, y = spot()
        w, h = float(rng.uniform(0.2, 0.9)) * width, float(rng.uniform(0.1, 0.6)) * height
        for fx in np.linspace(0, 1, int(rng.integers(2, 5))):
            _polyline(marks, np.array([[x + fx * w, y], [x + fx * w, y + h]], np.float32), pen, 180)
        for fy in np.linspace(0, 1, int(rng.integers(2, 7))):
            _polyline(marks, np.array([[x, y + fy * h], [x + w, y + fy * h]], np.float32), pen, 180)
    if rng.random() < chance * 0.3:  # a round stamp
        x, y = spot()
        radius = float(rng.uniform(3, 8)) * xh
        for r in (radius, radius * 0.8):
            cv2.circle(marks, (int(x), int(y)), int(r), int(rng.integers(80, 220)), pen, cv2.LINE_AA)
    if rng.random() < chance * 0.5:  # ticks, crosses, arrows, braces
        for _ in range(int(rng.integers(1, 4))):
            x, y = spot()
            turn = rng.normal(0, 1.2 * xh, (int(rng.integers(2, 5)), 2)).cumsum(0)
            _polyline(marks, turn + np.array([x, y], np.float32), pen, 230)
    if rng.random() < chance * 0.3:  # a scribble, a drawing
        x, y = spot()
        t = np.linspace(0, rng.uniform(6, 40), 160)
        a, b = rng.uniform(1, 6, 2) * xh
        f, g = rng.uniform(0.3, 2.5, 2)
        curve = np.stack([x + a * np.sin(f * t) + t * rng.normal(0, 0.1) * xh, y + b * np.cos(g * t + 1)], axis=1)
        _polyline(marks, curve, pen, 230)
    if rng.random() < chance * 0.3:  # blots
        for _ in range(int(rng.integers(1, 6))):
            x, y = spot()
            axes = (max(1, int(rng.uniform(0.1, 1.2) * xh)), max(1, int(rng.uniform(0.1, 1.2) * xh)))
            cv2.ellipse(
                marks, (int(x), int(y)), axes, float(rng.uniform(0, 180)), 0, 360, int(rng.integers(80, 256)), -1
            )
    return marks


def make_script(
    hand: Writer | Hand | HandFont, x_height: float, rng: np.random.Generator, text: TextSource, variation: float = 1.0
) -> _Script:
    """A hand at a size in pixels. `variation` 0 keeps a writer's own slant and proportions."""
    if isinstance(hand, Writer):
        hand = Hand(hand)
    if isinstance(hand, Hand):
        return _PenScript(hand, x_height, text, rng, variation)
    return _FontScript(hand, x_height, text, int(rng.integers(1 << 31)))


def compose_page(
    hand: Writer | Hand | HandFont,
    rng: np.random.Generator,
    style: PageStyle,
    text: TextSource,
    variation: float = 1.0,
    faces: Sequence[HandFont] = (),
) -> tuple[Gray, Gray, tuple[PageLine, ...]]:
    """Ink coverage of handwriting and of print, each (H, W) uint8, and the lines on them in reading order."""
    if isinstance(hand, HandFont) and hand.kind == "printed":
        style = replace(style, wander=0.0, line_slope=0.0, spacing=float(np.clip(style.spacing, 1.9, 3.4)))
    script = make_script(hand, style.x_height, rng, text, variation)
    layers = _draw_rows(_lay_out(script, style, rng, faces), style, rng)
    return layers.hand, layers.printed, tuple(layers.lines)


# ------------------------------------------------------------------------------------------------------- paper


def render_page(
    hand: Writer | Hand | HandFont,
    rng: np.random.Generator,
    style: PageStyle | None = None,
    text: TextSource | None = None,
    *,
    variation: float = 1.0,
    blank: bool = False,
    other_side: Writer | Hand | HandFont | None = None,
    faces: Sequence[HandFont] = (),
    camera: str | None = "any",
    clutter: Pictures | None = None,
) -> RenderedPage:
    """A page in one hand, on paper and photographed, with its truth.

    Args:
        hand: a writer or a font.
        style: the layout and the size in pixels; drawn at random when None.
        text: wording for hands that can write any text.
        variation: how far the writer's slant and proportions may be changed, 0 for not at all.
        blank: nothing is written, only paper and marks that are no text.
        other_side: who wrote on the back; shines through, mirrored.
        faces: printed faces for letterheads.
        camera: one of CAMERA_KINDS, "any" for one at random, None for the sheet as it lies on the table.
        clutter: if given, some pages have grids, drawings, holes and spirals, or lie on a desk; these pictures help.
    """
    style = style or PageStyle.sample(rng)
    text = text or TextSource(None)
    height, width = max(8, round(style.height * style.x_height)), max(8, round(style.width * style.x_height))
    spacing = style.spacing * style.x_height * float(rng.choice([1.0, rng.uniform(0.4, 1.2)], p=[0.6, 0.4]))
    rgb = make_sheet(height, width, rng, line_spacing=spacing).rgb
    if clutter is not None and rng.random() < GRID_SHARE:
        grid(rgb, rng, style.x_height)
    if other_side is not None:
        back, _, _ = compose_page(other_side, rng, style, text, variation)
        soft = cv2.GaussianBlur(back[:, ::-1], (0, 0), max(0.5, 0.06 * style.x_height))
        rgb = put_ink(rgb, np.asarray(soft * float(rng.uniform(0.06, 0.3)), np.uint8), rng)
    lines: tuple[PageLine, ...] = ()
    marks = _furnish(style, rng)
    if marks.any():
        rgb = put_ink(rgb, marks, rng)
    if not blank:
        written, printed, lines = compose_page(hand, rng, style, text, variation, faces)
        if printed.any():
            rgb = put_ink(rgb, printed, rng, "felt")
        rgb = put_ink(rgb, written, rng)
    if clutter is not None:
        rgb, lines = _cluttered(rgb, lines, rng, style.x_height, clutter)
    if camera is None:
        return RenderedPage(rgb, lines)
    points = [p for line in lines for p in (line.polygon, line.baseline, _x_line(line), *line.struck)]
    rgb, moved = photograph(rgb, points, rng, None if camera == "any" else camera)
    at = iter(moved)
    return RenderedPage(rgb, tuple(_moved(line, *itertools.islice(at, 3 + len(line.struck))) for line in lines))


def _cluttered(
    rgb: NDArray[np.uint8], lines: tuple[PageLine, ...], rng: np.random.Generator, x_height: float, pictures: Pictures
) -> tuple[NDArray[np.uint8], tuple[PageLine, ...]]:
    """The sheet with what is no writing on and around it, and its lines where they lie then."""
    if rng.random() < DRAWING_SHARE:
        occupied = np.zeros(rgb.shape[:2], np.uint8)
        for line in lines:
            cv2.fillPoly(occupied, [line.polygon.round().astype(np.int32)], 1)
        reach = max(1, round(0.5 * x_height))
        occupied = np.asarray(cv2.dilate(occupied, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)), np.uint8)
        paste_drawings(rgb, rng, occupied, x_height, pictures)
    if rng.random() < BINDING_SHARE:
        bind(rgb, rng)
    if rng.random() < NEIGHBOUR_SHARE:  # the edge of the facing page, its lines cut
        reach = round(float(rng.uniform(0.5, 3)) * x_height)
        at = int(rng.integers(0, max(1, rgb.shape[1] - reach)))
        fold = np.full((rgb.shape[0], max(2, round(0.2 * x_height)), 3), rng.uniform(20, 160), np.uint8)
        strip = rgb[:, at : at + reach]
        if rng.random() < 0.5:
            rgb = np.concatenate([strip, fold, rgb], axis=1)
            lines = _shifted(lines, strip.shape[1] + fold.shape[1], 0)
        else:
            rgb = np.concatenate([rgb, fold, strip], axis=1)
    if rng.random() < DESK_SHARE:
        rgb, corner = surround(rgb, rng, pictures)
        lines = _shifted(lines, *corner)
    return rgb, lines


def _shifted(lines: tuple[PageLine, ...], x: int, y: int) -> tuple[PageLine, ...]:
    shift = np.asarray((x, y), np.float32)
    return tuple(
        replace(
            line,
            polygon=line.polygon + shift,
            baseline=line.baseline + shift,
            struck=tuple(ends + shift for ends in line.struck),
        )
        for line in lines
    )


def _x_line(line: PageLine) -> Points:
    """The line along the tops of the small letters."""
    return np.asarray(line.baseline - np.array([0, line.x_height], np.float32), np.float32)


def _moved(line: PageLine, polygon: Points, baseline: Points, x_line: Points, *struck: Points) -> PageLine:
    x_height = float(np.median(np.linalg.norm(x_line - baseline, axis=1)))
    return replace(line, polygon=polygon, baseline=baseline, x_height=x_height, struck=struck)
