"""Lines longer than the decoder has places for are read to their end, in both modes."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from text_recognizer.bundle import Bundle
from text_recognizer.recognition.pieces import piece_edges
from text_recognizer.recognition.recognizer import Recognizer

WORDS = "the garden was quiet in the early morning and nobody had come to water the roses since sunday "


@pytest.fixture(scope="module")
def recognizer(bundle_dir) -> Recognizer:
    return Recognizer(Bundle.open(bundle_dir), 1)


def drawn(text: str) -> np.ndarray:
    font = ImageFont.load_default(26)
    image = Image.new("L", (round(font.getlength(text)) + 20, 44), 250)
    ImageDraw.Draw(image).text((10, 6), text, 20, font=font)
    return np.asarray(image)


@pytest.mark.parametrize("mode", ["fast", "accurate"])
def test_long_line_is_read_to_its_end_with_its_words_in_their_places(recognizer, mode):
    text = (WORDS * 4).strip()
    assert len(text) > 350  # the decoder ends at 255
    reading = recognizer.read_lines([drawn(text), drawn("short line")], mode)[0]
    assert reading.text.lower() == text
    starts = [word.start for word in reading.words]
    assert starts == sorted(starts)
    last = reading.words[-1]
    assert 1 - 10 / len(text) < last.start < last.end <= 1


def test_line_without_gaps_is_read_by_the_ctc_head_alone(recognizer):
    text = "m" * 300
    reading = recognizer.read_lines([drawn(text)], "accurate")[0]
    assert len(reading.text) > 255  # a text that the decoder cut off did not win


def test_pieces_end_in_gaps():
    ink = np.zeros((48, 48 * 60), bool)
    ink[20:40, :] = True
    gaps = [np.arange(at, at + 12) for at in range(100, ink.shape[1], 150)]
    ink[:, np.concatenate(gaps)] = False
    edges = [round(edge * ink.shape[1]) for edge in piece_edges(ink)]
    assert edges[0] == 0 and edges[-1] == ink.shape[1]
    assert 3 <= len(edges) - 1 <= 4
    assert all(not ink[:, edge].any() for edge in edges[1:-1])
    assert piece_edges(np.ones((48, 48 * 60), bool)) == [0.0, 1.0]
