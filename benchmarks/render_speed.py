"""Lines a second that the data engine renders on one core.

python benchmarks/render_speed.py --unipen data/unipen.npz [--fonts data/fonts] [--texts data/texts]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from text_recognizer.training.data import LineRenderer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unipen", type=Path, required=True)
    parser.add_argument("--fonts", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--lines", type=int, default=1500)
    args = parser.parse_args()
    cv2.setNumThreads(0)
    kinds = {"pen strokes": 0.0} | ({"fonts": 1.0, "as trained": 0.2} if args.fonts else {})
    for name, share in kinds.items():
        renderer = LineRenderer(args.unipen, args.fonts, args.texts, font_share=share)
        rng = np.random.default_rng(0)
        for _ in range(50):
            renderer.sample(rng)
        start, wall = time.process_time(), time.perf_counter()
        characters = sum(len(renderer.sample(rng)[1]) for _ in range(args.lines))
        spent, passed = time.process_time() - start, time.perf_counter() - wall
        print(
            f"{name}: {args.lines / spent:.0f} lines a second of one core ({args.lines / passed:.0f} by the clock), "
            f"{characters / args.lines:.0f} characters a line"
        )


if __name__ == "__main__":
    main()
