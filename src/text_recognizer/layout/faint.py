"""Writing of the other side that shines through: leave it out where nobody can read it.

The line finder follows it on from the end of a line of this side, or takes it for lines of its own. It is much fainter
than the writing of this side, and so may be what is written in pencil. The recogniser tells them apart: what shines
through reads badly, or better in a mirror.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from text_recognizer.layout.crops import crop_line, word_polygon
from text_recognizer.layout.orientation import Place

Gray = NDArray[np.uint8]

FAINT = 0.6  # of the darkness of a line's ink
SHORTEST = 0.5  # of its height: a shorter end is no more than the last letter
MARGIN = 0.1  # of its height that is left at the end of the ink
# Of the darkness of a page's usual line: fainter lines must be read so surely; lines from which a usual one is known.
WHOLE, SURE, FEWEST = 0.38, 0.8, 4
READ = 0.6  # mean probability from which a faint end is writing


def without_faint_lines(
    lines: Sequence[tuple[Place, Gray]], confidence: Callable[[Sequence[Gray]], float]
) -> list[tuple[Place, Gray]]:
    """The lines of a page and their crops (height, W) without those that are faint beside the others, and read badly.

    `confidence` as for `without_faint_end`.
    """
    if len(lines) < FEWEST:
        return list(lines)
    darkness = [float(np.subtract(*np.percentile(crop, (80, 2)))) for _, crop in lines]
    least = WHOLE * float(np.median(darkness))
    return [line for line, dark in zip(lines, darkness, strict=True) if dark >= least or confidence([line[1]]) >= SURE]


def without_faint_end(
    gray: Gray, place: Place, crop: Gray, confidence: Callable[[Sequence[Gray]], float]
) -> tuple[Place, Gray]:
    """A line and its crop (height, W) without ends that are faint and cannot be read; as they are where it has none.

    Args:
        gray: (H, W) uint8 page, dark ink on light paper.
        confidence: in the text of line crops, 0…1, 0 where there is none.
    """
    height, width = crop.shape
    darkness = np.percentile(crop, 80) - crop.min(0)
    strong = np.flatnonzero(darkness >= FAINT * np.percentile(darkness, 97))
    margin = round(MARGIN * height)
    start, end = max(0, int(strong[0]) - margin), min(width, int(strong[-1]) + 1 + margin)

    def is_read(part: Gray) -> bool:
        as_is = confidence([part])
        return as_is >= READ and as_is > confidence([np.ascontiguousarray(part[:, ::-1])])

    if start < SHORTEST * height or is_read(crop[:, :start]):
        start = 0
    if width - end < SHORTEST * height or is_read(crop[:, end:]):
        end = width
    if (start, end) == (0, width):
        return place, crop
    part = word_polygon(*place, start / width, end / width)
    left, right = (min(x for x, _ in part), max(x for x, _ in part))
    baseline = place[1]
    if baseline is not None and len(baseline) > 1:
        xs, ys = np.asarray(baseline, np.float64).T
        if (np.diff(xs) > 0).all():
            at = [left, *xs[(xs > left) & (xs < right)].tolist(), right]
            baseline = tuple((float(x), float(y)) for x, y in zip(at, np.interp(at, xs, ys), strict=True))
    place = part, baseline
    return place, crop_line(gray, *place, height)
