"""A lone character on an empty page is offered as a line; rules, specks and full pages are not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.layout.crops import crop_line
from text_recognizer.layout.finder import FoundLine
from text_recognizer.layout.strays import MOST_LINES, stray_lines
from text_recognizer.reader import Reader


def page(*texts: tuple[int, int, str, int]) -> Image.Image:
    """A blank sheet with texts at (x, y), so many pixels high."""
    image = Image.new("L", (800, 600), 245)
    pen = ImageDraw.Draw(image)
    for x, y, text, size in texts:
        pen.text((x, y), text, 30, font=ImageFont.load_default(size))
    return image


def boxes(image: Image.Image, lines: tuple[FoundLine, ...] = ()) -> list[tuple[float, float, float, float]]:
    outlines = [np.asarray(line.polygon) for line in stray_lines(np.asarray(image), lines)]
    return [(*outline.min(0).tolist(), *outline.max(0).tolist()) for outline in outlines]


@pytest.mark.parametrize("size", [24, 60, 200])
def test_lone_character_is_found_at_any_size(size):
    image = page((300, 200, "7", size))
    ((left, top, right, bottom),) = boxes(image)
    x0, y0, x1, y1 = ImageDraw.Draw(image).textbbox((300, 200), "7", font=ImageFont.load_default(size))
    assert left <= x0
    assert x1 <= right
    assert top <= y0
    assert y1 <= bottom
    assert right - left < 1.8 * size


def test_strokes_of_a_word_stand_together_and_others_apart():
    found = boxes(page((100, 100, "hi!", 60), (600, 400, "9", 60)))
    assert [left < 400 for left, *_ in found] == [True, False]


def test_rules_specks_and_known_lines_are_left_out():
    image = page((300, 200, "7", 60))
    pen = ImageDraw.Draw(image)
    pen.line((50, 500, 750, 500), fill=40, width=3)
    pen.point([(10, 10), (700, 80)], fill=40)
    assert len(boxes(image)) == 1
    line = FoundLine(((290, 190), (360, 190), (360, 280), (290, 280)), ((300, 260), (350, 260)), 1.0, 30.0)
    assert boxes(image, (line,)) == []


def test_cell_that_was_passed_over_is_found_among_cells_and_not_among_lines():
    """A table of single digits is no page of running text, whose left strokes are parts of letters."""
    image = page(*((100 + 150 * n, 100, digit, 60) for n, digit in enumerate("1234")), (250, 300, "7", 60))

    def lines(width: int) -> tuple[FoundLine, ...]:
        return tuple(
            FoundLine(((x, 90), (x + width, 90), (x + width, 180), (x, 180)), ((x, 160), (x + width, 160)), 1.0, 30.0)
            for x in range(90, 690, 150)
        )

    ((left, top, *_),) = boxes(image, lines(60))
    assert left > 200
    assert top > 250
    assert boxes(image, lines(240)) == []


def test_full_pages_and_textures_are_left_to_the_finder():
    line = FoundLine(((0, 0), (20, 0), (20, 10), (0, 10)), ((0, 9), (20, 9)), 1.0, 6.0)
    image = page((300, 200, "7", 60))
    assert boxes(image, (line,) * (MOST_LINES + 1)) == []
    noise = np.random.default_rng(1).integers(0, 2, (100, 130)).astype(np.uint8) * 120 + 110
    assert boxes(Image.fromarray(noise).resize((800, 600))) == []
    assert boxes(page()) == []


def test_thin_digit_has_enough_paper_beside_it_for_the_recogniser():
    """In a crop as narrow as its stroke, a 1 is an edge, and nothing is seen."""
    reader = Reader(threads=1)
    image = page((300, 200, "l", 60))
    (line,) = stray_lines(np.asarray(image), ())
    crop = crop_line(np.asarray(image), line.polygon, line.baseline, reader.recognizer.line_height)
    assert reader.recognizer.ctc_probabilities([crop]).max() > 0.6
