"""What the numbers of a reading cost beside the reading itself, in processor time of one thread.

python benchmarks/page_numbers.py samples/letter-1905.jpg data/sets/heldout-pages/*.jpg
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np

from text_recognizer.feedback.statistics import Wording, image_statistics, page_statistics
from text_recognizer.images import load_image
from text_recognizer.reader import Reader

TIMES = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=Path, nargs="+")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    reader = Reader(threads=1)
    wording = Wording.of(reader.bundle, reader.recognizer.language)
    rows = []
    for path in args.images:
        image = load_image(path)
        begin = time.process_time()
        page = reader.read(image, "fast")
        reading = time.process_time() - begin
        taken = []
        for of in (lambda: image_statistics(image.gray), lambda: page_statistics(page, wording)):
            began = time.process_time()
            for _ in range(TIMES):
                of()
            taken.append((time.process_time() - began) / TIMES)
        rows.append([1e3 * s for s in (reading, *taken)])
    reading, picture, text = np.median(rows, axis=0)
    worst = np.max(rows, axis=0)
    print(
        f"{len(rows)} pages, median (most): reading {reading:.0f} ({worst[0]:.0f}) ms in the fast mode, numbers of the"
    )
    print(
        f"image {picture:.1f} ({worst[1]:.1f}) ms, of the text {text:.1f} ({worst[2]:.1f}) ms: {100 * (picture + text) / reading:.1f} %"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
