"""Measure whether lines are called printed or handwritten as they are, and whether struck-out words are found.

    python benchmarks/marks.py --unipen data/unipen.npz --fonts data/fonts --texts data/texts \
        --real-lines data/real_lines --letters data/letters --pages data/csafe

Rendered lines are in hands and typefaces that training never sees. Words are those that the recogniser reads in the
fast mode. A word that is struck out counts as found if it is left out of the text; any other word of the recogniser is
wrongly struck if it is left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from text_recognizer.evaluation.sets import LINE_TYPES, load_set
from text_recognizer.images import load_image
from text_recognizer.layout.crops import crop_line
from text_recognizer.reader import Reader
from text_recognizer.recognition.normalise import WIDTH_SCALE
from text_recognizer.synthesis.sources.real_lines import RealLines
from text_recognizer.training.marked_lines import MarkedLine, MarkedLines
from text_recognizer.training.marks import draw


def read(reader: Reader, crops: Sequence[np.ndarray], printed: bool, name: str) -> None:
    """Print the share of lines whose script is right, and of words that are called struck out."""
    lines = [line for line in reader.recognizer.read_lines(crops, "fast") if line.words or line.struck]
    right = np.mean([line.script == ("printed" if printed else "handwritten") for line in lines])
    struck = sum(len(line.struck) for line in lines)
    words = struck + sum(len(line.words) for line in lines)
    print(f"{name:28} {len(lines):5} lines, script right {100 * right:5.1f} %; {words:5} words, struck out {struck}")


def read_rendered(reader: Reader, lines: Sequence[MarkedLine]) -> None:
    """Print the share of rendered lines whose script is right, and how many struck-out words are found."""
    crops = [
        cv2.resize(255 - line.image, (round(line.image.shape[1] / WIDTH_SCALE), line.image.shape[0])) for line in lines
    ]
    readings = reader.recognizer.read_lines(crops, "fast")
    right: dict[bool, list[bool]] = {True: [], False: []}
    found = missed = wrong = kept = 0
    for line, got in zip(lines, readings, strict=True):
        if got.script is not None:
            right[line.printed].append((got.script == "printed") == line.printed)
        for words, out in ((got.words, False), (got.struck, True)):
            for word in words:
                first = int(word.start * len(line.struck))
                part = line.struck[first : max(first + 1, round(word.end * len(line.struck)))]
                if part.mean() > 0.6:
                    found, missed = found + out, missed + (not out)
                elif part.mean() < 0.1:
                    wrong, kept = wrong + out, kept + (not out)
    for printed, name in ((False, "held-out hands"), (True, "held-out typefaces")):
        print(f"{name:28} {len(right[printed]):5} lines, script right {100 * np.mean(right[printed]):5.1f} %")
    print(f"rendered: {found} of {found + missed} struck-out words left out, {wrong} of {wrong + kept} others")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", help="default: the shipped one")
    parser.add_argument("--unipen", type=Path, required=True)
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--real-lines", type=Path)
    parser.add_argument("--letters", type=Path, help="pages of ALTO whose lines have types")
    parser.add_argument("--pages", type=Path, help="pages of handwriting in which nothing is struck out")
    parser.add_argument("--lines", type=int, default=1000, help="of rendered ones and of each set (%(default)s)")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    reader = Reader(args.bundle)
    height = reader.recognizer.line_height
    drawn = MarkedLines(args.unipen, args.fonts, args.texts, split="heldout")
    read_rendered(reader, draw(drawn, args.lines, 3))
    if args.real_lines is not None:
        real = RealLines(args.real_lines, "dev")
        chosen = np.random.default_rng(0).permutation(len(real.lines))[: args.lines]
        read(reader, [real.image(real.lines[i]) for i in chosen], False, "real lines, split dev")
    for kinds, printed in ((LINE_TYPES[:1], False), (LINE_TYPES[1:], True)) if args.letters is not None else ():
        crops = []
        for page in load_set(args.letters, kinds).pages:
            gray = load_image(page.image).gray
            crops += [crop_line(gray, line.polygon, line.baseline, height) for line in page.lines if line.polygon]
        read(reader, crops[: args.lines], printed, f"letters, {' and '.join(kinds)}")
    if args.pages is not None:
        found = [crop for page in load_set(args.pages).pages for crop in reader.lay_out(page.image).crops]
        read(reader, found[: args.lines], False, args.pages.name)


if __name__ == "__main__":
    main()
