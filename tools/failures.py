"""The model card's pictures of what is read badly, with the truth and the reading, made by the shipped model.

    python tools/failures.py --unipen data/unipen.npz --texts data/texts --write docs/measure/model-card.md

Each kind is rendered a few times in hands that no training sees. The picture shown is the one in the middle by its
character error rate: neither the worst nor the best. Seeds are fixed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
from slices import (
    Look,
    WrittenPage,
    at_dpi,
    draw,
    fills_pages,
    generator,
    lines_by_lifts,
    put_between,
    slant,
    write_page,
)
from slices import Written as WrittenLine

from text_recognizer.evaluation.metrics import errors
from text_recognizer.reader import Reader
from text_recognizer.synthesis.rendering.ink import Hand, smooth_strokes
from text_recognizer.synthesis.rendering.page_style import PageStyle
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import Ink, load_writers

Gray = NDArray[np.uint8]

TRIES = 5  # pictures drawn of each kind
WIDTH = 900  # of a picture, pixels
LARGEST = 60_000  # bytes of a picture
PARAGRAPH = PageStyle(x_height=24, width=36, height=17, margins=(1.5, 1.5, 1.5, 1.5), indent=0.0, hyphens=0.0)


@dataclass(frozen=True)
class Picture:
    """What is shown to the model, and what stands there in reading order."""

    gray: Gray  # (H, W)
    truth: tuple[str, ...]  # lines
    is_line: bool = False  # one line, given as such


Maker = Callable[[Sequence[Hand], TextSource, int], Picture]


@dataclass(frozen=True)
class Kind:
    """A kind of writing that is read badly; `make` draws picture `number` of it."""

    name: str
    title: str
    explanation: str
    make: Maker


def laid_out(style: PageStyle, view: Callable[[WrittenPage], Gray] = lambda page: page.gray) -> Maker:
    """Pages of this layout, seen so."""

    def make(hands: Sequence[Hand], text: TextSource, number: int) -> Picture:
        able = [hand for hand in hands if fills_pages(hand)]
        hand = able[int(generator(11).permutation(len(able))[number % len(able)])]
        page = write_page(hand, text, 1000 + number, style)
        return Picture(view(page), page.lines)

    return make


def cursive(hands: Sequence[Hand], text: TextSource, number: int) -> Picture:
    joined = next(iter(lines_by_lifts(hands, text, 4 * TRIES).values()))
    short = [line for line in joined if len(line.ink.text) <= 36]  # as much as a picture shows at a size to be read
    line = short[number % len(short)]
    look = Look(hand=lambda ink, _: slant(smooth_strokes(ink, 0.2), 0.6))
    return Picture(draw(line, look), (line.ink.text,), is_line=True)


def formula(hands: Sequence[Hand], _: TextSource, number: int) -> Picture:
    """y = (a + b) / 2c + x², set as people write it, by a writer who left each of its signs."""
    able = [h for h in hands if h.can_print and all(h.piece(t, generator(12), True) for t in "yab2cx=+")]
    if not able:
        raise SystemExit("no held-out writer can write a formula: prepare the whole of UNIPEN.")
    hand, rng = able[number % len(able)], generator(12, number)
    strokes: list[NDArray[np.float32]] = []

    def put(token: str, x: float, y: float, size: float = 1.0) -> float:
        """Write `token` from `x` on its baseline `y`; where it ends."""
        ink = hand.piece(token, rng, True)
        assert ink is not None
        strokes.extend((s * np.float32(size) + np.float32([x, y])).astype(np.float32) for s in ink.strokes)
        return x + ink.width * size

    x = put("=", put("y", 0.0, 0.0) + 0.8, 0.0) + 0.8
    end = max(put("a+b", x + 0.2, -1.4), put("2c", x + 0.9, 1.7)) + 0.2
    strokes.append(np.float32([[x, -0.55], [end, -0.6]]))
    put("2", put("x", put("+", end + 0.7, 0.0) + 0.7, 0.0) + 0.1, -1.1, 0.6)
    truth = "y = (a + b) / 2c + x^2"
    return Picture(draw(WrittenLine(Ink(truth, tuple(strokes)), hand.id, number)), (truth,), is_line=True)


KINDS = (
    Kind(
        "cursive",
        "Joined, slanted, hurried cursive",
        "Held-out hands that join their letters, sheared by 31° and smoothed.",
        cursive,
    ),
    Kind(
        "struck",
        "Words struck out",
        "Struck words are read as words or disturb their neighbours; the true text omits them.",
        laid_out(replace(PARAGRAPH, crossings=0.25)),
    ),
    Kind(
        "order",
        "Letterheads, dates, notes in the margin, additions between lines",
        "The lines are read, but not in the order in which a person would read them.",
        laid_out(
            replace(
                PARAGRAPH, width=48, height=32, margins=(11, 2, 2, 2), letterhead=True, date=True, marginalia=True,
                additions=0.3,
            )
        ),
    ),
    Kind(
        "columns",
        "Columns that nearly touch",
        "With less than a word gap between two columns, lines run on across them.",
        laid_out(replace(PARAGRAPH, width=56, columns=2, gutter=0.7)),
    ),
    Kind(
        "tiny",
        "Tiny writing",
        "Small letters are four pixels high; the picture is enlarged.",
        laid_out(PARAGRAPH, at_dpi(50)),
    ),
    Kind(
        "formula",
        "Formulas, tables, drawings",
        "Everything is read as lines of text, which have no place for fractions and exponents.",
        formula,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """A picture and what was read."""

    picture: Picture
    read: tuple[str, ...]

    @property
    def cer(self) -> float:
        found = errors(" ".join(self.picture.truth), " ".join(self.read))
        return found.character_edits / max(1, found.characters)


def middle_one(kind: Kind, hands: Sequence[Hand], text: TextSource, reader: Reader) -> tuple[Failure, list[float]]:
    """The picture in the middle of `TRIES` by its error rate, and the rates of all, from low to high."""
    tried = []
    for number in range(TRIES):
        picture = kind.make(hands, text, number)
        if picture.is_line:
            read: tuple[str, ...] = (reader.read_line(picture.gray).text,)
        else:
            read = tuple(line.text for line in reader.read(picture.gray).lines)
        tried.append(Failure(picture, read))
    tried.sort(key=lambda failure: failure.cer)
    return tried[TRIES // 2], [failure.cer for failure in tried]


def png(gray: Gray) -> bytes:
    """A picture of at most `LARGEST` bytes in 16 shades, paper white; small ones are enlarged, large reduced."""
    white = 0.9 * float(np.median(gray))
    scale = WIDTH / gray.shape[1] if gray.shape[1] > WIDTH else max(1, min(4, WIDTH // (2 * gray.shape[1])))
    while True:
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
        small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=method)
        picture = Image.fromarray(np.asarray(np.round(15 * np.clip(small / white, 0, 1)), np.uint8), "P")
        picture.putpalette([17 * shade for shade in range(16) for _ in "rgb"])
        out = BytesIO()
        picture.save(out, "PNG", optimize=True, bits=4)
        if out.tell() <= LARGEST:
            return out.getvalue()
        scale *= 0.85


def code(lines: Sequence[str]) -> str:
    """Lines as Markdown code, whatever they hold."""
    text = " / ".join(lines)
    if not text.strip():
        return "nothing"
    fence = "``" if "`" in text else "`"
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def section(kind: Kind, shown: Failure, rates: Sequence[float], image: str) -> str:
    """A kind in the model card."""
    return "\n".join(
        [
            f"**{kind.title}.** {kind.explanation} CER {100 * shown.cer:.0f} %; of the {len(rates)} drawn "
            f"{100 * rates[0]:.0f} to {100 * rates[-1]:.0f} %.",
            "",
            f"![{kind.title}]({image})",
            "",
            f"- written: {code(shown.picture.truth)}",
            f"- read: {code(shown.read)}",
        ]
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unipen", type=Path, required=True)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--bundle", type=Path, help="model folder (default: the shipped one)")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--images", type=Path, help="folder of the pictures (default: docs/images/failures)")
    parser.add_argument("--write", type=Path, required=True, help="document whose failures are replaced")
    args = parser.parse_args(argv)
    put_between(args.write.read_text(encoding="utf-8"), "failures", "")  # fails now, not after minutes
    images = args.images or Path(__file__).parent.parent / "docs" / "images" / "failures"
    images.mkdir(parents=True, exist_ok=True)
    hands = [hand for hand in map(Hand, load_writers(args.unipen, "heldout")) if hand.writable]
    text, reader = TextSource(args.texts), Reader(args.bundle, args.threads)
    sections = [
        f"Model `{reader.model}`. Made by `python tools/failures.py --unipen data/unipen.npz --texts data/texts "
    ]
    sections[0] += "--write docs/measure/model-card.md`; lines are parted by /."
    for kind in KINDS:
        shown, rates = middle_one(kind, hands, text, reader)
        target = images / f"{kind.name}.png"
        target.write_bytes(png(shown.picture.gray))
        sections.append(section(kind, shown, rates, Path(os.path.relpath(target, args.write.parent)).as_posix()))
        print(f"{kind.title}: CER {100 * shown.cer:.0f} %", flush=True)
    document = put_between(args.write.read_text(encoding="utf-8"), "failures", "\n\n".join(sections))
    args.write.write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
