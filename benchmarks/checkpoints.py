"""How well the CTC heads of several checkpoints read, greedily, without search and language model: to choose by.

    python benchmarks/checkpoints.py runs/line-small/last.ckpt src/text_recognizer/bundles/default \
        --unipen data/unipen.npz --texts data/texts --real-lines data/real_lines --pages data/pages

One pass a line, so a minute a checkpoint on one core: rendered lines of held-out writers, real lines of the split "dev"
(accents and case folded too), and whole pages with a transcript beside each, their lines found by the bundle's finder.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from real_lines import folded

from text_recognizer.bundle import Bundle
from text_recognizer.evaluation.metrics import Normalisation, edits
from text_recognizer.evaluation.sets import load_set
from text_recognizer.reader import Reader
from text_recognizer.recognition.normalise import normalise_line
from text_recognizer.synthesis.sources.alphabet import ALPHABET
from text_recognizer.synthesis.sources.real_lines import RealLines
from text_recognizer.training.data import Codec, LineRenderer, collate
from text_recognizer.training.models.recognizer import BLANK, Recognizer
from text_recognizer.training.stage import bundle_network, load_network

Gray = NDArray[np.uint8]
BATCH = 16


@torch.inference_mode()
def read(network: Recognizer, codec: Codec, crops: Sequence[Gray]) -> list[str]:
    """Best path of the CTC head for each grey line (H, W)."""
    inks = [normalise_line(crop, network.config.height) for crop in crops]
    texts = [""] * len(inks)
    order = sorted(range(len(inks)), key=lambda i: inks[i].shape[1])
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        batch = collate([(inks[i], []) for i in rows])
        images = batch.inputs()
        with torch.autocast("cpu", torch.bfloat16):
            _, logits, mask = network.encoder(images, batch.widths)
        best = logits.float().argmax(-1).masked_fill(mask[:, 0, 0] < 0, BLANK)
        for i, ids in zip(rows, best.tolist(), strict=True):
            texts[i] = codec.decode_ctc(ids)
    return texts


def rate(truths: Sequence[str], texts: Sequence[str]) -> float:
    """Character error rate over all lines together."""
    return sum(map(edits, truths, texts)) / max(1, sum(map(len, truths)))


def networks(path: Path, averaged: bool) -> tuple[Recognizer, Codec]:
    """Network and codec of a checkpoint, or of a bundle's folder."""
    if path.is_dir():
        bundle = Bundle.open(path)
        return bundle_network(bundle), Codec(bundle.description.alphabet)
    return load_network(path, averaged)[0], Codec(ALPHABET)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="checkpoints, or folders of bundles")
    parser.add_argument("--unipen", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--real-lines", type=Path)
    parser.add_argument("--pages", type=Path, help="folder of pages with their transcripts, or another evaluation set")
    parser.add_argument("--lines", type=int, default=256, help="rendered lines")
    parser.add_argument("--last", action="store_true", help="weights of the last step instead of their average")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sets: dict[str, tuple[list[Gray], list[str], list[int]]] = {}  # crops, truths, number of crops of each truth
    if args.unipen:
        renderer = LineRenderer(args.unipen, None, args.texts, split="heldout", variation=0.0)
        drawn = [renderer.sample(np.random.default_rng([31, i]), 0.25) for i in range(args.lines)]
        sets["rendered"] = ([d[0] for d in drawn], [d[1] for d in drawn], [1] * len(drawn))
    if args.real_lines:
        real = RealLines(args.real_lines, "dev")
        sets["real"] = ([real.image(r) for r in real.lines], [r.text for r in real.lines], [1] * len(real.lines))
    if args.pages:
        reader = Reader(threads=args.threads)
        pages = load_set(args.pages).pages
        found = [reader.lay_out(page.image).crops for page in pages]
        truths = [" ".join(page.text.split()) for page in pages]
        sets["pages"] = ([c for crops in found for c in crops], truths, [len(crops) for crops in found])
    plain = Normalisation()
    for path in args.models:
        network, codec = networks(path, not args.last)
        told = [str(path)]
        for name, (crops, truths, counts) in sets.items():
            texts = read(network, codec, crops)
            ends = np.cumsum(counts)
            joined = [" ".join(t for t in texts[end - n : end] if t) for n, end in zip(counts, ends, strict=True)]
            pairs = [*map(plain, truths)], [*map(plain, joined)]
            told.append(f"{name} {100 * rate(*pairs):.2f} %")
            if name == "real":
                told.append(f"folded {100 * rate(*([*map(folded, texts)] for texts in pairs)):.2f} %")
        print("  ".join(told), flush=True)


if __name__ == "__main__":
    main()
