"""Words struck out: the mark covers the word, and pages say where they are."""

import numpy as np
import pytest

from text_recognizer.synthesis.rendering.page import render_page
from text_recognizer.synthesis.rendering.page_style import PageStyle
from text_recognizer.synthesis.rendering.strike import strike_out
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import Ink, Writer


@pytest.mark.parametrize("seed", range(24))
def test_mark_goes_through_the_word(seed):
    coverage = np.zeros((80, 300), np.uint8)
    strike_out(coverage, 60, 220, lambda x: np.full_like(x, 50.0), 20, np.random.default_rng(seed))
    columns = np.flatnonzero(coverage.max(0) > 100)
    assert 40 < columns[0] < 85 and 195 < columns[-1] < 250
    rows = np.flatnonzero(coverage.max(1) > 100)
    assert rows[0] > 5 and rows[-1] < 70  # x-height and a little, from the baseline at 50 up
    assert coverage[25:50, 70:210].max(0).mean() > 60


def test_page_says_where_words_are_struck_out():
    t = np.linspace(0, np.pi, 9)
    arch = np.stack([0.35 - 0.35 * np.cos(t), -0.95 * np.sin(t)], axis=1).astype(np.float32)
    inks = tuple(Ink("nnnn", tuple(arch + np.float32([0.9 * k, 0]) for k in range(4))) for _ in range(10))
    style = PageStyle(x_height=16, width=40, height=30, crossings=0.3, furniture=0.0)
    page = render_page(Writer("toy", inks), np.random.default_rng(3), style, TextSource(None))
    struck = [(line, ends) for line in page.lines for ends in line.struck]
    assert struck
    for line, ends in struck:
        assert line.baseline[:, 0].min() - 2 <= ends[0, 0] < ends[1, 0] <= line.baseline[:, 0].max() + 2
        assert 2 < (ends[1, 0] - ends[0, 0]) / line.x_height < 6  # the word of four arches
    assert sum(len(line.text.split()) for line in page.lines) > len(struck)
