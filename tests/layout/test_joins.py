"""Lines parted at a wide gap between words are joined; columns and tables are not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.layout.crops import crop_line
from text_recognizer.layout.finder import FoundLine
from text_recognizer.layout.joins import join_at_wide_gaps

FONT = ImageFont.load_default(30)
X_HEIGHT, PITCH = 16.0, 60
WORDS = ["within", "a short", "time she", "was", "walking", "toward"]


class Paper:
    """A page of rows of words, and the lines that a finder would find there."""

    def __init__(self) -> None:
        self.image = Image.new("L", (1200, 800), 250)
        self.pen = ImageDraw.Draw(self.image)
        self.lines: list[FoundLine] = []

    def row(self, number: int, words: list[str], gap: float, parted: int = 0, last_gap: float | None = None) -> None:
        """Write `words`, and find them as one line, or as two with `last_gap` behind `parted` words."""
        x, y = 60.0, 60 + PITCH * number
        start = x
        for n, word in enumerate(words):
            if n and n == parted:
                self._found(start, x, y)
                x += last_gap or gap
                start = x
            elif n:
                x += gap
            self.pen.text((x, y), word, 20, font=FONT, anchor="ls")
            x += self.pen.textlength(word, FONT)
        self._found(start, x, y)

    def _found(self, left: float, right: float, y: float) -> None:
        tops, feet = [(left, y - 26), (right, y - 26)], [(right, y + 8), (left, y + 8)]
        self.lines.append(FoundLine((*tops, *feet), ((left, y), (right, y)), 0.9, X_HEIGHT))

    def joined(self) -> list[FoundLine]:
        return join_at_wide_gaps(np.asarray(self.image), self.lines)


def test_line_whose_gap_is_like_the_others_is_one():
    paper = Paper()
    for number in range(7):
        paper.row(number, WORDS, 55, parted=3 if number in (3, 4) else 0)
    joined = paper.joined()
    assert (len(paper.lines), len(joined)) == (9, 7)
    whole = joined[3]
    assert whole.baseline[0][0] == 60
    assert np.diff([x for x, _ in whole.baseline]).min() >= 0
    assert whole.baseline[-1][0] == paper.lines[-1].baseline[-1][0]
    dark = crop_line(np.asarray(paper.image), whole.polygon, whole.baseline, 48) < 128
    assert dark[:, : dark.shape[1] // 4].any() and dark[:, -dark.shape[1] // 4 :].any()


@pytest.mark.parametrize("gap", [110, 130])
def test_gap_wider_than_all_others_stays(gap):
    paper = Paper()
    for number in range(7):
        paper.row(number, WORDS, 45, parted=3 if number in (3, 4) else 0, last_gap=gap)
    assert paper.joined() == paper.lines


def test_columns_below_a_heading_stay():
    paper = Paper()
    for number in range(8):
        paper.row(number, WORDS, 50, parted=0 if number < 2 else 3)
    assert paper.joined() == paper.lines


def test_rows_below_a_narrow_paragraph_stay():
    paper = Paper()
    for number in range(6):
        if number < 4:
            paper.row(number, WORDS[:3], 50)
        else:
            paper.row(number, WORDS, 50, parted=3)
    assert paper.joined() == paper.lines


def test_pieces_of_unlike_size_or_height_stay():
    paper = Paper()
    for number in range(6):
        paper.row(number, WORDS, 55, parted=3 if number == 3 else 0)
    left, right = paper.lines[3:5]
    for other in (
        FoundLine(right.polygon, right.baseline, 0.9, 2 * X_HEIGHT),
        FoundLine(right.polygon, tuple((x, y + 20) for x, y in right.baseline), 0.9, X_HEIGHT),
    ):
        paper.lines[4] = other
        assert left in paper.joined() and other in paper.joined()
