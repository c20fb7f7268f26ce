"""Rendered lines as training batches. Seed and position determine them, so a run resumes exactly where it stopped."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

from text_recognizer.errors import DataInvalid
from text_recognizer.recognition.decoding import to_text
from text_recognizer.recognition.normalise import normalise_line
from text_recognizer.recognition.recognizer import MARGIN
from text_recognizer.synthesis.rendering.augment import augment
from text_recognizer.synthesis.rendering.ink import Hand, compose_line
from text_recognizer.synthesis.rendering.line import degrade, on_paper, render_line
from text_recognizer.synthesis.sources.alphabet import ALPHABET
from text_recognizer.synthesis.sources.fonts import HandFont, load_fonts, render_text, write_builtin_font
from text_recognizer.synthesis.sources.real_lines import RealLines
from text_recognizer.synthesis.sources.text import TextSource, normalise_text
from text_recognizer.synthesis.sources.unipen import load_writers
from text_recognizer.training.models.recognizer import BOS, EOS, FIRST_CHARACTER, PAD, UNKNOWN

# Padded sizes are multiples of these, because the first batch of a new shape takes several times as long as the next.
WIDTH_STEP = 32
TOKEN_STEP = 16
# A text with BOS and EOS must fit into the decoder's positions (`RecognizerConfig.max_tokens`).
MOST_CHARS = 240
# Share of book typefaces and typewriter faces among the lines set in fonts.
PRINTED_SHARE = 0.35
# Share of lines longer than `max_chars`, as in books, typescripts and small handwriting, and by which factor. There are
# few, since they cost the most, but without any the decoder never learns the positions beyond its longest line.
LONG_SHARE, LONGER = 0.12, 1.6
# Share of training lines that are clean scans of white paper: most real pages are, and the network learns shapes sooner
# if nothing hides them. It does not apply to lines for validation and calibration, which stay as they were.
CLEAN_SHARE = 0.25
# Strength of the variation of real lines (`render.augment`), because each appears several times in a run.
REAL_STRENGTH = 0.7
# Steps over which the share of short texts falls to a quarter.
EASY_STEPS = 600
# Batches in a pool: the more there are, the more similar in width are the lines of a batch.
POOL = 16


class Codec:
    """Converts text to token ids and back, for one alphabet."""

    def __init__(self, alphabet: str = ALPHABET) -> None:
        self.alphabet = alphabet
        self._ids = {c: i + FIRST_CHARACTER for i, c in enumerate(alphabet)}

    def __len__(self) -> int:
        return len(self.alphabet) + FIRST_CHARACTER

    def encode(self, text: str) -> list[int]:
        """Token ids; a character outside the alphabet becomes UNKNOWN instead of raising an error."""
        return [self._ids.get(c, UNKNOWN) for c in normalise_text(text, self.alphabet)]

    def covers(self, text: str) -> bool:
        """Whether every character of `text` is in the alphabet."""
        return UNKNOWN not in self.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return to_text(ids, self.alphabet)

    def decode_ctc(self, ids: Sequence[int]) -> str:
        """Best path: repeats merged, blanks dropped."""
        return self.decode([i for i, before in zip(ids, [0, *ids[:-1]], strict=True) if i != before and i != 0])


@dataclass  # not frozen: Lightning moves its fields to the device in place
class Batch:
    """Lines or paragraphs of similar width."""

    images: Tensor  # (B, 1, H, W) uint8, 255 = ink, padded right with 0
    widths: Tensor  # (B,) int64
    tokens: Tensor  # (B, N) int64: BOS text EOS PAD…
    lengths: Tensor  # (B,) int64, characters of each text

    def inputs(self) -> Tensor:
        """The images as network input: (B, 1, H, W) float32, 0…1, channels last."""
        return self.images.to(torch.float32).div(255).contiguous(memory_format=torch.channels_last)


def collate(samples: Sequence[tuple[NDArray[np.uint8], list[int]]]) -> Batch:
    """Pad ink images (H, w) and token lists to one batch."""
    height = samples[0][0].shape[0]
    width = max(s[0].shape[1] for s in samples) + MARGIN
    step = WIDTH_STEP if width <= 512 else 2 * WIDTH_STEP
    width = -(-width // step) * step
    length = -(-(max(len(s[1]) for s in samples) + 2) // TOKEN_STEP) * TOKEN_STEP
    images = np.zeros((len(samples), 1, height, width), np.uint8)
    tokens = np.full((len(samples), length), PAD, np.int64)
    for row, (image, ids) in enumerate(samples):
        images[row, 0, :, : image.shape[1]] = image
        tokens[row, : len(ids) + 2] = [BOS, *ids, EOS]
    return Batch(
        torch.from_numpy(images),
        torch.tensor([s[0].shape[1] for s in samples]),
        torch.from_numpy(tokens),
        torch.tensor([len(s[1]) for s in samples]),
    )


class LineRenderer:
    """Draws training lines from UNIPEN hands and handwriting fonts, or from only one of the two."""

    def __init__(
        self,
        unipen: Path | None,
        fonts: Path | None = None,
        texts: Path | None = None,
        split: str = "train",
        height: int = 48,
        font_share: float = 0.25,
        variation: float = 1.0,
        max_chars: int = 64,
        max_width: int = 1800,
        alphabet: str = ALPHABET,
    ) -> None:
        writers = load_writers(unipen, "train" if split == "train" else "heldout") if unipen is not None else []
        self.hands = [h for h in map(Hand, writers) if h.writable]
        # A writer of four phrases should not get as many lines as a writer of four hundred words. Writers who join
        # letters are rarer in the data than on paper, and harder to read.
        weights = np.array(
            [
                min(1.0, sum(len(i.text) for i in h.inks) / 600 + 0.3 * h.can_print + 0.05) * (1 + 1.5 * h.joined)
                for h in self.hands
            ]
        )
        self.cumulative = np.cumsum(weights / weights.sum())
        self.fonts: list[HandFont] = load_fonts(fonts) if fonts is not None else []
        self.printed = [f for f in self.fonts if f.kind == "printed"]
        self.written = [f for f in self.fonts if f.kind != "printed"]
        if not self.hands and not self.fonts:
            raise DataInvalid("there is nothing to render from: give --unipen, or --fonts with fonts that can be read.")
        self.text = TextSource(texts)
        # A network with a smaller alphabet never sees a line that it cannot write.
        self.known = frozenset(alphabet)
        self.height = height
        self.font_share = (font_share if self.hands else 1.0) if self.fonts else 0.0
        self.variation = variation
        self.max_chars = max_chars
        self.max_width = max_width
        self.clean = CLEAN_SHARE if split == "train" else 0.0

    def hand(self, rng: np.random.Generator) -> Hand:
        return self.hands[min(int(np.searchsorted(self.cumulative, rng.random())), len(self.hands) - 1)]

    def sample(self, rng: np.random.Generator, short: float = 0.3) -> tuple[NDArray[np.uint8], str]:
        """A grey line image (H, W) and its text; `short` is the share of words and short phrases."""
        for _ in range(20):
            if rng.random() < 0.006:
                return degrade(np.zeros((self.height, int(rng.integers(24, 600))), np.uint8), rng), ""
            kind = rng.random()
            long = kind > 1 - LONG_SHARE
            longest = round(self.max_chars * LONGER) if long else self.max_chars
            span = (1, 14) if kind < short else (self.max_chars if long else 10, longest)
            if rng.random() < self.font_share:
                drawn = self._font_line(rng, span)
                if drawn is None:
                    continue
                image, text = drawn
            else:
                hand = self.hand(rng)
                ink = compose_line(hand, rng, span, self.text.line)
                near = (
                    [compose_line(hand, rng, (3, 20)) for _ in range(int(rng.integers(1, 3)))]
                    if rng.random() < 0.3
                    else []
                )
                image, text = render_line(ink, rng, self.height, near, self.variation, self.clean), ink.text
            if len(text) > MOST_CHARS or not self.known.issuperset(normalise_text(text)):
                continue
            if 8 * len(text) <= image.shape[1] <= self.max_width * longest / self.max_chars:
                return image, text
        return degrade(np.zeros((self.height, 64), np.uint8), rng), ""

    def _font_line(self, rng: np.random.Generator, span: tuple[int, int]) -> tuple[NDArray[np.uint8], str] | None:
        printed = bool(self.printed) and (rng.random() < PRINTED_SHARE or not self.written)
        fonts = self.printed if printed else self.written
        font = fonts[int(rng.integers(len(fonts)))]
        wanted = int(rng.integers(span[0], span[1] + 1))
        text = self.text.line(rng, max(1, wanted - 6), wanted + 2)
        if not text.strip() or not font.covers(text):
            return None
        x_height = float(self.height / np.clip(rng.normal(2.9, 0.45), 2.0, 4.2))
        coverage, baseline = render_text(font, text, x_height, rng)
        columns = np.flatnonzero(coverage.max(0) > 32)
        if not len(columns):
            return None
        # Crop as the line finder does: the baseline at about two thirds of the height.
        y = round(baseline - self.height * rng.uniform(0.6, 0.76))
        left, right = (int(v) for v in rng.uniform(0.1, 1.2, 2) * x_height)
        canvas = np.zeros((self.height, columns[-1] - columns[0] + 1 + left + right), np.uint8)
        source = coverage[max(0, y) : y + self.height, columns[0] : columns[-1] + 1]
        canvas[max(0, -y) : max(0, -y) + source.shape[0], left : left + source.shape[1]] = source
        return on_paper(canvas, rng, self.clean), text


class Pools(Dataset[list[Batch]]):
    """Item k is pool k of lines, sorted by width into batches; the same seed gives the same lines in any process.

    Args:
        batch_size: lines per step, over all processes.
        rank, world: index of this process and number of processes; each renders its share of every pool. All draw their
            batches in the same order of widths, so that none waits for another's longer lines.
        real: real lines that replace some rendered ones, with a new variation each time.
        real_share: share of real lines in the first pool and from step `real_steps` on, with a linear rise between: the
            network first learns shapes from rendered lines, whose text is certain.
    """

    def __init__(
        self,
        renderer: LineRenderer,
        seed: int,
        batches: int = 16,
        batch_size: int = 32,
        rank: int = 0,
        world: int = 1,
        real: RealLines | None = None,
        real_share: tuple[float, float] = (0.0, 0.0),
        real_steps: int = 1,
    ) -> None:
        if batch_size % world:
            raise DataInvalid(f"{batch_size} lines a step cannot be shared by {world} processes: give a multiple.")
        self.renderer, self.seed, self.batches, self.batch_size = renderer, seed, batches, batch_size
        self.rank, self.world = rank, world
        self.real, self.real_share, self.real_steps = real, real_share, real_steps
        self.easy_steps = EASY_STEPS
        self.codec = Codec()

    def __len__(self) -> int:
        return 1 << 31

    def __getitem__(self, index: int) -> list[Batch]:
        cv2.setNumThreads(0)
        step = index * self.batches
        # Short texts first: CTC finds an alignment much sooner on words than on lines.
        short = max(0.25, 1.0 - 0.75 * step / self.easy_steps) if self.easy_steps else 0.25
        first, last = self.real_share
        real = first + (last - first) * min(1.0, step / max(1, self.real_steps))
        samples = []
        for number in range(self.rank, self.batches * self.batch_size, self.world):
            rng = np.random.default_rng([self.seed, index, number])
            if self.real is not None and rng.random() < real:
                image, text = self.real.sample(rng)
                image = augment(image, rng, REAL_STRENGTH)
            else:
                image, text = self.renderer.sample(rng, short)
            samples.append((normalise_line(image, self.renderer.height), self.codec.encode(text)))
        samples.sort(key=lambda s: s[0].shape[1])
        share = self.batch_size // self.world
        groups = [samples[i : i + share] for i in range(0, len(samples), share)]
        order = np.random.default_rng([self.seed, index]).permutation(len(groups))
        return [collate(groups[int(i)]) for i in order]


class _From(Sampler[int]):
    def __init__(self, start: int) -> None:
        self.start = start

    def __iter__(self) -> Iterator[int]:
        index = self.start
        while True:
            yield index
            index += 1


class BatchStream(IterableDataset[Batch]):
    """Batches from batch number `start` on."""

    def __init__(self, pools: Pools, start: int, workers: int) -> None:
        self.pools, self.start, self.workers = pools, start, workers

    def __iter__(self) -> Iterator[Batch]:
        first, skip = divmod(self.start, self.pools.batches)
        ending = multiprocessing.Event()
        loader = DataLoader(
            self.pools,
            batch_size=None,
            sampler=_From(first),
            num_workers=self.workers,
            prefetch_factor=2 if self.workers else None,
            worker_init_fn=partial(_set_up_worker, ending),
        )
        try:
            for pool in loader:
                yield from pool[skip:]
                skip = 0
        finally:
            ending.set()


def _set_up_worker(ending: Event, _: int) -> None:
    torch.set_num_threads(1)
    os.nice(3)

    def end(number: int, frame: object) -> None:
        if ending.is_set():
            os._exit(0)

    # A job is often ended by signalling all its processes, and a run that loses a worker in mid-step cannot save.
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Repeated(IterableDataset[Batch]):
    """The same few batches repeatedly, from batch number `start` on."""

    def __init__(self, batches: list[Batch], start: int) -> None:
        self.batches, self.start = batches, start

    def __iter__(self) -> Iterator[Batch]:
        for number in count(self.start):
            yield self.batches[number % len(self.batches)]


@cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder that exists as long as this process."""
    return tempfile.TemporaryDirectory(prefix="text-recognizer-")


class RenderedLines(L.LightningDataModule):
    """Lines rendered during training; validation uses fixed lines of held-out writers.

    Without `unipen` and `fonts`, all lines use the one font that comes with Pillow, which is enough to see training
    work.

    Args:
        unipen: the cache made by `text-recognizer train data prepare`, None for fonts only.
        fonts: folder of fonts made by `text-recognizer train data fonts`, None for pen strokes only.
        texts: folder of texts, None for the built-in wording.
        height: pixels of a line.
        batch_size: lines per step, over all processes.
        workers: rendering processes for each training process.
        font_share: share of lines set in fonts.
        validation_lines: their number, a multiple of 32.
        max_chars: characters of the longest line.
        overfit_batches: if not 0, train on this many batches repeatedly, and validate on them too.
        pool: batches that are rendered together and sorted by width. A larger pool needs less padding, but a run takes
            longer to resume.
        real_lines: folder of real lines (`sources.real_lines`), whose "train" split is mixed in; None for none.
        real_share: share of real lines at the beginning, and from step `real_steps` on.
        easy_steps: steps over which the share of short texts falls to a quarter; 0 for a network that already reads.
    """

    def __init__(
        self,
        unipen: Path | None = None,
        fonts: Path | None = None,
        texts: Path | None = None,
        height: int = 48,
        batch_size: int = 32,
        workers: int = 1,
        seed: int = 1,
        font_share: float = 0.25,
        validation_lines: int = 384,
        max_chars: int = 64,
        overfit_batches: int = 0,
        pool: int = POOL,
        real_lines: Path | None = None,
        real_share: tuple[float, float] = (0.1, 0.25),
        real_steps: int = 5000,
        easy_steps: int = EASY_STEPS,
    ) -> None:
        super().__init__()
        self.easy_steps = easy_steps
        self.pool, self.real_lines = pool, Path(real_lines) if real_lines else None
        self.real_share, self.real_steps = real_share, real_steps
        self.unipen, self.fonts, self.texts = (Path(p) if p else None for p in (unipen, fonts, texts))
        self.height, self.batch_size, self.workers, self.seed = height, batch_size, workers, seed
        self.font_share, self.validation_lines, self.max_chars = font_share, validation_lines, max_chars
        self.overfit_batches = overfit_batches
        if self.unipen is None and self.fonts is None:
            self.fonts = write_builtin_font(Path(_scratch().name))

    overfit_pool = 0  # the pool of the `overfit_batches`: the first pool, which has single words

    def train_dataloader(self) -> Any:
        start = self.trainer.global_step if self.trainer else 0
        if self.overfit_batches:
            return DataLoader(_Repeated(self._few(), start), batch_size=None)
        return DataLoader(BatchStream(self.train_pools(*self._place()), start, self.workers), batch_size=None)

    def val_dataloader(self) -> Any:
        return self._fixed(1000)

    def test_dataloader(self) -> Any:
        return self._fixed(2000)

    def train_pools(self, rank: int = 0, world: int = 1) -> Pools:
        """The training data, pool by pool."""
        renderer = LineRenderer(
            self.unipen, self.fonts, self.texts, height=self.height, font_share=self.font_share,
            max_chars=self.max_chars,
        )  # fmt: skip
        pools = self.pools(renderer, self.seed, self.pool, self.batch_size, rank, world)
        pools.easy_steps = self.easy_steps
        if self.real_lines is not None:
            pools.real = RealLines(self.real_lines, longest=MOST_CHARS)
            pools.real_share, pools.real_steps = self.real_share, self.real_steps
        return pools

    def pools(self, renderer: LineRenderer, seed: int, batches: int, size: int, rank: int, world: int) -> Pools:
        return Pools(renderer, seed, batches, size, rank, world)

    def _few(self) -> list[Batch]:
        pools = self.train_pools(*self._place())
        pools.batches = self.overfit_batches
        return pools[self.overfit_pool]

    def _fixed(self, number: int) -> Any:
        """Fixed lines for validation, which are never trained on and are the same in every run."""
        if self.overfit_batches:
            batches: Any = self._few()
            return DataLoader(batches, batch_size=None)
        fonts = self.fonts if self.unipen is None else None
        renderer = LineRenderer(self.unipen, fonts, self.texts, split="heldout", height=self.height, variation=0.0)
        size = min(32, self.validation_lines)
        pools = self.pools(renderer, 20_000_000 + 1, self.validation_lines // size, size, 0, 1)
        rank, world = self._place()
        batches = pools[number][rank::world]
        return DataLoader(batches, batch_size=None)

    def _place(self) -> tuple[int, int]:
        """The index of this process, and the number of processes."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)


def calibration_lines(
    unipen: Path, texts: Path | None, height: int = 48, alphabet: str = ALPHABET
) -> list[tuple[NDArray[np.uint8], str]]:
    """Lines of held-out writers with their texts; another seed makes them differ from the evaluation sets."""
    renderer = LineRenderer(
        unipen, None, texts, split="heldout", height=height, variation=0.0, max_width=1400, alphabet=alphabet
    )
    rng = np.random.default_rng(7_777)
    return [renderer.sample(rng, 0.3) for _ in range(600)]
