"""Write the fixed evaluation sets of held-out writers: rendered lines and rendered pages, each with a manifest.

    python benchmarks/make_sets.py --unipen data/unipen.npz --texts data/texts --out data/sets

The lines are of every held-out writer in turn, without the variation that training adds to a hand; the pages are of
the page renderer. Seeds are fixed, so the sets are the same wherever the data is.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

from text_recognizer.synthesis.rendering.ink import Hand, compose_line
from text_recognizer.synthesis.rendering.line import render_line
from text_recognizer.synthesis.rendering.page import render_page
from text_recognizer.synthesis.rendering.page_style import PageStyle
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import load_writers
from text_recognizer.training.finder_lit import page_hands

HEIGHT = 96  # pixels of a line image: twice what the network sees


def write_lines(unipen: Path, text: TextSource, out: Path, count: int) -> int:
    """`count` line images, writers in turn."""
    folder = out / "heldout-lines"
    folder.mkdir(parents=True, exist_ok=True)
    hands = [h for h in map(Hand, load_writers(unipen, "heldout")) if h.writable]
    with (folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for number in range(count):
            rng = np.random.default_rng([20261123, number])
            hand = hands[number % len(hands)]
            ink = compose_line(hand, rng, (1, 14) if rng.random() < 0.25 else (10, 60), text.line)
            near = [compose_line(hand, rng, (3, 20))] if rng.random() < 0.3 else []
            image = render_line(ink, rng, HEIGHT, near, variation=0.0)
            name = f"{number:04d}.png"
            cv2.imwrite(str(folder / name), image)
            kind = "word" if " " not in ink.text else "line"
            record = {"image": name, "text": ink.text, "writer": hand.id, "slice": kind}
            manifest.write(json.dumps(record, ensure_ascii=False) + "\n")
    return count


def write_pages(unipen: Path, text: TextSource, out: Path, count: int) -> int:
    """`count` page images with polygons and baselines."""
    folder = out / "heldout-pages"
    folder.mkdir(parents=True, exist_ok=True)
    hands = page_hands(unipen, "heldout")
    with (folder / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for number in range(count):
            rng = np.random.default_rng([20261124, number])
            style = PageStyle.sample(rng, float(rng.uniform(20, 34)))
            hand = hands[int(rng.integers(len(hands)))]
            page = render_page(hand, rng, style, text, variation=0.0)
            name = f"{number:03d}.jpg"
            cv2.imwrite(str(folder / name), cv2.cvtColor(page.rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
            for line in page.lines:
                record = {
                    "image": name,
                    "text": line.text,
                    "polygon": [[round(float(x), 1), round(float(y), 1)] for x, y in line.polygon],
                    "baseline": [[round(float(x), 1), round(float(y), 1)] for x, y in line.baseline],
                    "writer": getattr(hand, "id", getattr(hand, "name", "")),
                }
                manifest.write(json.dumps(record, ensure_ascii=False) + "\n")
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unipen", type=Path, required=True)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=1350)
    parser.add_argument("--pages", type=int, default=24)
    args = parser.parse_args()
    text = TextSource(args.texts)
    print(write_lines(args.unipen, text, args.out, args.lines), "lines")
    print(write_pages(args.unipen, text, args.out, args.pages), "pages")


if __name__ == "__main__":
    main()
