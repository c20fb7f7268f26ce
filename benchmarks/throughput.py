"""How many lines the line recogniser learns in a second, packed into batches as before and as now, in one run.

    python benchmarks/throughput.py --unipen data/unipen.npz --fonts data/fonts --texts data/texts

The same rendered lines are packed both ways: before, 16 batches were sorted by width together and padded to multiples
of 64 pixels (128 when wide); now it is the pool of the config and `data.WIDTH_STEP`. Steps of both take turns, over
batches of all widths, in several rounds. Counted is the processor's time on one thread, so that what else the machine
does counts little. Rendering runs in other processes during training and is not counted (`feed.py`).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from feed import training_step
from numpy.typing import NDArray

from text_recognizer.training import data
from text_recognizer.training.lit import precision
from text_recognizer.training.models.recognizer import RecognizerConfig

BEFORE = (16, 64)  # batches of a pool, pixels that widths are multiples of
SMALL = RecognizerConfig(encoder_layers=2, decoder_layers=3)  # configs/line-small.yaml

Sample = tuple[NDArray[np.uint8], list[int]]


def pack(lines: Sequence[Sample], pool: int, step: int, size: int) -> list[data.Batch]:
    """Batches of `size` lines, sorted by width within each pool, the narrowest batch first."""
    data.WIDTH_STEP = step
    batches = []
    for start in range(0, len(lines), pool * size):
        ranked = sorted(lines[start : start + pool * size], key=lambda line: line[0].shape[1])
        batches += [data.collate(ranked[at : at + size]) for at in range(0, len(ranked), size)]
    return sorted(batches, key=lambda batch: int(batch.widths.sum()))


def filled(batches: Sequence[data.Batch]) -> float:
    """Share of the area of `batches` that is line."""
    return sum(int(b.widths.sum()) for b in batches) / sum(b.images.shape[0] * b.images.shape[3] for b in batches)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unipen", type=Path)
    parser.add_argument("--fonts", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--pool", type=int, default=64, help="as in configs/line-small.yaml")
    parser.add_argument("--steps", type=int, default=6, help="of each way in a round, over all widths")
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    L.seed_everything(1)
    source = data.RenderedLines(args.unipen, args.fonts, args.texts)
    renderer, codec = source.train_pools().renderer, data.Codec()
    lines: list[Sample] = []
    for number in range(args.pool * source.batch_size):
        image, text = renderer.sample(np.random.default_rng([1, number]), 0.25)
        lines.append((data.normalise_line(image, renderer.height), codec.encode(text)))

    ways: dict[str, Any] = {"before": BEFORE, "now": (args.pool, data.WIDTH_STEP)}
    packed = {name: pack(lines, *way, source.batch_size) for name, way in ways.items()}
    every = {name: [*batches[:: max(1, len(batches) // args.steps)]] for name, batches in packed.items()}

    learn = training_step(SMALL)
    # Of each batch the best time of all rounds: other work only ever adds to it.
    best = {name: [float("inf")] * len(batches) for name, batches in every.items()}
    for _ in range(args.rounds):
        for place, pair in enumerate(zip(*every.values(), strict=True)):
            for name, batch in zip(ways, pair, strict=True):
                best[name][place] = min(best[name][place], learn(batch))

    rates = {name: len(each) * source.batch_size / sum(each) for name, each in best.items()}
    for name, (pool, step) in ways.items():
        print(
            f"{name}: pool of {pool}, steps of {step} pixels, {100 * filled(packed[name]):.0f} % of the area is line: "
            f"{rates[name]:.1f} lines a second"
        )
    print(f"ratio {rates['now'] / rates['before']:.2f}, {precision()}")


if __name__ == "__main__":
    main()
