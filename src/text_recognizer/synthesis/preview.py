"""`text-recognizer train data preview`: a contact sheet of rendered training samples, with the truth under each."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.errors import DataInvalid, OutputFailed
from text_recognizer.synthesis.rendering.camera import STRIP_CAMERAS, picture_line
from text_recognizer.synthesis.rendering.ink import Hand, compose_line, vary
from text_recognizer.synthesis.rendering.line import draw_line, render_line
from text_recognizer.synthesis.rendering.page import render_page
from text_recognizer.synthesis.rendering.paper import INKS, PAPER_KINDS
from text_recognizer.synthesis.sources.fonts import HandFont, load_fonts, render_text
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import load_writers

Tile = tuple[NDArray[np.uint8], str]  # a picture (H, W) or (H, W, 3), and its caption

_Thing = TypeVar("_Thing")
_PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer train data preview`; returns the exit status."""
    options = _parser().parse_args(argv)
    rng = np.random.default_rng(options.seed)
    text = TextSource(options.texts if options.texts.is_dir() else None)
    fonts = load_fonts(options.fonts) if options.fonts.is_dir() else []
    hands = (
        [h for h in map(Hand, load_writers(options.unipen, "train")) if h.writable] if options.unipen.is_file() else []
    )
    if not hands and not fonts:
        raise DataInvalid(
            f"neither {options.unipen} nor {options.fonts} is there: make one with "
            "'text-recognizer train data prepare' or 'text-recognizer train data fonts'"
        )
    sections: list[tuple[str, list[Tile]]] = []
    if hands:
        sections.append(("pen strokes, as training reads them", list(_pen_lines(hands, text, options.lines, rng))))
    if fonts:
        sections.append(("fonts", list(_font_lines(fonts, text, options.lines, rng))))
    sections.append(("papers, inks and cameras", list(_paper_lines(hands, fonts, text, rng))))
    if options.beside is not None:
        sections.append((f"beside: {options.beside.name}", list(_beside(options.beside, options.lines))))
    if options.pages:
        sections.append(("pages, lines outlined", list(_pages([*hands, *fonts], text, options.pages, rng))))
    sheet = _lay_out(sections, fonts)
    try:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(options.output)
    except (OSError, ValueError) as error:
        raise OutputFailed(f"cannot write {options.output}: {error}") from error
    print(f"{options.output}: {sum(len(tiles) for _, tiles in sections)} samples")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="text-recognizer train data preview", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("preview.png"), help="default: %(default)s")
    parser.add_argument("--unipen", type=Path, default=Path("data/unipen.npz"), help="default: %(default)s")
    parser.add_argument("--fonts", type=Path, default=Path("data/fonts"), help="default: %(default)s")
    parser.add_argument("--texts", type=Path, default=Path("data/texts"), help="default: %(default)s")
    parser.add_argument("--lines", type=int, default=24, metavar="N", help="lines of each source; default: %(default)s")
    parser.add_argument("--pages", type=int, default=4, metavar="N", help="whole pages; default: %(default)s")
    parser.add_argument("--beside", type=Path, metavar="DIR", help="images of real lines to set beside the rendered")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    return parser


def _pick_one(things: Sequence[_Thing], rng: np.random.Generator) -> _Thing:
    return things[int(rng.integers(len(things)))]


def _pen_lines(hands: list[Hand], text: TextSource, count: int, rng: np.random.Generator) -> Iterator[Tile]:
    for _ in range(count):
        hand = _pick_one(hands, rng)
        ink = compose_line(hand, rng, (8, 48), text.line)
        near = [compose_line(hand, rng, (3, 20))] if rng.random() < 0.3 else []
        yield render_line(ink, rng, 64, near), ink.text


def font_line(fonts: list[HandFont], text: TextSource, rng: np.random.Generator) -> Tile:
    """The coverage (64, W) of a line in one of the fonts, and its text."""
    for _ in range(100):
        font = _pick_one(fonts, rng)
        words = " ".join(w for w in text.line(rng, 8, 48).split() if font.covers(w))
        if len(words) > 5:
            break
    else:  # a font with few characters shows those
        words = "".join(sorted(font.characters - {" "})[:24])
    coverage, baseline = render_text(font, words, 64 / float(rng.uniform(2.4, 3.4)), rng)
    top = round(baseline - 64 * 0.66)
    columns = np.flatnonzero(coverage.max(0) > 32)
    canvas = np.zeros((64, int(columns[-1] - columns[0]) + 25), np.uint8)
    part = coverage[max(0, top) : top + 64, columns[0] : columns[-1] + 1]
    canvas[max(0, -top) : max(0, -top) + part.shape[0], 12 : 12 + part.shape[1]] = part
    return canvas, words


def _font_lines(fonts: list[HandFont], text: TextSource, count: int, rng: np.random.Generator) -> Iterator[Tile]:
    for _ in range(count):
        coverage, words = font_line(fonts, text, rng)
        yield picture_line(coverage, rng), words


def _paper_lines(
    hands: list[Hand], fonts: list[HandFont], text: TextSource, rng: np.random.Generator
) -> Iterator[Tile]:
    """Every paper, each with the next ink and camera, so that each kind is shown."""
    for turn in range(2 * len(PAPER_KINDS)):
        paper = PAPER_KINDS[turn % len(PAPER_KINDS)]
        ink, camera = INKS[turn % len(INKS)], STRIP_CAMERAS[turn % len(STRIP_CAMERAS)]
        if hands and (not fonts or turn % 2):
            line = vary(compose_line(_pick_one(hands, rng), rng, (10, 40), text.line), rng)
            coverage, words = draw_line(line, rng, 64, []), line.text
        else:
            coverage, words = font_line(fonts, text, rng)
        yield picture_line(coverage, rng, paper, ink, camera), f"{words}   [{paper}, {ink}, {camera}]"


def _beside(folder: Path, count: int) -> Iterator[Tile]:
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _PICTURES)
    if not paths:
        raise DataInvalid(f"{folder} holds no images of lines ({', '.join(_PICTURES)})")
    for path in paths[:count]:
        picture = np.asarray(Image.open(path).convert("RGB"))
        scale = 64 / picture.shape[0]
        size = (max(1, round(picture.shape[1] * scale)), 64)
        yield np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8), path.name


def _pages(hands: Sequence[Hand | HandFont], text: TextSource, count: int, rng: np.random.Generator) -> Iterator[Tile]:
    for _ in range(count):
        page = render_page(_pick_one(hands, rng), rng, text=text)
        picture = page.rgb.copy()
        for line in page.lines:
            cv2.polylines(picture, [np.round(line.polygon).astype(np.int32)], True, (220, 60, 40), 2, cv2.LINE_AA)
            cv2.polylines(picture, [np.round(line.baseline).astype(np.int32)], False, (40, 110, 220), 2, cv2.LINE_AA)
        scale = min(1.0, 760 / max(picture.shape[:2]))
        picture = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        yield picture, page.lines[0].text if page.lines else "(nothing written)"


def _lay_out(sections: list[tuple[str, list[Tile]]], fonts: list[HandFont], width: int = 1760) -> Image.Image:
    """Arrange the sections below each other, in two columns of tiles with their texts."""
    column = width // 2 - 16
    plain = next((f for f in fonts if f.kind == "printed"), None)
    small: ImageFont.FreeTypeFont | ImageFont.ImageFont
    small = ImageFont.truetype(str(plain.path), 15) if plain else ImageFont.load_default(15)
    rows: list[tuple[int, list[tuple[int, Image.Image, str]]]] = []
    for title, tiles in sections:
        rows.append((34, [(8, Image.new("RGB", (1, 1), "white"), title.upper())]))
        for left, right in zip(tiles[::2], [*tiles[1::2], None], strict=False):
            both = []
            for x, tile in ((8, left), (8 + width // 2, right)):
                if tile is not None:
                    picture = Image.fromarray(tile[0]).convert("RGB")
                    if picture.width > column:
                        picture = picture.resize((column, round(picture.height * column / picture.width)))
                    both.append((x, picture, tile[1]))
            rows.append((max(p.height for _, p, _ in both) + 30, both))
    sheet = Image.new("RGB", (width, sum(h for h, _ in rows) + 8), "white")
    pen = ImageDraw.Draw(sheet)
    y = 8
    for height, cells in rows:
        for x, picture, words in cells:
            sheet.paste(picture, (x, y))
            pen.text((x, y + picture.height + 3), words, fill=(20, 70, 160), font=small)
        y += height
    return sheet
