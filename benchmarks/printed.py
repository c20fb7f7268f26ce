"""Printed text: a book page in ten common typefaces at 150 and 300 dpi, read end to end and line by line.

    python benchmarks/printed.py --out data/sets/printed
    python benchmarks/printed.py --out data/sets/printed-fr --language fr

None of the ten faces is among those that training sets lines in. The texts were written for this page, so no corpus
holds them. A page is set justified on A5 in 10.5 points with a running head and a page number, drawn at four times the
resolution and averaged down as a scanner does, with a little blur and noise. What is written to --out is a set that
`text-recognizer evaluate` reads too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.evaluation.evaluate import evaluate
from text_recognizer.evaluation.sets import load_set
from text_recognizer.page import Mode
from text_recognizer.reader import Reader
from text_recognizer.synthesis.sources.fonts import fetch_fonts

LOCK = Path(__file__).with_name("printed.lock.json")
PAPER = (148.0, 210.0)  # mm: A5
MARGINS = (18.0, 16.0)  # mm: at the sides, above and below
POINTS, LEADING = 10.5, 1.32
OVERSAMPLING = 4

NUMBER = "47"
# The head and the paragraphs of the page, by language.
PAGES = json.loads(Path(__file__).with_name("printed.pages.json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class SetLine:
    """A line as set: its text, the left and right ends and the baseline in mm, the x of each word in mm."""

    text: str
    words: tuple[tuple[str, float], ...]
    left: float
    right: float
    baseline: float


def set_page(face: ImageFont.FreeTypeFont, unit: float, language: str = "en") -> Iterator[SetLine]:
    """Lines of the page in `language`; `unit` is the pixels of `face` in a mm."""
    side, above = MARGINS
    measure = (PAPER[0] - 2 * side) * unit
    step = POINTS * 25.4 / 72 * LEADING
    space = face.getlength(" ")
    y = above + step

    def centred(text: str, baseline: float) -> SetLine:
        width = face.getlength(text) / unit
        left = (PAPER[0] - width) / 2
        return _line(text.split(" "), left, space, face, unit, baseline)

    yield centred(PAGES[language]["head"], y)
    y += 2.2 * step
    for paragraph in PAGES[language]["paragraphs"]:
        indent = 4.0 * unit
        words: list[str] = []
        for word in [*paragraph.split(" "), None]:
            full = word is not None and face.getlength(" ".join([*words, word])) > measure - indent
            if full or word is None:
                gap = space
                if full and len(words) > 1:  # justified
                    gap = (measure - indent - sum(map(face.getlength, words))) / (len(words) - 1)
                yield _line(words, side + indent / unit, gap, face, unit, y)
                words, indent = [], 0.0
                y += step
            if word is not None:
                words.append(word)
    yield centred(NUMBER, PAPER[1] - above)


def _line(
    words: list[str], left: float, gap: float, face: ImageFont.FreeTypeFont, unit: float, baseline: float
) -> SetLine:
    x, placed = left, []
    for word in words:
        placed.append((word, x))
        x += (face.getlength(word) + gap) / unit
    return SetLine(" ".join(words), tuple(placed), left, x - gap / unit, baseline)


def draw_page(font: Path, dpi: int, language: str = "en", seed: int = 0) -> tuple[NDArray[np.uint8], list[SetLine]]:
    """The page (H, W) uint8, ink on paper, as scanned at `dpi`, and its lines."""
    fine = OVERSAMPLING * dpi / 25.4  # pixels a mm
    face = ImageFont.truetype(str(font), round(POINTS / 72 * dpi * OVERSAMPLING))
    lines = list(set_page(face, fine, language))
    sheet = Image.new("L", (round(PAPER[0] * fine), round(PAPER[1] * fine)), 0)
    pen = ImageDraw.Draw(sheet)
    for line in lines:
        for word, x in line.words:
            pen.text((x * fine, line.baseline * fine), word, fill=255, font=face, anchor="ls")
    size = (round(PAPER[0] * dpi / 25.4), round(PAPER[1] * dpi / 25.4))
    ink = cv2.resize(np.asarray(sheet), size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    ink = cv2.GaussianBlur(ink, (0, 0), 0.5)
    rng = np.random.default_rng(seed)
    page = 244 - 205 * ink + rng.normal(0, 3, ink.shape).astype(np.float32)
    return np.clip(page, 0, 255).astype(np.uint8), lines


def write_set(
    out: Path, fonts: Path, faces: list[dict[str, str]], resolutions: tuple[int, ...], language: str = "en"
) -> None:
    """Images of the pages in `language` and a manifest of their lines."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / "manifest.jsonl").open("w", encoding="utf-8") as manifest:
        for face in faces:
            for dpi in resolutions:
                page, lines = draw_page(fonts / f"{face['name']}.ttf", dpi, language)
                name = f"{face['name']}-{dpi}.png"
                cv2.imwrite(str(out / name), page)
                mm = dpi / 25.4
                for line in lines:
                    left, right = (line.left - 1.0) * mm, (line.right + 1.0) * mm
                    top, bottom = (line.baseline - 3.3) * mm, (line.baseline + 1.4) * mm
                    record = {
                        "image": name,
                        "text": line.text,
                        "polygon": [[left, top], [right, top], [right, bottom], [left, bottom]],
                        "baseline": [[line.left * mm, line.baseline * mm], [line.right * mm, line.baseline * mm]],
                        "writer": face["name"],
                        "slice": f"{dpi} dpi",
                    }
                    manifest.write(json.dumps(record, ensure_ascii=False) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the pages and the fonts")
    parser.add_argument("--language", default="en", choices=PAGES, help="of the page; the reader is not told")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--faces", type=int, default=10, help="only the first so many")
    parser.add_argument("--dpi", type=int, nargs="+", default=[150, 300])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--worst", type=int, default=0, help="print so many of the lines with most errors")
    args = parser.parse_args()
    fetch_fonts(args.out / "fonts", lock=LOCK)
    faces = json.loads(LOCK.read_text(encoding="utf-8"))[: args.faces]
    write_set(args.out, args.out / "fonts", faces, tuple(args.dpi), args.language)
    data = load_set(args.out)
    reader = Reader(args.bundle, args.threads)
    modes: tuple[Mode, ...] = ("fast", "accurate")
    pages = {mode: evaluate(data, reader, mode, "page") for mode in modes}
    lines = evaluate(data, reader, "accurate", "line")
    print("| typeface | dpi | fast | accurate | accurate, lines given |\n|---|---|---|---|---|")

    def cell(edits: int, length: int) -> str:
        return f"{100 * edits / max(1, length):.2f} %"

    for face in faces:
        for dpi in args.dpi:
            name = f"{face['name']}-{dpi}.png"
            figures = [
                cell(sum(s.errors.character_edits for s in part), sum(s.errors.characters for s in part))
                for part in (
                    *([s for s in pages[mode].samples if s.name.startswith(name)] for mode in modes),
                    [s for s in lines.samples if s.name.startswith(name)],
                )
            ]
            print(f"| {face['title']} | {dpi} | " + " | ".join(figures) + " |")
    print(f"| all | | {pages['fast'].cer()} | {pages['accurate'].cer()} | {lines.cer()} |")
    for sample in sorted(lines.samples, key=lambda s: -s.errors.character_edits)[: args.worst]:
        print(f"  {sample.name}\n    {sample.truth}\n    {sample.read}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
