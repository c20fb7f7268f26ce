"""Added words go where a caret points, and nothing else moves."""

import cv2
import numpy as np
import pytest

from text_recognizer.layout.insertions import find_insertions, insert
from text_recognizer.page import Line, Word

FACE = cv2.FONT_HERSHEY_SIMPLEX
BASE, ABOVE, UNIT = 200, 148, 22  # baselines of the line and of the added words; x-height


def box(left, right, base, unit):
    return (
        (left, base - 1.6 * unit),
        (right, base - 1.6 * unit),
        (right, base + 0.8 * unit),
        (left, base + 0.8 * unit),
    )


def write(page, words, x, base, scale, gap):
    """Words from `x` on; each with the place where it stands."""
    placed = []
    for text in words:
        (width, _), _ = cv2.getTextSize(text, FACE, scale, 2)
        cv2.putText(page, text, (x, base), FACE, scale, 40, 2, cv2.LINE_AA)
        placed.append(Word(text=text, polygon=box(x, x + width, base, 14 * scale), confidence=0.9))
        x += width + gap
    return placed


def line_of(words, base, unit):
    left, right = words[0].polygon[0][0], words[-1].polygon[1][0]
    return Line(
        text=" ".join(word.text for word in words),
        polygon=box(left, right, base, unit),
        baseline=((left, base), (right, base)),
        confidence=0.9,
        words=tuple(words),
    )


def drawn(mark, words=("we", "saw", "them", "here", "again"), added=("never",), base=ABOVE):
    """A page with a line and added words close to it, and `mark` drawn by the gap before its third word."""
    page = np.full((330, 900), 250, np.uint8)
    host = write(page, words, 60, BASE, 1.6, 34)
    gap = (host[1].polygon[1][0] + host[2].polygon[0][0]) / 2
    extra = write(page, added, round(gap - 30), base, 1.0, 20)
    if mark:
        cv2.polylines(
            page, [np.round(np.asarray(mark) + np.array([gap, 0])).astype(np.int32)], False, 40, 2, cv2.LINE_AA
        )
    return page, line_of(host, BASE, UNIT), line_of(extra, base, 14)


CARETS = {
    "below": [(-10, BASE + 26), (0, BASE + 3), (11, BASE + 26)],
    "at the feet": [(-9, BASE + 12), (1, BASE - 10), (10, BASE + 13)],
    "over the heads": [(-9, ABOVE + 8), (0, BASE - 20), (9, ABOVE + 9)],
}


@pytest.mark.parametrize("kind", CARETS)
def test_added_words_stand_where_the_caret_points(kind):
    page, host, extra = drawn(CARETS[kind])
    found = find_insertions(page, [(extra.polygon, extra.baseline), (host.polygon, host.baseline)])
    assert [(insertion.line, insertion.host) for insertion in found] == [(0, 1)]
    merged = insert(host, extra, found[0])
    assert merged.text == "we saw never them here again"
    assert [word.text for word in merged.words] == merged.text.split()
    assert merged.polygon == host.polygon


def test_words_added_below_go_up():
    page, host, extra = drawn([(-10, BASE + 30), (0, BASE + 6), (11, BASE + 30)], base=BASE + 52)
    (found,) = find_insertions(page, [(host.polygon, host.baseline), (extra.polygon, extra.baseline)])
    assert insert(host, extra, found).text == "we saw never them here again"


@pytest.mark.parametrize(
    "mark",
    [
        None,
        [(-12, BASE + 12), (12, BASE + 12)],  # a dash
        [(0, BASE + 6), (0, BASE + 30)],  # a bar
        [(-10, BASE + 6), (0, BASE + 28), (11, BASE + 6)],  # points away from the line
        [(-10, BASE + 26), (0, BASE + 3), (11, BASE + 26), (-10, BASE + 26)],  # a triangle
    ],
)
def test_without_a_caret_nothing_moves(mark):
    page, host, extra = drawn(mark)
    assert find_insertions(page, [(extra.polygon, extra.baseline), (host.polygon, host.baseline)]) == ()


def test_letters_of_the_line_are_not_carets():
    page, host, extra = drawn(None, ("AV", "vv", "VAW", "vwv", "Av"), ("AV",))
    found = find_insertions(page, [(extra.polygon, extra.baseline), (host.polygon, host.baseline)])
    assert all(insert(host, extra, insertion) is None for insertion in found)


def test_caret_that_was_read_as_a_word_is_left_out():
    page, host, extra = drawn(CARETS["at the feet"])
    (found,) = find_insertions(page, [(extra.polygon, extra.baseline), (host.polygon, host.baseline)])
    left, _, right, _ = found.caret
    sign = Word(text="A", polygon=box(left, right, BASE, UNIT), confidence=0.4)
    words = (*host.words[:2], sign, *host.words[2:])
    read = Line(
        text=" ".join(word.text for word in words), polygon=host.polygon, baseline=host.baseline, confidence=0.9,
        words=words,
    )  # fmt: skip
    assert insert(read, extra, found).text == "we saw never them here again"


def test_comma_that_is_the_caret_is_left_out():
    page, host, extra = drawn(CARETS["at the feet"])
    (found,) = find_insertions(page, [(extra.polygon, extra.baseline), (host.polygon, host.baseline)])
    left, right = host.words[1].polygon[0][0], (found.caret[0] + found.caret[2]) / 2
    for end, text in ((right, "we saw never them here again"), (found.caret[0] - 2, "we saw, never them here again")):
        comma = Word(text="saw,", polygon=box(left, end, BASE, UNIT), confidence=0.8)
        read = line_of([host.words[0], comma, *host.words[2:]], BASE, UNIT)
        assert insert(read, extra, found).text == text


def test_caret_within_a_word_moves_nothing():
    page, host, extra = drawn([(x + 60, y) for x, y in CARETS["below"]])
    found = find_insertions(page, [(extra.polygon, extra.baseline), (host.polygon, host.baseline)])
    assert all(insert(host, extra, insertion) is None for insertion in found)
