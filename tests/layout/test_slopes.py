"""Blocks of lines that slope, each by its own angle, are found line by line."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFont

from text_recognizer.layout.looks import find_lines
from text_recognizer.layout.slopes import is_sloping
from text_recognizer.reader import Reader

LEFT = ("the garden was quiet in the early", "morning and nobody had come to", "water the roses since sunday so")
RIGHT = ("def return the greatest value of", "the tree and print it beside all", "others that were found before it")


@pytest.fixture(scope="module")
def reader(bundle_dir) -> Reader:
    return Reader(bundle_dir, 1)


def board(left: float, right: float, pitch: int = 34) -> np.ndarray:
    """Two blocks beside each other, whose lines rise by so many degrees."""
    page = Image.new("L", (1300, 620), 250)
    for texts, degrees, x in ((LEFT, left, 0), (RIGHT, right, 640)):
        block = Image.new("L", page.size, 250)
        for row, text in enumerate(texts):
            ImageDraw.Draw(block).text((x + 90, 250 + pitch * row), text, 30, font=ImageFont.load_default(30))
        block = block.rotate(degrees, Image.Resampling.BICUBIC, center=(x + 320, 310), fillcolor=250)
        page = ImageChops.darker(page, block)
    return np.asarray(page)


@pytest.mark.parametrize(("left", "right"), [(0, 12), (9, -3), (12, 0)])
def test_lines_of_each_block_are_read_whole(reader, left, right):
    page = board(left, right)
    assert is_sloping(reader.line_finder.find(page))
    assert sorted(line.text.casefold() for line in reader.read(page, "fast").lines) == sorted([*LEFT, *RIGHT])


def test_page_whose_lines_all_run_one_way_is_not_looked_at_again(reader):
    for degrees in (0, 12):
        assert not is_sloping(reader.line_finder.find(board(degrees, degrees)))


def test_other_look_is_dropped_where_it_reads_no_better(reader, monkeypatch):
    page = board(0, 12)
    monkeypatch.setattr("text_recognizer.layout.looks.level_lines", lambda image, lines, finder: lines[:1])
    assert len(find_lines(page, reader.line_finder, reader.recognizer.ctc_probabilities, 48)) > 1


@pytest.mark.parametrize(("rise", "waves"), [(0.1, 1), (-0.1, 1), (0.023, 3)])
def test_lines_of_a_bent_page_are_read_whole(reader, rise, waves):
    """As on the page of an open book, or on crumpled paper: they rise by a share of the width, and fall again."""
    page = Image.new("L", (1300, 800), 250)
    texts = [f"{left} {right}" for left, right in zip(LEFT, RIGHT, strict=True)] * 2
    for row, text in enumerate(texts):
        ImageDraw.Draw(page).text((90, 230 + 60 * row), text, 30, font=ImageFont.load_default(30))
    x, y = np.meshgrid(np.arange(1300, dtype=np.float32), np.arange(800, dtype=np.float32))
    y += np.float32(rise * 1300) * np.sin(np.pi * waves * x / 1300).astype(np.float32)
    bent = cv2.remap(np.asarray(page), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert [line.text.casefold() for line in reader.read(bent, "fast").lines] == texts
