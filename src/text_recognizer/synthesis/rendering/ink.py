"""Compose lines of text in one writer's hand from that writer's words, phrases and letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from text_recognizer.synthesis.sources.unipen import Ink, Writer

Points = NDArray[np.float32]
# text for a line of `min` to `max` characters
Wording = Callable[[np.random.Generator, int, int], str]

_OPENING = "\"'([“£$€"
# Letters that hang below the baseline in hands where they are taller than so many x-heights.
_MAY_HANG = {"f": 2.4, "z": 1.6}
_CLOSING = ".,;:!?\"')]’”…-–—%"


def _points(values: Sequence[float] | Sequence[Sequence[float]]) -> Points:
    return np.asarray(values, np.float32)


def _arc(cx: float, cy: float, r: float, a0: float, a1: float, n: int = 7) -> Points:
    t = np.linspace(a0, a1, n)
    return np.stack([cx + r * np.cos(t), cy + r * np.sin(t)], axis=1).astype(np.float32)


def _mark(char: str, rng: np.random.Generator) -> tuple[Points, ...] | None:
    """Strokes of a punctuation mark that many writers' samples lack, drawn as pens draw it; None if unknown."""
    j = rng.normal(0, 0.04, 8)

    def dot(x: float, y: float) -> Points:
        return _points([[x, y], [x + 0.03 + j[0], y + 0.02 + j[1]]])

    def tick(x: float, y: float, size: float = 0.35) -> Points:
        return _points([[x + 0.08 + j[2], y], [x + 0.06, y + 0.5 * size], [x - 0.12 + j[3], y + size + j[4]]])

    top = -1.75 + j[5]
    tall, drop = _points([0.8, 1.5]), _points([0, 0.4])
    shapes: dict[str, Callable[[], tuple[Points, ...]]] = {
        ".": lambda: (dot(0.1, -0.03),),
        "…": lambda: (dot(0.1, -0.03), dot(0.45 + j[2], -0.03), dot(0.8 + j[3], -0.03)),
        ",": lambda: (tick(0.15, -0.08),),
        ":": lambda: (dot(0.1, -0.05), dot(0.12 + j[2], -0.75 + j[3])),
        ";": lambda: (tick(0.15, -0.08), dot(0.15, -0.75 + j[2])),
        "'": lambda: (tick(0.1, top, 0.4),),
        "’": lambda: (tick(0.12, top, 0.4),),
        '"': lambda: (tick(0.1, top, 0.4), tick(0.35 + j[6], top + j[2], 0.4)),
        "”": lambda: (tick(0.12, top, 0.45), tick(0.42 + j[6], top + j[2], 0.45)),
        "“": lambda: (
            _points([[0.15, top], [0.0, top + 0.2], [0.08, top + 0.42]]),
            _points([[0.45 + j[2], top], [0.3, top + 0.2], [0.38, top + 0.42]]),
        ),
        "-": lambda: (_points([[0, -0.5 + j[0]], [0.5 + 2 * abs(j[2]), -0.5 + j[1]]]),),
        "–": lambda: (_points([[0, -0.5 + j[0]], [0.9 + 2 * abs(j[2]), -0.5 + j[1]]]),),
        "—": lambda: (_points([[0, -0.5 + j[0]], [1.5 + 2 * abs(j[2]), -0.5 + j[1]]]),),
        "!": lambda: (_points([[0.15 + j[0], -1.9], [0.1, -0.5]]), dot(0.1, -0.05)),
        "(": lambda: (_arc(0.75, -0.75, 0.75 + j[0], np.pi * 1.35, np.pi * 0.65) * tall + drop,),
        ")": lambda: (_arc(-0.2, -0.75, 0.75 + j[0], -np.pi * 0.35, np.pi * 0.35) * tall + drop,),
        "/": lambda: (_points([[0.6 + j[0], -1.9], [0.0, 0.25 + j[1]]]),),
        "?": lambda: (
            np.concatenate(
                [_arc(0.3, -1.5, 0.32, -np.pi * 0.95, np.pi * 0.4, 9), _points([[0.25, -0.9], [0.25, -0.55]])]
            ),
            dot(0.25, -0.05),
        ),
        "=": lambda: (_points([[0, -0.75], [0.7, -0.75 + j[0]]]), _points([[0, -0.35], [0.7, -0.35 + j[1]]])),
        "+": lambda: (_points([[0, -0.55], [0.8, -0.55 + j[0]]]), _points([[0.4, -0.95], [0.4 + j[1], -0.1]])),
        "*": lambda: (
            _points([[0.25, -1.7], [0.25 + j[0], -1.1]]),
            _points([[0.0, -1.55], [0.5, -1.25 + j[1]]]),
            _points([[0.5, -1.55], [0.0, -1.25 + j[2]]]),
        ),
        "£": lambda: (
            np.concatenate(
                [_arc(0.6, -1.45, 0.35, -np.pi * 0.1, -np.pi, 8), _points([[0.3, -0.4], [0.0, 0.0], [0.85, -0.05]])]
            ),
            _points([[0.05, -0.8], [0.65, -0.8 + j[0]]]),
        ),
        "€": lambda: (
            _arc(0.6, -0.85, 0.75 + j[0], -np.pi * 0.25, -np.pi * 1.75, 14),
            _points([[-0.2, -1.0], [0.65, -1.0]]),
            _points([[-0.2, -0.65], [0.55, -0.65]]),
        ),
        "°": lambda: (_arc(0.2, -1.6, 0.18, 0, 2 * np.pi, 9),),
    }  # fmt: skip
    return shapes[char]() if char in shapes else None


class Hand:
    """A writer with the look-ups that composing needs."""

    def __init__(self, writer: Writer) -> None:
        self.id = writer.id
        # Rows of digits and symbols that every writer of a donor copied would teach those rows, not the signs.
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
        # 0: lifts the pen for each letter, 1: once in two or three.
        self.joined = float(np.clip((0.85 - lifts) / 0.5, 0, 1)) if words else 0.0

    @property
    def writable(self) -> bool:
        # A row of signs and one of the alphabet make no hand: each of its lines would be one of them.
        worded = sum(any(map(str.isalpha, ink.text)) for ink in self.inks) > 1
        return self.can_print or (worded and bool(self.phrases or self.word_list))

    def piece(self, token: str, rng: np.random.Generator, allow_print: bool) -> Ink | None:
        """Ink for a word with its punctuation, None if this hand can't write it."""
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
        """A mark before a word; quotes now and then down on the baseline, as many people open them."""
        ink = self._glyph(char, rng)
        if ink is None or char not in '"“' or rng.random() > 0.15:
            return ink
        return Ink(ink.text, tuple(s + _points([0, 1.7]) for s in ink.strokes))

    def _glyph(self, char: str, rng: np.random.Generator) -> Ink | None:
        known = self.glyphs.get(char)
        if known and (rng.random() < 0.8 or char.isalnum()):
            ink = _pick(known, rng)
            points = np.concatenate(ink.strokes)
            # An isolated character keeps no place on a baseline: set capitals and digits on it, hang descenders.
            hangs = char in "gpqy" or (char in _MAY_HANG and float(np.ptp(points[:, 1])) > _MAY_HANG[char])
            if not hangs and (char.isupper() or char.isdigit() or char in "bdfhklit!?&%#$acemnorsuvwxz"):
                shift = -float(points[:, 1].max()) + float(rng.normal(0, 0.04))
            elif hangs:
                shift = -float(points[:, 1].max()) + 0.75 + float(rng.normal(0, 0.08))
            else:
                shift = 0.0
            if char in ".,:;'\"-’“”–—…" or abs(shift) > 1.5:
                shape = _mark(char, rng)
                return Ink(char, shape) if shape else ink
            return Ink(char, tuple(s + _points([0, shift]) for s in ink.strokes))
        shape = _mark(char, rng)
        if shape is not None:
            return Ink(char, shape)
        return _pick(known, rng) if known else None


def _pick(inks: list[Ink], rng: np.random.Generator) -> Ink:
    return inks[int(rng.integers(len(inks)))]


def _join(parts: list[Ink | None], text: str, rng: np.random.Generator) -> Ink | None:
    """Set inks side by side with the gaps between letters."""
    if not parts or any(p is None for p in parts):
        return None
    strokes: list[Points] = []
    x = 0.0
    gap = float(rng.uniform(0.1, 0.4))
    for part in parts:
        assert part is not None
        left = min(float(s[:, 0].min()) for s in part.strokes)
        right = max(float(s[:, 0].max()) for s in part.strokes)
        strokes.extend(s + _points([x - left, 0]) for s in part.strokes)
        x += right - left + max(0.04, gap + float(rng.normal(0, 0.06)))
    return Ink(text, tuple(strokes))


def compose_words(hand: Hand, text: str, rng: np.random.Generator, substitute: bool = True) -> list[Ink]:
    """Ink of each word of `text`; a word the hand lacks is printed from letters or, with `substitute`, replaced."""
    out: list[Ink] = []
    for token in text.split(" "):
        if not token:
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
    """Widest blank column range inside a word, in x-heights."""
    spans = sorted((float(s[:, 0].min()), float(s[:, 0].max())) for s in word.strokes)
    widest, reached = 0.0, spans[0][1]
    for left, right in spans[1:]:
        widest = max(widest, left - reached)
        reached = max(reached, right)
    return min(widest, 2.5)


def set_line(words: list[Ink], rng: np.random.Generator) -> Ink:
    """Words side by side on one baseline, with the word gaps and the wander of a hand."""
    gap = float(np.clip(rng.lognormal(np.log(1.1), 0.33), 0.6, 2.6))
    # Who writes letters apart leaves more between words: without it nobody could say where a word ends.
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
        strokes.extend((s - _points([left, 0])) * np.float32(size) + _points([x, y]) for s in word.strokes)
        x += (right - left) * size + max(0.5, gap * (1 + float(rng.normal(0, 0.2))))
        texts.append(word.text)
    return Ink(" ".join(texts), tuple(strokes))


def compose_line(
    hand: Hand | Writer,
    rng: np.random.Generator,
    target_chars: tuple[int, int] = (1, 60),
    wording: Wording | None = None,
) -> Ink:
    """A line in one writer's hand of about `target_chars` characters; unit x-height, baseline at y = 0.

    A written phrase is taken as it stands where the writer has one; otherwise words follow `wording` as far as the
    writer wrote them, and other words of the writer stand in for the rest.
    """
    if isinstance(hand, Writer):
        hand = Hand(hand)
    low, high = target_chars
    wanted = int(rng.integers(low, high + 1))
    if hand.phrases and rng.random() < 0.55:
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
    """Draw `share` of the pen lifts inside words as joining strokes: cursive from a hand that lifts its pen.

    Only a stroke that begins just right of the last one's end is joined; dots, bars and word gaps stay as they are.
    """
    strokes = list(ink.strokes)
    ends = np.asarray([[*s[0], *s[-1]] for s in strokes], np.float32)  # x and y of each stroke's start, then of its end
    box = np.asarray([[*s.min(0), *s.max(0)] for s in strokes], np.float32)
    letter = (box[:, 3] - box[:, 1] > 0.3) & (np.asarray([len(s) for s in strokes]) > 3)
    dx, dy = ends[1:, 0] - ends[:-1, 2], ends[1:, 1] - ends[:-1, 3]
    gap = box[1:, 0] - np.maximum.accumulate(box[:-1, 2])  # blank columns between a stroke and all before it
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
            handles = (start + _points([reach, sag]), end + _points([-reach * 0.8, 0.3 * max(0.0, float(-dy[k - 1]))]))
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


def hurry(ink: Ink, sigma: float) -> Ink:
    """Smooth each stroke along its way by a Gaussian of `sigma` x-heights: arches flatten, corners and loops round off.

    The ends of strokes stay where they are.
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
            # Reflected through its end points, a line stays where it ends.
            padded = np.concatenate([2 * v[0] - v[reach:0:-1], v, 2 * v[-1] - v[-2 : -reach - 2 : -1]])
            padded = np.pad(padded, radius - reach, "edge")
            smooth.append(np.convolve(padded, kernel, "valid"))
        out.append(np.stack(smooth, axis=1).astype(np.float32))
    return Ink(ink.text, tuple(out))


def vary(ink: Ink, rng: np.random.Generator, strength: float = 1.0) -> Ink:
    """Another hand from the same ink: joins, haste, slant, proportions, slope, a slow wave and letter-sized wobble."""
    if rng.random() < 0.3 * strength:
        ink = join_strokes(ink, rng, float(rng.uniform(0.5, 1.0)))
    if rng.random() < 0.3 * strength:
        ink = hurry(ink, float(rng.uniform(0.05, 0.26)))
    style = rng.random()
    if style < 0.15:  # the steep and wide hands that schools once taught
        slant = float(rng.uniform(0.2, 0.8)) * strength
        stretch = float(np.exp(rng.uniform(-0.1, 0.6) * strength))
    else:
        slant = float(rng.normal(0, 0.24)) * strength
        stretch = float(np.exp(np.clip(rng.normal(0, 0.18), -0.42, 0.5) * strength))
    slope = float(rng.normal(0, 0.012)) * strength
    tall = float(np.exp(rng.normal(0.03, 0.17) * strength))  # ascenders and descenders against the x-height
    wave = float(abs(rng.normal(0, 0.08))) * strength
    wave_length = float(rng.uniform(8, 40))
    phase = float(rng.uniform(0, 2 * np.pi))
    wobble = float(abs(rng.normal(0, 0.035))) * strength
    frequency = float(rng.uniform(1.0, 3.5))
    phases = rng.uniform(0, 2 * np.pi, 3)
    # All strokes at once: a line has dozens, and numpy's calls cost more than its arithmetic here.
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
