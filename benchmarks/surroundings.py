"""The same pages on other grounds and in other light: dots, rules, wood, shadows, curved, turned by 30° …

python benchmarks/surroundings.py data/paragraphs

Prints the CER of each and its ratio to that of the plain pages.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.evaluation.metrics import errors
from text_recognizer.evaluation.sets import load_set
from text_recognizer.images import load_image
from text_recognizer.reader import Reader

Gray = NDArray[np.uint8]

ENLARGED = 2.5  # times, after the crop


def on_paper(page: Gray, paper: Gray) -> Gray:
    """The ink of `page` on `paper`, both (H, W) uint8, dark on light."""
    ink = np.minimum(1.0, page.astype(np.float32) / max(1.0, float(np.percentile(page, 80))))
    return np.asarray(paper * ink, np.uint8)


def dot_grid(page: Gray) -> Gray:
    paper = np.full(page.shape, 245, np.uint8)
    for y in range(9, page.shape[0], 30):
        for x in range(13, page.shape[1], 30):
            cv2.circle(paper, (x, y), 2, 150, -1, cv2.LINE_AA)
    return on_paper(page, paper)


def punched(page: Gray) -> Gray:
    """With four holes in a wider left margin."""
    radius = max(8, round(0.018 * max(page.shape)))
    margin = 5 * radius
    wide = cv2.copyMakeBorder(page, 0, 0, margin, 0, cv2.BORDER_REPLICATE)
    paper = np.full(wide.shape, 245, np.uint8)
    for share in (0.12, 0.37, 0.63, 0.88):
        at = (margin // 2, round(share * page.shape[0]))
        cv2.circle(paper, at, radius + 2, 190, -1, cv2.LINE_AA)
        cv2.circle(paper, at, radius, 60, -1, cv2.LINE_AA)
    return on_paper(wide, paper)


def on_wood(page: Gray) -> Gray:
    """The sheet on a desk: rings, fibres and the joints of boards."""
    rng = np.random.default_rng(1)
    height, width = (round(1.5 * side) for side in page.shape)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = cv2.resize(rng.standard_normal((6, 6)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    fibres = cv2.resize(rng.standard_normal((height // 2, width // 60 + 1)).astype(np.float32), (width, height))
    wood = 130 + 22 * np.sin((ys + 25 * waves + 0.05 * xs) / 5) + 14 * fibres
    wood[np.mod(ys, 0.18 * height) < 3] = 40
    desk = np.clip(wood, 0, 255).astype(np.uint8)
    top, left = round(0.2 * page.shape[0]), round(0.3 * page.shape[1])
    desk[top : top + page.shape[0], left : left + page.shape[1]] = page
    return desk


def turned(page: Gray, degrees: float) -> Gray:
    height, width = page.shape
    side = int(np.ceil(np.hypot(height, width)))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    turn[:, 2] += ((side - width) / 2, (side - height) / 2)
    paper = float(np.percentile(page, 80))
    return np.asarray(cv2.warpAffine(page, turn, (side, side), flags=cv2.INTER_CUBIC, borderValue=paper), np.uint8)


def shaded(page: Gray) -> Gray:
    """With the sharp edge of a shadow across it that takes four fifths of the light."""
    y, x = np.mgrid[0 : page.shape[0], 0 : page.shape[1]]
    edge = x / page.shape[1] + 0.6 * y / page.shape[0] - 0.8
    return np.asarray(page * (1 - 0.8 / (1 + np.exp(-30 * edge))), np.uint8)


def graph_paper(page: Gray) -> Gray:
    paper = np.full(page.shape, 245, np.uint8)
    for rule in range(2):
        paper[rule::31], paper[:, rule::31] = 150, 150
    return on_paper(page, paper)


def ruled(page: Gray) -> Gray:
    """On rules nearly as dark as ink."""
    paper = np.full(page.shape, 245, np.uint8)
    for rule in range(3):
        paper[rule::62] = 90
    return on_paper(page, paper)


def curved(page: Gray) -> Gray:
    """Photographed in an open book: lines rise by a twentieth of the width to the middle of the page and fall again."""
    highest = round(0.05 * page.shape[1])
    page = cv2.copyMakeBorder(page, highest, 0, 0, 0, cv2.BORDER_REPLICATE)  # or the first line would leave it
    height, width = page.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    rise = np.float32(highest) * np.sin(np.pi * x / width)
    return np.asarray(cv2.remap(page, x, y + rise, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def cropped(page: Gray) -> Gray:
    """Cut closely around the ink and enlarged."""
    ink = cv2.morphologyEx((page < np.percentile(page, 80) - 60).astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2)))
    ys, xs = np.nonzero(ink)
    part = page[max(0, ys.min() - 4) : ys.max() + 5, max(0, xs.min() - 4) : xs.max() + 5]
    return np.asarray(cv2.resize(part, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC), np.uint8)


GROUNDS: dict[str, Callable[[Gray], Gray]] = {
    "plain": lambda page: page,
    "dot grid": dot_grid,
    "punch holes": punched,
    "on wood": on_wood,
    "cropped and enlarged": cropped,
    "in a shadow": shaded,
    "graph paper": graph_paper,
    "dark rules": ruled,
    "curved": curved,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("set", type=Path, nargs="+", help="sets of pages with transcripts")
    parser.add_argument("--bundle", help="model folder (default: the shipped one)")
    parser.add_argument("--mode", choices=("fast", "accurate"), default="fast")
    parser.add_argument(
        "--turned", type=float, nargs="*", default=[30.0], metavar="DEGREES", help="counter-clockwise; default: 30"
    )
    parser.add_argument("--limit", type=int, default=6, help="pages of each set; default: %(default)s")
    arguments = parser.parse_args()
    reader = Reader(arguments.bundle)
    pages = []
    for folder in arguments.set:
        for page in load_set(folder).pages[: arguments.limit]:
            text = page.text or "\n".join(line.text for line in page.lines)
            pages.append((load_image(page.image).gray, " ".join(text.split())))
    print(f"{len(pages)} pages, {arguments.mode}\n\n| ground | CER | ratio | lines |\n|---|---|---|---|")
    plain = None
    turns = {f"turned by {angle:g} degrees": partial(turned, degrees=angle) for angle in arguments.turned}
    for name, draw in {**GROUNDS, **turns}.items():
        found = [reader.read(np.stack([draw(gray)] * 3, axis=-1), arguments.mode) for gray, _ in pages]
        counted = [errors(text, page.text) for page, (_, text) in zip(found, pages, strict=True)]
        cer = sum(e.character_edits for e in counted) / max(1, sum(e.characters for e in counted))
        plain = plain or cer
        lines = sum(len(page.lines) for page in found)
        print(f"| {name} | {100 * cer:.1f} % | {cer / max(plain, 1e-9):.2f} | {lines} |", flush=True)


if __name__ == "__main__":
    main()
