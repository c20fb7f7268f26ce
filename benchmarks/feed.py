"""How much faster lines are rendered than learned: `python benchmarks/feed.py --unipen data/unipen.npz …`.

Both are measured in processor seconds a line, so that what else the machine does counts little; the feed is fast enough
where it can give 1.5 lines for each that the trainer takes.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import lightning as L
import torch

from text_recognizer.training.data import Batch, Pools, RenderedLines
from text_recognizer.training.lit import LitRecognizer, precision
from text_recognizer.training.models.recognizer import RecognizerConfig


def training_step(config: RecognizerConfig) -> Callable[[Batch], float]:
    """A function that lets a new network of these sizes learn a batch, and returns the processor's seconds for it."""
    module = LitRecognizer(config).to(memory_format=torch.channels_last).train()
    optimizer = module.configure_optimizers()["optimizer"]
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=precision() == "bf16-mixed")

    def step(batch: Batch) -> float:
        start = time.process_time()
        with mixed:
            ctc, ce = module.losses(batch)
        optimizer.zero_grad()
        (ctc + ce).backward()
        optimizer.step()
        return time.process_time() - start

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unipen", type=Path)
    parser.add_argument("--fonts", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--batches", type=int, default=4, help="of 32 lines")
    args = parser.parse_args()
    torch.set_num_threads(1)
    L.seed_everything(1)
    data = RenderedLines(args.unipen, args.fonts, args.texts, font_share=0.2)
    pools: Pools = data.train_pools()
    pools.batches = args.batches
    pools[500]  # fonts and texts are opened at their first use
    start = time.process_time()
    batches = pools[501]  # far from the beginning, where lines are longer than at first
    lines = args.batches * data.batch_size
    feed = (time.process_time() - start) / lines

    learn = training_step(RecognizerConfig())
    learn(batches[0])  # the first step of a process costs more
    train = sum(map(learn, batches)) / lines
    print(f"rendering {1000 * feed:.1f} ms a line, training {1000 * train:.1f} ms: the feed gives {train / feed:.1f} ×")


if __name__ == "__main__":
    main()
