"""OCRmyPDF with this engine beside Tesseract, on a scan of handwritten pages that lie turned and skewed.

    python benchmarks/ocr_engine.py data/csafe [--pages 10] [--modes accurate,fast] [--jobs 2]

The scan holds the first pages of the set, each turned by a quarter more than the one before and skewed by up to five
degrees. Both engines get `--rotate-pages --deskew --output-type pdfa`. The text is what PDFium extracts of the result,
page by page in its order; line breaks count as blanks. Processor seconds are those of all processes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pypdfium2
from PIL import Image

from text_recognizer.evaluation.metrics import Normalisation, errors
from text_recognizer.evaluation.sets import load_set

PLUGIN = "text_recognizer.integrations.ocrmypdf_plugin"
SKEWS = (0.0, 3.0, -4.0, 1.5, -2.0, 5.0, 0.0, -1.0, 2.5, -3.0)


def make_scan(images: list[Path], target: Path) -> None:
    pages = []
    for number, path in enumerate(images):
        with Image.open(path) as image:
            page = image.convert("L").rotate(SKEWS[number % 10], Image.Resampling.BICUBIC, expand=True, fillcolor=255)
        pages.append(page.rotate(90 * (number % 4), expand=True))
    pages[0].save(target, save_all=True, append_images=pages[1:], resolution=200, quality=85)


def processor_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def run(arguments: list[str], source: Path, target: Path) -> tuple[float, float]:
    """Seconds by the clock and by the processors."""
    command = [sys.executable, "-m", "ocrmypdf", *arguments, "--rotate-pages", "--deskew", "--output-type", "pdfa"]
    before, start = processor_seconds(), time.monotonic()
    subprocess.run([*command, "--quiet", str(source), str(target)], check=True)
    return time.monotonic() - start, processor_seconds() - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", type=Path)
    parser.add_argument("--pages", type=int, default=10)
    parser.add_argument("--modes", default="accurate,fast")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    truth = load_set(args.set).pages[: args.pages]
    # Without its time limits, which a busy machine would reach: the page would be left without text.
    patient = ["--tesseract-timeout", "3000", "--tesseract-non-ocr-timeout", "3000"]
    engines = {"tesseract": ["--ocr-engine", "tesseract", *patient]}
    for mode in args.modes.split(","):
        engines[f"text-recognizer, {mode}"] = ["--plugin", PLUGIN, "--text-recognizer-mode", mode]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "scan.pdf"), Path(folder, "out.pdf")
        make_scan([page.image for page in truth], source)
        for name, arguments in engines.items():
            wall, processor = run([*arguments, "--jobs", str(args.jobs)], source, target)
            with pypdfium2.PdfDocument(target) as document:
                read = [" ".join(page.get_textpage().get_text_range().split()) for page in document]
            written = [" ".join(page.text.split()) or " ".join(line.text for line in page.lines) for page in truth]
            found = [errors(right, text, Normalisation()) for right, text in zip(written, read, strict=True)]
            edits, characters = (sum(getattr(e, key) for e in found) for key in ("character_edits", "characters"))
            shares = [100 * e.character_edits / e.characters for e in found]
            print(f"{name}: CER {100 * edits / characters:.1f} %, {wall:.0f} s, {processor:.0f} s of processor")
            print("   by page " + " ".join(f"{share:.0f}" for share in shares), flush=True)


if __name__ == "__main__":
    main()
