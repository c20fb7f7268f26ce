"""Find the lines of a page. If the recogniser is unsure, try other views of the page and keep the one that reads best.

A look is one view of the page, rotated, enlarged, padded or stretched, with the lines found in it. A usual page needs
one look; others are tried only if its longest lines read badly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.framing import Box, sheet_box, shrink
from text_recognizer.layout.crops import crop_line
from text_recognizer.layout.doubles import without_doubles
from text_recognizer.layout.ends import with_signs
from text_recognizer.layout.faint import without_faint_end, without_faint_lines
from text_recognizer.layout.finder import FoundLine, LineFinder
from text_recognizer.layout.joins import join_at_wide_gaps
from text_recognizer.layout.larger import larger_lines
from text_recognizer.layout.orientation import MARGIN, SIDEWAYS, TRIED, UPRIGHT, Place, rotate
from text_recognizer.layout.skew import LIMIT, STEEP, lies_on_side, move_points, skew_angle
from text_recognizer.layout.slopes import is_sloping, level_lines
from text_recognizer.layout.strays import stray_lines
from text_recognizer.layout.vertical import turn_notes
from text_recognizer.page import Point, orientation_of

Gray = NDArray[np.uint8]
Floats = NDArray[np.float32]
Judge = Callable[[Sequence[Gray]], Floats]
"""Probability, 0…1, of each character that the recogniser sees in line crops: (n,), empty if it sees none."""

# Confidence from which a page is not tried upside down. Upside down, print reaches 0.84 and handwriting 0.75.
CERTAIN = 0.92
COMPARED = 8  # lines by which looks are compared
ENOUGH, MOST = 15, 30  # least total length of the compared lines, in line heights; most lines
# A character is worth its probability minus EVEN. A better look must be worth GAIN times as much, and LEAST more.
EVEN, GAIN, LEAST = 0.5, 1.1, 1.0
MANY, HOPELESS = 30, 0.4  # lines, mean probability: a page with more lines and less probability is a texture
LONE_CERTAIN = 0.9  # of the only character on a page: many photographs show one with a lower probability
STRAY_CERTAIN = 0.6  # mean probability of lone characters that the finder missed
LARGE_CERTAIN = 0.6  # mean probability of lines of larger writing, which are found in a pass of their own
SHORT = 6.0  # line heights: a page with a longer line does not lie on its side
SIDES = (256, 512)  # longer side, in pixels, of the network's page for large writing
ROOM = 0.25  # of the longer side: margin around writing that fills its page
CLOSE = 8_000_000  # pixels that a page is reduced to for other looks; more would only take longer
SMALL_SHEET = 0.15  # of the picture: a smaller sheet is processed alone, unless there is writing beside it
STRETCHED = 2.0  # faxes have half as many pixels along one side


@dataclass(frozen=True)
class Look:
    """One view of a page, `image` (H, W) uint8, with its lines; `back` (2, 3) is the affine map to page pixels."""

    image: Gray
    back: NDArray[np.float64]
    page: tuple[int, int]  # (height, width) of the page
    lines: Sequence[FoundLine]
    height: int  # of crops
    _cut: dict[FoundLine, Gray] = field(default_factory=dict, repr=False)  # crops made so far

    def places(self) -> list[Place]:
        """The lines in page pixels."""
        return [(self._move(line.polygon), self._move(line.baseline)) for line in self.lines]

    def crops(self) -> list[Gray]:
        """Straightened crops of the lines (height, W), dark on light."""
        return [self.crop(line) for line in self.lines]

    def longest(self, count: int) -> list[Gray]:
        """The crops of the longest lines: `count` of them, or more if they are single words or characters."""
        order = sorted(self.lines, key=lambda line: -float(np.ptp(np.asarray(line.polygon), axis=0).max()))
        crops: list[Gray] = []
        for line in order[:MOST]:
            if len(crops) >= count and sum(crop.shape[1] for crop in crops) >= ENOUGH * self.height:
                break
            crops.append(self.crop(line))
        return crops

    def crop(self, line: FoundLine) -> Gray:
        """The crop of one line, as in `crops`; the same array each time."""
        if line not in self._cut:
            self._cut[line] = crop_line(self.image, line.polygon, line.baseline, self.height)
        return self._cut[line]

    def _move(self, points: Sequence[Point]) -> tuple[Point, ...]:
        return move_points(points, self.back, self.page[::-1])


class _Looks:
    """The looks at one page."""

    def __init__(self, gray: Gray, finder: LineFinder, line_height: int) -> None:
        self._gray, self._finder, self._height = gray, finder, line_height
        self._afar: dict[int, Look] = {}  # by the longer side: two questions may need them

    def turned(self, quarters: int, *, brief: bool = False) -> Look:
        """The page after `quarters` quarter turns counter-clockwise. `brief`: as for `LineFinder.find`."""
        height, width = self._gray.shape
        back = {
            0: [[1, 0, 0], [0, 1, 0]],
            1: [[0, -1, width], [1, 0, 0]],
            2: [[-1, 0, width], [0, -1, height]],
            3: [[0, 1, 0], [-1, 0, height]],
        }[quarters]
        return self._look(rotate(self._gray, quarters) if quarters else self._gray, back, brief=brief)

    @cached_property
    def lies_on_side(self) -> bool:
        return lies_on_side(self._gray)

    def may_lie(self, level: Look) -> bool:
        """Whether the page may lie on its side; `level` is its unrotated look. Even then, pieces may read well."""
        return all(crop.shape[1] < SHORT * self._height for crop in level.longest(1)) and self.lies_on_side

    def steep(self) -> Look | None:
        """The page deskewed, if it is skewed by more than a usual page; else None."""
        if abs(skew_angle(self._gray, STEEP)) <= LIMIT:
            return None
        return self._look(self._gray, np.eye(2, 3), steepest=STEEP)

    def others(self) -> Iterator[Look]:
        """Further looks, one for each likely fault of the page: large writing, skew, pixels that are not square."""
        yield from self.from_afar()
        if (steep := self.steep()) is not None:
            yield steep
        gray, x, y = self._close
        for fx, fy in ((1.0, STRETCHED), (STRETCHED, 1.0)):
            image = cv2.resize(gray, None, fx=fx, fy=fy, interpolation=cv2.INTER_LINEAR)
            yield self._look(np.asarray(image, np.uint8), [[x / fx, 0, 0], [0, y / fy, 0]])

    def from_afar(self) -> Iterator[Look]:
        """The page as it is, at scales for large writing."""
        for side in SIDES:
            if side not in self._afar:
                self._afar[side] = self._small(side)
            yield self._afar[side]

    def _small(self, side: int) -> Look:
        """The page with a margin of paper, at a scale where large writing has the size that the finder expects."""
        gray, x, y = self._close
        room = round(ROOM * max(gray.shape))
        paper = int(self._paper)
        image = cv2.copyMakeBorder(gray, room, room, room, room, cv2.BORDER_CONSTANT, value=[paper])
        return self._look(np.asarray(image, np.uint8), [[x, 0, -room * x], [0, y, -room * y]], side=side)

    @cached_property
    def _close(self) -> tuple[Gray, float, float]:
        """The page reduced to at most `CLOSE` pixels, and the width and height of its pixels, in page pixels."""
        small = shrink(self._gray, min(1.0, (CLOSE / self._gray.size) ** 0.5), exact=True)
        return small, self._gray.shape[1] / small.shape[1], self._gray.shape[0] / small.shape[0]

    @cached_property
    def _paper(self) -> float:
        return float(np.percentile(self._gray[::4, ::4], 80))

    def _look(
        self, image: Gray, back: object, side: int | None = None, steepest: float = LIMIT, brief: bool = False
    ) -> Look:
        found = self._finder.find(image, side=side, steepest=steepest, brief=brief)
        return Look(image, np.asarray(back, np.float64), self._gray.shape, found, self._height)


def find_lines(gray: Gray, finder: LineFinder, judge: Judge, line_height: int) -> list[tuple[Place, Gray]]:
    """Lines of a page with their straightened crops (line_height, W), dark on light.

    They are in reading order, except for larger writing, lone characters and rotated notes, which come last.

    Args:
        gray: (H, W) uint8, dark ink on light paper.
        judge: `Recognizer.ctc_probabilities`.
        line_height: of line crops, pixels.
    """
    box = sheet_box(gray)
    if box is not None and (box[2] - box[0]) * (box[3] - box[1]) < SMALL_SHEET * gray.size:
        near = _on_sheet(gray, box, finder, judge, line_height)
        if near and _mean(judge([crop for _, crop in near[:MOST]])) >= UPRIGHT:
            beside = Look(gray, np.eye(2, 3), gray.shape, _beside(finder.find(gray, brief=True), box), line_height)
            if _mean(judge(beside.longest(COMPARED))) < UPRIGHT:
                return near
    return _lines(gray, finder, judge, line_height)


def _beside(lines: Sequence[FoundLine], box: Box) -> list[FoundLine]:
    """The lines whose centre lies outside `box`."""
    left, top, right, bottom = box

    def is_inside(line: FoundLine) -> bool:
        x, y = np.mean(line.polygon, axis=0)
        return bool(left <= x <= right and top <= y <= bottom)

    return [line for line in lines if not is_inside(line)]


def _on_sheet(gray: Gray, box: Box, finder: LineFinder, judge: Judge, line_height: int) -> list[tuple[Place, Gray]]:
    """The lines inside `box`, in pixels of the whole page."""
    left, top, right, bottom = box
    lines = _lines(np.ascontiguousarray(gray[top:bottom, left:right]), finder, judge, line_height)

    def moved(points: Sequence[Point]) -> tuple[Point, ...]:
        return tuple((x + left, y + top) for x, y in points)

    return [((moved(polygon), moved(baseline or ())), crop) for (polygon, baseline), crop in lines]


def _lines(gray: Gray, finder: LineFinder, judge: Judge, line_height: int) -> list[tuple[Place, Gray]]:
    """`find_lines` for a page that is not much smaller than its picture."""
    look = _best_look(gray, finder, judge, line_height)
    if is_sloping(look.lines):
        level = replace(look, lines=level_lines(look.image, look.lines, finder))
        if _worth(judge(level.crops())) > _worth(judge(look.crops())):
            look = level
    look = replace(look, lines=join_at_wide_gaps(look.image, look.lines))
    crop = look.crop

    def worth(line: FoundLine) -> float:
        return _worth(judge([crop(line)]))

    look = replace(look, lines=without_doubles(look.lines, worth))
    look = replace(look, lines=with_signs(look.image, look.lines, worth))
    larger = [
        line
        for line in larger_lines(look.image, look.lines, finder)
        if _mean(judge([look.crop(line)])) >= LARGE_CERTAIN
    ]
    look = replace(look, lines=[*look.lines, *larger])
    strays = [line for line in stray_lines(look.image, look.lines) if _mean(judge([crop(line)])) >= STRAY_CERTAIN]
    look = replace(look, lines=[*look.lines, *strays])
    cut = dict(zip(look.places(), look.crops(), strict=True))
    places = list(cut)
    if orientation_of(baseline or () for _, baseline in places) % 180 == 0:
        places = turn_notes(gray, places, finder, lambda crops: _mean(judge(crops)), line_height)
    lines = [(place, cut[place] if place in cut else crop_line(gray, *place, line_height)) for place in places]
    if len(lines) <= TRIED and len(judge([crop for _, crop in lines])) == 1:
        lines = [(place, crop) for place, crop in lines if _mean(judge([crop])) >= LONE_CERTAIN]
    lines = without_faint_lines(lines, lambda crops: _mean(judge(crops)))
    return [without_faint_end(gray, *line, lambda crops: _mean(judge(crops))) for line in lines]


def _best_look(gray: Gray, finder: LineFinder, judge: Judge, line_height: int) -> Look:
    """The look in which the lines of a page read best."""
    looks = _Looks(gray, finder, line_height)
    level = looks.turned(0)
    if not level.lines and not looks.lies_on_side and (steep := looks.steep()) is not None and steep.lines:
        return steep
    best, confidence = _upright(level, looks, judge)  # a page on its side may show its lines only when rotated
    if best.lines and not level.lines:  # the turned page would win by default, but large writing is seen from afar
        for look in looks.from_afar():
            if look.lines and _mean(judge(look.longest(COMPARED))) >= max(UPRIGHT, confidence):
                return look
    if confidence >= UPRIGHT or not best.lines:
        return best
    probabilities = judge(best.longest(COMPARED))
    if len(best.lines) > MANY and _mean(probabilities) < HOPELESS:
        return best
    worth = _worth(probabilities)
    for look in looks.others():
        if not look.lines:
            continue
        probabilities = judge(look.longest(COMPARED))
        if _worth(probabilities) > max(GAIN * worth, worth + LEAST):
            best, worth = look, _worth(probabilities)
            if _mean(probabilities) >= UPRIGHT:
                break
    return best


def _upright(level: Look, looks: _Looks, judge: Judge) -> tuple[Look, float]:
    """The look in the best orientation, and the confidence, 0…1, in its longest lines."""
    quarters, look, confidence = _turn(level, looks, judge)
    return (look if quarters < 2 else looks.turned(quarters)), confidence


def quarters_upright(gray: Gray, finder: LineFinder, judge: Judge, line_height: int) -> tuple[int, list[Gray]] | None:
    """How many quarter turns counter-clockwise make a page upright, and crops of its longest lines after them.

    It detects only the lines needed for that; arguments as for `find_lines`. None if the page reads badly: then all
    looks must be compared.
    """
    looks = _Looks(gray, finder, line_height)
    quarters, look, confidence = _turn(looks.turned(0, brief=True), looks, judge, brief=True)
    if confidence < UPRIGHT:
        return None
    crops = look.longest(TRIED)
    return quarters, crops if quarters < 2 else [rotate(crop, 2) for crop in crops]


def _turn(level: Look, looks: _Looks, judge: Judge, *, brief: bool = False) -> tuple[int, Look, float]:
    """The quarter turns counter-clockwise after which a page reads best, and the confidence, 0…1, in its longest lines.

    The returned look runs along these lines; after two or three turns, the lines in it are upside down.
    """
    as_is, upside_down = _both_ways(level, judge)
    lying = looks.may_lie(level)
    if as_is >= CERTAIN and not lying:
        return 0, level, as_is
    if lying or max(as_is, upside_down) < SIDEWAYS:
        sideways = looks.turned(1, brief=brief)
        on_side = _both_ways(sideways, judge)
        ahead = max(on_side) - 3 * MARGIN > max(as_is, upside_down - MARGIN)
        if lying and not ahead and max(on_side) >= UPRIGHT:
            crops = sideways.longest(COMPARED)
            worth = _worth(judge(crops if on_side[0] >= on_side[1] else [rotate(crop, 2) for crop in crops]))
            ahead = worth > GAIN * _worth(judge(level.longest(COMPARED)))
        if ahead:
            return (1, sideways, on_side[0]) if on_side[0] >= on_side[1] else (3, sideways, on_side[1])
    return (0, level, as_is) if as_is >= upside_down - MARGIN else (2, level, upside_down)


def _both_ways(look: Look, judge: Judge) -> tuple[float, float]:
    """Confidence in the longest lines as found, and in the same lines upside down."""
    crops = look.longest(TRIED)
    if not crops:
        return 0.0, 0.0
    upright = _mean(judge(crops))
    return upright, 0.0 if upright >= CERTAIN else _mean(judge([rotate(crop, 2) for crop in crops]))


def _mean(probabilities: Floats) -> float:
    return float(probabilities.mean()) if len(probabilities) else 0.0


def _worth(probabilities: Floats) -> float:
    return float((probabilities - EVEN).sum())
