"""Whole paragraphs read by the network without a line finder, beside the line mode on the same images.

    python benchmarks/paragraphs.py runs/paragraph/last.ckpt --unipen data/unipen.npz --texts data/texts
        --set data/paragraphs
    python benchmarks/paragraphs.py runs/paragraph/last.ckpt --read my-paragraph.jpg

Rendered paragraphs are of held-out writers, none seen in training; the line mode gets them as pages, twice as large and
with a margin. A set is measured only. The network does not know how tall the lines of a picture are, so it reads it at
several heights and keeps the text that its CTC head is surest of. Error rates are of whole texts, line breaks included.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from text_recognizer.evaluation.metrics import errors
from text_recognizer.evaluation.sets import load_set
from text_recognizer.images import load_image
from text_recognizer.reader import Reader
from text_recognizer.recognition.normalise import WIDTH_SCALE, normalise_line
from text_recognizer.training.models.paragraph import ParagraphRecognizer, line_counts
from text_recognizer.training.models.recognizer import RecognizerConfig
from text_recognizer.training.paragraphs import LitParagraphs, RenderedParagraphs, collate_paragraphs
from text_recognizer.training.stage import open_checkpoint

PITCH = 45  # pixels from line to line, about the middle of what training shows
LINES = range(3, 14)  # that a picture may have

Read = Callable[[NDArray[np.uint8]], str]


def load(checkpoint: Path) -> LitParagraphs:
    """The averaged network of a checkpoint."""
    state = open_checkpoint(checkpoint)
    module = LitParagraphs(RecognizerConfig.of_sizes(state["hyper_parameters"]))
    module.load_state_dict(state["state_dict"])
    return module.eval()


def read_ink(module: LitParagraphs, ink: NDArray[np.uint8], head: str) -> str:
    """The text of a paragraph (H, W) uint8, 255 = ink, whose lines are about 48 pixels high."""
    batch = collate_paragraphs([(ink, [[]])])
    batch.lengths[:] = 120
    return module.read(batch)[head][0]


@torch.no_grad()
def confidence(network: ParagraphRecognizer, ink: NDArray[np.uint8]) -> float:
    """Mean probability of the CTC head over the characters that it reads."""
    batch = collate_paragraphs([(ink, [[]])])
    rows, shares = network.encoder.paragraph(batch.images.float() / 255, batch.widths)
    _, logits, _ = network.encoder.lines(rows, shares, batch.widths, line_counts(shares))
    best = logits.softmax(-1).max(-1)
    written = best.indices != 0
    return float(best.values[written].mean()) * min(1.0, float(written.sum()) / 40) if written.any() else 0.0


def at_best_height(module: LitParagraphs, picture: Path) -> NDArray[np.uint8]:
    """The ink of a picture of a paragraph, at the height at which the CTC head is surest."""
    gray = load_image(picture).gray
    tried = [normalise_line(gray, PITCH * lines) for lines in LINES]
    return max(tried, key=lambda ink: confidence(module.network, ink))


def report(name: str, truths: Sequence[str], texts: Sequence[str]) -> None:
    found = [errors(truth, text) for truth, text in zip(truths, texts, strict=True)]
    cer = sum(e.character_edits for e in found) / sum(e.characters for e in found)
    same = sum(truth.count("\n") == text.count("\n") for truth, text in zip(truths, texts, strict=True))
    print(f"  {name}: CER {100 * cer:.1f} %, number of lines right {same} of {len(truths)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--unipen", type=Path, help="of rendered paragraphs; needed unless --read is given")
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--set", type=Path, action="append", default=[])
    parser.add_argument("--paragraphs", type=int, default=32, help="rendered ones; 0 for none")
    parser.add_argument("--max-lines", type=int, default=8)
    parser.add_argument("--read", type=Path, metavar="PICTURE", help="print what is read in a paragraph, nothing else")
    args = parser.parse_args()
    module = load(args.checkpoint)
    if args.read:
        print(read_ink(module, at_best_height(module, args.read), "ctc"))
        return
    reader = Reader()

    if args.paragraphs:
        if args.unipen is None:
            parser.error("give --unipen, or --paragraphs 0")
        data = RenderedParagraphs(
            args.unipen, None, args.texts, validation_lines=args.paragraphs, max_lines=args.max_lines, font_share=0.0
        )
        inks, truths = [], []
        for batch in data.test_dataloader():
            truths += module.truths(batch)
            inks += [batch.images[row, 0, :, : int(width)].numpy() for row, width in enumerate(batch.widths)]
        print(f"{len(truths)} rendered paragraphs, {sum(t.count(chr(10)) + 1 for t in truths)} lines")
        for head in ("ctc", "decoder"):
            report(f"no line finder, {head}", truths, [read_ink(module, ink, head) for ink in inks])
        pages = []
        for ink in inks:
            page = cv2.resize(255 - ink, (round(2 * ink.shape[1] / WIDTH_SCALE), 2 * ink.shape[0]))
            pages.append(cv2.copyMakeBorder(page, 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=255))
        report("line mode, fast", truths, [reader.read(page, mode="fast").text for page in pages])

    for place in args.set:
        pictures = load_set(place).pages
        truths = [page.text or "\n".join(line.text for line in page.lines) for page in pictures]
        print(f"{place.name}: {len(truths)} pictures")
        chosen = [at_best_height(module, page.image) for page in pictures]
        for head in ("ctc", "decoder"):
            report(f"no line finder, {head}", truths, [read_ink(module, ink, head) for ink in chosen])
        report("line mode, fast", truths, [reader.read(page.image, mode="fast").text for page in pictures])


if __name__ == "__main__":
    main()
