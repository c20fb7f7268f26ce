"""Render whole pages of handwriting with exact truth: text, polygon, baseline and x-height of every line.

A page is laid out as people write (margins, indents, paragraphs, headings, lists, columns, hyphenation, additions
between lines and in the margin, struck-out words), drawn line by line, put on paper and photographed. Lengths without
a unit are in x-heights of the writing; lengths in pixels say so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.synthesis.rendering.camera import photograph
from text_recognizer.synthesis.rendering.clutter import Pictures, bind, grid, paste_drawings, surround
from text_recognizer.synthesis.rendering.furniture import draw_line, furnish
from text_recognizer.synthesis.rendering.ink import Hand
from text_recognizer.synthesis.rendering.page_layout import LineKind, Row, lay_out
from text_recognizer.synthesis.rendering.page_style import PageStyle
from text_recognizer.synthesis.rendering.paper import make_sheet, put_ink
from text_recognizer.synthesis.rendering.script import INK, make_script
from text_recognizer.synthesis.rendering.strike import strike_out
from text_recognizer.synthesis.sources.fonts import HandFont
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import Writer

Gray = NDArray[np.uint8]
Points = NDArray[np.float32]

# Share of cluttered pages with each kind of clutter.
GRID_SHARE, DRAWING_SHARE, BINDING_SHARE, DESK_SHARE, NEIGHBOUR_SHARE = 0.15, 0.3, 0.2, 0.2, 0.12


@dataclass(frozen=True)
class PageLine:
    """Truth of one line, in pixels of the page."""

    text: str
    polygon: Points  # (n, 2) clockwise, around this line's ink
    baseline: Points  # (m, 2) left to right
    x_height: float
    kind: LineKind = "text"
    struck: tuple[Points, ...] = ()  # (2, 2) each: start and end of a struck-out word on the baseline


@dataclass(frozen=True)
class RenderedPage:
    """A page as from a camera or scanner, with its lines in reading order."""

    rgb: NDArray[np.uint8]  # (H, W, 3)
    lines: tuple[PageLine, ...]


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
    """Render a page in one hand, on paper and photographed, with its truth.

    Args:
        hand: a writer or a font.
        style: the layout and the size in pixels; None draws one at random.
        text: texts for hands that can write anything.
        variation: how far the writer's slant and proportions may change; 0 for not at all.
        blank: no writing, only paper and marks that are not text.
        other_side: the hand on the back, which shines through mirrored.
        faces: printed faces for letterheads.
        camera: one of CAMERA_KINDS, "any" for a random one, None for the sheet without a camera.
        clutter: if given, some pages have grids, drawings, holes and spirals, or lie on a desk, with these pictures.
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
    marks = furnish(style, rng)
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
    """Add clutter on and around the sheet. Returns the picture, and the lines in their new positions."""
    if rng.random() < DRAWING_SHARE:
        occupied = np.zeros(rgb.shape[:2], np.uint8)
        for line in lines:
            cv2.fillPoly(occupied, [line.polygon.round().astype(np.int32)], 1)
        reach = max(1, round(0.5 * x_height))
        occupied = np.asarray(cv2.dilate(occupied, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)), np.uint8)
        paste_drawings(rgb, rng, occupied, x_height, pictures)
    if rng.random() < BINDING_SHARE:
        bind(rgb, rng)
    if rng.random() < NEIGHBOUR_SHARE:  # the edge of the facing page, with lines cut off
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
    """The x-line, along the tops of the small letters."""
    return np.asarray(line.baseline - np.array([0, line.x_height], np.float32), np.float32)


def _moved(line: PageLine, polygon: Points, baseline: Points, x_line: Points, *struck: Points) -> PageLine:
    x_height = float(np.median(np.linalg.norm(x_line - baseline, axis=1)))
    return replace(line, polygon=polygon, baseline=baseline, x_height=x_height, struck=struck)


def compose_page(
    hand: Writer | Hand | HandFont,
    rng: np.random.Generator,
    style: PageStyle,
    text: TextSource,
    variation: float = 1.0,
    faces: Sequence[HandFont] = (),
) -> tuple[Gray, Gray, tuple[PageLine, ...]]:
    """Ink coverage of handwriting and of print, each (H, W) uint8, and their lines in reading order."""
    if isinstance(hand, HandFont) and hand.kind == "printed":
        style = replace(style, wander=0.0, line_slope=0.0, spacing=float(np.clip(style.spacing, 1.9, 3.4)))
    script = make_script(hand, style.x_height, rng, text, variation)
    layers = _draw_rows(lay_out(script, style, rng, faces), style, rng)
    return layers.hand, layers.printed, tuple(layers.lines)


@dataclass
class _Layers:
    """The layers of ink on the paper, as coverage (H, W)."""

    hand: Gray
    printed: Gray
    lines: list[PageLine]


def _draw_rows(rows: Sequence[Row], style: PageStyle, rng: np.random.Generator) -> _Layers:
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
        # The page's slope turns about the page's middle and a line's slope about the line's, so lines keep their
        # distance.
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
            draw_line(strip, np.stack([xs, ys], axis=1), max(1, round(0.12 * own)))
        for piece, x in row.pieces if style.underlines else ():
            if rng.random() < style.underlines:
                xs = np.linspace(row.x + x, row.x + x + piece.width, 6).astype(np.float32)
                ys = level(xs) + np.float32(rng.uniform(0.15, 0.5) * own) + rng.normal(0, 0.03 * own, 6)
                draw_line(strip, np.stack([xs, ys], axis=1), max(1, round(0.12 * own)))
        target = (printed if is_print else hand)[strip_top:strip_bottom]
        np.maximum(target, strip, out=target)
    return _Layers(hand, printed, lines)


def _truth(strip: Gray, strip_top: int, row: Row, level: Callable[[Points], Points]) -> PageLine | None:
    """The polygon around the ink of `strip`, and its baseline; None if the line is off the page."""
    xh = row.script.x_height
    ink = strip > INK
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
