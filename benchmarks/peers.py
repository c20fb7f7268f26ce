"""Ours beside RapidOCR and Tesseract on one set: error rates, seconds a page, peak memory.

    python benchmarks/peers.py SET [--peers ours-accurate,ours-fast,rapidocr,tesseract] [--threads 2]

Each peer reads whole images (pages, paragraphs or line images) in a process of its own, so that its memory is its own.
RapidOCR runs with `text_score=0`, which drops nothing; its boxes are put into lines by height and read left to right.
Line breaks count as blanks for everyone; "any order" pairs the lines of the truth with those read before it compares
them, so that the order of reading is no matter. A reader that fails on an image has read nothing there. The peers are
no dependencies: `pip install --no-deps 'rapidocr==3.10.*'` and what it then misses, and Tesseract from the system.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from text_recognizer.evaluation.evaluate import evaluate_peer
from text_recognizer.evaluation.metrics import Normalisation
from text_recognizer.evaluation.sets import load_set
from text_recognizer.images import load_image

PEERS = ("ours-accurate", "ours-fast", "rapidocr", "tesseract")


def peak_mb(pid: int | str = "self", program: str = "") -> float:
    """Peak resident memory of a running process, MB; 0 where it has gone, or does not run `program` yet.

    Of /proc, since a process starts with the `ru_maxrss` of the one that launched it.
    """
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
        status = dict(line.split(":", 1) for line in lines)
        if program in status["Name"] and "VmHWM" in status:
            return int(status["VmHWM"].split()[0]) / 1024
    return 0.0


tesseract_peak = 0.0  # MB, the largest of all calls


def ours(mode: str, threads: int, bundle: Path | None) -> Callable[[Path], str]:
    from text_recognizer.reader import Reader

    reader = Reader(bundle, threads)

    def read(path: Path) -> str:
        return reader.read(path, mode).text  # type: ignore[arg-type]

    return read


def ours_line(mode: str, threads: int, bundle: Path | None) -> Callable[[Path], str]:
    from text_recognizer.reader import Reader

    reader = Reader(bundle, threads)

    def read(path: Path) -> str:
        return reader.read_line(path, mode).text  # type: ignore[arg-type]

    return read


def rapidocr(threads: int) -> Callable[[Path], str]:
    from rapidocr import RapidOCR

    engine = RapidOCR(
        params={
            "Global.text_score": 0.0,
            "Global.log_level": "error",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
        }
    )

    def read(path: Path) -> str:
        # White on black misleads it: it is given what our own door makes of the image, dark on light.
        found = engine(cv2.cvtColor(load_image(path).gray, cv2.COLOR_GRAY2BGR))
        if found.boxes is None or found.txts is None:
            return ""
        return in_lines([np.asarray(b) for b in found.boxes], list(found.txts))

    return read


def in_lines(boxes: list[np.ndarray], texts: list[str]) -> str:
    """Texts of boxes (4, 2), those on one height joined from left to right, from the top down."""
    order = sorted(range(len(boxes)), key=lambda i: float(boxes[i][:, 1].mean()))
    lines: list[list[int]] = []
    for i in order:
        middle = float(boxes[i][:, 1].mean())
        height = float(np.ptp(boxes[i][:, 1]))
        if lines and abs(middle - np.mean([boxes[j][:, 1].mean() for j in lines[-1]])) < 0.5 * height:
            lines[-1].append(i)
        else:
            lines.append([i])
    ordered = (sorted(line, key=lambda i: float(boxes[i][:, 0].min())) for line in lines)
    return "\n".join(" ".join(texts[i] for i in line) for line in ordered)


def tesseract(threads: int, line: bool) -> Callable[[Path], str]:
    def read(path: Path) -> str:
        image = cv2.imencode(".png", load_image(path).gray)[1].tobytes()
        command = ["tesseract", "-", "-", "-l", "eng", "--psm", "7" if line else "3"]
        env = {"OMP_THREAD_LIMIT": str(threads), "PATH": "/usr/local/bin:/usr/bin:/bin"}
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
            given.write(image)
            given.seek(0)
            with subprocess.Popen(command, stdin=given, stdout=said, stderr=subprocess.DEVNULL, env=env) as process:
                global tesseract_peak
                while process.poll() is None:
                    tesseract_peak = max(tesseract_peak, peak_mb(process.pid, "tesseract"))
                    time.sleep(0.004)
            if process.returncode:
                raise RuntimeError(f"tesseract ended with {process.returncode}")
            said.seek(0)
            return said.read().decode("utf-8", "replace")

    return read


def run_one(args: argparse.Namespace) -> None:
    data = load_set(args.set, tuple(args.line_types.split(",")))
    data.pages = data.pages[: args.limit]
    line = all(len(p.lines) == 1 and p.lines[0].polygon is None for p in data.pages)
    peer = args.only
    if peer.startswith("ours"):
        read = (ours_line if line else ours)(peer.removeprefix("ours-"), args.threads, args.bundle)
    else:
        read = rapidocr(args.threads) if peer == "rapidocr" else tesseract(args.threads, line)
    with suppress(Exception):  # a failure is counted below
        read(data.pages[0].image)  # warm-up
    report = evaluate_peer(data, read, Normalisation(case=args.ignore_case))
    result = report.as_dict() | {"memory_mb": tesseract_peak if peer == "tesseract" else peak_mb(), "peer": peer}
    print("RESULT " + json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--limit", type=int, default=10_000, help="first images only")
    parser.add_argument("--line-types", default="Handwritten,Typewritten,Print")
    parser.add_argument("--ignore-case", action="store_true")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        run_one(args)
        return
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, {args.threads} threads\n")
    print("| reader | CER | WER | CER, lines in any order | s a page | peak memory |\n|---|---|---|---|---|---|")
    for peer in args.peers.split(","):
        done = subprocess.run(
            [sys.executable, __file__, *sys.argv[1:], "--only", peer], capture_output=True, text=True, check=False
        )
        line = next((x for x in done.stdout.splitlines() if x.startswith("RESULT ")), None)
        if line is None:
            print(
                f"| {peer} | failed: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else '?'} | | | | |"
            )
            continue
        r = json.loads(line.removeprefix("RESULT "))
        cer, wer, free = r["cer"], r["wer"], r["cer_any_order"]
        print(
            f"| {peer} | {100 * cer[0]:.1f} % ({100 * cer[1]:.1f}–{100 * cer[2]:.1f}) | {100 * wer[0]:.1f} % "
            f"| {100 * free[0]:.1f} % "
            f"| {r['seconds_an_image']:.2f} | {r['memory_mb']:.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
