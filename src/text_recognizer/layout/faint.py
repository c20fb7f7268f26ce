"""Show-through: discard writing from the other side of the sheet that cannot be read.

The line finder may extend a line into show-through, or detect separate lines in it. Show-through is much fainter than
the writing on this side, but pencil may be as faint. The recogniser distinguishes them: show-through reads badly, or
better when mirrored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from text_recognizer.layout.crops import crop_line, word_polygon
from text_recognizer.layout.orientation import Place

Gray = NDArray[np.uint8]

FAINT = 0.6  # of the darkness of a line's ink: fainter columns may be show-through
SHORTEST = 0.5  # of the crop's height: a shorter end is only the last letter
MARGIN = 0.1  # of the crop's height: paper kept beyond the dark ink
# A line with less than WHOLE of the page's median darkness needs a confidence of SURE. The median needs FEWEST lines.
WHOLE, SURE, FEWEST = 0.38, 0.8, 4
READ = 0.6  # mean probability from which a faint end counts as writing


def without_faint_lines(
    lines: Sequence[tuple[Place, Gray]], confidence: Callable[[Sequence[Gray]], float]
) -> list[tuple[Place, Gray]]:
    """The lines of a page and their crops (height, W), without lines that are fainter than the others and read badly.

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
    """A line and its crop (height, W) without faint ends that cannot be read; unchanged if there are none.

    Args:
        gray: (H, W) uint8 page, dark ink on light paper.
        confidence: in the text of line crops, 0…1; 0 if there is no text.
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
