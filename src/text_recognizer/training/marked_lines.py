"""Lines with two labels in addition to their text: whether they are printed, and which parts are struck out.

They are cropped from small rendered pages as the line finder crops them, with rules, underlines and neighbouring lines.
Most are then put on paper one by one, which is quick, and some with their whole page. Real lines are mixed in, half of
them with words that we strike out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.images import load_image
from text_recognizer.layout.crops import crop_line, line_axes
from text_recognizer.recognition.normalise import normalise_line
from text_recognizer.synthesis.rendering.augment import augment
from text_recognizer.synthesis.rendering.camera import as_jpeg
from text_recognizer.synthesis.rendering.ink import Hand
from text_recognizer.synthesis.rendering.line import on_paper
from text_recognizer.synthesis.rendering.page import PageLine, compose_page, render_page
from text_recognizer.synthesis.rendering.page_style import PageStyle
from text_recognizer.synthesis.rendering.strike import strike_out
from text_recognizer.synthesis.sources.fonts import HandFont, load_fonts
from text_recognizer.synthesis.sources.real_lines import RealLines
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import load_writers
from text_recognizer.training.models.line_marks import HEIGHT, STRIDE

Gray = NDArray[np.uint8]
Rng = np.random.Generator

PRINTED_SHARE, FONT_SHARE, REAL_SHARE = 0.36, 0.08, 0.3
# Share of rendered lines: if only real lines were on old paper, the paper would give away handwriting.
OLD_PAPER = 0.5
CAPITALS_SHARE = 0.12
WHOLE_PAGES = 0.12  # of the pages; on the others, lines are put on paper one by one
HELD_OUT = 5  # one in this many typefaces is never trained on


@dataclass(frozen=True, slots=True)
class MarkedLine:
    """A normalised line image (48, W) uint8, 255 = ink; `struck` (ceil(W / 8),) marks the struck-out steps."""

    image: Gray
    printed: bool
    struck: NDArray[np.bool_]
    source: str  # the typeface or kind of hand


class _Capitals(TextSource):
    """The text of another source in capitals."""

    def __init__(self, source: TextSource) -> None:
        self.__dict__.update(source.__dict__)

    def line(self, rng: Rng, min_chars: int, max_chars: int) -> str:
        return super().line(rng, min_chars, max_chars).upper()

    def paragraph(self, rng: Rng, n_chars: int) -> str:
        return super().paragraph(rng, n_chars).upper()


class MarkedLines:
    """Draws marked lines. `split`: "heldout" uses writers, typefaces and hands that training never sees."""

    def __init__(
        self,
        unipen: Path,
        fonts: Path,
        texts: Path | None = None,
        real_lines: Path | None = None,
        split: Literal["train", "heldout"] = "train",
    ) -> None:
        self.hands = [hand for hand in map(Hand, load_writers(unipen, split)) if hand.writable]
        known = load_fonts(fonts)
        chosen = [font for font in known if is_held_out(font.name) == (split == "heldout")]
        self.printed = [font for font in chosen if font.kind == "printed"]
        self.written = [font for font in chosen if font.kind != "printed"]
        self.text = TextSource(texts)
        self.real = RealLines(real_lines, "train" if split == "train" else "dev") if real_lines else None

    def sample(self, rng: Rng) -> list[MarkedLine]:
        """The lines of a small page, or one real line."""
        kind = rng.random()
        if self.real is not None and kind < REAL_SHARE:
            return [self._real(rng, self.real)]
        if kind > 1 - PRINTED_SHARE:
            return list(self.page(self.printed[int(rng.integers(len(self.printed)))], rng))
        if kind > 1 - PRINTED_SHARE - FONT_SHARE:
            return list(self.page(self.written[int(rng.integers(len(self.written)))], rng))
        return list(self.page(self.hands[int(rng.integers(len(self.hands)))], rng))

    def page(self, hand: Hand | HandFont, rng: Rng) -> Iterator[MarkedLine]:
        """The lines of a small page in one hand or typeface."""
        printed = isinstance(hand, HandFont) and hand.kind == "printed"
        small = printed and rng.random() < 0.4
        style = PageStyle.sample(rng, float(rng.uniform(6, 12) if small else rng.uniform(11, 22)))
        style = replace(
            style,
            width=float(rng.uniform(14, 60)),
            height=float(rng.uniform(1.6, 5)) * style.spacing + 4,
            cells=style.cells if rng.random() < 0.3 else None,
            margins=(1.5, 1.5, 2.0, 1.5),
            columns=1,
            date=False,
            letterhead=rng.random() < 0.1,
            marginalia=False,
            paragraph_gap=0.0,
            fill=1.0,
            crossings=0.0 if rng.random() < 0.5 else float(rng.uniform(0.05, 0.35)),
            underlines=0.0 if rng.random() < 0.7 else float(rng.uniform(0.1, 1.0)),
            additions=0.25 if rng.random() < 0.15 else 0.0,
        )
        text = _Capitals(self.text) if rng.random() < CAPITALS_SHARE else self.text
        whole = rng.random() < WHOLE_PAGES
        if whole:
            page = render_page(hand, rng, style, text, faces=self.printed)
            gray, lines = load_image(page.rgb).gray, page.lines
        else:
            written, print_, lines = compose_page(hand, rng, style, text, faces=self.printed)
            gray = np.asarray(255 - np.maximum(written, print_), np.uint8)
        source = hand.name if isinstance(hand, HandFont) else "pen"
        for line in lines:
            paper = None if whole else self._paper
            marked = cut_marked(gray, line, rng, printed or line.kind == "printed", source, paper)
            if marked is not None:
                yield marked

    def _paper(self, coverage: Gray, rng: Rng) -> Gray:
        """Put the ink coverage (H, W) of a line on paper, often on the paper of a real line."""
        if self.real is None or rng.random() > OLD_PAPER:
            return on_paper(coverage, rng, 0.25)
        return on_real_paper(coverage, self.real.sample(rng)[0], rng)

    def _real(self, rng: Rng, lines: RealLines) -> MarkedLine:
        """A real line, unchanged or with some of its words struck out."""
        gray, _ = lines.sample(rng)
        struck = np.zeros(gray.shape[1], bool)
        if rng.random() < 0.5:
            gray, struck = _struck_by_us(gray, rng)
        wide = augment(gray, rng, 0.0 if struck.any() else 0.6)
        image = normalise_line(wide, HEIGHT)
        return MarkedLine(image, False, _steps(np.flatnonzero(struck) / len(struck), image.shape[1]), "real")


def is_held_out(name: str) -> bool:
    """Whether a typeface is never trained on, including its bold and italic styles."""
    family = name.removesuffix("-bold").removesuffix("-italic")
    return hashlib.sha256(family.encode()).digest()[0] % HELD_OUT == 0


def cut_marked(
    gray: Gray, line: PageLine, rng: Rng, printed: bool, source: str, paper: Callable[[Gray, Rng], Gray] | None
) -> MarkedLine | None:
    """Crop a line from its page about as the line finder does; None if almost nothing is left.

    `paper` puts its ink on paper; None if the page `gray` is already on paper.
    """
    baseline = [(float(x), float(y)) for x, y in line.baseline]
    along, up = line_axes(line.polygon, baseline)
    # Finders include more or less of the paper above, below and at the ends.
    heights = (line.polygon - line.baseline[0]) @ up
    room = np.where(heights > 0, rng.uniform(-0.05, 0.5), -rng.uniform(-0.05, 0.35)) * line.x_height
    polygon = (line.polygon + room[:, None] * up).astype(np.float32)
    reach = (polygon - polygon.mean(0)) @ along
    ends = rng.uniform(-0.1, 0.6, 2) * line.x_height
    polygon[reach == reach.min()] -= ends[0] * along
    polygon[reach == reach.max()] += ends[1] * along
    crop = crop_line(gray, [(float(x), float(y)) for x, y in polygon], baseline)
    if crop.shape[1] < 24:
        return None
    image = normalise_line(crop if paper is None else paper(np.asarray(255 - crop, np.uint8), rng), HEIGHT)
    u = polygon @ along
    columns = np.arange(image.shape[1]) / image.shape[1]
    struck = np.zeros(image.shape[1], bool)
    for span in line.struck:
        start, end = sorted((span @ along - u.min()) / max(float(np.ptp(u)), 1.0))
        struck |= (columns >= start) & (columns < end)
    return MarkedLine(image, printed, _steps(columns[struck], image.shape[1]), source)


def on_real_paper(coverage: Gray, line: Gray, rng: Rng) -> Gray:
    """Ink coverage (H, W) on the paper of a real line (h, w), with its darkness and grain but without its ink."""
    height, width = coverage.shape
    scale = height / line.shape[0]
    paper = cv2.GaussianBlur(cv2.morphologyEx(line, cv2.MORPH_CLOSE, np.ones((19, 19), np.uint8)), (0, 0), 4)
    paper = cv2.resize(paper, (max(2, round(line.shape[1] * scale)), height), interpolation=cv2.INTER_LINEAR)
    paper = np.tile(np.concatenate([paper, paper[:, ::-1]], axis=1), (1, 1 + width // (2 * paper.shape[1])))[:, :width]
    dark = np.minimum(np.percentile(line, 1.5), 0.8 * paper)
    grain = rng.normal(1.0, rng.uniform(0.02, 0.25), (max(2, height // 8), max(2, width // 8))).astype(np.float32)
    density = np.clip(cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR), 0.3, 1.1)
    soft = cv2.GaussianBlur(coverage.astype(np.float32) / 255, (0, 0), float(rng.uniform(0.3, 1.3)))
    depth = np.clip(soft * density, 0, 1)
    image = paper * (1 - depth) + dark * depth + rng.normal(0, rng.uniform(0.5, 7), (height, width))
    out = np.clip(image, 0, 255).astype(np.uint8)
    return as_jpeg(out, int(rng.integers(25, 90))) if rng.random() < 0.5 else out


def _steps(fractions: NDArray[np.floating], width: int) -> NDArray[np.bool_]:
    """Which steps of a line of `width` pixels are at these fractions, 0…1, of its width."""
    struck = np.zeros(-(-width // STRIDE), bool)
    struck[(fractions * width / STRIDE).astype(int)] = True
    return struck


def _struck_by_us(gray: Gray, rng: Rng) -> tuple[Gray, NDArray[np.bool_]]:
    """Strike out one to three words of a real line (H, W). Returns the line, and which columns are struck out."""
    height, width = gray.shape
    ink = normalise_line(gray, height, 1.0) > 110
    rows = ink.sum(1).astype(float) + 1e-3
    centre = float((rows * np.arange(height)).sum() / rows.sum())
    x_height = float(np.clip(1.6 * np.sqrt((rows * (np.arange(height) - centre) ** 2).sum() / rows.sum()), 8, 30))
    # Gaps of half an x-height separate words.
    filled = np.convolve(ink.any(0), np.ones(max(3, round(0.5 * x_height))), "same") > 0
    edges = np.flatnonzero(np.diff(filled.astype(int), prepend=0, append=0)).reshape(-1, 2)
    words = [(int(a), int(b)) for a, b in edges if b - a > x_height]
    struck = np.zeros(width, bool)
    coverage = np.zeros_like(gray)
    for index in rng.permutation(len(words))[: int(rng.integers(1, 4))]:
        start, end = words[index]
        if end - start > 8 * x_height:  # words that run together: strike out a part
            start = int(rng.uniform(start, end - 6 * x_height))
            end = start + int(rng.uniform(2, 6) * x_height)
        strike_out(coverage, start, end, lambda x: np.full_like(x, centre + 0.5 * x_height), x_height, rng)
        struck[start:end] = True
    dark = float(np.percentile(gray, 1)) + rng.normal(0, 10)
    cover = coverage.astype(np.float32) / 255 * float(rng.uniform(0.7, 1.0))
    drawn = np.minimum(gray, gray * (1 - cover) + np.clip(dark, 0, 255) * cover)
    return np.asarray(drawn, np.uint8), struck
