"""`text-recognizer train marks`: train the network that tells print from handwriting and finds struck-out words.

It takes about half an hour on one CPU. The graph goes to `--out`. `text-recognizer train stage --marks` puts it into a
new bundle, `--bundle` into an existing one.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from text_recognizer.recognition.marks import PRINTED, THRESHOLD
from text_recognizer.recognition.recognizer import MARGIN
from text_recognizer.training.marked_lines import MarkedLine, MarkedLines
from text_recognizer.training.models.line_marks import STRIDE, LineMarks, export_line_marks
from text_recognizer.training.stage import add_marks, strip_graph

log = logging.getLogger(__name__)

LINES, HELD_OUT_LINES, EPOCHS, BATCH, RATE = 24_000, 1500, 14, 32, 3e-3
STRUCK_WEIGHT = 2.0  # weight of the loss per step relative to the loss per line
SIZES = (0.5, 1.15)  # range of the factor by which a line is scaled within the height of its image
WIDEST = 1024  # pixels of a line in training; wider lines are cropped at a random place


def draw(lines: MarkedLines, count: int, seed: int) -> list[MarkedLine]:
    """Draw `count` lines; the same seed gives the same lines."""
    drawn: list[MarkedLine] = []
    number = 0
    while len(drawn) < count:
        drawn += lines.sample(np.random.default_rng([seed, number]))
        number += 1
        if number % 500 == 0:
            log.info("%d of %d lines rendered", len(drawn), count)
    return drawn[:count]


def fit(lines: Sequence[MarkedLine], epochs: int = EPOCHS, batch: int = BATCH, seed: int = 1) -> LineMarks:
    """Train a network on `lines`. It is returned in evaluation mode."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = LineMarks().train()
    steps = epochs * -(-len(lines) // batch)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for epoch in range(epochs):
        # Lines of similar width share a batch; the batches are shuffled.
        order = np.argsort([line.image.shape[1] + rng.uniform(0, 24) for line in lines])
        batches = [order[i : i + batch] for i in range(0, len(order), batch)]
        total = 0.0
        for index in rng.permutation(len(batches)):
            chosen = [_cut(rescaled(lines[int(i)], rng), rng) for i in batches[int(index)]]
            images, widths, printed, struck, counts = collate(chosen)
            of_line, of_step = net(images, widths)
            line_loss = F.binary_cross_entropy_with_logits(of_line, printed)
            step_loss = F.binary_cross_entropy_with_logits(of_step, struck, counts, reduction="sum") / counts.sum()
            loss = line_loss + STRUCK_WEIGHT * step_loss
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        log.info("epoch %d of %d: loss %.4f", epoch + 1, epochs, total / len(batches))
    return net.eval()


def collate(lines: Sequence[MarkedLine]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Images (B, 1, 48, W) float, widths (B,), printed (B,), struck (B, W / 8), and a mask for struck, 0 or 1."""
    width = max(line.image.shape[1] for line in lines) + MARGIN
    width = -(-width // 32) * 32
    images = np.zeros((len(lines), 1, lines[0].image.shape[0], width), np.float32)
    struck, counts = np.zeros((2, len(lines), width // STRIDE), np.float32)
    for row, line in enumerate(lines):
        images[row, 0, :, : line.image.shape[1]] = line.image / np.float32(255)
        struck[row, : len(line.struck)] = line.struck
        counts[row, : len(line.struck)] = 1
    widths = torch.tensor([line.image.shape[1] for line in lines])
    printed = torch.tensor([float(line.printed) for line in lines])
    return torch.from_numpy(images), widths, printed, torch.from_numpy(struck), torch.from_numpy(counts)


def rescaled(line: MarkedLine, rng: np.random.Generator) -> MarkedLine:
    """Scale a line within its height, because polygons leave more or less room around the writing."""
    factor = float(np.exp(rng.uniform(*np.log(SIZES))))
    height, width = line.image.shape
    size = (max(STRIDE, round(width * factor)), max(8, round(height * factor)))
    image = cv2.resize(line.image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    out = np.zeros((height, size[0]), np.uint8)
    at = int(rng.integers(0, abs(height - size[1]) + 1))
    if factor < 1:
        out[at : at + size[1]] = image
    else:
        out = np.asarray(image[at : at + height], np.uint8)
    steps = -(-out.shape[1] // STRIDE)
    nearest = np.minimum((np.arange(steps) + 0.5) / factor, len(line.struck) - 1).astype(int)
    return MarkedLine(out, line.printed, line.struck[nearest], line.source)


def _cut(line: MarkedLine, rng: np.random.Generator) -> MarkedLine:
    """Crop a part of a very wide line."""
    steps = WIDEST // STRIDE
    if len(line.struck) <= steps:
        return line
    start = int(rng.integers(len(line.struck) - steps))
    image = line.image[:, start * STRIDE : (start + steps) * STRIDE]
    return MarkedLine(image, line.printed, line.struck[start : start + steps], line.source)


def measure(net: LineMarks, lines: Sequence[MarkedLine]) -> dict[str, float]:
    """Accuracy on printed and on written lines; share of struck steps found, and of other steps marked by mistake."""
    right: dict[bool, list[bool]] = {True: [], False: []}
    found, wrong = [0, 0], [0, 0]
    for start in range(0, len(lines), BATCH):
        chosen = lines[start : start + BATCH]
        images, widths, *_ = collate(chosen)
        with torch.no_grad():
            of_line, of_step = net(images, widths)
        for row, line in enumerate(chosen):
            right[line.printed].append((float(of_line[row].sigmoid()) > PRINTED) == line.printed)
            marked = of_step[row, : len(line.struck)].sigmoid().numpy() > THRESHOLD
            found[0] += int((marked & line.struck).sum())
            found[1] += int(line.struck.sum())
            wrong[0] += int((marked & ~line.struck).sum())
            wrong[1] += int((~line.struck).sum())
    return {
        "printed": float(np.mean(right[True])),
        "handwritten": float(np.mean(right[False])),
        "struck": found[0] / max(1, found[1]),
        "wrongly_struck": wrong[0] / max(1, wrong[1]),
    }


def main(argv: list[str]) -> int:
    """Command line of `text-recognizer train marks`."""
    parser = argparse.ArgumentParser(prog="text-recognizer train marks", description=__doc__)
    parser.add_argument("--unipen", type=Path, required=True, help="cache made by 'text-recognizer train data prepare'")
    parser.add_argument("--fonts", type=Path, required=True, help="folder made by 'text-recognizer train data fonts'")
    parser.add_argument("--texts", type=Path, help="folder made by 'text-recognizer train data texts'")
    parser.add_argument("--real-lines", type=Path, help="folder of real lines, whose 'train' split is mixed in")
    parser.add_argument("--out", type=Path, required=True, help=".onnx file to write")
    parser.add_argument("--bundle", type=Path, help="put the graph into this bundle too")
    parser.add_argument("--lines", type=int, default=LINES, help="to train on (%(default)s)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="(%(default)s)")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    # With layers this small, several threads only wait for each other.
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    sources = (args.unipen, args.fonts, args.texts, args.real_lines)
    net = fit(draw(MarkedLines(*sources), args.lines, 1), args.epochs)
    export_line_marks(net, args.out)
    strip_graph(args.out)
    if args.bundle is not None:
        add_marks(args.bundle, args.out)
    held_out = draw(MarkedLines(*sources, split="heldout"), HELD_OUT_LINES, 2)
    for name, value in measure(net, held_out).items():
        print(f"{name:16} {100 * value:.2f} %")
    return 0
