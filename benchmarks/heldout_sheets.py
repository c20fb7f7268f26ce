"""Draw the held-out writers' inks on contact sheets, each over its label, to find by eye those that are broken.

    python benchmarks/heldout_sheets.py --unipen data/unipen.npz --out /tmp/sheets

Writes phrases-00.png, words-00.png, characters-00.png, … and index.tsv: the number on the sheet, the id that
src/text_recognizer/synthesis/sources/heldout_broken.txt takes, the writer, the label. Inks on that list are not drawn;
`--all` draws them too, framed. No recogniser is asked.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.synthesis.sources.unipen import Ink, Writer, broken_inks, ink_id, load_writers

SIDE = 1560  # pixels of a sheet: more is scaled down where sheets are looked at
LABEL = 16
PAPER, GUIDE = 255, 205


@dataclass(frozen=True)
class Layout:
    """How a kind of ink is set on its sheets."""

    columns: int
    height: int  # pixels of the ink's part of a cell
    x_height: float  # pixels, less where an ink would not fit


LAYOUTS = {"phrases": Layout(2, 62, 18.0), "words": Layout(8, 54, 15.0), "characters": Layout(24, 46, 13.0)}


def kinds(writer: Writer) -> Iterator[tuple[str, Ink]]:
    """Each ink of a writer with the kind of sheet that it goes on; characters are in the alphabet's order."""
    for ink in writer.inks:
        yield "phrases" if " " in ink.text else "words" if len(ink.text) > 1 else "characters", ink
    for char in sorted(writer.chars):
        for ink in writer.chars[char]:
            yield "characters", ink


def draw_cell(ink: Ink, width: int, layout: Layout) -> NDArray[np.uint8]:
    """(height, width) uint8 of an ink between the lines of its baseline and x-height, where it claims to stand."""
    points = np.concatenate(ink.strokes)
    (left, top), (right, bottom) = np.minimum(points.min(0), [0, -1]), np.maximum(points.max(0), [0, 0])
    scale = min(layout.x_height, (width - 8) / max(right - left, 0.1), (layout.height - 6) / (bottom - top))
    baseline = float(np.clip(0.68 * layout.height, 3 - top * scale, layout.height - 3 - bottom * scale))
    cell = np.full((layout.height, width), PAPER, np.uint8)
    for y in (baseline, baseline - scale):
        cv2.line(cell, (0, round(y)), (width, round(y)), GUIDE)
    for stroke in ink.strokes:
        line = (stroke - [left, 0]) * scale + [4, baseline]
        fixed = np.round(line * 16).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(cell, [fixed], False, 0, 1, cv2.LINE_AA, 4)
        if len(stroke) < 3:  # a dot would hardly be seen
            cv2.circle(cell, (int(fixed[0, 0, 0]), int(fixed[0, 0, 1])), 14, 0, -1, cv2.LINE_AA, 4)
    return cell


def draw_sheets(kind: str, rows: list[tuple[Writer, list[tuple[int, Ink]]]], marked: frozenset[str], out: Path) -> int:
    """Write the sheets of one kind, each writer's inks from a new row on under the writer's id; returns their count."""
    layout = LAYOUTS[kind]
    cell_width = SIDE // layout.columns
    font = ImageFont.load_default(12)
    sheets: list[Image.Image] = []
    y = SIDE
    for writer, inks in rows:
        for start in range(0, len(inks), layout.columns):
            heading = LABEL if start == 0 else 0
            if y + heading + layout.height + LABEL > SIDE:
                sheets.append(Image.new("L", (SIDE, SIDE), PAPER))
                y, heading = 0, LABEL
            pen = ImageDraw.Draw(sheets[-1])
            if heading:
                pen.rectangle((0, y, SIDE, y + heading - 2), fill=GUIDE)
                pen.text((4, y), writer.id, 0, font)
            y += heading
            for column, (number, ink) in enumerate(inks[start : start + layout.columns]):
                x = column * cell_width
                sheets[-1].paste(Image.fromarray(draw_cell(ink, cell_width - 12, layout)), (x, y))
                pen.text((x + 2, y + layout.height), f"{number} {ink.text}", 0, font)
                if ink_id(writer.id, ink) in marked:
                    pen.rectangle((x, y, x + cell_width - 4, y + layout.height + LABEL - 1), outline=0, width=2)
            y += layout.height + LABEL
    for index, sheet in enumerate(sheets):
        sheet.save(out / f"{kind}-{index:02d}.png")
    return len(sheets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unipen", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--all", action="store_true", help="draw the inks on the list too, framed")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    writers = load_writers(args.unipen, "heldout", broken=args.all)
    rows: dict[str, list[tuple[Writer, list[tuple[int, Ink]]]]] = {kind: [] for kind in LAYOUTS}
    number = 0
    with (args.out / "index.tsv").open("w", encoding="utf-8") as index:
        for writer in writers:
            of_kind: dict[str, list[tuple[int, Ink]]] = {kind: [] for kind in LAYOUTS}
            for kind, ink in kinds(writer):
                of_kind[kind].append((number, ink))
                index.write(f"{number}\t{ink_id(writer.id, ink)}\t{writer.id}\t{kind}\t{ink.text}\n")
                number += 1
            for kind, inks in of_kind.items():
                if inks:
                    rows[kind].append((writer, inks))
    for kind in LAYOUTS:
        print(draw_sheets(kind, rows[kind], broken_inks(), args.out), f"sheets of {kind}")


if __name__ == "__main__":
    main()
