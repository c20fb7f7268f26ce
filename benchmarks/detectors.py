"""Whole pages read by our recogniser, on the lines of our finder and on those of RapidOCR's detector.

    python benchmarks/detectors.py data/wild data/csafe data/letters

RapidOCR finds runs of text; those on one height and close to one another are made one line (`lines.joined`), and lines
are put in order by the same rules as ours. RapidOCR is no dependency: see `peers.py`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from lines import joined, rapidocr
from numpy.typing import NDArray

from text_recognizer.evaluation.line_alignment import ILLEGIBLE, align_lines
from text_recognizer.evaluation.metrics import any_order, errors
from text_recognizer.evaluation.sets import LINE_TYPES, load_set
from text_recognizer.images import load_image
from text_recognizer.layout.blocks import arrange
from text_recognizer.page import Line
from text_recognizer.reader import Reader

Gray = NDArray[np.uint8]


def on_boxes(reader: Reader, gray: Gray, boxes: Sequence[NDArray[np.floating]], mode: str) -> list[str]:
    """Texts of `boxes` in the order of reading."""
    places = [(tuple((float(x), float(y)) for x, y in box), None) for box in boxes]
    rgb = cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)
    read: list[Line] = [line for line in reader.read(rgb, mode, places).lines if line.text]  # type: ignore[arg-type]
    return [line.text for line in arrange(read)[0]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("set", type=Path, nargs="+")
    parser.add_argument("--bundle", help="model folder (default: the shipped one)")
    parser.add_argument("--mode", choices=("fast", "accurate"), default="fast")
    parser.add_argument("--step", type=int, default=1, help="every so many pages; default: %(default)s")
    arguments = parser.parse_args()
    reader, find = Reader(arguments.bundle), rapidocr(2)
    print("| set | lines of | CER | any order | lines | lost | invented |\n|---|---|---|---|---|---|---|")
    for folder in arguments.set:
        counts: dict[str, list[int]] = {"ours": [0] * 6, "RapidOCR": [0] * 6}
        for page in load_set(folder, LINE_TYPES).pages[:: arguments.step]:
            truth = page.text.splitlines() if page.text else [line.text for line in page.lines]
            legible = [ILLEGIBLE.sub(" ", line) for line in truth]
            gray = load_image(page.image).gray
            boxes = joined(find(cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)).polygons)
            found = reader.read(page.image, arguments.mode)
            for name, read in (
                ("ours", [line.text for line in found.lines]),
                ("RapidOCR", on_boxes(reader, gray, boxes, arguments.mode)),
            ):
                whole = errors(" ".join(legible), " ".join(read))
                lines = align_lines(truth, read)
                free = any_order(legible, read)[0]
                new = (
                    whole.characters, whole.character_edits, min(free, whole.character_edits),
                    lines.truth, len(lines.lost), len(lines.invented),
                )  # fmt: skip
                counts[name] = [a + b for a, b in zip(counts[name], new, strict=True)]
        for name, (characters, edits, free, lines_, lost, invented) in counts.items():
            shares = f"{100 * edits / characters:.1f} % | {100 * free / characters:.1f} %"
            print(f"| {folder.name} | {name} | {shares} | {lines_} | {lost} | {invented} |", flush=True)


if __name__ == "__main__":
    main()
