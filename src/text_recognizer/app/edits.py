"""A page with a person's corrections to the text of its lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import takewhile

import numpy as np

from text_recognizer.layout.crops import line_axes, word_polygon
from text_recognizer.page import Line, Page, Polyline, Word

CERTAIN = 1.0  # confidence of what a person wrote
WORK = 500_000  # words times points of their outline. A page needs about 100,000; lines beyond the limit get no words


def corrected(page: Page, texts: Sequence[str]) -> Page:
    """Replace the texts of the lines of `page`, one text for each line. A line with an empty text is removed.

    Unchanged words at both ends keep their place and confidence; those between share the place of those they replace.
    The recognised text becomes the first alternative. Raises ValueError if the numbers of texts and lines differ.
    """
    work = [WORK]
    lines = [_line(line, " ".join(text.split()), work) for line, text in zip(page.lines, texts, strict=True)]
    return page.with_lines([line if line.text else None for line in lines])


def _line(line: Line, text: str, work: list[int]) -> Line:
    if text == line.text:
        return line
    texts = text.split()
    work[0] -= len(texts) * len(line.polygon)
    words = tuple(_words(line, texts)) if line.polygon and text and work[0] > 0 else ()
    # A line that a person added has no recognised text.
    read = (line.text,) if line.text else ()
    alternatives = (*read, *(other for other in line.alternatives if other != text))
    return replace(line, text=text, confidence=CERTAIN, words=words, alternatives=alternatives)


def _words(line: Line, texts: list[str]) -> Iterator[Word]:
    old = line.words
    if not old:
        yield from _side_by_side(line, 0.0, 1.0, texts)
        return
    first = _alike(zip(old, texts, strict=False))
    last = _alike(zip(old[first:][::-1], texts[first:][::-1], strict=False))
    # A word inserted between two others has no place of its own: it shares the place of a neighbour.
    if first + last == len(old):
        first, last = (first - 1, last) if first else (first, last - 1)
    end, end_new = len(old) - last, len(texts) - last
    yield from old[:first]
    if end - first == end_new - first:
        for word, text in zip(old[first:end], texts[first:end_new], strict=True):
            yield word if word.text == text else Word(text=text, polygon=word.polygon, confidence=CERTAIN)
    elif first < end_new:
        yield from _sharing(line, old[first:end], texts[first:end_new])
    yield from old[end:]


def _alike(pairs: Iterator[tuple[Word, str]]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0].text == pair[1], pairs))


def _sharing(line: Line, old: Sequence[Word], texts: Sequence[str]) -> Iterator[Word]:
    """Place new words side by side where `old` stood, with widths in proportion to their characters."""
    outline = np.asarray(line.polygon, np.float32).reshape(-1, 2)
    along, _ = line_axes(outline, _ends(line))
    u = outline @ along
    stood = np.concatenate([np.asarray(word.polygon, np.float32).reshape(-1, 2) for word in old]) @ along
    left, right = (float((end - u.min()) / np.ptp(u)) for end in (stood.min(), stood.max()))
    yield from _side_by_side(line, left, right, texts)


def _side_by_side(line: Line, left: float, right: float, texts: Sequence[str]) -> Iterator[Word]:
    """Words that fill the line from `left` to `right`, both as shares of its length."""
    ends = _ends(line)
    character = (right - left) / (sum(map(len, texts)) + len(texts) - 1)
    for text in texts:
        right = left + character * len(text)
        yield Word(text=text, polygon=word_polygon(line.polygon, ends, left, right), confidence=CERTAIN)
        left = right + character


def _ends(line: Line) -> Polyline | None:
    """The ends of the baseline, which are enough to give its direction."""
    return (line.baseline[0], line.baseline[-1]) if line.baseline else None
