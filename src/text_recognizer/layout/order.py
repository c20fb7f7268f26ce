"""The reading order of the lines of a page: columns one after the other, tables and forms row by row.

A page is split at gutters into columns, and each column again (Nagy and Seth's X-Y cut, 1984), with two exceptions. A
line may extend across a gutter if it continues the column that it begins in; any other line across a gutter ends the
columns. Lines side by side are read row by row if they share baselines and look like cells.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Literal

import numpy as np

# Lengths in x-heights.
PIECES = 1.6  # largest gap between pieces of one written line
SAME_BASELINE = 0.6  # largest offset between the baselines of pieces of one line
LEVEL = 1.5  # largest offset between the middles of lines that are beside each other
COLLIDE = 1.2  # lines that overlap horizontally run into each other if their middles are closer than this
TOUCH = 0.3  # how far a line may extend over a gutter without crossing it
# Largest offset between the middles of cells in a row: in x-heights; in row spacings, where that is less; and in row
# spacings where rows are far apart, because print beside handwriting has an x-height of its own.
CELLS = (0.6, 0.25, 0.13)

OVERHANG = 0.2  # share of a line's length that may extend into the next column
GOES_ON = 1.6  # times the usual line spacing: largest gap over which a column continues
REGULAR = 1.35  # the same, between neighbours in a paragraph
CROSSING, OUTSIDE = 2.0, 0.25  # penalty, in lines, for a line across a gutter: between its columns; above or below them
MOST_ACROSS = 0.5  # of a column's own lines: the most lines that may extend across the gutter
NOTE_GAP = 6.0  # x-heights: a larger distance between baselines separates two notes
NARROW = 0.4  # of a column's width: notes in its margin are narrower
# SHIFT: row spacings by which all cells of a column may be higher or lower than those beside them, as in handwriting
# above the line beside print. Such a table needs LEVELLED more evidence, as much as level cells contribute.
SHIFT, LEVELLED = 0.25, 1.0
TABLE = 2.5  # evidence from which lines side by side are a table

PartKind = Literal["text", "table", "columns", "margin"]


@dataclass(frozen=True, slots=True)
class LineBox:
    """The position of a line's letters on a deskewed page, in pixels: its ends, its middle height, its x-height.

    `slope`: pixels by which its middle falls per pixel to the right. `text`: its text, if known.
    """

    left: float
    right: float
    middle: float
    x_height: float
    slope: float = 0.0
    text: str = ""

    def level(self, x: float) -> float:
        """Height of the middle at `x`."""
        return self.middle + self.slope * (x - (self.left + self.right) / 2)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a page in reading order: `rows` of box indices from the top, or `columns` of such parts.

    A row holds the pieces of one line or, in a table, the cells of a row, from left to right.
    """

    kind: PartKind
    rows: tuple[tuple[int, ...], ...] = ()
    columns: tuple[tuple[Part, ...], ...] = ()

    def indices(self) -> list[int]:
        """Indices of all boxes of the part in reading order."""
        if self.kind == "columns":
            return [i for column in self.columns for part in column for i in part.indices()]
        return [i for row in self.rows for i in row]


def reading_order(boxes: Sequence[LineBox]) -> list[int]:
    """Indices of `boxes` in reading order."""
    return [i for part in find_parts(boxes) for i in part.indices()]


def find_parts(boxes: Sequence[LineBox]) -> list[Part]:
    """The parts of a page in reading order; together they hold each box once."""
    return _joined(_parts(_lines_of_pieces(boxes))) if boxes else []


@dataclass(frozen=True)
class _Line:
    """A written line: its pieces from left to right, as indices and boxes."""

    pieces: tuple[int, ...]
    boxes: tuple[LineBox, ...]

    @cached_property
    def left(self) -> float:
        return min(box.left for box in self.boxes)

    @cached_property
    def right(self) -> float:
        return max(box.right for box in self.boxes)

    @cached_property
    def middle(self) -> float:
        return float(np.mean([box.middle for box in self.boxes]))

    @cached_property
    def x_height(self) -> float:
        return max(box.x_height for box in self.boxes)

    @cached_property
    def text(self) -> str:
        return " ".join(box.text for box in self.boxes)

    @property
    def width(self) -> float:
        return self.right - self.left

    @cached_property
    def lean(self) -> float:
        """This line's share of the bound, in pixels, on how far `middle` is from that of a line on its baseline."""
        return max(abs(box.middle - self.middle) for box in self.boxes) + _lean(self.boxes)


def _lean(boxes: Iterable[LineBox]) -> float:
    """Bound, in pixels, on how far the levels that `_aligned` compares differ from the middles: one box's share."""
    return max(1.5 * abs(box.slope) * (box.right - box.left) for box in boxes)


def _middle(line: _Line | LineBox) -> float:
    return line.middle


def _within(lines: list[_Line], middle: float, reach: float) -> slice:
    """The slice of `lines`, sorted from the top, whose middles are at most `reach` from `middle`."""
    reach += 1e-6 * (1 + abs(middle) + reach)  # so that rounding loses no line
    return slice(*(bisect(lines, at, key=_middle) for bisect, at in _ends(middle, reach)))


def _ends(middle: float, reach: float) -> tuple[tuple[Callable[..., int], float], tuple[Callable[..., int], float]]:
    return (bisect_left, middle - reach), (bisect_right, middle + reach)


def _aligned(a: LineBox, b: LineBox) -> float:
    """Vertical offset, in pixels, between the middles of two boxes where they face each other."""
    if a.left > b.left:
        a, b = b, a
    # Extend the slope of the longer box to the other, but no farther than its own length: beyond that it is a guess.
    longer = max(a, b, key=lambda box: box.right - box.left)
    slope = longer.slope * min(1.0, (longer.right - longer.left) / max(b.left - a.right, 1e-6))
    return abs(b.level(b.left) - a.level(a.right) - slope * (b.left - a.right))


def _lines_of_pieces(boxes: Sequence[LineBox]) -> list[_Line]:
    """Lines, sorted from the top. Pieces that are close to each other on one baseline form one line."""
    following: dict[int, int] = {}
    taken: set[int] = set()
    pairs = []
    place = {i: place for place, i in enumerate(sorted(range(len(boxes)), key=lambda i: boxes[i].left))}
    from_top = sorted(range(len(boxes)), key=lambda i: boxes[i].middle)
    middles = [boxes[i].middle for i in from_top]
    most = _lean(boxes)
    for i in from_top:
        reach = 1e-3 + SAME_BASELINE * boxes[i].x_height + _lean(boxes[i : i + 1]) + most
        start, stop = (bisect(middles, at) for bisect, at in _ends(boxes[i].middle, reach))
        for j in from_top[start:stop]:
            if place[j] <= place[i]:
                continue
            unit = min(boxes[i].x_height, boxes[j].x_height)
            gap, step = (boxes[j].left - boxes[i].right) / unit, _aligned(boxes[i], boxes[j]) / unit
            if -1.0 < gap < PIECES and step < SAME_BASELINE:
                pairs.append((abs(gap) + step, i, j))
    for _, i, j in sorted(pairs):
        if i not in following and j not in taken:
            following[i] = j
            taken.add(j)
    lines = []
    for i in range(len(boxes)):
        if i not in taken:
            pieces = [i]
            while pieces[-1] in following:
                pieces.append(following[pieces[-1]])
            lines.append(_Line(tuple(pieces), tuple(boxes[k] for k in pieces)))
    return sorted(lines, key=lambda line: line.middle)


# --------------------------------------------------------------------------------------------------------- columns


@dataclass
class _Band:
    """The lines between two lines that end the columns: left and right of the gutter, from the top."""

    left: list[_Line] = field(default_factory=list)
    right: list[_Line] = field(default_factory=list)

    @property
    def lines(self) -> list[_Line]:
        return sorted([*self.left, *self.right], key=lambda line: line.middle)


def _parts(lines: list[_Line]) -> list[Part]:
    """Parts of `lines`, which are sorted from the top."""
    unit = float(np.median([line.x_height for line in lines]))
    gutter = _best_gutter(lines, unit) if len(lines) >= 4 else None
    if gutter is None:
        return [_text(lines)]
    parts: list[Part] = []
    for band in _bands(lines, gutter, unit):
        if not isinstance(band, _Band):
            parts.append(_text([band]))
        elif not _side_by_side(band):
            parts.append(_text(band.lines))
        elif (rows := _cell_rows(band)) and _evidence(band, rows) >= TABLE:
            parts.extend(_table(band, rows))
        elif (level := _levelled(band)) and (rows := _cell_rows(level)) and _evidence(level, rows) >= TABLE + LEVELLED:
            parts.extend(_table(level, rows))
        elif _is_margin(band.left, band.right):
            parts.extend(_with_note(band.right, band.left))
        elif _is_margin(band.right, band.left):
            parts.extend(_with_note(band.left, band.right))
        else:
            parts.append(_columns(_parts(band.left), _parts(band.right)))
    return parts


def _best_gutter(lines: list[_Line], unit: float) -> float | None:
    """The x with the most lines in columns on its sides and the fewest across it; None if there is no gutter."""
    best, best_score = None, 0.0
    tried: list[float] = []
    for at in sorted(line.left - TOUCH * unit for line in lines):
        if tried and at - tried[-1] < 0.5 * unit:
            continue
        tried.append(at)
        bands = _bands(lines, at, unit)
        beside = [number for number, band in enumerate(bands) if isinstance(band, _Band) and _side_by_side(band)]
        if not beside:
            continue
        score = 0.0
        for number, band in enumerate(bands):
            if not isinstance(band, _Band):
                # Text above or below all columns is weak evidence.
                score -= CROSSING if beside[0] < number < beside[-1] else OUTSIDE
            elif number in beside:
                score += len(band.left) + len(band.right)
                score -= sum(line.left < at < line.right - TOUCH * unit for line in band.lines)
        if score > best_score:
            best, best_score = at, score
    return best


def _bands(lines: list[_Line], gutter: float, unit: float) -> list[_Band | _Line]:
    """The page from the top: lines that end the columns, and the columns between these lines.

    `unit`: median x-height of `lines`.
    """
    left = [line for line in lines if line.right <= gutter + TOUCH * unit]
    right = [line for line in lines if line.left >= gutter - TOUCH * unit]
    # A line so narrow that it touches the gutter from both sides is assigned to one side.
    on_left = {id(line) for line in left}
    beyond = {id(line) for line in right if id(line) not in on_left or line.left + line.right >= 2 * gutter}
    left = [line for line in left if id(line) not in beyond]
    right = [line for line in right if id(line) in beyond]
    aside = {id(line) for line in (*left, *right)}
    columns = left, right
    own = len(left), len(right)
    across: tuple[list[_Line], list[_Line]] = [], []
    ends = [line for line in lines if id(line) not in aside]
    pitches: dict[tuple[int, int], float] = {}

    def pitch(side: int) -> float:
        key = side, len(columns[side])  # they only grow
        if key not in pitches:
            pitches[key] = _pitch(columns[side])
        return pitches[key]

    for belongs in (_hardly_crosses, _goes_on):
        rest = []
        for line in ends:
            side = belongs(line, gutter, left, right, pitch)
            if side is None:
                rest.append(line)
            else:
                across[side].append(line)
                insort(columns[side], line, key=_middle)
        ends = rest
    # Many such lines are running text, not part of a column: a letter continues below the columns of its head.
    for side, column in enumerate(columns):
        if len(across[side]) > MOST_ACROSS * own[side]:
            ends += across[side]
            gone = set(map(id, across[side]))
            column[:] = [line for line in column if id(line) not in gone]
    ends.sort(key=lambda line: line.middle)
    bands: list[_Band | _Line] = []
    edges = [-np.inf, *(line.middle for line in ends), np.inf]
    for number, (top, bottom) in enumerate(pairwise(edges)):
        if number:
            bands.append(ends[number - 1])
        cut = [[bisect_left(column, edge, key=_middle) for edge in (top, bottom)] for column in columns]
        band = _Band(*(column[start:stop] for column, (start, stop) in zip(columns, cut, strict=True)))
        if band.left or band.right:
            bands.append(band)
    return bands


def _hardly_crosses(
    line: _Line, gutter: float, left: list[_Line], right: list[_Line], pitch: Callable[[int], float]
) -> int | None:
    """The column, 0 for `left` or 1 for `right`, that a line across the gutter hardly leaves; None if there is none."""
    steps = _distances(line, left), _distances(line, right)
    for side, other, over in ((0, right, line.right - gutter), (1, left, gutter - line.left)):
        if over > OVERHANG * line.width:
            continue
        own, foreign = min(steps[side]), min(steps[1 - side])
        elsewhere = foreign <= 3.5 * line.x_height and own > GOES_ON * max(foreign, pitch(side))
        near = other[_within(other, line.middle, COLLIDE * line.x_height)]
        if not elsewhere and not any(_collide(line, one) for one in near):
            return side
    return None


def _goes_on(
    line: _Line, gutter: float, left: list[_Line], right: list[_Line], pitch: Callable[[int], float]
) -> int | None:
    """0 if a line across the gutter continues the left column, else None.

    It does if it follows the lines of that column closely and the right column has no line near. It also does if it is
    really two lines, one of each column, detected as one: then it fits the line spacing of both columns.
    """
    if gutter - line.left <= max(3 * line.x_height, OVERHANG * line.width):
        return None
    (up, down), (other_up, other_down) = _distances(line, left), _distances(line, right)
    near = max(GOES_ON * pitch(0), 3.5 * line.x_height)
    # A footer also follows one column closely, but no line of the column follows the footer.
    if up <= near and np.isfinite(down) and other_up > GOES_ON * up and other_down > GOES_ON * min(down, up):
        return 0
    regular = up / pitch(0), down / pitch(0), other_up / pitch(1), other_down / pitch(1)
    return 0 if max(regular) < REGULAR else None


def _collide(line: _Line, other: _Line) -> bool:
    over = min(line.right, other.right) - max(line.left, other.left)
    return over > 0 and abs(line.middle - other.middle) < COLLIDE * min(line.x_height, other.x_height)


def _distances(line: _Line, column: list[_Line]) -> tuple[float, float]:
    """Pixels from a line up and down to the next lines of a column, excluding itself; infinity if there is none."""
    at = bisect_right(column, line.middle, key=_middle)
    return (
        line.middle - column[at - 1].middle if at else np.inf,
        column[at].middle - line.middle if at < len(column) else np.inf,
    )


def _pitch(column: list[_Line]) -> float:
    """Usual distance between the baselines of a column, pixels."""
    steps = [b.middle - a.middle for a, b in pairwise(column)]
    steps = [step for line, step in zip(column, steps, strict=False) if step > 0.5 * line.x_height]
    return float(np.median(steps)) if steps else 3 * max((line.x_height for line in column), default=np.inf)


def _side_by_side(band: _Band) -> bool:
    """Whether both sides hold two or more lines over a shared range of heights, many of them level with each other."""
    if len(band.left) < 2 or len(band.right) < 2:
        return False
    left, right = _beside(band)
    if min(len(left), len(right)) < 2:
        return False
    # Headings and the indented lines below them are at different heights; lines of columns overlap in height.
    level = [
        sum(
            any(_overlap(line, one) for one in other[_within(other, line.middle, LEVEL * line.x_height)])
            for line in side
        )
        for side, other in ((left, right), (right, left))
    ]
    return max(level[0] / len(left), level[1] / len(right)) >= 0.5


def _overlap(line: _Line, other: _Line) -> bool:
    return abs(line.middle - other.middle) < LEVEL * min(line.x_height, other.x_height)


def _beside(band: _Band) -> tuple[list[_Line], list[_Line]]:
    """The lines of each side at heights where the other side has lines too."""
    margin = 0.8 * float(np.median([line.x_height for line in (*band.left, *band.right)]))
    top = max(band.left[0].middle, band.right[0].middle) - margin
    bottom = min(band.left[-1].middle, band.right[-1].middle) + margin
    left, right = ([line for line in side if top <= line.middle <= bottom] for side in (band.left, band.right))
    return left, right


def _columns(left: list[Part], right: list[Part]) -> Part:
    """Two columns, or more if a side consists only of columns."""
    columns: list[tuple[Part, ...]] = []
    for side in (left, right):
        if len(side) == 1 and side[0].kind == "columns":
            columns.extend(side[0].columns)
        else:
            columns.append(tuple(_joined(side)))
    return Part("columns", columns=tuple(columns))


def _is_margin(note: list[_Line], main: list[_Line]) -> bool:
    """Whether `note` is beside some of the lines of `main` and narrower than they are."""
    width, own = (float(np.median([line.width for line in lines])) for lines in (main, note))
    inside = note[0].middle >= main[0].middle - _pitch(main) and note[-1].middle <= main[-1].middle + _pitch(main)
    return inside and len(note) <= 0.5 * len(main) and own < NARROW * width


def _with_note(main: list[_Line], note: list[_Line]) -> list[Part]:
    """`main` with each note of its margin placed before the line beside which the note begins.

    A single line in the margin that is level with a line of `main` is the beginning or the end of that line.
    """
    pitch = _pitch(main)
    notes = []
    for run in _runs(note):
        mate = next((line for line in main if _in_row(line, run[0], pitch)), None) if len(run) == 1 else None
        if mate is None:
            notes.append(run)
        else:
            both = sorted((mate, run[0]), key=lambda line: line.left)
            joined = _Line(both[0].pieces + both[1].pieces, both[0].boxes + both[1].boxes)
            main = [joined if line is mate else line for line in main]
    parts: list[Part] = []
    for run in notes:
        start = run[0].middle - 0.5 * run[0].x_height
        above, main = [line for line in main if line.middle < start], [line for line in main if line.middle >= start]
        parts += _parts(above) if above else []
        parts.append(Part("margin", tuple(line.pieces for line in _ordered(run))))
    return [*parts, *_parts(main)] if main else parts


def _runs(note: list[_Line]) -> list[list[_Line]]:
    """Notes in a margin: runs of lines that follow each other closely."""
    runs = [note[:1]]
    for line, following in pairwise(note):
        if following.middle - line.middle > NOTE_GAP * max(line.x_height, following.x_height):
            runs.append([])
        runs[-1].append(following)
    return runs


def _text(lines: list[_Line]) -> Part:
    return Part("text", tuple(line.pieces for line in _ordered(lines)))


def _ordered(lines: list[_Line]) -> list[_Line]:
    """Lines from the top down; lines at one height that do not overlap horizontally go from left to right."""
    rows: list[list[_Line]] = []
    for line in lines:
        if rows:
            row = rows[-1]
            level = float(np.mean([other.middle for other in row]))
            apart = all(line.left >= other.right or line.right <= other.left for other in row)
            if apart and abs(line.middle - level) < 0.8 * min(line.x_height, *(other.x_height for other in row)):
                row.append(line)
                continue
        rows.append([line])
    return [line for row in rows for line in sorted(row, key=lambda line: line.left)]


def _joined(parts: list[Part]) -> list[Part]:
    """`parts` with consecutive texts merged."""
    out: list[Part] = []
    for part in parts:
        if out and out[-1].kind == part.kind == "text":
            out[-1] = Part("text", out[-1].rows + part.rows)
        else:
            out.append(part)
    return out


# ---------------------------------------------------------------------------------------------------------- tables


def _cell_rows(band: _Band) -> list[tuple[_Line, _Line]]:
    """Pairs of a line left of the gutter and one right of it on one baseline, the nearest of each row.

    Empty unless nearly all of the lines beside each other have a partner.
    """
    pitch = min(_pitch(band.left), _pitch(band.right))
    pairs: list[tuple[_Line, _Line]] = []
    level_with = _rows_of(band, pitch)
    for line in band.left:
        mates = [other for other in band.right[level_with(line, band.right)] if _in_row(line, other, pitch)]
        if mates:
            pairs.append((line, min(mates, key=lambda other: other.left)))
    # Several cells left of the gutter may share a row: keep the nearest.
    nearest: dict[tuple[int, ...], tuple[_Line, _Line]] = {}
    for line, mate in pairs:
        known = nearest.get(mate.pieces)
        if known is None or line.right > known[0].right:
            nearest[mate.pieces] = (line, mate)
    left, right = _beside(band)
    matched = sum(
        any(_in_row(line, other, pitch) for other in band.right[level_with(line, band.right)]) for line in left
    ) / len(left)
    back = sum(
        any(_in_row(line, other, pitch) for other in band.left[level_with(line, band.left)]) for line in right
    ) / len(right)
    enough = len(nearest) >= 2 and max(matched, back) >= 0.8 and min(matched, back) >= 0.5
    return list(nearest.values()) if enough else []


def _levelled(band: _Band) -> _Band | None:
    """The band with its right side shifted to the heights of the left; None unless one small shift fits all lines."""
    pitch = min(_pitch(band.left), _pitch(band.right))
    near = [_distances(line, band.right) for line in band.left]
    steps = [-up if up <= down else down for up, down in near]
    shift = float(np.median(steps))
    regular = len(steps) >= 3 and float(np.ptp(steps)) < 2 * CELLS[2] * pitch
    if not regular or abs(shift) > SHIFT * pitch:
        return None
    moved = [replace(line, boxes=tuple(replace(b, middle=b.middle - shift) for b in line.boxes)) for line in band.right]
    return _Band(band.left, moved)


def _rows_of(band: _Band, pitch: float) -> Callable[[_Line, list[_Line]], slice]:
    """A function that narrows lines of a band, sorted from the top, to the slice that may be `_in_row` with a line."""
    lean = max(line.lean for line in (*band.left, *band.right))
    return lambda line, lines: _within(lines, line.middle, CELLS[1] * pitch + line.lean + lean)


def _in_row(line: _Line, other: _Line, pitch: float) -> bool:
    if line.left > other.left:
        line, other = other, line
    unit = min(line.x_height, other.x_height)
    step = _aligned(line.boxes[-1], other.boxes[0])
    most = min(max(CELLS[0] * unit, CELLS[2] * pitch), CELLS[1] * pitch)
    return line.right <= other.left + TOUCH * unit and step < most


def _evidence(band: _Band, rows: list[tuple[_Line, _Line]]) -> float:
    """Evidence for cells in rows and against two columns of prose."""
    pitch = min(_pitch(band.left), _pitch(band.right))
    steps = [_aligned(a.boxes[-1], b.boxes[0]) / pitch for a, b in rows]
    share = np.median([a.width / max(1.0, b.left - a.left) for a, b in rows])
    score = 1.0 if np.mean(steps) < 0.12 else 0.0
    score += 1.0 if share < 0.6 else -1.0 if share > 0.85 else 0.0
    for side in zip(*rows, strict=True):
        unit = float(np.median([line.x_height for line in side]))
        edges = [line.left for line in side], [line.right for line in side], [line.left + line.right for line in side]
        score += 0.25 if min(float(np.ptp(edge)) for edge in edges) < 1.5 * unit else -0.5
        if any(line.text for line in side):
            words = float(np.median([len(line.text.split()) for line in side]))
            score += 0.75 if words <= 2.5 else -1.0 if words > 4.5 else 0.0
    lines, level_with = list({id(line): line for line in band.lines}.values()), _rows_of(band, pitch)
    several = sum(
        sum(_in_row(line, other, pitch) for other in lines[level_with(line, lines)] if other is not line) >= 2
        for line in lines
    )
    score += 0.5 if several > 0.6 * len(lines) else 0.0
    score += 1.0 if _mean(_is_number(b.text) for _, b in rows) >= 0.5 else 0.0
    score += 2.0 if _mean(a.text.rstrip().endswith((":", "?")) for a, _ in rows) >= 0.4 else 0.0
    return score


def _is_number(text: str) -> bool:
    """Whether at least half of the letters and digits in `text` are digits."""
    known = re.findall(r"\w", text)
    return bool(known) and 2 * sum(char.isdigit() for char in known) >= len(known)


def _mean(values: Iterable[bool]) -> float:
    return float(np.mean(list(values) or [False]))


def _table(band: _Band, rows: list[tuple[_Line, _Line]]) -> list[Part]:
    """The table, and the parts above and below it."""
    pitch = min(_pitch(band.left), _pitch(band.right))
    found: list[list[_Line]] = []
    placed: list[_Line] = []  # from the top, and the row of each
    numbers: list[int] = []
    level_with = _rows_of(band, pitch)
    for line in band.lines:
        near = level_with(line, placed)
        known = zip(placed[near], numbers[near], strict=True)
        number = min((number for other, number in known if _in_row(line, other, pitch)), default=len(found))
        if number == len(found):
            found.append([])
        found[number].append(line)
        placed.append(line)
        numbers.append(number)
    full = [number for number, row in enumerate(found) if len(row) > 1]
    first, last = full[0], full[-1]
    cells = tuple(
        tuple(i for line in sorted(row, key=lambda line: line.left) for i in line.pieces)
        for row in found[first : last + 1]
    )
    above = [line for row in found[:first] for line in row]
    below = [line for row in found[last + 1 :] for line in row]
    parts = [Part("table", cells)]
    return [*(_parts(above) if above else []), *parts, *(_parts(below) if below else [])]
