"""The result of reading: a page of lines, each with its text, position and words; and the picture of the page."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Literal, get_args

Mode = Literal["fast", "accurate"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""How lines are read: `fast` takes one pass, `accurate` also uses the decoder and makes fewer errors."""

Script = Literal["handwritten", "printed"]

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
    """Text without blanks. `confidence`, 0…1, is the share of such words that are right."""

    text: str
    polygon: Polygon
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of text.

    `words` are those of `text`. `alternatives` are other readings of it, best first, without `text` itself. `script`
    is None if the model does not distinguish scripts. `struck` are words that are struck out: on the paper they are
    among `words`, but `text` does not contain them.
    """

    text: str
    polygon: Polygon
    baseline: Polyline
    confidence: float
    words: tuple[Word, ...]
    alternatives: tuple[str, ...] = ()
    script: Script | None = None
    struck: tuple[Word, ...] = ()


BlockKind = Literal["paragraph", "heading", "margin", "column", "table", "row"]
"""The kind of a block: `margin` is a note beside the text, `row` the cells of a table or form on one baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Lines that belong together: `page.lines[start:stop]`.

    A column contains `blocks`. A table contains a block of kind "row" for each row, whose lines are its cells. A form
    consists of rows outside a table, each with a label and its value. The inner blocks contain all lines of the outer
    one, in order.
    """

    kind: BlockKind
    start: int
    stop: int
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The lines of an image of `width` × `height` pixels, in reading order. A blank page has none.

    `blocks` group lines that belong together; they contain each line once, in order, or are empty if blocks were not
    determined. `model` is the model that read the page, as `name@version`. `language` (BCP 47) is the language whose
    language model was used, empty if the model does not distinguish languages. `dpi`: pixels per inch of paper, if the
    file states a plausible value. `embedded`: the text comes from a PDF, and nothing was recognised.
    """

    width: int
    height: int
    lines: tuple[Line, ...]
    model: str = ""
    language: str = ""
    blocks: tuple[Block, ...] = ()
    dpi: float | None = None
    embedded: bool = False

    @property
    def text(self) -> str:
        """The texts of the lines, separated by line breaks.

        The cells of a row are on one line, separated by tabs in a table and by blanks in a form.
        """
        return "\n".join(text for text, _, _ in self.rows())

    def rows(self) -> list[tuple[str, int, int]]:
        """The lines of `text`, each with the range of `lines` in it: `(text, start, stop)`."""

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
        """A copy of the page with each line replaced by the one in `lines`, or removed if that is None."""
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
        """Write the page to a file, in the format of its suffix, or in `format`.

        `image`: the image that was read, which a PDF needs: its path, URL or bytes, or a `Picture`. `source`: the name
        of the image, for formats that mention it. For documents of many pages see `formats.document.write_document`.
        Raises `UsageError` for an unknown suffix, `OutputFailed`, `ImageRejected`, and ValueError for a PDF without
        an image.
        """
        # Imported by name: formats and images depend on this module, not the other way round.
        document = import_module("text_recognizer.formats.document")
        if image is not None and not isinstance(image, Picture):
            images = import_module("text_recognizer.images")
            source = source or (str(image) if isinstance(image, str | Path) else "")
            image = images.to_picture(images.read_bytes(image))
        document.save_page(self, Path(path), format, image, source)

    @property
    def orientation(self) -> int:
        """Degrees clockwise (0, 90, 180 or 270) by which the page must be rotated to be upright."""
        return orientation_of(line.baseline for line in self.lines)


def orientation_of(baselines: Iterable[Polyline]) -> int:
    """Clockwise rotation (0, 90, 180 or 270 degrees) after which most of the baselines' length runs to the right."""
    lengths = {0: 0.0, 90: 0.0, 180: 0.0, 270: 0.0}
    for baseline in baselines:
        if len(baseline) > 1 and all(math.isfinite(value) for point in baseline for value in point):
            (x0, y0), (x1, y1) = baseline[0], baseline[-1]
            counter_clockwise = math.degrees(math.atan2(y0 - y1, x1 - x0))  # y runs down
            lengths[round(counter_clockwise / 90) % 4 * 90] += math.dist(baseline[0], baseline[-1])
    return max(lengths, key=lengths.__getitem__)


@dataclass(frozen=True, slots=True)
class Picture:
    """The image of a page for documents that show it, as `images.to_picture` returns it.

    `data`: JPEG or PNG. `orientation`: the EXIF orientation, 1…8, that makes its pixels upright; positions on the page
    refer to the upright image. `dpi`: pixels per inch of paper, if the file contains a plausible value.
    """

    data: bytes
    orientation: int = 1
    dpi: float | None = None

    def jpeg_size(self) -> tuple[int, int, int] | None:
        """Width, height and number of colours, 1 or 3, from a JPEG header; None for other formats and damaged headers.

        Decoders skip bytes that do not belong there; other programs may not.
        """
        data, at = self.data, 2
        try:
            while data[:2] == b"\xff\xd8" and data[at] == 0xFF:
                while data[at + 1] == 0xFF:  # fill bytes
                    at += 1
                mark, length = struct.unpack_from(">xBH", data, at)
                if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
                    height, width, colours = struct.unpack_from(">xHHB", data, at + 4)
                    return (width, height, colours) if colours in (1, 3) else None
                at += 2 + length
        except (struct.error, IndexError):
            pass
        return None
