"""Remove the printed rules of lined and graph paper: dark rules would be read as strokes and mislead the line finder.

Rules cross the page at regular distances; writing never does. The page is divided into narrow strips across the rules.
In a strip, the median of each row shows only rules, because writing covers less than half of any row. Ink that is
darker than a rule stays, and so do strokes that continue on both sides of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from text_recognizer.layout.prepare import scale_for_prints, shrunk_for_prints

Gray = NDArray[np.uint8]
Floats = NDArray[np.floating]
Ints = NDArray[np.int_]

STRIP, COLUMNS = 24, 12  # width of a strip, pixels, and number of its columns that are sampled
CONTRAST = 10.0  # least difference in grey values between a rule and the paper around it
THICKEST = 6  # pixels of the small image
SPREAD = 1.5  # rows: standard deviation of the smoothing across rules
DRIFT = 2  # pixels by which a rule may rise or fall from strip to strip
AROUND, BENDS = 8, 4  # strips to either side that settle the row of a rule; degree of the curve that it follows
TURN = 6  # strips from which its direction is estimated
GAP = 2  # most consecutive strips in which a rule may be hidden
LONG = 0.5  # share of the strips in which a rule must be visible
FEWEST = 5  # fewest rules on a page
EVEN, REGULAR = 0.15, 0.7  # tolerance of a distance, relative to the usual one; share of distances within it
SEEN = 0.8  # share of the rules found that must be visible at full resolution
FAINTEST = 0.2  # of a rule's depth: rows at least this dark belong to it
HALO = 1  # pixels beside a sloping rule that may have some of its tone
DARKER = 20  # grey values by which ink is darker than the rule it lies on
SLANTS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)  # of crossing strokes: pixels along a rule per pixel across it


@dataclass
class _Rule:
    """The course of a rule, in pixels of the small image: its row at some strips."""

    strips: list[int]
    rows: list[float]
    last: int  # latest strip in which it may be present
    thickness: float = 1.0

    def row_at(self, strip: int, back: bool = False) -> float:
        """The expected row at a later strip, or at an earlier one if `back`."""
        strips, rows = (self.strips[::-1], self.rows[::-1]) if back else (self.strips, self.rows)
        first = max(0, len(rows) - 1 - TURN)
        run = strips[-1] - strips[first]
        slope = (rows[-1] - rows[first]) / run if abs(run) >= TURN else 0.0
        return rows[-1] + slope * (strip - strips[-1])


def without_rules(gray: Gray, small: Gray | None = None) -> Gray:
    """The page without the printed rules of lined or graph paper; `gray` itself if there are none.

    Args:
        gray: (H, W) uint8, dark ink on light paper, skewed by no more than a few degrees.
        small: `prepare.shrunk_for_prints(gray)`, if it is already computed.
    """
    scale = scale_for_prints(gray)
    small = shrunk_for_prints(gray) if small is None else small
    if min(small.shape) < FEWEST * STRIP:
        return gray
    level, upright = _rules(small), _rules(small.T)
    if not level and not upright:
        return gray
    clean = gray.copy()
    for image, rules in ((clean, level), (clean.T, upright)):
        seen = [one for rule in rules if (one := _seen(image, rule, scale)) is not None]
        # Dense lines of small letters look like rules in the small image, but not at full resolution.
        if len(seen) >= SEEN * len(rules):
            for one in seen:
                _take_off(image, one)
    return clean


def _rules(small: Gray) -> list[_Rule]:
    """The level rules of a page; empty if they are not evenly spaced."""
    height, width = small.shape
    small = np.ascontiguousarray(small)
    around = cv2.blur(small, (1, 8 * THICKEST + 1), borderType=cv2.BORDER_REPLICATE)
    depth = np.asarray(cv2.subtract(around, small), np.uint8)
    count = width // STRIP
    step = STRIP // COLUMNS
    columns = [np.ascontiguousarray(depth[:, k * step : count * STRIP : STRIP]) for k in range(COLUMNS)]
    profile = _median(columns).astype(np.float32)  # (H, strips)
    smooth = cv2.GaussianBlur(profile, (1, 2 * THICKEST + 1), 0, sigmaY=SPREAD)  # one peak per rule
    is_peak = profile >= CONTRAST
    is_peak[1:-1] &= (smooth[1:-1] >= smooth[:-2]) & (smooth[1:-1] > smooth[2:])
    if is_peak.sum() < FEWEST * LONG * count:
        return []
    going: list[_Rule] = []
    ended: list[_Rule] = []
    for strip in range(count):
        rows = np.flatnonzero(is_peak[:, strip])
        taken = np.zeros(len(rows), bool)
        still = []
        enough = LONG * count - (count - strip)  # fewest strips so far of a rule that can still reach LONG
        for rule in going:
            if len(rule.strips) < enough:
                continue
            row = rule.row_at(strip)
            near = int(np.searchsorted(rows, row))
            best = min(
                (i for i in (near - 1, near) if 0 <= i < len(rows) and not taken[i]),
                key=lambda i: abs(rows[i] - row),
                default=None,
            )
            if best is not None and abs(rows[best] - row) <= DRIFT:
                taken[best] = True
                rule.strips.append(strip)
                rule.rows.append(float(rows[best]))
                rule.last = strip
            elif 0 <= round(row) < height and profile[round(row), strip] >= CONTRAST:
                rule.last = strip  # among letters it is not a peak
            elif strip - rule.last > GAP:
                ended.append(rule)
                continue
            still.append(rule)
        going = still + [_Rule([strip], [float(row)], strip) for row in rows[~taken] if enough <= 0]
    long = [rule for rule in (*ended, *going) if len(rule.strips) >= LONG * count]
    for rule in long:
        rule.thickness = _thickness(rule, profile)
    rules = [rule for rule in long if rule.thickness <= THICKEST]
    return rules if _is_regular(rules) else []


def _median(images: list[Gray]) -> Gray:
    """The median of images at each pixel; the upper one for an even number.

    Sorts whole images pixel by pixel, as a selection sort does, and stops at the middle. It takes a tenth of the time
    of numpy's sort, which is made for long rows.
    """
    left = list(images)
    for index in range(len(left) // 2 + 1):
        for other in range(index + 1, len(left)):
            a, b = left[index], left[other]
            left[index], left[other] = np.minimum(a, b), np.maximum(a, b)
    return left[len(left) // 2]


def _thickness(rule: _Rule, profile: Floats) -> float:
    """Thickness of a rule, in rows of the small image."""
    rows = np.asarray(rule.rows).astype(int)[:, None] + np.arange(-THICKEST, THICKEST + 1)
    seen = profile[rows.clip(0, len(profile) - 1), np.asarray(rule.strips)[:, None]]  # (strips, 2 THICKEST + 1)
    across = np.median(seen, axis=0)
    return float((across > 0.3 * across[THICKEST]).sum())


def _is_regular(rules: list[_Rule]) -> bool:
    if len(rules) < FEWEST:
        return False
    apart = np.diff(np.sort([float(np.median(rule.rows)) for rule in rules]))
    usual = float(np.median(apart))
    multiple = apart / max(usual, 1.0)
    even = np.abs(multiple - multiple.round().clip(1)) <= EVEN
    return usual > 2 * THICKEST and float(even.mean()) >= REGULAR


@dataclass(frozen=True)
class _Seen:
    """A rule at full resolution, on a page of W columns."""

    middle: Ints  # (W,) rows
    paper: Floats  # (W,) tone
    depth: float  # by which the rule is darker than the paper
    dark: Ints  # rows that it darkens, relative to the middle


def _seen(gray: Gray, rule: _Rule, scale: float) -> _Seen | None:
    """The exact position and darkness of a level rule on the page `gray`; None if it is not visible."""
    height, width = gray.shape
    x = np.arange(width)
    strips = np.array([0, *rule.strips, x[-1] * scale / STRIP])
    rows = np.array([rule.row_at(0, back=True), *_settled(rule), rule.row_at(int(strips[-1]))])
    middle = np.interp(x, (strips + 0.5) * STRIP / scale, (rows + 0.5) / scale - 0.5).round().astype(int)
    reach = int(np.ceil((0.5 * rule.thickness + 1) / scale)) + 2
    around = np.arange(-reach, reach + 1)
    band = gray[(middle[:, None] + around).clip(0, height - 1), x[:, None]]
    paper = np.percentile(band, 90, axis=1)
    darker = paper[:, None] - band
    across = np.median(darker[np.isin(x * scale // STRIP, rule.strips)], axis=0)
    depth = float(across.max())
    if depth < CONTRAST:
        return None
    return _Seen(middle, paper, depth, around[across > FAINTEST * depth])


def _settled(rule: _Rule) -> Floats:
    """The rows of a rule, (strips,), where letters do not lead astray: in a strip full of them, another row is darker.

    A rule is straight or bends evenly. Beside that curve, the rows in the strips around decide.
    """
    if len(rule.rows) <= 2 * AROUND:
        return np.asarray(rule.rows)
    along = np.linspace(-1, 1, rule.strips[-1] - rule.strips[0] + 1)[np.array(rule.strips) - rule.strips[0]]
    curve = np.polyval(np.polyfit(along, rule.rows, BENDS), along)
    beside = sliding_window_view(np.pad(rule.rows - curve, AROUND, "reflect"), 2 * AROUND + 1)
    return np.asarray(curve + np.median(beside, axis=1))


def _take_off(gray: Gray, rule: _Seen) -> None:
    """Paint over a level rule of `gray`, in place, with the tones above and below it."""
    height, width = gray.shape
    x = np.arange(width)
    middle, paper, depth, dark = rule.middle, rule.paper, rule.depth, rule.dark
    halo = HALO if np.ptp(middle) > HALO else 0
    top, bottom = middle + dark.min() - halo - 1, middle + dark.max() + halo + 1  # beside the rule
    rows = top[:, None] + np.arange(1, bottom[0] - top[0])  # (W, t)
    inside = (rows >= 0) & (rows < height)
    filled = np.full(rows.shape, 255, np.uint8)
    for slant in SLANTS:
        ends = []
        for edge in (top, bottom):
            there = np.clip(np.rint(x[:, None] + slant * (edge[:, None] - rows)).astype(int), 0, width - 1)
            ends.append(gray[edge[there].clip(0, height - 1), there])
        filled = np.minimum(filled, np.maximum(*ends))
    columns = np.broadcast_to(x[:, None], rows.shape)[inside]
    rows, filled = rows[inside], filled[inside]
    before = gray[rows, columns]
    is_ink = before < paper[columns] - (depth + DARKER)
    gray[rows, columns] = np.where(is_ink, before, np.maximum(before, filled))
