"""Words added later, with a caret that marks their place: detect the carets and insert the words there.

A caret is two strokes that meet in a tip. The tip lies between two words of a line: below them, above them or at their
feet. The added words are a short line close above or below. Words are moved only if both are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.framing import shrink
from text_recognizer.layout.orientation import Place
from text_recognizer.layout.prepare import flatten_paper
from text_recognizer.page import Area, Line, Point, Word

Gray = NDArray[np.uint8]

# Lengths in x-heights of the line that the words belong to.
SHORT = 0.6  # of that line's length: added words are shorter
LARGEST = 1.15  # times its x-height: added words are no larger
RISE = (0.7, 3.0)  # between the two baselines
OUTLINE = 2.4  # usual height of a line's outline
CARET = (0.4, 2.2)  # range of a caret's height and width
REACH = 2.0  # largest distance of a caret to the side of the added words
BAND = (1.7, 0.9)  # above and below the line's baseline; the tip lies in it
FEET = 0.6  # how far above the baseline a tip from below may reach: letters are taller
STRAIGHT = 0.14  # of a caret's width: largest mean deviation of its strokes from straight lines
HOLLOW = 0.62  # largest share of ink between the outer edges of its strokes
AMID = 0.25  # of a word's width: a tip farther than this from both ends of the word points into it
CARETS = "^‸⁁∧∨"  # characters that the recogniser may read for a caret
MARKS = ",.;"  # characters that it may read for a part of one


@dataclass(frozen=True, slots=True)
class Insertion:
    """`places[line]` belongs in `places[host]`, at the tip of the caret in the box `caret`. Page pixels."""

    line: int
    host: int
    tip: Point
    caret: Area


@dataclass(frozen=True, slots=True)
class _Level:
    """A nearly level line: its baseline (n, 2) and x-height, pixels."""

    baseline: NDArray[np.float64]
    x_height: float

    @property
    def left(self) -> float:
        return float(self.baseline[0, 0])

    @property
    def right(self) -> float:
        return float(self.baseline[-1, 0])

    @property
    def length(self) -> float:
        return self.right - self.left

    def level(self, x: float) -> float:
        return float(np.interp(x, self.baseline[:, 0], self.baseline[:, 1]))


def find_insertions(gray: Gray, places: Sequence[Place]) -> tuple[Insertion, ...]:
    """Short lines of a page (H, W), dark on light, that a caret may insert into a neighbouring line.

    A line gets one insertion for each mark that looks like a caret. `insert` checks which one points between two words.
    """
    lines = [_level(*place) for place in places]
    found = []
    for i, line in enumerate(lines):
        if line is None:
            continue
        for j, host in enumerate(lines):
            if host is None or i == j or not _may_belong(line, host):
                continue
            found += [Insertion(i, j, tip, box) for tip, box in _carets(gray, line, host)]
    hosts = {insertion.host for insertion in found}
    return tuple(insertion for insertion in found if insertion.line not in hosts)


def insert(host: Line, line: Line, insertion: Insertion) -> Line | None:
    """`host` with the words of `line` inserted at the caret.

    None if the caret does not point between two words, if no words are left, or if the words of a line do not match
    its text.
    """
    if [word.text for word in host.words] != host.text.split() or [w.text for w in line.words] != line.text.split():
        return None
    words = [word for word in host.words if not _covers(word, insertion.caret)]
    x = insertion.tip[0]
    spans = [_span(word) for word in words]
    at = sum(left + right < 2 * x for left, right in spans)
    if any(left + AMID * (right - left) < x < right - AMID * (right - left) for left, right in spans):
        return None
    added = _without_carets(line.words)
    before, after = (_without_carets(_without_marks(part, insertion.caret)) for part in (words[:at], words[at:]))
    if not added or not (before or after):
        return None
    merged = (*before, *added, *after)
    return replace(
        host,
        text=" ".join(word.text for word in merged),
        confidence=float(np.mean([word.confidence for word in merged])),
        words=merged,
        alternatives=(),
        struck=(*host.struck, *line.struck),
    )


def _level(polygon: Sequence[Point], baseline: Sequence[Point] | None) -> _Level | None:
    if not baseline or len(baseline) < 2 or len(polygon) < 3:
        return None
    points = np.asarray(baseline, np.float64)
    run = points[-1] - points[0]
    if run[0] <= 0 or abs(run[1]) > 0.4 * run[0] or (np.diff(points[:, 0]) < 0).any():
        return None
    area = cv2.contourArea(np.asarray(polygon, np.float32))
    return _Level(points, max(2.0, area / float(run[0]) / OUTLINE))


def _may_belong(line: _Level, host: _Level) -> bool:
    middle = (line.left + line.right) / 2
    if line.length > SHORT * host.length or line.x_height > LARGEST * host.x_height:
        return False
    if not host.left < middle < host.right:
        return False
    return RISE[0] < abs(host.level(middle) - line.level(middle)) / host.x_height < RISE[1]


def _carets(gray: Gray, line: _Level, host: _Level) -> list[tuple[Point, Area]]:
    """Tips and boxes of marks between two lines, or at the host's baseline, that look like a caret."""
    unit = host.x_height
    middle = (line.left + line.right) / 2
    base, other = host.level(middle), line.level(middle)
    left, right = line.left - REACH * unit, line.right + REACH * unit
    top, bottom = min(base, other) - BAND[0] * unit, max(base, other) + (BAND[1] + CARET[1]) * unit
    x0, y0 = max(0, int(left)), max(0, int(top))
    part = gray[y0 : max(y0, int(bottom)), x0 : max(x0, int(right))]
    if min(part.shape) < 8:
        return []
    scale = min(1.0, 24.0 / unit)
    flat = flatten_paper(shrink(part, scale, exact=True))
    dark, paper = float(np.percentile(flat, 2)), float(np.percentile(flat, 80))
    ink = (flat < paper - 0.42 * (paper - dark)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    size = unit * scale
    carets: list[tuple[Point, Area]] = []
    for number in range(1, count):
        x, y, width, height = (int(value) for value in stats[number, :4])
        if not all(CARET[0] * size < side < CARET[1] * size for side in (width, height)):
            continue
        shape = labels[y : y + height, x : x + width] == number
        for upright in (True, False):  # the tip is the top of ∧, and the bottom of ∨
            at = _tip(shape if upright else shape[::-1])
            if at is None:
                continue
            tip = (x0 + (x + at) / scale, y0 + (y if upright else y + height) / scale)
            box = (x0 + x / scale, y0 + y / scale, x0 + (x + width) / scale, y0 + (y + height) / scale)
            if _points_at(tip, box, line, host, upright):
                carets.append((tip, box))
    return carets


def _points_at(tip: Point, box: Area, line: _Level, host: _Level, upright: bool) -> bool:
    """Whether the tip is where a caret's tip would be: at the feet of the letters or above them, not among them."""
    unit, base = host.x_height, host.level(tip[0])
    if not base - BAND[0] * unit < tip[1] < base + BAND[1] * unit:
        return False
    if line.level((line.left + line.right) / 2) > base:  # added below: the tip points up at the letters
        return upright and tip[1] > base - 0.4 * unit
    # Added above: a tip from below, at the letters' feet or slightly between them, or a tip from above.
    if upright:
        return box[3] > base - 0.1 * unit and tip[1] > base - FEET * unit
    return tip[1] < base - 0.4 * unit and box[1] > line.level(tip[0]) - line.x_height


def _tip(shape: NDArray[np.bool_]) -> float | None:
    """The column of the tip of a component (h, w) made of two straight strokes that diverge downwards; else None."""
    height, width = shape.shape
    if not shape.any(1).all():
        return None
    first = shape.argmax(1).astype(float)
    last = width - 1 - shape[:, ::-1].argmax(1).astype(float)
    quarter = max(1, height // 4)
    if float((last - first)[:quarter].mean()) > 0.5 * width:
        return None
    rows = np.arange(height)
    for edge, outward in ((first, -1), (last, 1)):
        slope, start = np.polyfit(rows, edge, 1)
        bent = float(np.abs(edge - slope * rows - start).mean())
        if outward * slope * height < 0.12 * width or bent > STRAIGHT * width:
            return None
    # There must be paper between the strokes: a bar would make it an A, a third stroke another letter.
    lower = shape[height // 2 :]
    spans = (last - first + 1)[height // 2 :]
    closed = lower.sum(1)[spans > 0.5 * width] > 0.9 * spans[spans > 0.5 * width]
    if float(lower.sum()) > HOLLOW * float(spans.sum()) or closed.any():
        return None
    runs = (np.diff(lower.astype(np.int8), prepend=0, axis=1) == 1).sum(1)
    if float((runs == 2).mean()) < 0.7:
        return None
    return float(np.flatnonzero(shape[:quarter].any(0)).mean())


def _covers(word: Word, caret: Area) -> bool:
    """Whether this word is the caret, misread."""
    left, right = _span(word)
    shared = min(right, caret[2]) - max(left, caret[0])
    return (
        len(word.text) <= 2
        and shared > 0.6 * min(right - left, caret[2] - caret[0])
        and right - left < 2 * (caret[2] - caret[0])
    )


def _without_marks(words: Sequence[Word], caret: Area) -> list[Word]:
    """The words without punctuation that may be the misread caret: at ends of words that reach into its box."""
    inner = (caret[0] + AMID * (caret[2] - caret[0]), caret[2] - AMID * (caret[2] - caret[0]))
    out = []
    for word in words:
        left, right = _span(word)
        text = word.text
        if inner[0] < right <= caret[2] + (caret[2] - caret[0]):
            text = text.rstrip(MARKS) or text
        if caret[0] - (caret[2] - caret[0]) <= left < inner[1]:
            text = text.lstrip(MARKS) or text
        out.append(replace(word, text=text))
    return out


def _span(word: Word) -> tuple[float, float]:
    xs = [x for x, _ in word.polygon] or [0.0]
    return min(xs), max(xs)


def _without_carets(words: Sequence[Word]) -> tuple[Word, ...]:
    stripped = (replace(word, text=word.text.strip(CARETS)) for word in words)
    return tuple(word for word in stripped if word.text)
