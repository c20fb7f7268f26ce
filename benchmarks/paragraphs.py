"""Whole paragraphs read by a bundle that needs no line finder, beside the line mode on the same images.

    python benchmarks/paragraphs.py bundles/paragraphs --unipen data/unipen.npz --texts data/texts --set data/paragraphs

Rendered paragraphs are of held-out writers, none seen in training; both get them as pages, twice as large and with a
margin. A set is measured only. Error rates are of whole texts, line breaks included.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2

from text_recognizer.evaluation.metrics import errors
from text_recognizer.evaluation.sets import load_set
from text_recognizer.images import ImageSource
from text_recognizer.page import MODES
from text_recognizer.reader import Reader
from text_recognizer.recognition.normalise import WIDTH_SCALE
from text_recognizer.training.data import Codec
from text_recognizer.training.paragraphs import RenderedParagraphs, paragraph_texts

MANY = 20  # pages of a set, of which not all are read


def report(name: str, truths: Sequence[str], texts: Sequence[str]) -> None:
    found = [errors(truth, text) for truth, text in zip(truths, texts, strict=True)]
    cer = sum(e.character_edits for e in found) / sum(e.characters for e in found)
    same = sum(truth.count("\n") == text.count("\n") for truth, text in zip(truths, texts, strict=True))
    print(f"  {name}: CER {100 * cer:.1f} %, number of lines right {same} of {len(truths)}", flush=True)


def compare(readers: dict[str, Reader], pictures: Sequence[ImageSource], truths: Sequence[str]) -> None:
    for name, reader in readers.items():
        for mode in MODES:
            report(f"{name}, {mode}", truths, [reader.read(picture, mode).text for picture in pictures])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="staged from a checkpoint of the config 'paragraph'")
    parser.add_argument("--lines", help="bundle that reads lines (default: the shipped one)")
    parser.add_argument("--unipen", type=Path, help="for rendered paragraphs; without it, there are none")
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--set", type=Path, action="append", default=[])
    parser.add_argument("--every", type=int, default=8, help="page of a set of more than twenty (%(default)s)")
    parser.add_argument("--paragraphs", type=int, default=32, help="rendered ones")
    parser.add_argument("--max-lines", type=int, default=8)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    readers = {
        "no line finder": Reader(args.bundle, threads=args.threads),
        "line mode": Reader(args.lines, threads=args.threads),
    }

    if args.unipen is not None:
        data = RenderedParagraphs(
            args.unipen, None, args.texts, validation_lines=args.paragraphs, max_lines=args.max_lines, font_share=0.0
        )
        truths, pages = [], []
        for batch in data.test_dataloader():
            truths += paragraph_texts(batch, Codec())
            for row, width in enumerate(batch.widths):
                ink = batch.images[row, 0, :, : int(width)].numpy()
                page = cv2.resize(255 - ink, (round(2 * ink.shape[1] / WIDTH_SCALE), 2 * ink.shape[0]))
                pages.append(cv2.copyMakeBorder(page, 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=[255]))
        print(f"{len(truths)} rendered paragraphs, {sum(t.count(chr(10)) + 1 for t in truths)} lines")
        compare(readers, pages, truths)

    for place in args.set:
        found = load_set(place).pages
        found = found[:: args.every] if len(found) > MANY else found
        print(f"{place.name}: {len(found)} pictures")
        truths = [page.text or "\n".join(line.text for line in page.lines) for page in found]
        compare(readers, [page.image for page in found], truths)


if __name__ == "__main__":
    main()
