"""What documents of many pages cost and whether their text comes out: memory of a long PDF, checks of the result.

    python benchmarks/documents.py [--pages 200] [--mode fast]

A PDF shows one photographed letter on each page. `text-recognizer read --format pdf,text` reads the first page alone,
then all of them, each in a process of its own.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pypdfium2
from reportlab.pdfgen import canvas

LETTER = Path(__file__).parent.parent / "samples" / "letter-1905.jpg"


def long_pdf(path: Path, pages: int) -> None:
    """A scanned PDF of `pages` pages of A4, each with a bookmark."""
    made = canvas.Canvas(str(path), pagesize=(595, 757))
    for number in range(1, pages + 1):
        made.drawImage(str(LETTER), 0, 0, 595, 757)
        made.bookmarkPage(str(number))
        made.addOutlineEntry(f"Page {number}", str(number))
        made.showPage()
    made.save()


def read(source: Path, target: Path, mode: str) -> tuple[float, float]:
    """Peak memory in MB and seconds of reading `source` into `target`, and a text beside it."""
    command = [sys.executable, "-m", "text_recognizer", "read", str(source), "--mode", mode, "--format", "pdf,text"]
    begin = time.monotonic()
    process = subprocess.Popen([*command, "--output", str(target)])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"reading {source.name} failed")
    return usage.ru_maxrss / 1024, time.monotonic() - begin


def letters(text: str) -> str:
    """A text without blanks and hyphens: pdfium marks one at the end of a line in its own way, and joins the lines."""
    return re.sub("[\ufffe\x02\\s-]", "", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--mode", choices=("fast", "accurate"), default="fast")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peaks = {}
        for pages in (1, args.pages):
            source, target = folder / f"{pages}.pdf", folder / f"{pages}-searchable.pdf"
            long_pdf(source, pages)
            peaks[pages], seconds = read(source, target, args.mode)
            print(f"{pages} pages: peak {peaks[pages]:.0f} MB, {seconds:.0f} s, {target.stat().st_size / 1e6:.1f} MB")
        print(f"memory beyond one page's: {peaks[args.pages] - peaks[1]:.0f} MB")
        expected = target.with_suffix(".txt").read_text(encoding="utf-8").split("\f")
        found = [page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(target)]
        same = sum(letters(a) == letters(b) for a, b in zip(expected, found, strict=True))
        print(f"pdfium: {same} of {args.pages} pages have their text in the order of reading")
        if shutil.which("pdftotext"):
            done = subprocess.run(["pdftotext", target, "-"], capture_output=True, text=True, check=True)
            found = done.stdout.split("\f")[: args.pages]
            same = sum(letters(a) == letters(b) for a, b in zip(expected, found, strict=True))
            print(f"poppler: {same} of {args.pages} pages have their text in the order of reading")
        if shutil.which("qpdf"):
            done = subprocess.run(["qpdf", "--check", target], capture_output=True, text=True, check=False)
            print(f"qpdf --check: status {done.returncode}, {done.stdout.splitlines()[-1]}")


if __name__ == "__main__":
    main()
