"""The ground truth of a set: pages, their lines, and the text of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from text_recognizer.page import Polygon, Polyline

# Suffixes of images that may have a transcript.
IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")


@dataclass(frozen=True)
class TruthLine:
    """A line of a page with its text; `counts` is False for illegible lines."""

    text: str
    polygon: Polygon | None  # None: the whole image is the line
    baseline: Polyline | None = None
    slice: str = ""
    counts: bool = True


@dataclass(frozen=True)
class TruthPage:
    """An image with its lines, or with only a transcript."""

    image: Path
    lines: tuple[TruthLine, ...]
    writer: str
    text: str = ""  # whole transcript if lines have no positions


@dataclass
class EvaluationSet:
    """The pages of a set, and the samples that could not be used."""

    pages: list[TruthPage] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
