"""Rendered paragraphs for the network that reads them as a whole: lines of one hand below each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.recognition.normalise import normalise_line
from text_recognizer.synthesis.rendering.ink import compose_line
from text_recognizer.synthesis.rendering.line import render_line
from text_recognizer.synthesis.sources.fonts import render_text
from text_recognizer.training.data import Batch, LineRenderer, ParagraphCodec, Pools, RenderedLines, collate

ROW = 16  # pixels of height a row of features stands for
Ink = NDArray[np.uint8]


class ParagraphPools(Pools):
    """Pools of paragraphs: as `Pools`, with several lines in each image."""

    def __init__(self, renderer: LineRenderer, max_lines: int, seed: int, batches: int, size: int, *place: int) -> None:
        rank, world = place
        super().__init__(renderer, seed, batches, size, rank, world)
        self.max_lines = max_lines
        self.codec = ParagraphCodec()

    def __getitem__(self, index: int) -> list[Batch]:
        cv2.setNumThreads(0)
        # Single lines first: attention is learned much sooner on one line than on ten.
        most = min(self.max_lines, 1 + index // 8)
        share = self.batch_size // self.world
        batches = []
        for number in range(self.batches):
            samples = []
            for row in range(self.rank * share, (self.rank + 1) * share):
                rng = np.random.default_rng([self.seed, index, number, row])
                image, text = paragraph(self.renderer, rng, int(rng.integers(1, most + 1)))
                samples.append((image, self.codec.encode(text)))
            batches.append(collate_paragraphs(samples))
        return batches


def paragraph(renderer: LineRenderer, rng: np.random.Generator, lines: int) -> tuple[Ink, str]:
    """Ink (H, W) uint8, 255 the darkest, of `lines` lines in one hand or font, and their text, a line each."""
    font = renderer.fonts[int(rng.integers(len(renderer.fonts)))] if rng.random() < renderer.font_share else None
    hand = renderer.hand(rng) if font is None else None
    height = renderer.height
    span = (max(1, renderer.max_chars // 2), renderer.max_chars)
    inks, texts = [], []
    for number in range(lines):
        # The last line of a paragraph ends anywhere.
        size = span if number < lines - 1 else (1, renderer.max_chars)
        if hand is not None:
            ink = compose_line(hand, rng, size, renderer.text.line)
            gray, text = render_line(ink, rng, height, [], renderer.variation), ink.text
        else:
            assert font is not None
            text = "".join(c for c in renderer.text.line(rng, *size) if c in font.characters).strip() or "a"
            coverage, baseline = render_text(font, text, height / 2.9, rng)
            top = max(0, round(baseline - 0.68 * height))
            gray = np.asarray(255 - coverage[top : top + height], np.uint8)
        inks.append(normalise_line(gray, height))
        texts.append(text)
    step = height * float(rng.uniform(0.75, 1.1))
    margin = int(rng.integers(2, height // 2))
    lefts = [int(margin + abs(rng.normal(0, 0.1)) * height) for _ in inks]
    page = np.zeros(
        (round((lines - 1) * step) + height, max(i.shape[1] + x for i, x in zip(inks, lefts, strict=True))), np.uint8
    )
    for number, (ink_image, left) in enumerate(zip(inks, lefts, strict=True)):
        top = round(number * step)
        part = page[top : top + ink_image.shape[0], left : left + ink_image.shape[1]]
        np.maximum(part, ink_image, out=part)
    return page, "\n".join(texts)


def collate_paragraphs(samples: Sequence[tuple[Ink, list[int]]]) -> Batch:
    """Pad ink images (h, w) and token lists to one batch, images (B, 1, H, W) with H a multiple of 48."""
    height = -(-max(image.shape[0] for image, _ in samples) // (3 * ROW)) * 3 * ROW
    tall = [(np.pad(image, ((0, height - image.shape[0]), (0, 0))), ids) for image, ids in samples]
    return collate(tall)


class RenderedParagraphs(RenderedLines):
    """Paragraphs rendered during training; validation on fixed ones of held-out writers.

    Args:
        max_lines: of the longest paragraph; the first pools hold single lines, later ones more and more.
        max_chars: of the longest line.
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
    ) -> None:
        super().__init__(
            unipen, fonts, texts, height, batch_size, workers, seed, font_share, validation_lines, max_chars,
            overfit_batches,
        )  # fmt: skip
        self.max_lines = max_lines

    # A pool of paragraphs of all lengths.
    overfit_pool = 1000

    def pools(self, renderer: LineRenderer, seed: int, batches: int, size: int, rank: int, world: int) -> Pools:
        return ParagraphPools(renderer, self.max_lines, seed, batches, size, rank, world)
