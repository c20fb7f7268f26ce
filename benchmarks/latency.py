"""Seconds for a ten-line page end to end, start-up, memory; the reference's decoding and the peers in the same run.

    python benchmarks/latency.py PAGE [--threads 2] [--runs 7]

PAGE should show about ten lines. Medians of `runs` after a warm-up, in turn, so that a machine that slows down slows
everyone. Each memory figure is of a process that did nothing else.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent


def reference(page: Path, threads: int) -> Callable[[], object]:
    import torch

    sys.path.insert(0, str(HERE))
    from reference_design import decode_whole_prefix

    from text_recognizer.images import load_image
    from text_recognizer.layout.crops import crop_line
    from text_recognizer.reader import Reader
    from text_recognizer.training.stage import bundle_network

    torch.set_num_threads(threads)
    reader = Reader(threads=threads)
    gray = load_image(page).gray
    crops = [
        crop_line(gray, line.polygon, line.baseline, reader.recognizer.line_height)
        for line in reader.read(page, "fast").lines
    ]
    network = bundle_network(reader.bundle)
    return lambda: decode_whole_prefix(network, crops)


def ours(page: Path, threads: int, mode: str) -> Callable[[], object]:
    from text_recognizer.reader import Reader

    reader = Reader(threads=threads)
    return lambda: reader.read(page, mode)  # type: ignore[arg-type]


def peer(page: Path, threads: int, name: str) -> Callable[[], object]:
    sys.path.insert(0, str(HERE))
    import peers

    read = peers.rapidocr(threads) if name == "rapidocr" else peers.tesseract(threads, False)
    return lambda: read(page)


def make(name: str, page: Path, threads: int) -> Callable[[], object]:
    if name.startswith("ours-"):
        return ours(page, threads, name.removeprefix("ours-"))
    return reference(page, threads) if name == "reference" else peer(page, threads, name)


def peak_memory() -> float:
    """Peak resident MB of this process. `getrusage` would tell that of the larger process which started it."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def startup(threads: int) -> list[float]:
    """Wall seconds of `text-recognizer read --lines-only` on a one-line image, a process each time."""
    with tempfile.TemporaryDirectory() as folder:
        image = np.full((64, 420), 240, np.uint8)
        cv2.putText(image, "the quick brown fox", (8, 44), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1.1, 40, 2, cv2.LINE_AA)
        path = Path(folder) / "line.png"
        cv2.imwrite(str(path), image)
        command = [sys.executable, "-m", "text_recognizer", "read", "--lines-only", str(path)]
        seconds = []
        for _ in range(6):
            start = time.perf_counter()
            subprocess.run(
                command, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)}
            )
            seconds.append(time.perf_counter() - start)
    return seconds[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory_of:
        run = make(args.memory_of, args.page, args.threads)
        for _ in range(3):
            run()
        if args.memory_of == "tesseract":
            print(json.dumps(sys.modules["peers"].tesseract_peak))
        else:
            print(json.dumps(peak_memory()))
        return
    names = ["ours-fast", "ours-accurate", "reference"]
    names += [n for n in ("rapidocr",) if importlib.util.find_spec(n)]
    names += ["tesseract"] if any((Path(p) / "tesseract").is_file() for p in ("/usr/bin", "/usr/local/bin")) else []
    runs = {name: make(name, args.page, args.threads) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(args.runs + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, {args.threads} threads, {args.page.name}")
    print("| reader | median s | min–max | peak memory |\n|---|---|---|---|")
    for name in names:
        command = [sys.executable, __file__, str(args.page), "--threads", str(args.threads), "--memory-of", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        memory = f"{float(done.stdout.strip().splitlines()[-1]):.0f} MB" if done.returncode == 0 else "failed"
        s = seconds[name]
        label = "reference design (decoding only)" if name == "reference" else name
        print(f"| {label} | {statistics.median(s):.2f} | {min(s):.2f}–{max(s):.2f} | {memory} |", flush=True)
    start_up = startup(args.threads)
    print(
        f"\nstart-up to first text of a one-line image: median {statistics.median(start_up):.2f} s of {len(start_up)}"
    )


if __name__ == "__main__":
    main()
