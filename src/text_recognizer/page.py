"""What reading gives: a page of lines, each line with its text, its place and its words; and the picture of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Literal

Mode = Literal["fast", "accurate"]
"""How lines are read: in one pass with more errors, or with the decoder beside it."""

Point = tuple[float, float]
"""(x, y) in pixels of the image, y down, origin at the top-left corner of the image."""

Polygon = tuple[Point, ...]
"""Corner points, clockwise as seen on the page, the first not repeated at the end."""

Area = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels of the image."""

Polyline = tuple[Point, ...]
"""Points from left to right along the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A run of text without blanks. `confidence` is the share of such words that are right, 0…1."""

    text: str
    polygon: Polygon
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of text. `alternatives` are other readings of it, best first, without `text` itself."""

    text: str
    polygon: Polygon
    baseline: Polyline
    confidence: float
    words: tuple[Word, ...]
    alternatives: tuple[str, ...] = ()


BlockKind = Literal["paragraph", "heading", "margin", "column", "table", "row"]
"""What lines are together: `margin` is a note beside the text, `row` the cells of a table or a form on one baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Lines that belong together: those of a page from `start` up to and without `stop`.

    A column holds `blocks`, a table holds one of kind "row" for each row, whose lines are its cells. A form is made of
    rows outside a table: a label and its value. Together inner blocks hold all lines of the outer one, in order.
    """

    kind: BlockKind
    start: int
    stop: int
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The lines of an image `width` × `height` pixels, in reading order; none on a blank page.

    `blocks` say which lines belong together and hold each line once, in order; none where nobody looked.

    `model` names what read it, as "name@version"; `language` is the one (BCP 47) whose language model took part, empty
    where the model does not tell languages apart.
    """

    width: int
    height: int
    lines: tuple[Line, ...]
    model: str = ""
    language: str = ""
    blocks: tuple[Block, ...] = ()

    @property
    def text(self) -> str:
        """The lines' texts, one a line, without a line break at the end.

        The cells of a table's row are on one line with tabs between them, those of a form's row with blanks.
        """
        return "\n".join(text for text, _, _ in self.rows())

    def rows(self) -> list[tuple[str, int, int]]:
        """The lines of `text`: each with the first of the page's lines that are in it, and the one after the last."""

        def walk(blocks: tuple[Block, ...], between: str) -> Iterator[tuple[str, int, int]]:
            for block in blocks:
                if block.kind == "row":
                    cells = self.lines[block.start : block.stop]
                    yield between.join(line.text for line in cells), block.start, block.stop
                elif block.blocks:
                    yield from walk(block.blocks, "\t" if block.kind == "table" else " ")
                else:
                    yield from ((self.lines[n].text, n, n + 1) for n in range(block.start, block.stop))

        whole = (Block(kind="paragraph", start=0, stop=len(self.lines)),)
        return list(walk(self.blocks or whole, " "))

    def with_lines(self, lines: Sequence[Line | None]) -> Page:
        """The page with another line in the place of each, and without those for which `lines` has None."""
        if len(lines) != len(self.lines):
            raise ValueError(f"{len(lines)} lines for a page of {len(self.lines)}")
        places = [0, *accumulate(line is not None for line in lines)]

        def moved(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
            return tuple(
                Block(kind=b.kind, start=places[b.start], stop=places[b.stop], blocks=moved(b.blocks))
                for b in blocks
                if places[b.start] < places[b.stop]
            )

        return replace(self, lines=tuple(line for line in lines if line is not None), blocks=moved(self.blocks))

    def save(
        self,
        path: str | Path,
        *,
        format: str | None = None,  # noqa: A002
        image: Picture | str | Path | bytes | None = None,
        source: str = "",
    ) -> None:
        """Write the page into a file, in the format that its ending names, or in `format`.

        `image`: what was read, which a PDF shows: its path, URL or bytes, or a `Picture`. `source`: the image's name,
        for formats that mention it. For documents of many pages see `formats.document.write_document`.
        Raises `UsageError` for an unknown ending, `OutputFailed`, `ImageRejected`, and ValueError for a PDF without
        an image.
        """
        # By name: those who write pages and decode images know this module, not the other way round.
        document = import_module("text_recognizer.formats.document")
        if image is not None and not isinstance(image, Picture):
            images = import_module("text_recognizer.images")
            source = source or (str(image) if isinstance(image, str | Path) else "")
            image = images.to_picture(images.read_bytes(image))
        document.save_page(self, Path(path), format, image, source)

    @property
    def orientation(self) -> int:
        """Degrees clockwise, 0, 90, 180 or 270, by which the page must be turned for its writing to stand upright."""
        return orientation_of(line.baseline for line in self.lines)


def orientation_of(baselines: Iterable[Polyline]) -> int:
    """The quarter turn clockwise, in degrees, after which most of the length of `baselines` runs to the right."""
    lengths = {0: 0.0, 90: 0.0, 180: 0.0, 270: 0.0}
    for baseline in baselines:
        if len(baseline) > 1 and all(math.isfinite(value) for point in baseline for value in point):
            (x0, y0), (x1, y1) = baseline[0], baseline[-1]
            counter_clockwise = math.degrees(math.atan2(y0 - y1, x1 - x0))  # y runs down
            lengths[round(counter_clockwise / 90) % 4 * 90] += math.dist(baseline[0], baseline[-1])
    return max(lengths, key=lengths.__getitem__)


@dataclass(frozen=True, slots=True)
class Picture:
    """The image of a page for documents that show it, as `images.to_picture` gives it.

    `data`: JPEG or PNG. `orientation`: EXIF's number, 1…8, of how its pixels must be turned to stand upright, as the
    page's places do. `dpi`: pixels an inch of paper, where the file says it believably.
    """

    data: bytes
    orientation: int = 1
    dpi: float | None = None
