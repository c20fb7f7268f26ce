"""Rendered pages: their truth is true, and the maps made of it lead back to the lines."""

import cv2
import numpy as np
import pytest

from text_recognizer.layout.finder import lines_from_traces
from text_recognizer.layout.trace import Trace, trace_baselines
from text_recognizer.synthesis.rendering.page import RenderedPage, compose_page, render_page
from text_recognizer.synthesis.rendering.page_style import PageStyle
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import Ink, Writer
from text_recognizer.training.finder_lit import LineTruth, cut_view, draw_targets
from text_recognizer.training.line_match import Counts, baseline_matrix, match, overlap_matrix

PLAIN = PageStyle(x_height=16, width=46, height=40, spacing=3.2, furniture=0.0)


@pytest.fixture(scope="module")
def writer() -> Writer:
    """A hand that writes words of arches, with ascenders and descenders."""
    rng = np.random.default_rng(5)
    inks = []
    for number in range(24):
        text = "".join("nmulhgy"[int(i)] for i in rng.integers(7, size=3 + number % 6))
        strokes = []
        for place, letter in enumerate(text):
            t = np.linspace(0, np.pi, 9)
            arch = np.stack([place * 0.9 + 0.35 - 0.35 * np.cos(t), -0.95 * np.sin(t)], axis=1)
            strokes.append(arch.astype(np.float32))
            if letter in "lh":
                strokes.append(np.float32([[place * 0.9, -1.9], [place * 0.9, 0]]))
            if letter in "gy":
                strokes.append(np.float32([[place * 0.9 + 0.7, -0.9], [place * 0.9 + 0.6, 0.75]]))
        inks.append(Ink(text, tuple(strokes)))
    return Writer("toy", tuple(inks))


def drawn(writer: Writer, seed: int, style: PageStyle = PLAIN) -> RenderedPage:
    return render_page(writer, np.random.default_rng(seed), style, TextSource(None))


def found_from_truth(page: RenderedPage) -> list:
    """What post-processing makes of the maps that a perfect network would give."""
    gray = cv2.cvtColor(page.rgb, cv2.COLOR_RGB2GRAY)
    scale = 11 / float(np.median([line.x_height for line in page.lines]))
    size = tuple(-(-round(side * scale) // 32) * 32 for side in gray.shape)
    transform = np.array([[scale, 0, 0.5 * scale - 0.5], [0, scale, 0.5 * scale - 0.5]])
    maps, _ = draw_targets([LineTruth(line.baseline, line.x_height) for line in page.lines], transform, scale, size)
    traces = [Trace(t.points / np.float32(scale), t.x_height / scale, t.confidence) for t in trace_baselines(maps)]
    return lines_from_traces(gray, traces)


def test_the_same_seed_gives_the_same_page_and_another_seed_another(writer):
    first, again, other = drawn(writer, 3), drawn(writer, 3), drawn(writer, 4)
    assert np.array_equal(first.rgb, again.rgb)
    assert [line.text for line in first.lines] == [line.text for line in again.lines]
    assert not np.array_equal(first.rgb, other.rgb)


def test_polygons_contain_the_ink_of_the_page(writer):
    style = PageStyle(x_height=16, width=50, height=44, spacing=2.2, wander=0.3, slope=0.03, bend=1.0)
    hand, printed, lines = compose_page(writer, np.random.default_rng(8), style, TextSource(None))
    area = np.zeros(hand.shape, np.uint8)
    for line in lines:
        cv2.fillPoly(area, [np.round(line.polygon).astype(np.int32)], 1)
    ink = np.maximum(hand, printed) > 100
    assert ink.sum() > 2000
    assert ink[area > 0].sum() > 0.995 * ink.sum()


def test_baselines_run_under_the_letters(writer):
    hand, _, lines = compose_page(writer, np.random.default_rng(2), PLAIN, TextSource(None))
    for line in lines:
        xs = np.arange(int(line.baseline[0, 0]), int(line.baseline[-1, 0]))
        base = np.interp(xs, line.baseline[:, 0], line.baseline[:, 1])
        rows = np.clip(base[:, None] + np.linspace(-0.9, 0.1, 12) * line.x_height, 0, hand.shape[0] - 1).astype(int)
        below = np.clip(base[:, None] + np.linspace(0.3, 0.7, 6) * line.x_height, 0, hand.shape[0] - 1).astype(int)
        assert (hand[rows, xs[:, None]] > 100).mean() > 3 * (hand[below, xs[:, None]] > 100).mean()


def test_a_blank_page_has_no_lines(writer):
    page = render_page(writer, np.random.default_rng(1), PLAIN, TextSource(None), blank=True)
    assert page.lines == ()


@pytest.mark.parametrize("seed", [1, 2])
def test_ideal_maps_give_back_every_line(writer, seed):
    style = PageStyle(x_height=18, width=40, height=36, spacing=2.4, slope=0.02, wander=0.2, furniture=0.0)
    page = drawn(writer, seed, style)
    found = found_from_truth(page)
    overlap = overlap_matrix([line.polygon for line in page.lines], [np.array(line.polygon) for line in found])
    pairs = match(overlap, 0.5)
    assert len(pairs) == len(page.lines) == len(found)
    assert np.mean([overlap[i, j] for i, j in pairs]) >= 0.7
    close = baseline_matrix(
        [line.baseline for line in page.lines],
        [np.array(line.baseline) for line in found],
        [line.x_height for line in page.lines],
    )
    assert len(match(close, 0.7)) == len(page.lines)
    assert np.allclose([f.x_height for f in found], 18, rtol=0.15)


def test_two_columns_are_found_and_read_in_order(writer):
    style = PageStyle(x_height=14, width=70, height=36, columns=2, gutter=3.0, indent=0, furniture=0.0)
    page = drawn(writer, 6, style)
    found = found_from_truth(page)
    overlap = overlap_matrix([line.polygon for line in page.lines], [np.array(line.polygon) for line in found])
    by_place = [i for _, i in sorted((j, i) for i, j in match(overlap, 0.5))]
    assert len(page.lines) > 10
    assert by_place == list(range(len(page.lines)))


def test_views_of_a_page_repeat_by_seed_and_hold_their_targets(writer):
    page = drawn(writer, 3)
    gray = cv2.cvtColor(page.rgb, cv2.COLOR_RGB2GRAY)
    lines = [LineTruth(line.baseline, line.x_height) for line in page.lines]
    view, maps, seen = cut_view(gray, lines, np.random.default_rng(9), 256)
    again = cut_view(gray, lines, np.random.default_rng(9), 256)
    assert np.array_equal(view, again[0]) and np.array_equal(maps, again[1])
    assert view.shape == (256, 256) and maps.shape == (4, 64, 64) and seen.shape == (64, 64)
    # Ink is denser in the cores than outside of them, but for views full of noise.
    inside, outside = [], []
    for seed in range(4):
        view, maps, _ = cut_view(gray, lines, np.random.default_rng(seed), 256)
        ink = cv2.resize(255 - view, (64, 64), interpolation=cv2.INTER_AREA).astype(float)
        inside.append(ink[maps[1] > 0.9].mean())
        outside.append(ink[maps[1] < 0.01].mean())
    assert sum(inside) > 1.5 * sum(outside)


def test_overlap_on_ink_forgives_wide_polygons_but_not_a_neighbours_ink():
    ink = np.zeros((100, 200), np.uint8)
    ink[40:50, 20:180] = 1
    ink[80:90, 20:180] = 1
    tight = np.array([[18, 38], [182, 38], [182, 52], [18, 52]])
    wide = np.array([[10, 20], [190, 20], [190, 70], [10, 70]])
    both = np.array([[10, 20], [190, 20], [190, 95], [10, 95]])
    assert overlap_matrix([tight], [wide])[0, 0] < 0.5
    assert overlap_matrix([tight], [wide], ink)[0, 0] > 0.95
    assert overlap_matrix([tight], [both], ink)[0, 0] == pytest.approx(0.5, abs=0.05)


def test_counts_add_up():
    total = Counts(4, 5, 3) + Counts(6, 5, 6)
    assert (total.recall, total.precision, total.f1) == (0.9, 0.9, 0.9)
