"""What shines through at the end of a line is cut off; a faint word that can be read stays."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, ImageOps

from text_recognizer.layout.crops import crop_line
from text_recognizer.layout.faint import without_faint_end, without_faint_lines
from text_recognizer.reader import Reader

TEXT, TAIL = "the garden was quiet", "in the early morning"


@pytest.fixture(scope="module")
def reader(bundle_dir) -> Reader:
    return Reader(bundle_dir, 1)


def line(tone: int, mirrored: bool) -> tuple[np.ndarray, tuple, int]:
    """A page with one line whose end has `tone`, the line's place, and where its end begins."""
    font = ImageFont.load_default(36)
    page = Image.new("L", (1000, 140), 250)
    ImageDraw.Draw(page).text((60, 50), TEXT, 30, font=font)
    end = Image.new("L", (420, 140), 250)
    ImageDraw.Draw(end).text((10, 50), TAIL, tone, font=font)
    page.paste(ImageOps.mirror(end) if mirrored else end, (520, 0))
    place = ((50.0, 40.0), (940.0, 40.0), (940.0, 105.0), (50.0, 105.0)), ((55.0, 86.0), (935.0, 86.0))
    return np.asarray(page), place, 520


@pytest.mark.parametrize(("tone", "mirrored", "cut"), [(190, True, True), (190, False, False), (40, True, False)])
def test_only_a_faint_end_that_cannot_be_read_is_cut_off(reader, tone, mirrored, cut):
    page, place, begins = line(tone, mirrored)
    crop = crop_line(page, *place, 48)
    (polygon, baseline), shorter = without_faint_end(page, place, crop, reader.recognizer.ctc_confidence)
    assert (max(x for x, _ in polygon) < begins) is cut
    assert baseline[-1][0] <= max(x for x, _ in polygon)
    assert (shorter.shape[1] < 0.7 * crop.shape[1]) is cut
    assert reader.recognizer.read_lines([shorter], "fast")[0].text.startswith(TEXT)


def test_blank_line_stays_as_it_is(reader):
    place = ((0.0, 0.0), (300.0, 0.0), (300.0, 60.0), (0.0, 60.0)), None
    page = np.full((80, 320), 250, np.uint8)
    crop = crop_line(page, *place, 48)
    assert without_faint_end(page, place, crop, reader.recognizer.ctc_confidence)[1] is crop


@pytest.mark.parametrize(("tone", "sure", "left"), [(215, 0.6, 4), (215, 0.9, 5), (120, 0.6, 5)])
def test_lines_that_shine_through_are_left_out_unless_they_can_be_read(tone, sure, left):
    def crop(ink: int) -> np.ndarray:
        image = np.full((48, 300), 250, np.uint8)
        image[20:30, 40:260:6] = ink
        return image

    lines = [((((0.0, float(n)),), None), crop(40)) for n in range(4)]
    faint = ((((0.0, 9.0),), None), crop(tone))
    kept = without_faint_lines([*lines, faint], lambda crops: sure)
    assert len(kept) == left
    assert kept[:4] == lines
