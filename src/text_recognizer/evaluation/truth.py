"""What a set says: pages, their lines, and the text of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from text_recognizer.page import Polygon, Polyline

# Suffixes of images that stand beside a transcript.
IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")


@dataclass(frozen=True)
class TruthLine:
    """A line of a page and what it says; `counts` is False for lines that no text can be asked of."""

    text: str
    polygon: Polygon | None  # None: the whole image is the line
    baseline: Polyline | None = None
    slice: str = ""
    counts: bool = True


@dataclass(frozen=True)
class TruthPage:
    """An image with its lines, or with a transcript only."""

    image: Path
    lines: tuple[TruthLine, ...]
    writer: str
    text: str = ""  # whole transcript where lines have no place


@dataclass
class EvaluationSet:
    """Pages of a set, and what of it could not be used."""

    pages: list[TruthPage] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
