"""Notes written up or down the margin: found letter by letter, they are looked at again, turned, and become lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from text_recognizer.layout.crops import crop_line
from text_recognizer.layout.finder import LineFinder
from text_recognizer.layout.orientation import Place, rotate, rotate_back

Gray = NDArray[np.uint8]

FEWEST = 4  # letters under each other that may be a line on its side
NARROW = 1.3  # of its height: a letter that was taken for a line is not wider
REACH = 4.0  # widths by which the note may go on above and below the letters found
SURER = 0.05  # how much surer of the turned line the recogniser must be, 0…1


def turn_notes(
    gray: Gray, places: Sequence[Place], finder: LineFinder, confidence: Callable[[Sequence[Gray]], float], height: int
) -> list[Place]:
    """`places` with lines on their side in the place of the columns of letters that they were found as.

    Digits under each other stay as they are: what was found stays where the recogniser is not surer of it turned.

    Args:
        gray: (H, W) uint8, dark ink on light paper.
        places: lines of the page in reading order; only pages whose lines run from left to right are looked at.
        confidence: of the text in line crops, 0…1, as `Recognizer.ctc_confidence` returns it.
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
        if found is not None and found[0] > as_found + SURER:
            added += found[1]
            left, top, right, bottom = area
            inside = [
                n
                for n, box in enumerate(boxes)
                if left <= (box[0] + box[2]) / 2 <= right and top <= (box[1] + box[3]) / 2 <= bottom
            ]
            gone.update(column, inside)
    return [place for n, place in enumerate(kept) if n not in gone] + added


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
    """Runs of narrow boxes, each close under the one before and in line with it."""
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
    """Around the letters and what the note may hold beside them, up to the lines next to it; whole pixels."""
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
    """The lines in a part of the page when it is turned a quarter, with their confidence, the better way round."""
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
