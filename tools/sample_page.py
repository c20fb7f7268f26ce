"""Draw samples/page.png: a short letter in the hand of a UNIPEN writer that no training sees.

    python tools/sample_page.py --unipen data/unipen.npz samples/page.png

The text was written for this project. Words that the writer wrote are taken whole, the others are set from the
writer's letters. Seeds are fixed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from text_recognizer.synthesis.rendering.camera import photograph
from text_recognizer.synthesis.rendering.ink import Hand, compose_words
from text_recognizer.synthesis.rendering.paper import make_sheet, put_ink
from text_recognizer.synthesis.rendering.pen import Pen, draw_ink
from text_recognizer.synthesis.sources.unipen import load_writers

WRITER = "art-27cebe6718"
SEED = 7
LETTER = """\
Dear Anna,

Thank you for your letter, which came
on Tuesday. We are all well here. The
garden is green again after the rain,
and the old apple tree is in flower.

Tom has found a box of papers in the
attic. Some of them were written by
our grandfather in 1905! I will read
them to you when you visit in June.

With love from all of us,
Margaret"""
SIZE = 1500, 1200  # height and width of the page, pixels
X_HEIGHT, SPACING, LEFT, TOP = 27.0, 104, 90, 150  # pixels
PARAGRAPH = 0.6  # height of an empty line, in lines


def write(hand: Hand, seed: int) -> NDArray[np.uint8]:
    """The letter on paper: (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    cover = np.zeros(SIZE, np.uint8)
    pen, y = Pen(0.13, pressure=0.3), float(TOP)
    for text in LETTER.splitlines():
        if not text:
            y += PARAGRAPH * SPACING
            continue
        x = LEFT + float(rng.normal(0, 4)) + (330 if text in ("With love from all of us,", "Margaret") else 0)
        for word in compose_words(hand, text, rng, substitute=False):
            points = np.concatenate(word.strokes)
            left, right = float(points[:, 0].min()), float(points[:, 0].max())
            draw_ink(word.strokes, X_HEIGHT, (x - left * X_HEIGHT, y + float(rng.normal(0, 1.5))), cover, pen)
            x += (right - left + 1.15 + float(rng.normal(0, 0.1))) * X_HEIGHT
        y += SPACING
    paper = make_sheet(*SIZE, np.random.default_rng(seed + 1), "plain")
    inked = put_ink(paper.rgb, cover, np.random.default_rng(seed + 2), "fountain")
    return photograph(inked, [], np.random.default_rng(seed + 3), "scan")[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unipen", type=Path, required=True, help="the strokes that `train data prepare` writes")
    parser.add_argument("page", type=Path)
    options = parser.parse_args()
    hand = next(Hand(writer) for writer in load_writers(options.unipen, "heldout") if writer.id == WRITER)
    page = Image.fromarray(write(hand, SEED))
    page.quantize(16, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(options.page, optimize=True)


if __name__ == "__main__":
    main()
