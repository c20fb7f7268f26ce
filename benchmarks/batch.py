"""Pages a second of `batch` on this machine's cores against a loop in one process, in the fast mode.

    python benchmarks/batch.py [--pages 60] [--jobs 2] [--ray]
    python benchmarks/batch.py --kill [--ray]

With `--ray` also those of `batch --ray local`, and whether its texts are the same. With `--kill`, nothing is timed: the
command is killed (`kill -9`) when half of the pages are read, and `--resume` must read each of the others once.

Both read copies of the sample letter with one thread a process. Starting (the model, the processes) is part of neither:
both are timed by their last pages, after the first `--warm` ones. Their order changes from round to round.
"""

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

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


def batch(folder: Path, jobs: int, warm: int, output: Path, ray: bool = False) -> float:
    """Pages a second of `jobs` processes, or of as many actors."""
    moments: list[float] = []

    def note(record: dict[str, Any]) -> None:
        moments.append(time.monotonic())

    options = Options(output=output, mode="fast", jobs=jobs)
    if ray:
        from text_recognizer.integrations.ray import read_ray

        read_ray(find_pages(folder), options, str(output), report=note)
    else:
        read_batch(find_pages(folder), options, note)
    return rate(moments, warm)


def texts(output: Path) -> dict[str, str]:
    return {file.name: file.read_text(encoding="utf-8") for file in output.glob("*.txt")}


def killed(folder: Path, jobs: int, output: Path, ray: bool) -> None:
    """End a batch with `kill -9` half way, and say what the next one reads."""
    command = [sys.executable, "-m", "text_recognizer", "batch", str(folder), "--output", str(output), "--mode", "fast"]
    command += ["--jobs", str(jobs), *(["--ray", "local"] if ray else [])]
    pages = len(list(folder.iterdir()))
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while len(texts(output)) < pages // 2:
        assert process.poll() is None, "the batch ended before it was killed"
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(5)  # the processes that read notice that they are alone
    before = {file.name: file.stat().st_mtime_ns for file in output.glob("*.txt")}
    done = subprocess.run([*command, "--resume"], stderr=subprocess.PIPE, text=True, check=True)
    read, skipped = (int(number) for number in re.findall(r"(\d+) (?:pages read|had been read)", done.stderr))
    after = {file.name: file.stat().st_mtime_ns for file in output.glob("*.txt")}
    again = sum(after[name] != moment for name, moment in before.items())
    right = len(set(texts(output).values())) == 1  # all pages are the same letter
    name, same = "ray" if ray else "batch", "all" if right else "not all"
    print(f"{name}: of {pages} pages, {len(before)} were written before kill -9", end="; ")
    print(f"then {skipped} left out, {read} read, {again} of them again; {len(after)} texts, {same} the same")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--warm", type=int, default=4)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--kill", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as results:
        folder = Path(name)
        for number in range(args.pages):
            shutil.copy(LETTER, folder / f"{number:04}.jpg")
        if args.kill:
            for ray in (False, True) if args.ray else (False,):
                killed(folder, args.jobs, Path(results, "ray" if ray else "batch"), ray)
            return
        kinds = ["loop", "batch", *(["ray"] if args.ray else [])]
        found: dict[str, list[float]] = {kind: [] for kind in kinds}
        for number in range(args.rounds):
            for kind in kinds if number % 2 == 0 else reversed(kinds):
                if kind == "loop":
                    pages = loop(folder, args.warm)
                else:
                    pages = batch(folder, args.jobs, args.warm, Path(results, f"{kind}-{number}"), kind == "ray")
                found[kind].append(pages)
                print(f"{kind}: {pages:.2f} pages a second (load {os.getloadavg()[0]:.1f})", flush=True)
        middle = {kind: statistics.median(rates) for kind, rates in found.items()}
        print(f"batch of {args.jobs} processes: {middle['batch'] / middle['loop']:.2f} × the loop")
        if args.ray:
            same = texts(Path(results, "ray-0")) == texts(Path(results, "batch-0"))
            print(f"ray: {middle['ray'] / middle['batch']:.2f} × batch, {'the same' if same else 'other'} texts")


if __name__ == "__main__":
    main()
