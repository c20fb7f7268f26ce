"""Image → lines → text → Page: the one place where finding lines and reading them meet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from text_recognizer.bundle import Bundle
from text_recognizer.images import ImageSource, load_image
from text_recognizer.layout.crops import crop_line
from text_recognizer.layout.finder import LineFinder
from text_recognizer.layout.line_image import line_polygon
from text_recognizer.layout.turns import turned, turned_back
from text_recognizer.layout.words import word_polygon
from text_recognizer.page import Line, Mode, Page, Polygon, Polyline, Word
from text_recognizer.recognition.recognizer import LineReading, Recognizer
from text_recognizer.registry import resolve

Place = tuple[Polygon, Polyline | None]

# Of how many lines the way up of a page is judged, and how sure of them (0…1) the recogniser must be to look no
# further. Pages of held-out hands: 0.85–0.95 as they stand, 0.66–0.79 upside down, 0.3–0.66 on a side.
TRIED, UPRIGHT, SIDEWAYS = 3, 0.82, 0.7
DOUBT = 0.05  # by how much surer another way up must be


class Reader:
    """Reads pages with one model. Making it opens and verifies the bundle; safe to share between threads.

    `bundle`: a model folder, the name of a registered model ("production", NAME, NAME@VERSION; see `models.py`), or
    nothing for the one that ships with the package. `threads`: how many ONNX Runtime may use, or nothing for all.
    Raises `BundleInvalid`.
    """

    def __init__(self, bundle: Bundle | Path | str | None = None, threads: int | None = None) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(resolve(bundle))
        self.threads = threads
        self.model = f"{self.bundle.name}@{self.bundle.version}"

    def read(
        self,
        image: ImageSource,
        mode: Mode = "accurate",
        lines: Sequence[Place] | None = None,
    ) -> Page:
        """Read a page: find its lines, or take `lines` (polygon and baseline, in pixels), and read each.

        "fast" takes one pass for all lines, "accurate" three to ten times as long for fewer errors. A blank page has no
        lines. Raises `ImageRejected` where the image cannot be read.
        """
        laid_out = self.lay_out(image, lines)
        readings = self.recognizer.read_lines(laid_out.crops, mode)
        read = (laid_out.line(i, reading) for i, reading in enumerate(readings))
        return laid_out.page(read, self.model)

    def lay_out(self, image: ImageSource, lines: Sequence[Place] | None = None) -> LaidOut:
        """The first half of `read`, for who reads the lines of several pages together: find the lines, cut them out."""
        gray = load_image(image).gray
        if lines is None:
            lines = self._find(gray)
        crops = [crop_line(gray, polygon, baseline, self.recognizer.line_height) for polygon, baseline in lines]
        height, width = gray.shape
        return LaidOut(width, height, tuple(lines), tuple(crops))

    def read_line(self, image: ImageSource, mode: Mode = "accurate") -> Line:
        """Read an image that shows one line of text and nothing else; its text is empty where nothing is written."""
        gray = load_image(image).gray
        polygon = line_polygon(gray)
        crop = crop_line(gray, polygon, None, self.recognizer.line_height)
        return _line(polygon, None, self.recognizer.read_lines([crop], mode)[0])

    def _find(self, gray: NDArray[np.uint8]) -> list[Place]:
        """Lines of a page in reading order, found the way up in which the recogniser is surest of its longest ones."""
        places = self._places(gray, 0)
        sure = self._sureness(gray, places)
        if not places or sure[0] >= UPRIGHT:
            return places
        best, quarters = max(sure[0], sure[1] - DOUBT), 0 if sure[0] >= sure[1] - DOUBT else 2
        if max(sure) < SIDEWAYS:
            sideways = self._places(gray, 1)
            on_side = self._sureness(gray, sideways)
            if max(on_side) - 3 * DOUBT > best:
                if on_side[0] >= on_side[1]:
                    return sideways
                quarters = 3
        return self._places(gray, quarters) if quarters else places

    def _places(self, gray: NDArray[np.uint8], quarters: int) -> list[Place]:
        """Lines found on the page after so many quarter turns, where they stand on the page itself."""
        height, width = gray.shape
        found = self._finder.find(turned(gray, quarters) if quarters else gray)
        return [
            (turned_back(line.polygon, quarters, height, width), turned_back(line.baseline, quarters, height, width))
            for line in found
        ]

    def _sureness(self, gray: NDArray[np.uint8], places: list[Place]) -> tuple[float, float]:
        """How sure the recogniser is of the longest lines as they stand, and of the same upside down."""
        longest = sorted(places, key=lambda place: -float(np.ptp(np.asarray(place[0]), axis=0).max()))[:TRIED]
        crops = [crop_line(gray, polygon, baseline, self.recognizer.line_height) for polygon, baseline in longest]
        upright = self.recognizer.sureness(crops)
        return upright, 0.0 if upright >= UPRIGHT else self.recognizer.sureness([turned(c, 2) for c in crops])

    # Sessions are made when first needed: whoever gives the lines never pays for the line finder.
    @cached_property
    def _finder(self) -> LineFinder:
        return LineFinder(self.bundle.session("line_finder", self.threads), self.bundle.info["line_finder"])

    @cached_property
    def recognizer(self) -> Recognizer:
        return Recognizer(self.bundle, self.threads)


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A page whose lines are found and not read yet: where each stands, and its straightened crop."""

    width: int
    height: int
    places: tuple[Place, ...]
    crops: tuple[NDArray[np.uint8], ...]

    def line(self, index: int, reading: LineReading) -> Line:
        """The line `index`, read."""
        return _line(*self.places[index], reading)

    def page(self, lines: Iterable[Line], model: str) -> Page:
        """The page of all lines in order; those that say nothing are left out."""
        return Page(self.width, self.height, tuple(line for line in lines if line.text), model)


def _line(polygon: Polygon, baseline: Polyline | None, reading: LineReading) -> Line:
    words = tuple(
        Word(word.text, word_polygon(polygon, baseline, word.start, word.end), word.confidence)
        for word in reading.words
    )
    return Line(reading.text, polygon, baseline or (), reading.confidence, words, reading.alternatives)


@cache
def shared_reader() -> Reader:
    """The reader of the shipped bundle, made once a process."""
    return Reader()
