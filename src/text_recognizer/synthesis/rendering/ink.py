"""Compose lines of text in a writer's hand from that writer's words, phrases and letters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from text_recognizer.synthesis.rendering.signs import (
    ACCENTS,
    FRACTIONS,
    LIGATURES,
    RAISED,
    accent_strokes,
    arc,
    as_points,
    mark_strokes,
)
from text_recognizer.synthesis.sources.unipen import Ink, Writer

Points = NDArray[np.float32]
# text for a line of `min` to `max` characters
Wording = Callable[[np.random.Generator, int, int], str]

_OPENING = "\"'([“£$€«¿¡§"
# Letters that hang below the baseline in hands in which they are taller than this many x-heights.
_MAY_HANG = {"f": 2.4, "z": 1.6}
_CLOSING = ".,;:!?\"')]’”…-–—%»ªº²"
_RINGED = 0.5  # share of numbers at the start of a line with a ring instead of a full stop or bracket


class Hand:
    """A writer, with lookups for composing text."""

    def __init__(self, writer: Writer) -> None:
        self.id = writer.id
        # Every writer of a donor copied the same rows of digits and symbols; they would teach the rows, not the signs.
        self.phrases = [ink for ink in writer.inks if ink.text.count(" ") >= 1 and sum(map(str.isalpha, ink.text)) > 5]
        self.rows = [ink for ink in writer.inks if " " in ink.text and sum(map(str.isalpha, ink.text)) <= 5]
        self.words: dict[str, list[Ink]] = {}
        for ink in writer.inks:
            if " " not in ink.text:
                self.words.setdefault(ink.text, []).append(ink)
        self.word_list = [w for w in self.words if len(w) > 1 or w in "aIA"]
        self.glyphs: dict[str, list[Ink]] = {c: list(v) for c, v in writer.chars.items() if len(c) == 1}
        for word, inks in self.words.items():
            if len(word) == 1:
                self.glyphs.setdefault(word, []).extend(inks)
        # Enough letters to write any plain sentence in print.
        self.can_print = sum(c in self.glyphs for c in "abcdefghijklmnopqrstuvwxyz") >= 24
        self.inks = writer.inks
        words = [ink for ink in writer.inks if len(ink.text) > 2 and ink.text.isalpha()]
        lifts = sum(len(ink.strokes) for ink in words) / max(1, sum(len(ink.text) for ink in words))
        # 0: lifts the pen after each letter; 1: after every two or three.
        self.joined = float(np.clip((0.85 - lifts) / 0.5, 0, 1)) if words else 0.0

    @property
    def writable(self) -> bool:
        # A row of signs and a row of the alphabet are not enough: every line would be one of these rows.
        worded = sum(any(map(str.isalpha, ink.text)) for ink in self.inks) > 1
        return self.can_print or (worded and bool(self.phrases or self.word_list))

    def piece(self, token: str, rng: np.random.Generator, allow_print: bool) -> Ink | None:
        """Ink for a word with its punctuation; None if this hand cannot write it."""
        if token in self.words:
            return _pick(self.words[token], rng)
        core = token.strip(_OPENING + _CLOSING)
        if core and core != token and core in self.words:
            head, tail = token.split(core, 1) if core else ("", token)
            parts = (
                [self._opening(c, rng) for c in head]
                + [_pick(self.words[core], rng)]
                + [self._glyph(c, rng) for c in tail]
            )
            return _join(parts, token, rng)
        if allow_print:
            marks = len(token) - len(token.lstrip(_OPENING))
            opening = [self._opening(c, rng) for c in token[:marks]]
            return _join(opening + [self._glyph(c, rng) for c in token[marks:]], token, rng)
        return None

    def _opening(self, char: str, rng: np.random.Generator) -> Ink | None:
        """A mark before a word. Opening quotes are sometimes on the baseline, as many people write them."""
        ink = self._glyph(char, rng)
        if ink is None or char not in '"“' or rng.random() > 0.15:
            return ink
        return Ink(ink.text, tuple(s + as_points([0, 1.7]) for s in ink.strokes))

    def _glyph(self, char: str, rng: np.random.Generator) -> Ink | None:
        known = self.glyphs.get(char)
        if known and (rng.random() < 0.8 or char.isalnum()):
            ink = _pick(known, rng)
            points = np.concatenate(ink.strokes)
            # An isolated character has no baseline: put capitals and digits on the line, and let descenders hang.
            hangs = char in "gpqy" or (char in _MAY_HANG and float(np.ptp(points[:, 1])) > _MAY_HANG[char])
            if not hangs and (char.isupper() or char.isdigit() or char in "bdfhklit!?&%#$acemnorsuvwxz"):
                shift = -float(points[:, 1].max()) + float(rng.normal(0, 0.04))
            elif hangs:
                shift = -float(points[:, 1].max()) + 0.75 + float(rng.normal(0, 0.08))
            else:
                shift = 0.0
            if char in ".,:;'\"-’“”–—…" or abs(shift) > 1.5:
                shape = mark_strokes(char, rng)
                return Ink(char, shape) if shape else ink
            return Ink(char, tuple(s + as_points([0, shift]) for s in ink.strokes))
        shape = mark_strokes(char, rng)
        if shape is not None:
            return Ink(char, shape)
        return _pick(known, rng) if known else self._composed(char, rng)

    def _composed(self, char: str, rng: np.random.Generator) -> Ink | None:
        """Compose a character that the hand lacks from others that it has: accents, ligatures, raised letters."""
        if char in LIGATURES:
            parts = [self._glyph(c, rng) for c in LIGATURES[char]]
            joined = _join(parts, char, rng, gap=-float(rng.uniform(0.05, 0.2)))
            return Ink(char, joined.strokes) if joined else None
        if char in RAISED:
            return self._shrunk(RAISED[char], char, rng, [0.0, -1.1])
        if char in FRACTIONS:
            above, below = FRACTIONS[char][0], FRACTIONS[char][1]
            first, second = self._shrunk(above, char, rng, [0.0, -0.85]), self._shrunk(below, char, rng, [0.65, 0.1])
            if first is None or second is None:
                return None
            bar = as_points([[0.95, -1.6], [0.1, 0.15]]) + rng.normal(0, 0.06, (2, 2)).astype(np.float32)
            return Ink(char, (*first.strokes, bar, *second.strokes))
        if char in "øØ":
            base = self._glyph("o" if char == "ø" else "O", rng)
            if base is None:
                return None
            low, high = _extent(base)
            past = rng.uniform(0.02, 0.22, 4).astype(np.float32)
            bar = as_points([[high[0] + past[0], low[1] - past[1]], [low[0] - past[2], high[1] + past[3]]])
            return Ink(char, (*base.strokes, bar))
        letter, *marks = list(unicodedata.normalize("NFD", char))
        if len(marks) != 1 or marks[0] not in ACCENTS:
            return None
        base = self._glyph(letter, rng)
        if base is None:
            return None
        strokes = base.strokes
        if letter == "i":  # the accent replaces the dot
            strokes = tuple(s for s in strokes if float(s[:, 1].max()) > -0.75) or strokes
        low, high = _extent(Ink(letter, strokes))
        accent = accent_strokes(ACCENTS[marks[0]], float(low[0] + high[0]) / 2, min(float(low[1]), -0.7), rng)
        return Ink(char, (*strokes, *accent))

    def _shrunk(self, char: str, text: str, rng: np.random.Generator, at: Sequence[float]) -> Ink | None:
        """A character at half its size, with its lower left corner at `at`."""
        ink = self._glyph(char, rng)
        if ink is None:
            return None
        low, high = _extent(ink)
        size = float(rng.uniform(0.42, 0.6)) * (1.0 if char in "ao" else 0.85)
        corner = as_points([float(low[0]), float(high[1])])
        return Ink(text, tuple((s - corner) * np.float32(size) + as_points(at) for s in ink.strokes))


def _extent(ink: Ink) -> tuple[Points, Points]:
    """The minimum and maximum x and y of the strokes."""
    points = np.concatenate(ink.strokes)
    return points.min(0), points.max(0)


def _pick(inks: list[Ink], rng: np.random.Generator) -> Ink:
    return inks[int(rng.integers(len(inks)))]


def _join(parts: list[Ink | None], text: str, rng: np.random.Generator, gap: float | None = None) -> Ink | None:
    """Set inks side by side with the gaps between letters, in x-heights; None draws one for the word."""
    if not parts or any(p is None for p in parts):
        return None
    strokes: list[Points] = []
    x = 0.0
    closest = 0.04 if gap is None else gap
    if gap is None:
        gap = float(rng.uniform(0.02, 0.4))
    for part in parts:
        assert part is not None
        left = min(float(s[:, 0].min()) for s in part.strokes)
        right = max(float(s[:, 0].max()) for s in part.strokes)
        strokes.extend(s + as_points([x - left, 0]) for s in part.strokes)
        x += right - left + max(closest, gap + float(rng.normal(0, 0.06)))
    return Ink(text, tuple(strokes))


def _ringed_number(hand: Hand, token: str, rng: np.random.Generator) -> Ink | None:
    """A list number in a ring or a box, as in notes and on boards; its text is only the number.

    Returns None if `token` is not such a number, if the hand lacks its digits, or if it gets no ring this time.
    """
    found = re.fullmatch(r"\(?(\d{1,2})[.)]?", token)
    if not found or rng.random() > _RINGED:
        return None
    ink = hand.piece(found[1], rng, True)
    if ink is None:
        return None
    points = np.concatenate(ink.strokes)
    low, high = points.min(0), points.max(0)
    middle, half = (low + high) / 2, (high - low) / 2
    size = np.float32(rng.uniform(0.6, 1.0))  # ringed numbers are small
    digits = [(stroke - middle) * size + middle for stroke in ink.strokes]
    room = float(np.hypot(*half)) * float(size) + float(rng.uniform(0.05, 0.4))
    radii = as_points([room * float(rng.uniform(0.8, 1.1)), room * float(rng.uniform(0.8, 1.1))])
    start, turn = float(rng.uniform(-np.pi, np.pi)), 2 * np.pi * float(rng.uniform(0.88, 1.12))
    if rng.random() < 0.15:
        corners = as_points([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]]) * radii * np.float32(0.85)
        ring = middle + corners + rng.normal(0, 0.05, corners.shape).astype(np.float32)
    else:
        circle = arc(0, 0, 1, start, start + turn * (1 if rng.random() < 0.5 else -1), 24)
        drift = np.linspace(1, float(rng.uniform(0.88, 1.12)), 24)[:, None]  # the ends of a ring rarely meet
        ring = middle + radii * (circle * drift).astype(np.float32)
    drop = as_points([0, float(rng.normal(0, 0.15))])
    return Ink(found[1], tuple((stroke + drop).astype(np.float32) for stroke in (*digits, ring)))


def compose_words(hand: Hand, text: str, rng: np.random.Generator, substitute: bool = True) -> list[Ink]:
    """Ink for each word of `text`. A missing word is printed from letters or, with `substitute`, replaced."""
    out: list[Ink] = []
    for place, token in enumerate(text.split(" ")):
        if not token:
            continue
        if place == 0 and (number := _ringed_number(hand, token, rng)):
            out.append(number)
            continue
        ink = hand.piece(token, rng, hand.can_print)
        if ink is None and substitute and hand.word_list:
            tail = token[len(token.rstrip(_CLOSING)) :] if rng.random() < 0.8 else ""
            word = hand.word_list[int(rng.integers(len(hand.word_list)))]
            ink = hand.piece(word + tail, rng, False) or hand.piece(word, rng, False)
        if ink is not None:
            out.append(ink)
    return out


def _widest_gap(word: Ink) -> float:
    """The widest gap between columns of ink inside a word, in x-heights."""
    spans = sorted((float(s[:, 0].min()), float(s[:, 0].max())) for s in word.strokes)
    widest, reached = 0.0, spans[0][1]
    for left, right in spans[1:]:
        widest = max(widest, left - reached)
        reached = max(reached, right)
    return min(widest, 2.5)


def set_line(words: list[Ink], rng: np.random.Generator) -> Ink:
    """Set words side by side on one baseline, with the word gaps and the baseline wander of a hand."""
    gap = float(np.clip(rng.lognormal(np.log(1.1), 0.33), 0.6, 2.6))
    # Writers who separate letters leave wider gaps between words, or nobody could tell where a word ends.
    gap = max(gap, 1.2 * max((_widest_gap(w) for w in words), default=0.0) + 0.3)
    wander = float(rng.uniform(0.0, 0.09))
    strokes: list[Points] = []
    texts: list[str] = []
    x, y = 0.0, 0.0
    for word in words:
        y = 0.6 * y + float(rng.normal(0, wander))
        left = min(float(s[:, 0].min()) for s in word.strokes)
        right = max(float(s[:, 0].max()) for s in word.strokes)
        size = 1 + float(np.clip(rng.normal(0, 0.04), -0.1, 0.1))
        strokes.extend((s - as_points([left, 0])) * np.float32(size) + as_points([x, y]) for s in word.strokes)
        x += (right - left) * size + max(0.5, gap * (1 + float(rng.normal(0, 0.2))))
        texts.append(word.text)
    return Ink(" ".join(texts), tuple(strokes))


def compose_line(
    hand: Hand | Writer,
    rng: np.random.Generator,
    target_chars: tuple[int, int] = (1, 60),
    wording: Wording | None = None,
) -> Ink:
    """A line of about `target_chars` characters in a writer's hand; unit x-height, baseline at y = 0.

    If the writer has phrases, it may use one as it was written. Otherwise words follow `wording` as far as the writer
    wrote them, and other words of the writer replace the rest.
    """
    if isinstance(hand, Writer):
        hand = Hand(hand)
    low, high = target_chars
    wanted = int(rng.integers(low, high + 1))
    # A writer with all letters can write any text in any language; the others only what they wrote.
    if hand.phrases and rng.random() < (0.35 if hand.can_print and wording is not None else 0.55):
        ink = hand.phrases[int(rng.integers(len(hand.phrases)))]
        if len(ink.text) <= high + 10:
            pieces = [ink]
            while len(" ".join(p.text for p in pieces)) + 8 < wanted and rng.random() < 0.7:
                more = hand.phrases[int(rng.integers(len(hand.phrases)))]
                if len(more.text) + sum(len(p.text) + 1 for p in pieces) > high + 6:
                    break
                pieces.append(more)
            return set_line(pieces, rng) if len(pieces) > 1 else ink
    if hand.rows and rng.random() < 0.06:
        return hand.rows[int(rng.integers(len(hand.rows)))]
    words: list[Ink] = []
    if wording is not None and (hand.can_print or rng.random() < 0.75):
        words = compose_words(hand, wording(rng, max(low, wanted - 5), wanted + 3), rng)
    while hand.word_list and sum(len(w.text) + 1 for w in words) < wanted:
        word = hand.word_list[int(rng.integers(len(hand.word_list)))]
        if rng.random() < 0.16:
            word += ",.;:!?"[int(rng.choice(6, p=[0.42, 0.4, 0.04, 0.05, 0.04, 0.05]))]
        ink_or_none = hand.piece(word, rng, False)
        if ink_or_none is not None:
            words.append(ink_or_none)
    if not words and hand.inks:
        words = [hand.inks[int(rng.integers(len(hand.inks)))]]
    if not words:
        words = [_pick(hand.glyphs[c], rng) for c in list(hand.glyphs)[:1]]
    return set_line(words, rng)


def join_strokes(ink: Ink, rng: np.random.Generator, share: float) -> Ink:
    """Replace `share` of the pen lifts inside words by joining strokes, to make a hand cursive.

    A stroke is joined only if it begins just right of the previous end; dots, bars and word gaps stay as they are.
    """
    strokes = list(ink.strokes)
    ends = np.asarray([[*s[0], *s[-1]] for s in strokes], np.float32)  # x and y of each stroke's start, then its end
    box = np.asarray([[*s.min(0), *s.max(0)] for s in strokes], np.float32)
    letter = (box[:, 3] - box[:, 1] > 0.3) & (np.asarray([len(s) for s in strokes]) > 3)
    dx, dy = ends[1:, 0] - ends[:-1, 2], ends[1:, 1] - ends[:-1, 3]
    gap = box[1:, 0] - np.maximum.accumulate(box[:-1, 2])  # blank columns between a stroke and all earlier ones
    joined = (
        letter[1:] & letter[:-1] & (gap > -0.6) & (gap < 0.45) & (dx > -0.1) & (dx < 1.2)
        & (np.abs(dy) < 1.5) & (ends[:-1, 3] > -0.7) & (rng.random(len(dx)) < share)
    )  # fmt: skip
    out: list[Points] = []
    run = [strokes[0]]
    for k in range(1, len(strokes)):
        if joined[k - 1]:
            start, end = ends[k - 1, 2:], ends[k, :2]
            reach = 0.25 + 0.5 * abs(float(end[0] - start[0]))
            sag = float(rng.uniform(0.0, 0.15))
            handles = (
                start + as_points([reach, sag]),
                end + as_points([-reach * 0.8, 0.3 * max(0.0, float(-dy[k - 1]))]),
            )
            t = np.linspace(0, 1, 8, dtype=np.float32)[1:-1, None]
            run.append(
                (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * handles[0] + 3 * (1 - t) * t**2 * handles[1] + t**3 * end
            )
        else:
            out.append(np.concatenate(run))
            run = []
        run.append(strokes[k])
    out.append(np.concatenate(run))
    return Ink(ink.text, tuple(out))


def smooth_strokes(ink: Ink, sigma: float) -> Ink:
    """Smooth each stroke with a Gaussian of `sigma` x-heights, which imitates fast writing.

    Arches flatten, and corners and loops get rounder; the ends of strokes do not move.
    """
    step = 0.08
    radius = max(1, round(2.5 * sigma / step))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) * step / sigma) ** 2)
    kernel /= kernel.sum()
    out: list[Points] = []
    for stroke in ink.strokes:
        along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(stroke, axis=0).T))])
        n = int(along[-1] / step) + 1
        if n < 6:
            out.append(stroke)
            continue
        at = np.linspace(0, along[-1], n)
        reach = min(radius, n - 1)
        smooth = []
        for axis in (0, 1):
            v = np.interp(at, along, stroke[:, axis])
            # Point reflection at the ends keeps them in place.
            padded = np.concatenate([2 * v[0] - v[reach:0:-1], v, 2 * v[-1] - v[-2 : -reach - 2 : -1]])
            padded = np.pad(padded, radius - reach, "edge")
            smooth.append(np.convolve(padded, kernel, "valid"))
        out.append(np.stack(smooth, axis=1).astype(np.float32))
    return Ink(ink.text, tuple(out))


def vary(ink: Ink, rng: np.random.Generator, strength: float = 1.0) -> Ink:
    """Vary the hand: joins, haste, slant, proportions, slope, a slow wave and letter-sized wobble."""
    if rng.random() < 0.4 * strength:
        ink = join_strokes(ink, rng, float(rng.uniform(0.5, 1.0)))
    if rng.random() < 0.3 * strength:
        ink = smooth_strokes(ink, float(rng.uniform(0.05, 0.26)))
    style = rng.random()
    if style < 0.22:  # the slanted, wide hands that schools once taught
        slant = float(rng.uniform(0.2, 1.0)) * strength
        stretch = float(np.exp(rng.uniform(-0.1, 0.6) * strength))
    else:
        slant = float(rng.normal(0.03, 0.27)) * strength
        stretch = float(np.exp(np.clip(rng.normal(0, 0.18), -0.42, 0.5) * strength))
    slope = float(rng.normal(0, 0.012)) * strength
    tall = float(np.exp(rng.normal(0.03, 0.17) * strength))  # ascenders and descenders relative to the x-height
    wave = float(abs(rng.normal(0, 0.08))) * strength
    wave_length = float(rng.uniform(8, 40))
    phase = float(rng.uniform(0, 2 * np.pi))
    wobble = float(abs(rng.normal(0, 0.035))) * strength
    frequency = float(rng.uniform(1.0, 3.5))
    phases = rng.uniform(0, 2 * np.pi, 3)
    # Process all strokes at once: a line has dozens, and here NumPy's calls cost more than its arithmetic.
    points = np.concatenate(ink.strokes).astype(np.float32)
    x, y = points[:, 0], points[:, 1]
    above = np.minimum(y + 1.0, 0.0)  # part over the x-height line
    below = np.maximum(y, 0.0)
    y = y + (tall - 1.0) * (above + below)
    dx = wobble * np.sin(frequency * y * 1.3 + phases[0] + 0.7 * x)
    dy = wobble * np.sin(frequency * x + phases[1]) + wave * np.sin(2 * np.pi * x / wave_length + phase)
    new_x = (x - slant * y) * stretch + dx
    moved = np.stack([new_x - new_x.min(), y + dy + slope * x], axis=1).astype(np.float32)
    return Ink(ink.text, tuple(np.split(moved, np.cumsum([len(s) for s in ink.strokes])[:-1])))
