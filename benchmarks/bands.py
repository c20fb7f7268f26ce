"""What finding lines costs on level paragraphs: the same lines cut without the line finder, at the emptiest rows.

    python benchmarks/bands.py data/paragraphs --out data/sets/bands [--pictures FOLDER]

Each image is cut into as many bands as its transcript has lines: the cuts are those rows, one between two lines, that
together cross the least ink (dynamic programming over rows, bands of like height). Look at the pictures before
believing a figure. What is written is a set for `text-recognizer evaluate --by line`; compare with `--by page` there.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.images import load_image
from text_recognizer.layout.prepare import flatten_paper


def cuts(ink: NDArray[np.float64], lines: int) -> list[int]:
    """`lines` + 1 rows that part the ink of each row (H,) into bands, outer ends included, crossing the least ink."""
    inked = np.flatnonzero(ink > 0.02 * ink.max())
    top, bottom = int(inked[0]), int(inked[-1]) + 1
    step = (bottom - top) / lines
    low, high = max(1, int(0.6 * step)), int(1.5 * step) + 1
    rows = bottom - top
    best = np.full((lines + 1, rows + 1), np.inf)
    back = np.zeros((lines + 1, rows + 1), int)
    best[0, 0] = 0
    for k in range(1, lines + 1):
        for y in range(1, rows + 1):
            first = max(0, y - high)
            before = best[k - 1, first : max(first, y - low + 1)]
            if len(before) and np.isfinite(before).any():
                back[k, y] = first + int(before.argmin())
                best[k, y] = before.min() + (ink[top + y] if y < rows else 0)
    found, y = [bottom], rows
    for k in range(lines, 0, -1):
        y = int(back[k, y])
        found.insert(0, top + y)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paragraphs", type=Path, help="folder of images with transcripts.json")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    transcripts = json.loads((args.paragraphs / "transcripts.json").read_text(encoding="utf-8"))
    with (args.out / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for stem, text in transcripts.items():
            gray = load_image(next(args.paragraphs.glob(f"{stem}.*"))).gray
            cv2.imwrite(str(args.out / f"{stem}.png"), gray)
            ink = np.clip(200.0 - flatten_paper(gray), 0, None).sum(1)
            texts = text.split("\n")
            edges = cuts(cv2.GaussianBlur(ink[:, None], (1, 9), 2)[:, 0], len(texts))
            for line, (above, below) in zip(texts, pairwise(edges), strict=True):
                width = gray.shape[1]
                polygon = [[0, above], [width, above], [width, below], [0, below]]
                record = {"image": f"{stem}.png", "text": line, "polygon": polygon, "writer": stem}
                manifest.write(json.dumps(record, ensure_ascii=False) + "\n")
            if args.pictures is not None:
                args.pictures.mkdir(parents=True, exist_ok=True)
                for y in edges:
                    cv2.line(gray, (0, y), (gray.shape[1], y), 0, 1)
                cv2.imwrite(str(args.pictures / f"{stem}.png"), gray)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
