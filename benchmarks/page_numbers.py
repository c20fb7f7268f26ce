"""What the numbers of a reading cost beside the reading itself, in processor time of one thread.

python benchmarks/page_numbers.py samples/letter-1905.jpg data/sets/heldout-pages/*.jpg
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from text_recognizer.feedback.statistics import Wording, image_statistics, page_statistics
from text_recognizer.images import load_image
from text_recognizer.reader import Reader

TIMES = 5


def time_of(what: Callable[[], object]) -> float:
    """Milliseconds of the processor, a mean of several times."""
    began = time.process_time()
    for _ in range(TIMES):
        what()
    return 1e3 * (time.process_time() - began) / TIMES


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
        began = time.process_time()
        page = reader.read(image, "fast")
        reading = 1e3 * (time.process_time() - began)
        of_image = time_of(partial(image_statistics, image.gray))
        rows.append([reading, of_image, time_of(partial(page_statistics, page, wording))])
    middle, most = np.median(rows, axis=0), np.max(rows, axis=0)
    print(f"{len(rows)} pages, ms of one thread, median (most)")
    for name, median, largest in zip(
        ("reading, fast", "numbers of the image", "of the text"), middle, most, strict=True
    ):
        print(f"{name:20} {median:7.1f} ({largest:.1f})")
    print(f"numbers are {100 * (middle[1] + middle[2]) / middle[0]:.1f} % of reading")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
