"""Find the text lines of a page: a small network marks them; geometry gives polygons and reading order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.description import FinderSettings
from text_recognizer.framing import shrink
from text_recognizer.layout.order import LineBox, reading_order
from text_recognizer.layout.outline import OutlineSettings, outline_lines
from text_recognizer.layout.prepare import flatten_paper
from text_recognizer.layout.skew import LIMIT, move_points, skew_angle, turn_back
from text_recognizer.layout.trace import Trace, trace_baselines
from text_recognizer.page import Polygon, Polyline

if TYPE_CHECKING:
    import onnxruntime as ort

Gray = NDArray[np.uint8]

AT_ONCE = 2_000_000  # most pixels that the network processes at once
STRIP = 3.0  # aspect ratio above which a page is a strip
FAINT, SPECK = 235, 5  # grey below which a pixel of flattened paper (255) is a mark; largest speck, network pixels
SEEN = 200  # pixels of context around each pixel; the network of `training.models.line_finder` uses 188


@dataclass(frozen=True, slots=True)
class FoundLine:
    """A text line, in page pixels; `confidence`, 0…1, that it is a line."""

    polygon: Polygon
    baseline: Polyline
    confidence: float
    x_height: float

    def level(self, x: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Height of the baseline at `x`; beyond its ends it continues with the slope of its chord."""
        xs, ys = np.asarray(self.baseline, np.float64).T
        slope = (ys[-1] - ys[0]) / max(xs[-1] - xs[0], 1e-6)
        beyond = slope * (np.minimum(x - xs[0], 0) + np.maximum(x - xs[-1], 0))
        return np.asarray(np.interp(x, xs, ys) + beyond)

    def ends(self) -> tuple[float, float]:
        """The x of the baseline's left and right end."""
        xs = [x for x, _ in self.baseline]
        return min(xs), max(xs)

    def edges(self) -> tuple[Polygon, Polygon]:
        """The outline above the letters from left to right, and below them from right to left."""
        middle = len(self.polygon) // 2
        return self.polygon[:middle], self.polygon[middle:]


def covered_by(lines: Sequence[FoundLine], shape: tuple[int, ...], scale: float) -> Gray:
    """Mask, 0 or 1, of the pixels that `lines` cover on their page scaled by `scale` to `shape` (H, W)."""
    covered = np.zeros(shape, np.uint8)
    for line in lines:
        cv2.fillPoly(covered, [(np.asarray(line.polygon) * scale).round().astype(np.int32)], 1)
    return covered


class LineFinder:
    """Finds lines with the network of a bundle."""

    def __init__(self, session: ort.InferenceSession, settings: FinderSettings | None = None) -> None:
        self._session = session
        self.settings = settings or FinderSettings()

    def find(
        self, gray: Gray, *, side: int | None = None, steepest: float = LIMIT, brief: bool = False
    ) -> list[FoundLine]:
        """Lines of a page in reading order; empty if there is no text.

        Args:
            gray: (H, W) uint8, dark ink on light paper.
            side: longer side of the network's page in the first pass, pixels; None for the default.
            steepest: largest skew to look for, degrees.
            brief: stop if the first pass finds no line, instead of trying other scales.
        """
        if min(gray.shape) < 4 or int(gray.max()) - int(gray.min()) < 12:
            return []
        degrees = skew_angle(gray, steepest)
        if abs(degrees) < self.settings.level:
            return lines_from_traces(gray, self._look_until_sharp(gray, side, brief))
        turned, back = turn_back(gray, degrees)
        return [
            _mapped(line, back, gray.shape)
            for line in lines_from_traces(turned, self._look_until_sharp(turned, side, brief))
        ]

    def maps(self, gray: Gray, scale: float) -> tuple[NDArray[np.float32], tuple[float, float]]:
        """The network's maps at `scale` network pixels per page pixel.

        Returns:
            (4, h, w) maps at a quarter of the size of the network's page (see `training.models.line_finder`), and the
            exact scales in x and y after rounding to whole pixels.
        """
        height, width = (max(1, round(side * scale)) for side in gray.shape)
        page = cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        step = self.settings.step
        padded = np.full((-(-height // step) * step, -(-width // step) * step), 255, np.uint8)
        padded[:height, :width] = flatten_paper(np.asarray(page, np.uint8))
        out = self._run(padded)
        # The padding holds no lines.
        out[:3, -(-height // 4) :, :] = 0
        out[:3, :, -(-width // 4) :] = 0
        return out, (width / gray.shape[1], height / gray.shape[0])

    def _run(self, page: Gray) -> NDArray[np.float32]:
        """The network's maps of its page (H, W). A large page is run in two halves: each pixel takes 34 bytes."""
        if page.size <= AT_ONCE:
            seen_at_once: NDArray[np.float32] = self._session.run(None, {"page": page[None, None]})[0][0]
            return seen_at_once
        step = self.settings.step
        middle, seen = page.shape[0] // 2 // step * step, -(-SEEN // step) * step
        upper = self._session.run(None, {"page": page[None, None, : middle + seen]})[0][0]
        upper = np.ascontiguousarray(upper[:, : middle // 4])
        lower = self._session.run(None, {"page": page[None, None, middle - seen :]})[0][0]
        whole: NDArray[np.float32] = np.concatenate([upper, lower[:, seen // 4 :]], axis=1)
        return whole

    def traces(self, gray: Gray, scale: float) -> list[Trace]:
        """Baselines found in one pass at `scale` network pixels per pixel of `gray`, in pixels of `gray`."""
        maps, (scale_x, scale_y) = self.maps(gray, scale)
        factor = np.array([1 / scale_x, 1 / scale_y], np.float32)
        return [Trace(t.points * factor, t.x_height / scale_y, t.confidence) for t in trace_baselines(maps)]

    def _look_until_sharp(self, gray: Gray, side: int | None, brief: bool) -> list[Trace]:
        """Traces in page pixels, found at a scale where the writing has the size that the network expects."""
        settings = self.settings
        longer = max(gray.shape)
        # Enlarge a strip of paper as far as its area allows: the letters of a 5,000-pixel line are as tall as others.
        closer = max(1.0, longer / min(gray.shape) / STRIP) ** 0.5
        largest = min(closer * settings.max_side / longer, settings.max_enlarge)
        scale = min(closer * (side or settings.side) / longer, settings.max_enlarge)
        traces = self.traces(gray, scale)
        if not traces and not brief and _has_marks(gray, scale):
            # The writing may fill the image, or be too fine for the first pass.
            for other in (scale / 3, min(2 * scale, largest)):
                if (
                    abs(other / scale - 1) > 0.2
                    and min(gray.shape) * other >= 8
                    and (traces := self.traces(gray, other))
                ):
                    scale = other
                    break
        for _ in range(2):
            if not traces:
                return []
            seen = _usual_x_height(traces) * scale
            if settings.low <= seen <= settings.high:
                break
            better = float(np.clip(scale * settings.x_height / seen, scale / 5, largest))
            if abs(better / scale - 1) < 0.15:
                break
            again = self.traces(gray, better)
            if not again:
                break
            traces, scale = again, better
        return traces


def _has_marks(gray: Gray, scale: float) -> bool:
    """Whether a page (H, W) holds a mark larger than a speck at `scale`: the scan of an empty sheet shows dust."""
    ink = flatten_paper(shrink(gray, min(1.0, scale))) < FAINT
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    largest = stats[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(initial=0)
    return bool(largest * max(1.0, scale) > SPECK)


def lines_from_traces(gray: Gray, traces: Sequence[Trace]) -> list[FoundLine]:
    """Polygons around the ink of `traces` (pixels of `gray`), in reading order."""
    found: list[FoundLine] = []
    boxes: list[LineBox] = []
    for trace, outline in zip(traces, outline_lines(gray, traces, OutlineSettings()), strict=True):
        if outline is None:
            continue
        base = outline.baseline
        boxes.append(
            LineBox(
                float(base[0, 0]), float(base[-1, 0]), float(base[:, 1].mean()) - trace.x_height / 2, trace.x_height
            )
        )
        found.append(
            FoundLine(
                polygon=tuple((float(x), float(y)) for x, y in outline.polygon),
                baseline=tuple((float(x), float(y)) for x, y in base),
                confidence=trace.confidence,
                x_height=trace.x_height,
            )
        )
    return [found[i] for i in reading_order(boxes)]


def _mapped(line: FoundLine, to: NDArray[np.float64], size: tuple[int, ...]) -> FoundLine:
    """`line` mapped by the affine transform `to` (2, 3) to a page of `size` (H, W)."""

    limit = size[1], size[0]
    return replace(line, polygon=move_points(line.polygon, to, limit), baseline=move_points(line.baseline, to, limit))


def _usual_x_height(traces: Sequence[Trace]) -> float:
    """Median x-height, weighted by the written length."""
    heights = np.array([t.x_height for t in traces])
    lengths = np.array([float(np.ptp(t.points[:, 0])) + t.x_height for t in traces])
    order = np.argsort(heights)
    return float(heights[order][np.searchsorted(lengths[order].cumsum(), 0.5 * lengths.sum())])
