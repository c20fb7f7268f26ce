"""Notes written up or down the margin: rotate tall ink that no line covers, and detect lines in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.framing import shrink
from text_recognizer.layout.crops import crop_line
from text_recognizer.layout.finder import LineFinder
from text_recognizer.layout.orientation import Place, rotate, rotate_back
from text_recognizer.layout.prepare import flatten_paper

Gray = NDArray[np.uint8]

FEWEST = 4  # fewest letters below each other that may be a line on its side
NARROW = 1.3  # of its height: largest width of a letter that was detected as a line
REACH = 4.0  # widths by which the note may extend above and below the letters found
LEAD = 0.12  # by which the confidence in the rotated lines must exceed that in the upright ones, 0…1
CONFIDENT = 0.8  # least confidence in the rotated lines in any case
SIDE = 700  # longer side, in pixels, of the image in which uncovered ink is looked for
TALL = 4.0  # of its width: least height of a line on its side
MOST = 4  # most such areas of a page that are examined


def turn_notes(
    gray: Gray, places: Sequence[Place], finder: LineFinder, confidence: Callable[[Sequence[Gray]], float], height: int
) -> list[Place]:
    """`places` with the notes on their side, which replace the columns of letters that they were detected as.

    Digits below each other stay as they are: the recogniser must be more confident in the rotated lines.

    Args:
        gray: (H, W) uint8, dark ink on light paper.
        places: lines of the page in reading order; most of them must run from left to right.
        confidence: in the text of line crops, 0…1, as `Recognizer.ctc_confidence` returns it.
        height: of those crops, pixels.
    """
    kept = list(places)
    boxes = [_box(place) for place in kept]
    added: list[Place] = []
    gone: set[int] = set()
    for column in _columns(boxes):
        area = _area(column, boxes, gray.shape)
        found = _turned(gray, area, finder, confidence, height)
        as_found = confidence([crop_line(gray, *kept[n], height) for n in column])
        if found is not None and found[0] > max(CONFIDENT, as_found + LEAD):
            added += found[1]
            left, top, right, bottom = area
            inside = [
                n
                for n, box in enumerate(boxes)
                if left <= (box[0] + box[2]) / 2 <= right and top <= (box[1] + box[3]) / 2 <= bottom
            ]
            gone.update(column, inside)
    kept = [place for n, place in enumerate(kept) if n not in gone] + added
    for area in _uncovered(gray, kept):
        found = _turned(gray, area, finder, confidence, height)
        upright = [crop_line(gray, *place, height) for place in _stacked(gray, area)]
        as_found = confidence(upright) if len(upright) >= FEWEST else 0.0
        if found is not None and found[0] > max(CONFIDENT, as_found + LEAD):
            left, top, right, bottom = area
            # A letter or two of the note may have been detected as lines.
            kept = [
                place
                for place in kept
                if not (left <= (box := _box(place))[0] and box[2] <= right and top <= box[1] and box[3] <= bottom)
            ]
            kept += found[1]
    return kept


def _uncovered(gray: Gray, places: Sequence[Place]) -> list[tuple[int, int, int, int]]:
    """Areas of ink, far taller than wide, that no line of the page covers, tallest first; whole pixels.

    Empty for a page without lines: ink that stands alone is not a note in a margin.
    """
    if not places:
        return []
    scale = min(1.0, SIDE / max(gray.shape))
    ink = (flatten_paper(shrink(gray, scale)) < 128).astype(np.uint8)
    heights = []
    for place in places:
        outline = np.asarray(place[0], np.float64).reshape(-1, 2) * scale
        box = _box(place)
        heights.append((box[3] - box[1]) * scale)
        if box[2] - box[0] > NARROW * (box[3] - box[1]):
            cv2.fillPoly(ink, [outline.round().astype(np.int32)], 0)
    line = max(3.0, float(np.median(heights)))
    # Closing joins the letters of a line on its side to one column. Rules and edges are thin, and shapes are wide.
    joined = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, np.ones((2 * round(0.4 * line) + 1, 3), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    x, y, width, tall, _ = stats[1:].T
    is_note = (tall > TALL * width) & (tall > 3 * line) & (0.25 * line < width) & (width < 2.5 * line)
    found = np.stack([tall, x, y, width], axis=1)[is_note].tolist()
    margin = 0.5 * line
    areas = []
    for tall, x, y, width in sorted(found, reverse=True)[:MOST]:
        left, top = max(0.0, x - margin) / scale, max(0.0, y - margin) / scale
        right, bottom = (x + width + margin) / scale, (y + tall + margin) / scale
        areas.append((int(left), int(top), min(gray.shape[1], int(right)), min(gray.shape[0], int(bottom))))
    return areas


def _stacked(gray: Gray, area: tuple[int, int, int, int]) -> list[Place]:
    """One line for each row of ink in `area`; rows are separated by white."""
    left, top, right, bottom = area
    ink = flatten_paper(np.ascontiguousarray(gray[top:bottom, left:right])) < 128
    rows = np.concatenate([[False], ink.any(axis=1), [False]])
    edges = np.flatnonzero(rows[1:] != rows[:-1]) + top
    places: list[Place] = []
    for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        columns = np.flatnonzero(ink[begin - top : end - top].any(axis=0)) + left
        x0, x1 = float(columns[0]), float(columns[-1] + 1)
        places.append((((x0, begin), (x1, begin), (x1, end), (x0, end)), ((x0, end), (x1, end))))
    return places


Box = tuple[float, float, float, float]  # left, top, right, bottom


def _box(place: Place) -> Box:
    outline = np.asarray(place[0], float).reshape(-1, 2)
    return (
        float(outline[:, 0].min()),
        float(outline[:, 1].min()),
        float(outline[:, 0].max()),
        float(outline[:, 1].max()),
    )


def _columns(boxes: Sequence[Box]) -> list[list[int]]:
    """Runs of narrow boxes, each close below the one before and aligned with it."""
    narrow = [n for n, (left, top, right, bottom) in enumerate(boxes) if right - left < NARROW * (bottom - top)]
    narrow.sort(key=lambda n: boxes[n][1])
    columns: list[list[int]] = []
    for n in narrow:
        left, top, right, bottom = boxes[n]
        for column in columns:
            other = boxes[column[-1]]
            overlap = min(right, other[2]) - max(left, other[0])
            gap = top - other[3]
            if overlap > 0.6 * min(right - left, other[2] - other[0]) and -0.5 < gap / (bottom - top) < 0.5:
                column.append(n)
                break
        else:
            columns.append([n])
    return [column for column in columns if len(column) >= FEWEST]


def _area(column: Sequence[int], boxes: Sequence[Box], size: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Box around the letters and the possible rest of the note, up to the neighbouring lines; whole pixels."""
    found = np.array([boxes[n] for n in column])
    left, top, right, bottom = found[:, 0].min(), found[:, 1].min(), found[:, 2].max(), found[:, 3].max()
    width = right - left
    top, bottom = top - REACH * width, bottom + REACH * width
    beside = [box for n, box in enumerate(boxes) if n not in column and box[3] > top and box[1] < bottom]
    room_left = max([box[2] for box in beside if box[2] <= left], default=0.0)
    room_right = min([box[0] for box in beside if box[0] >= right], default=float(size[1]))
    left, right = max(left - width, room_left, 0), min(right + width, room_right, size[1])
    return int(left), int(max(top, 0)), int(np.ceil(right)), int(np.ceil(min(bottom, size[0])))


def _turned(
    gray: Gray,
    area: tuple[int, int, int, int],
    finder: LineFinder,
    confidence: Callable[[Sequence[Gray]], float],
    height: int,
) -> tuple[float, list[Place]] | None:
    """The lines in a part of the page after a quarter turn, with the confidence in them, for the better direction."""
    left, top, right, bottom = area
    part = gray[top:bottom, left:right]
    if min(part.shape) < 4:
        return None
    best = None
    for quarters in (1, 3):
        places: list[Place] = []
        for line in finder.find(rotate(part, quarters)):
            polygon, baseline = (
                tuple((x + left, y + top) for x, y in rotate_back(points, quarters, *part.shape))
                for points in (line.polygon, line.baseline)
            )
            places.append((polygon, baseline))
        if places:
            sure = confidence([crop_line(gray, *place, height) for place in places])
            if best is None or sure > best[0]:
                best = sure, places
    return best
