"""Polygons hold the ink of their own line, whatever touches it."""

import cv2
import numpy as np

from text_recognizer.layout.finder import lines_from_traces
from text_recognizer.layout.outline import outline_lines
from text_recognizer.layout.trace import Trace

X_HEIGHT = 20


def page_of(words: list[tuple[str, int, int]], size: tuple[int, int] = (320, 620)) -> np.ndarray:
    page = np.full(size, 235, np.uint8)
    for word, x, y in words:
        cv2.putText(page, word, (x, y), cv2.FONT_HERSHEY_SIMPLEX, X_HEIGHT / 14, 30, 3, cv2.LINE_AA)
    return page


def trace(x0: int, x1: int, y: float) -> Trace:
    return Trace(np.float32([[x0, y], [(x0 + x1) / 2, y], [x1, y]]), float(X_HEIGHT), 0.9)


def inside(polygon: tuple[tuple[float, float], ...], page: np.ndarray) -> np.ndarray:
    mask = np.zeros(page.shape, np.uint8)
    cv2.fillPoly(mask, [np.round(polygon).astype(np.int32)], 1)
    return mask.astype(bool)


def test_ascenders_and_descenders_belong_to_their_line():
    page = page_of([("holy type", 40, 100)])
    (line,) = lines_from_traces(page, [trace(45, 250, 100)])
    ink = page < 100
    assert ink[inside(line.polygon, page)].sum() > 0.99 * ink.sum()


def test_tight_lines_keep_each_their_own_ink():
    first = page_of([("happy gypsy", 40, 100)])
    second = page_of([("tall hills", 40, 152)])
    page = np.minimum(first, second)
    upper, lower = lines_from_traces(page, [trace(45, 300, 100), trace(45, 240, 152)])
    for line, own in ((upper, first < 100), (lower, second < 100)):
        assert own[inside(line.polygon, page)].sum() > 0.97 * own.sum()
    # What the upper polygon takes of the lower line is crumbs.
    strange = (second < 100) & ~(first < 100)
    assert strange[inside(upper.polygon, page)].sum() < 0.12 * strange.sum()


def test_a_ruled_margin_does_not_draw_the_polygon_out():
    page = page_of([("some words", 60, 100)])
    page[:, 52] = 90
    page[104, :] = 120
    (line,) = lines_from_traces(page, [trace(60, 300, 100)])
    ys = np.array(line.polygon)[:, 1]
    assert ys.min() > 100 - 2.4 * X_HEIGHT
    assert ys.max() < 100 + 1.4 * X_HEIGHT


def test_a_bent_baseline_has_a_bent_polygon():
    page = np.full((300, 700), 235, np.uint8)
    xs = np.arange(40, 680, 40)
    ys = 150 + 40 * np.sin(xs / 200)
    for x, y in zip(xs[:-1], ys[:-1], strict=True):
        cv2.putText(page, "no", (int(x), round(y)), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 30, 2, cv2.LINE_AA)
    points = np.stack([xs, ys], axis=1).astype(np.float32)
    (line,) = lines_from_traces(page, [Trace(points, 14.0, 0.9)])
    ink = page < 100
    area = inside(line.polygon, page)
    assert ink[area].sum() > 0.98 * ink.sum()
    assert area.sum() < 650 * 14 * 3.5  # it follows the bend: no box


def test_a_trace_without_ink_is_not_a_line():
    page = np.full((200, 400), 235, np.uint8)
    page[:3, :3] = 0
    assert lines_from_traces(page, [trace(50, 300, 100)]) == []


def test_tails_of_the_line_above_are_not_a_line():
    page = page_of([("saying goggles jumping", 40, 100)])
    upper = trace(45, 430, 100)
    tails = Trace(np.float32([[140, 114], [230, 114]]), X_HEIGHT * 0.6, 0.5)
    (line,) = lines_from_traces(page, [upper, tails])
    assert np.ptp(np.array(line.polygon)[:, 0]) > 300


def test_short_last_line_stays_although_a_tail_touches_it():
    page = page_of([("a happy gypsy sings", 40, 100), ("end.", 100, 142)])
    lines = lines_from_traces(page, [trace(45, 400, 100), trace(102, 170, 142)])
    assert len(lines) == 2


def test_line_outside_of_the_picture_has_no_outline():
    page = np.full((200, 400), 255, np.uint8)
    cv2.putText(page, "hello there", (20, 100), cv2.FONT_HERSHEY_SIMPLEX, 1, 0, 2)
    inside = Trace(np.array([[20, 100], [200, 100]], np.float32), 14.0, 0.9)
    outside = [
        Trace(inside.points + np.array(shift, np.float32), 14.0, 0.9) for shift in ((0, 300), (900, 0), (0, -300))
    ]
    found = outline_lines(page, [inside, *outside])
    assert found[0] is not None
    assert found[1:] == [None, None, None]


def test_lone_character_gets_its_baseline_from_its_ink_and_paper_around():
    page = page_of([("9", 100, 200)])
    ink = np.argwhere(page < 100)
    for level in (188.0, 200.0):  # the network takes its upper part for the whole now and then
        found = outline_lines(page, [trace(104, 118, level)])[0]
        assert found is not None
        assert abs(found.baseline[:, 1] - (ink[:, 0].max() + 1)).max() <= 1.5
        assert found.baseline[0, 1] == found.baseline[-1, 1]
        assert found.polygon[:, 0].min() < ink[:, 1].min() - 0.3 * X_HEIGHT
        assert found.polygon[:, 0].max() > ink[:, 1].max() + 0.3 * X_HEIGHT


def test_character_that_was_found_twice_counts_once():
    page = page_of([("5", 100, 200)])
    upper, lower = trace(104, 118, 184), trace(104, 118, 200)
    found = outline_lines(page, [Trace(upper.points, upper.x_height, 0.5), lower])
    assert found[0] is None
    assert found[1] is not None
