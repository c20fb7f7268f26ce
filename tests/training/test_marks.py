"""The network for script and struck-out words learns, and its lines say what is drawn."""

import numpy as np
import pytest
import torch

from text_recognizer.synthesis.rendering.page import render_page
from text_recognizer.synthesis.rendering.page_style import PageStyle
from text_recognizer.synthesis.sources.fonts import load_fonts, write_builtin_font
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.training.marked_lines import MarkedLine, cut_marked, is_held_out
from text_recognizer.training.marks import fit, measure


def drawn(number: int) -> MarkedLine:
    """Bars for print, arcs for writing; a part with a bar across it is struck out."""
    rng = np.random.default_rng(number)
    image = np.zeros((48, 160), np.uint8)
    printed = number % 2 == 0
    for x in range(6, 150, 12):
        if printed:
            image[14:34, x : x + 3] = 255
        else:
            y = 24 + 10 * np.sin(np.arange(10))
            image[y.astype(int), np.arange(x, x + 10)] = 255
    struck = np.zeros(20, bool)
    start = int(rng.integers(0, 12))
    struck[start : start + 6] = True
    image[22:25, start * 8 : (start + 6) * 8] = 255
    return MarkedLine(image, printed, struck, "toy")


@pytest.fixture
def one_thread():
    """Layers this small only wait for each other in several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_network_learns_both():
    net = fit([drawn(number) for number in range(64)], epochs=8, batch=8)
    found = measure(net, [drawn(number) for number in range(1000, 1032)])
    assert found["printed"] > 0.9 and found["handwritten"] > 0.9
    assert found["struck"] > 0.8 and found["wrongly_struck"] < 0.1


def test_lines_of_a_page_have_the_steps_of_their_struck_words(tmp_path):
    font = load_fonts(write_builtin_font(tmp_path))[0]
    style = PageStyle(x_height=16, width=50, height=24, crossings=0.4, furniture=0.0)
    page = render_page(font, np.random.default_rng(2), style, TextSource(None), camera=None)
    gray = page.rgb.min(2)
    rng = np.random.default_rng(1)
    marked = [(line, cut_marked(gray, line, rng, True, font.name, None)) for line in page.lines]
    assert sum(len(line.struck) for line, _ in marked) >= 3
    for line, cut in marked:
        length = float(np.ptp(line.polygon[:, 0]))
        wanted = sum(float(np.ptp(ends[:, 0])) for ends in line.struck) / length
        assert abs(float(cut.struck.mean()) - wanted) < 0.12
        assert len(cut.struck) == -(-cut.image.shape[1] // 8)


def test_cuts_of_a_typeface_are_held_out_together():
    for name in ("lato", "roboto", "noto-sans", "merriweather", "crimson-pro", "fira-sans"):
        assert is_held_out(name) == is_held_out(f"{name}-bold") == is_held_out(f"{name}-italic")
