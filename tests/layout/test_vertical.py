"""Notes up the margin are lines, and digits under each other are not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.reader import shared_reader

TEXT = ["The garden was quiet in the early", "morning and nobody had come", "to water the roses since Sunday."]


def written(place, text, turn=0, size=36):
    """A page of three lines with `text` in its margin, turned by `turn` degrees counter-clockwise."""
    page = Image.new("L", (1000, 620), 240)
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(TEXT):
        draw.text((240, 120 + 110 * number), line, 30, ImageFont.load_default(40))
    font = ImageFont.load_default(size)
    _, _, width, height = font.getbbox(text)
    note = Image.new("L", (int(width) + 10, int(height) + 10), 240)
    ImageDraw.Draw(note).text((5, 2), text, 30, font)
    page.paste(note.rotate(turn, expand=True), place)
    return np.asarray(page)


@pytest.mark.parametrize("turn", [90, 270])
def test_a_note_up_or_down_the_margin_is_one_line_of_its_own(turn):
    page = shared_reader().read(written((70, 110), "ask Anna about it", turn), "fast")
    assert [line.text for line in page.lines][-1].lower() == "ask anna about it"
    assert len(page.lines) == 4
    assert page.blocks[-1].kind == "margin"
    (x0, y0), (x1, y1) = page.lines[-1].baseline[0], page.lines[-1].baseline[-1]
    assert abs(y1 - y0) > 5 * abs(x1 - x0)
    assert (y1 < y0) == (turn == 90)


def test_digits_under_each_other_stay_digits():
    picture = written((70, 110), "7")
    for number, digit in enumerate("4825"):
        ImageDraw.Draw(image := Image.fromarray(picture)).text(
            (75, 160 + 44 * number), digit, 30, ImageFont.load_default(36)
        )
        picture = np.asarray(image)
    page = shared_reader().read(picture, "fast")
    assert all(abs(line.baseline[-1][1] - line.baseline[0][1]) < 20 for line in page.lines)
    assert len(page.lines) > len(TEXT)
