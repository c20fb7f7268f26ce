"""A hand at a fixed size, which writes words as pieces from pen strokes, a font or a printed face."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.synthesis.rendering.ink import Hand, compose_words
from text_recognizer.synthesis.rendering.pen import Pen, draw_ink
from text_recognizer.synthesis.sources.fonts import HandFont, render_text
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import Ink, Writer

Gray = NDArray[np.uint8]
Points = NDArray[np.float32]
INK = 48  # coverage from which a pixel counts as ink


class Piece(Protocol):
    """A word or phrase on a line; `width` is in pixels."""

    text: str
    width: float

    def draw(self, canvas: Gray, x: float, baseline: Callable[[Points], Points]) -> None:
        """Draw it with its left end at `x`. `baseline` maps x (n,) to y (n,) on the canvas, in pixels."""
        ...


@dataclass
class StrokePiece:
    text: str
    strokes: list[Points]  # pixels, left end at x = 0, baseline at y = 0
    width: float
    pen: Pen
    x_height: float

    def draw(self, canvas: Gray, x: float, baseline: Callable[[Points], Points]) -> None:
        placed = []
        for stroke in self.strokes:
            at = stroke[:, 0] + np.float32(x)
            points = np.stack([at, stroke[:, 1] + baseline(at)], axis=1) / self.x_height
            placed.append(points.astype(np.float32))
        draw_ink(placed, self.x_height, (0.0, 0.0), canvas, self.pen)


@dataclass
class BitmapPiece:
    text: str
    coverage: Gray
    baseline_y: float
    width: float

    def draw(self, canvas: Gray, x: float, baseline: Callable[[Points], Points]) -> None:
        h, w = self.coverage.shape
        left = round(x)
        levels = baseline(np.arange(left, left + w, dtype=np.float32)) - np.float32(self.baseline_y)
        # Move rows by whole pixels, in runs of equal shift, to bend a line without the blur of resampling.
        shift = np.round(levels).astype(int)
        starts = np.flatnonzero(np.diff(shift, prepend=shift[0] - 1))
        for begin, end in zip(starts, [*starts[1:], w], strict=True):
            top, x0, x1 = int(shift[begin]), left + int(begin), left + int(end)
            y0, y1 = max(0, top), min(canvas.shape[0], top + h)
            a, b = max(0, x0), min(canvas.shape[1], x1)
            if y0 < y1 and a < b:
                target = canvas[y0:y1, a:b]
                np.maximum(target, self.coverage[y0 - top : y1 - top, a - left : b - left], out=target)


class Script:
    """A hand at a fixed size: it yields words, divides them, and keeps those that did not fit on the last line."""

    def __init__(self, x_height: float, text: TextSource) -> None:
        self.x_height, self.text = x_height, text
        self.waiting: deque[Piece] = deque()

    def more(self, rng: np.random.Generator) -> list[Piece]:
        raise NotImplementedError

    def word(self, text: str, rng: np.random.Generator) -> Piece | None:
        raise NotImplementedError

    def resized(self, scale: float) -> Script:
        raise NotImplementedError

    def take(self, rng: np.random.Generator) -> Piece | None:
        """The next word or phrase; None from a hand that cannot write."""
        for _ in range(20):
            if self.waiting:
                return self.waiting.popleft()
            self.waiting.extend(self.more(rng))
        return None


class PenScript(Script):
    def __init__(
        self, hand: Hand, x_height: float, text: TextSource, rng: np.random.Generator, variation: float
    ) -> None:
        super().__init__(x_height, text)
        self.hand = hand
        self.pen = Pen.sample(rng)
        self.slant = float(rng.normal(0, 0.2)) * variation
        self.stretch = float(np.exp(np.clip(rng.normal(0, 0.15), -0.35, 0.35) * variation))
        self.tall = float(np.exp(rng.normal(0, 0.12) * variation))  # ascenders and descenders relative to the x-height
        self.jitter = float(rng.uniform(0, 0.07))  # words off the baseline
        # Separate letters are rare in this hand's data and common on paper.
        self.print_share = float(rng.random() ** 2) if hand.can_print else 0.0

    def resized(self, scale: float) -> PenScript:
        other = PenScript.__new__(PenScript)
        other.__dict__.update(self.__dict__, x_height=self.x_height * scale, waiting=deque())
        return other

    def more(self, rng: np.random.Generator) -> list[Piece]:
        hand = self.hand
        if hand.phrases and rng.random() < (0.25 if hand.word_list or hand.can_print else 1.0):
            return [self._piece(hand.phrases[int(rng.integers(len(hand.phrases)))], rng)]
        inks: list[Ink] = []
        if hand.can_print or rng.random() < 0.7:
            inks = compose_words(hand, self.text.paragraph(rng, int(rng.integers(40, 240))), rng)
        if not inks and hand.word_list:
            words = [hand.word_list[int(i)] for i in rng.integers(len(hand.word_list), size=4)]
            inks = [hand.words[w][int(rng.integers(len(hand.words[w])))] for w in words]
        if not inks and hand.inks:
            inks = [hand.inks[int(rng.integers(len(hand.inks)))]]
        return [self._piece(ink, rng) for ink in inks]

    def word(self, text: str, rng: np.random.Generator) -> Piece | None:
        ink = self.hand.piece(text, rng, self.hand.can_print)
        return None if ink is None else self._piece(ink, rng)

    def _piece(self, ink: Ink, rng: np.random.Generator) -> Piece:
        offset = float(rng.normal(0, self.jitter))
        strokes = []
        for stroke in ink.strokes:
            x, y = stroke[:, 0], stroke[:, 1]
            tall = y + (self.tall - 1) * (np.minimum(y + 1, 0) + np.maximum(y, 0))
            points = np.stack([(x - self.slant * tall) * self.stretch, tall + offset], axis=1) * self.x_height
            strokes.append(points.astype(np.float32))
        left = min(float(s[:, 0].min()) for s in strokes)
        right = max(float(s[:, 0].max()) for s in strokes)
        shifted = [(s - np.array([left, 0], np.float32)).astype(np.float32) for s in strokes]
        return StrokePiece(ink.text, shifted, right - left, self.pen, self.x_height)


class FontScript(Script):
    def __init__(self, font: HandFont, x_height: float, text: TextSource, seed: int) -> None:
        super().__init__(x_height, text)
        self.font, self.seed = font, seed

    def resized(self, scale: float) -> FontScript:
        return FontScript(self.font, self.x_height * scale, self.text, self.seed)

    def more(self, rng: np.random.Generator) -> list[Piece]:
        words = [self.word(w, rng) for w in self.text.paragraph(rng, int(rng.integers(40, 240))).split()]
        return [w for w in words if w is not None]

    def word(self, text: str, rng: np.random.Generator) -> Piece | None:
        if not self.font.covers(text):
            return None
        # The same seed for every word gives one pen, one slant and one width on the whole page.
        coverage, baseline = render_text(self.font, text, self.x_height, np.random.default_rng(self.seed))
        columns = np.flatnonzero(coverage.max(0) > INK)
        if not len(columns):
            return None
        cut = coverage[:, columns[0] : columns[-1] + 1]
        return BitmapPiece(text, cut, baseline, float(cut.shape[1]))


class PrintScript(Script):
    """Printed and typewritten lines of letterheads and forms, in cv2's stroke faces and Pillow's built-in face."""

    FACES = (
        cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX,
        cv2.FONT_HERSHEY_PLAIN,
    )  # fmt: skip

    def __init__(self, x_height: float, text: TextSource, rng: np.random.Generator) -> None:
        super().__init__(x_height, text)
        self.face = int(rng.integers(len(self.FACES) + 3))
        self.capitals = rng.random() < 0.4
        self.bold = int(rng.integers(1, 3))

    def resized(self, scale: float) -> PrintScript:
        other = PrintScript.__new__(PrintScript)
        other.__dict__.update(self.__dict__, x_height=self.x_height * scale, waiting=deque())
        return other

    def more(self, rng: np.random.Generator) -> list[Piece]:
        words = [self.word(w, rng) for w in self.text.line(rng, 10, 40).split()]
        return [w for w in words if w is not None]

    def word(self, text: str, rng: np.random.Generator) -> Piece | None:
        text = text.upper() if self.capitals else text
        if not text.isascii():
            return None
        if self.face < len(self.FACES):
            # At scale 1, the Hershey faces have an x-height of 14 pixels (capitals 21), and the plain one of 7.
            face = self.FACES[self.face]
            scale = self.x_height / (7.0 if face == cv2.FONT_HERSHEY_PLAIN else 14.0)
            pen = max(1, round(self.bold * self.x_height / 14))
            (w, h), below = cv2.getTextSize(text, face, scale, pen)
            canvas = np.zeros((h + below + 2 * pen, w + 2 * pen), np.uint8)
            cv2.putText(canvas, text, (pen, h + pen), face, scale, 255, pen, cv2.LINE_AA)
            baseline = float(h + pen)
        else:
            font = ImageFont.load_default(size=max(4.0, self.x_height / 0.53))
            left, top, right, bottom = font.getbbox(text, anchor="ls")
            image = Image.new("L", (int(right - left) + 3, int(bottom - top) + 3))
            ImageDraw.Draw(image).text((1 - left, 1 - top), text, font=font, anchor="ls", fill=255)
            canvas, baseline = np.asarray(image), float(1 - top)
        columns = np.flatnonzero(canvas.max(0) > INK) if canvas.size else np.zeros(0, int)
        if not len(columns):
            return None
        cut = canvas[:, columns[0] : columns[-1] + 1]
        return BitmapPiece(text, cut, baseline, float(cut.shape[1]))


def make_script(
    hand: Writer | Hand | HandFont, x_height: float, rng: np.random.Generator, text: TextSource, variation: float = 1.0
) -> Script:
    """The script of a hand at a size in pixels. `variation` 0 keeps a writer's own slant and proportions."""
    if isinstance(hand, Writer):
        hand = Hand(hand)
    if isinstance(hand, Hand):
        return PenScript(hand, x_height, text, rng, variation)
    return FontScript(hand, x_height, text, int(rng.integers(1 << 31)))
