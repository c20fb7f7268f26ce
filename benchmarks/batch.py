"""Pages a second of `batch` on this machine's cores against a loop in one process, in the fast mode.

    python benchmarks/batch.py [--pages 60] [--jobs 2]

Both read copies of the sample letter with one thread a process. Starting (the model, the processes) is part of neither:
both are timed by their last pages, after the first `--warm` ones. Their order changes from round to round.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from text_recognizer import Reader
from text_recognizer.batch.read import read_batch
from text_recognizer.batch.work import Options
from text_recognizer.documents import find_pages

LETTER = Path(__file__).parent.parent / "samples" / "letter-1905.jpg"


def rate(moments: list[float], warm: int) -> float:
    """Pages a second from the moments at which pages were finished."""
    return (len(moments) - 1 - warm) / (moments[-1] - moments[warm])


def loop(folder: Path, warm: int) -> float:
    """Pages a second of one process."""
    reader, moments = Reader(threads=1), []
    for page in find_pages(folder):
        reader.read(page.load(), "fast")
        moments.append(time.monotonic())
    return rate(moments, warm)


def batch(folder: Path, jobs: int, warm: int) -> float:
    """Pages a second of `jobs` processes."""
    moments: list[float] = []
    with tempfile.TemporaryDirectory() as output:
        options = Options(output=Path(output), mode="fast", jobs=jobs)
        read_batch(find_pages(folder), options, lambda record: moments.append(time.monotonic()))
    return rate(moments, warm)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", type=int, default=4)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(args.pages):
            shutil.copy(LETTER, folder / f"{number:04}.jpg")
        found: dict[str, list[float]] = {"loop": [], "batch": []}
        for number in range(args.rounds):
            for what in ("loop", "batch") if number % 2 == 0 else ("batch", "loop"):
                pages = loop(folder, args.warm) if what == "loop" else batch(folder, args.jobs, args.warm)
                found[what].append(pages)
                print(f"{what}: {pages:.2f} pages a second (load {os.getloadavg()[0]:.1f})", flush=True)
        ratio = statistics.median(found["batch"]) / statistics.median(found["loop"])
        print(f"batch of {args.jobs} processes: {ratio:.2f} × the loop (medians of {args.rounds} rounds)")


if __name__ == "__main__":
    main()
