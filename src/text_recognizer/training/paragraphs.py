"""Whole paragraphs without a line finder: training paragraphs, and the training of `models.paragraph`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from text_recognizer.recognition.normalise import normalise_line
from text_recognizer.synthesis.rendering.ink import compose_line, vary
from text_recognizer.synthesis.rendering.line import on_paper
from text_recognizer.synthesis.rendering.pen import Pen, draw_ink
from text_recognizer.synthesis.sources.fonts import render_text
from text_recognizer.synthesis.sources.unipen import Ink as Strokes
from text_recognizer.training.data import Batch, Codec, LineRenderer, Pools, RenderedLines, collate
from text_recognizer.training.lit import LitRecognizer
from text_recognizer.training.models.paragraph import ROW, ParagraphRecognizer, line_counts
from text_recognizer.training.models.recognizer import RecognizerConfig

Ink = NDArray[np.uint8]

# Line spacing in line heights: close together as on plain paper, or wide as on ruled paper.
CLOSE, WIDE = (0.75, 1.1), (1.1, 1.5)
# Standard deviation, in pixels, of the remaining rise of a deskewed paragraph's lines over their whole length.
TILT = 4.0


@dataclass
class ParagraphBatch(Batch):
    """Paragraphs. `tokens` and `lengths` belong to their lines, paragraph by paragraph."""

    lines: Tensor  # (B,) int64, number of lines in each paragraph


class LitParagraphs(LitRecognizer):
    """`LitRecognizer` for paragraphs: the losses of the lines, plus the error of their number.

    Args:
        config: sizes of the network; with `weights`, the sizes of a line recogniser.
        freeze: the convolutions keep the weights and statistics of the line recogniser, which halves the time.
    """

    network: ParagraphRecognizer

    def __init__(self, config: RecognizerConfig, freeze: bool = True, **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        self.frozen = [self.network.encoder.stem, self.network.encoder.stages] if freeze else []
        for part in self.frozen:
            part.requires_grad_(False)
        self.miscounted = torch.zeros(())  # mean error of the number of lines in the last batch
        self.train()  # Lightning does not change the modes of modules

    def make_network(self, config: RecognizerConfig) -> ParagraphRecognizer:
        return ParagraphRecognizer(config)

    def train(self, mode: bool = True) -> LitParagraphs:
        super().train(mode)
        for part in self.frozen if mode else []:
            part.eval()
        return self

    def forward_lines(self, batch: Batch, images: Tensor, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        counts = _counts(batch)
        encoder, decoder = self.network.encoder, self.network.decoder
        rows, shares = encoder.paragraph(images, batch.widths)
        self.miscounted = F.l1_loss(shares.sum(1), counts.float())
        features, ctc, mask = encoder.lines(rows, shares, batch.widths, counts)
        logits, _ = decoder(inputs, decoder.line_keys_values(features), mask)
        widths = batch.widths.repeat_interleave(counts)
        return ctc, logits, (widths + self.config.stride - 1) // self.config.stride

    def training_step(self, batch: Batch, index: int) -> Tensor:
        loss = super().training_step(batch, index)
        self.log("loss/lines", self.miscounted, prog_bar=True, batch_size=batch.images.shape[0])
        return loss + self.miscounted

    @torch.no_grad()
    def read(self, batch: Batch) -> dict[str, list[str]]:
        """The greedy reading of each head for each paragraph of `batch`, with as many lines as the network counts."""
        images = batch.inputs()
        encoder = self.network.encoder
        rows, shares = encoder.paragraph(images, batch.widths)
        counts = line_counts(shares)
        features, logits, mask = encoder.lines(rows, shares, batch.widths, counts)
        written = self.network.write(features, mask, int(batch.lengths.max()) + 12)
        texts = {"ctc": self.best_path(logits, mask), "decoder": [self.codec.decode(row) for row in written]}
        return {name: _joined(lines, counts) for name, lines in texts.items()}

    def truths(self, batch: Batch) -> list[str]:
        return paragraph_texts(batch, self.codec)


def paragraph_texts(batch: Batch, codec: Codec) -> list[str]:
    """The texts of the paragraphs of a batch, each joined to one line."""
    return _joined([codec.decode(row) for row in batch.tokens.tolist()], _counts(batch))


def _counts(batch: Batch) -> Tensor:
    if not isinstance(batch, ParagraphBatch):
        raise TypeError("paragraphs are trained on a ParagraphBatch, as RenderedParagraphs makes it")
    return batch.lines


def _joined(lines: Sequence[str], counts: Tensor) -> list[str]:
    """Join the texts of lines to texts of paragraphs with `counts` lines each."""
    ends = counts.cumsum(0).tolist()
    return ["\n".join(lines[end - count : end]) for end, count in zip(ends, counts.tolist(), strict=True)]


class ParagraphPools(Pools):
    """Pools of paragraphs: like `Pools`, but with several lines in each image."""

    def __init__(self, renderer: LineRenderer, max_lines: int, seed: int, batches: int, size: int, *place: int) -> None:
        rank, world = place
        super().__init__(renderer, seed, batches, size, rank, world)
        self.max_lines = max_lines

    def __getitem__(self, index: int) -> list[Batch]:
        cv2.setNumThreads(0)
        # Few lines first: the network learns to separate them much sooner.
        most = min(self.max_lines, 2 + index)
        samples = []
        for number in range(self.rank, self.batches * self.batch_size, self.world):
            rng = np.random.default_rng([self.seed, index, number])
            image, text = paragraph(self.renderer, rng, int(rng.integers(1, most + 1)))
            samples.append((image, [self.codec.encode(line) for line in text.split("\n")]))
        samples.sort(key=lambda sample: (len(sample[1]), sample[0].shape[1]))
        share = self.batch_size // self.world
        groups = [samples[i : i + share] for i in range(0, len(samples), share)]
        order = np.random.default_rng([self.seed, index]).permutation(len(groups))
        return [collate_paragraphs(groups[int(i)]) for i in order]


def paragraph(renderer: LineRenderer, rng: np.random.Generator, lines: int) -> tuple[Ink, str]:
    """Draw `lines` lines in one hand or font: ink (H, W) uint8, 255 the darkest, and their text, one line each.

    All lines share one pen and one sheet of paper, as on real pages.
    """
    font = renderer.fonts[int(rng.integers(len(renderer.fonts)))] if rng.random() < renderer.font_share else None
    hand = renderer.hand(rng) if font is None else None
    x_height = float(renderer.height / np.clip(rng.normal(2.9, 0.4), 2.0, 4.0))
    step = renderer.height * float(rng.uniform(*(CLOSE if rng.random() < 0.5 else WIDE)))
    span = (max(1, renderer.max_chars // 2), renderer.max_chars)
    pen, habit = Pen.sample(rng), int(rng.integers(1 << 32))
    drawn, texts = [], []
    for number in range(lines):
        # The last line of a paragraph may have any length.
        size = span if number < lines - 1 else (1, renderer.max_chars)
        if hand is not None:
            ink = compose_line(hand, rng, size, renderer.text.line)
            if renderer.variation > 0:  # the same variation on every line
                ink = vary(ink, np.random.default_rng(habit), renderer.variation)
            drawn.append(_drawn(ink, x_height, pen))
            texts.append(ink.text)
        else:
            assert font is not None
            text = "".join(c for c in renderer.text.line(rng, *size) if c in font.characters).strip() or "a"
            drawn.append(render_text(font, text, x_height, rng))
            texts.append(text)
    above = max(baseline for _, baseline in drawn) + int(rng.integers(1, 12))
    lefts = [int((rng.uniform(0.05, 0.5) + abs(rng.normal(0, 0.15))) * renderer.height) for _ in drawn]
    tops = [
        max(0, round(above + (number + rng.normal(0, 0.04)) * step - baseline))
        for number, (_, baseline) in enumerate(drawn)
    ]
    height = max(top + line.shape[0] for (line, _), top in zip(drawn, tops, strict=True))
    width = max(left + line.shape[1] for (line, _), left in zip(drawn, lefts, strict=True))
    page = np.zeros((height + int(rng.integers(1, 12)), width + int(rng.integers(2, 24))), np.uint8)
    for (line, _), left, top in zip(drawn, lefts, tops, strict=True):
        part = page[top : top + line.shape[0], left : left + line.shape[1]]
        np.maximum(part, line, out=part)
    gray = on_paper(_tilted(page, float(rng.normal(0, TILT))), rng, renderer.clean)
    return normalise_line(gray, gray.shape[0]), "\n".join(texts)


def _drawn(ink: Strokes, x_height: float, pen: Pen) -> tuple[Ink, float]:
    """The ink coverage (H, W) of a line with this x-height in pixels, and the y of its baseline."""
    points = np.concatenate(ink.strokes) * x_height
    room = np.ceil(pen.width * x_height) + 2  # strokes are as wide as the pen
    left, top = points.min(0) - room
    right, bottom = points.max(0) + room
    canvas = np.zeros((int(np.ceil(bottom - top)), int(np.ceil(right - left))), np.uint8)
    draw_ink(ink.strokes, x_height, (float(-left), float(-top)), canvas, pen)
    return canvas, float(-top)


def _tilted(page: Ink, rise: float) -> Ink:
    """Shear the page (H, W) so that its lines rise by `rise` pixels from left to right; it gets taller by as much."""
    more = int(abs(rise))
    if not more:
        return page
    slope = -rise / page.shape[1]
    move = np.array([[1, 0, 0], [slope, 1, max(rise, 0.0)]], np.float32)
    return np.asarray(cv2.warpAffine(page, move, (page.shape[1], page.shape[0] + more)), np.uint8)


def collate_paragraphs(samples: Sequence[tuple[Ink, list[list[int]]]]) -> ParagraphBatch:
    """Pad ink images (h, w) and the token lists of their lines to one batch; the height is a multiple of 48."""
    height = -(-max(image.shape[0] for image, _ in samples) // (3 * ROW)) * 3 * ROW
    images = collate([(np.pad(image, ((0, height - image.shape[0]), (0, 0))), []) for image, _ in samples])
    texts = collate([(np.zeros((1, 1), np.uint8), ids) for _, lines in samples for ids in lines])
    return ParagraphBatch(
        images.images, images.widths, texts.tokens, texts.lengths, torch.tensor([len(lines) for _, lines in samples])
    )


class RenderedParagraphs(RenderedLines):
    """Paragraphs rendered during training; validation uses fixed paragraphs of held-out writers.

    Args:
        max_lines: lines of the longest paragraph; paragraphs in the first pools have few lines, then more and more.
        max_chars: characters of the longest line.
    """

    def __init__(
        self,
        unipen: Path | None = None,
        fonts: Path | None = None,
        texts: Path | None = None,
        height: int = 48,
        batch_size: int = 16,
        workers: int = 1,
        seed: int = 1,
        font_share: float = 0.25,
        validation_lines: int = 64,
        max_chars: int = 48,
        max_lines: int = 10,
        overfit_batches: int = 0,
        pool: int = 4,
    ) -> None:
        super().__init__(
            unipen, fonts, texts, height, batch_size, workers, seed, font_share, validation_lines, max_chars,
            overfit_batches, pool,
        )  # fmt: skip
        self.max_lines = max_lines

    # This pool has paragraphs of all lengths.
    overfit_pool = 1000

    def pools(self, renderer: LineRenderer, seed: int, batches: int, size: int, rank: int, world: int) -> Pools:
        return ParagraphPools(renderer, self.max_lines, seed, batches, size, rank, world)
