"""Open PDFs and draw their pages with PDFium, in this process.

An untrusted PDF may exhaust the memory or never finish, so `pdf_process` runs this module in a process that may crash.
Nothing here needs numpy or an image library, since importing them would take most of that process's start-up time.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from text_recognizer.drawing import Decoded, check_drawing
from text_recognizer.embedded import embedded_lines, has_enough, shown_text
from text_recognizer.errors import ImageRejected
from text_recognizer.page import Area, Line

_SIDE = 30_000  # pixels
_NO_MEMORY = "bad_alloc", "length_error", "_M_"  # from the C++ library, in warnings of qpdf
# PDFium is not safe to use from several threads.
_PDFIUM = threading.Lock()


@dataclass(frozen=True, slots=True)
class Pixels:
    """A drawn page: `data` is R, G, B of `width` × `height` pixels, row by row; `dpi` pixels per inch."""

    data: bytes | memoryview[int]
    width: int
    height: int
    dpi: float


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a page, in file order, and the size of the page in pixels at `dpi`."""

    lines: tuple[Line, ...]
    width: int
    height: int
    dpi: float


@dataclass(frozen=True, slots=True)
class PdfPage:
    """The page `number` (from 1) of a PDF, which is a file or its bytes, and how it is drawn.

    `dpi`: pixels per inch; fewer if the page would have more than `max_pixels`.
    """

    document: Path | bytes
    password: str | None
    number: int
    dpi: float
    max_pixels: int


def count_pages(document: Path | bytes, password: str | None) -> int:
    """How many pages a PDF has. Raises `ImageRejected`, as all functions here do."""
    with _pdf(document, password) as pdf:
        return len(pdf)


def draw(page: PdfPage, prepare: Callable[[int, Decoded], None] = lambda pixels, decoded: None) -> Pixels:
    """The pixels of a page.

    `prepare` is called first, with the number of pixels and the largest picture that is decoded as a whole.
    """
    decoded = check_drawing(page.document, page.password, page.number)
    with _pdf(page.document, page.password) as pdf:
        found = pdf[page.number - 1]
        dpi, width, height = _size(found, page)
        prepare(width * height, decoded)
        bitmap = found.render(scale=dpi / 72, draw_annots=True, rev_byteorder=True)
        row = 3 * bitmap.width
        data = memoryview(bitmap.buffer)
        if bitmap.stride != row:
            data = memoryview(b"".join(data[bitmap.stride * y :][:row] for y in range(bitmap.height)))
        return Pixels(data, bitmap.width, bitmap.height, dpi)


def embedded(page: PdfPage) -> Text | None:
    """The text that a page contains; None if there is not enough of it (see `embedded.has_enough`)."""
    check_drawing(page.document, page.password, page.number)
    with _pdf(page.document, page.password) as pdf:
        found = pdf[page.number - 1]
        if not has_enough(found):
            return None
        dpi, width, height = _size(found, page)
        lines = tuple(embedded_lines(found, width, height))
        return Text(lines, width, height, dpi) if lines else None


def printed(page: PdfPage, width: int, height: int) -> tuple[Area, ...]:
    """Areas of visible text, in pixels of the page as shown, `width` × `height`."""
    with _pdf(page.document, page.password) as pdf:
        return tuple(shown_text(pdf[page.number - 1], width, height))


def unpack(document: Path | bytes, password: str | None) -> None:
    """Load all objects of a PDF, as copying it does. Raises `ImageRejected` if there is not enough memory."""
    import pikepdf  # late: only copying needs it

    source = document if isinstance(document, Path) else BytesIO(document)
    try:
        with pikepdf.open(source, password=password or "") as pdf:
            for _ in pdf.objects:
                pass
            # qpdf skips objects that do not fit into memory, as if they were damaged.
            if any(word in str(warning) for warning in pdf.get_warnings() for word in _NO_MEMORY):
                raise ImageRejected("a PDF that takes too much memory")
    except (pikepdf.PdfError, pikepdf.PasswordError, ValueError, RuntimeError, MemoryError, OSError) as error:
        raise ImageRejected(str(error)) from None


def _size(page: Any, wanted: PdfPage) -> tuple[float, int, int]:
    """Pixels per inch at which a page is drawn, and its width and height in pixels."""
    width, height = (max(1.0, side) / 72 for side in page.get_size())  # inches
    # A poster is drawn as large as an image may be, not larger.
    dpi = min(wanted.dpi, (0.98 * wanted.max_pixels / (width * height)) ** 0.5, _SIDE / max(width, height))
    return dpi, math.ceil(width * dpi), math.ceil(height * dpi)


@contextmanager
def _pdf(document: Path | bytes, password: str | None) -> Iterator[Any]:
    """A PDF opened by PDFium, for one thread at a time."""
    import pypdfium2 as pdfium  # late: reading images needs none of it

    with _PDFIUM:
        try:
            pdf = pdfium.PdfDocument(document, password=password)
        except (pdfium.PdfiumError, OSError, ValueError) as error:
            if "password" in str(error).lower():
                problem = "wrong password" if password else "an encrypted PDF"
                raise ImageRejected(f"{problem}; give its password") from None
            raise ImageRejected(f"a damaged PDF ({error}); copy, download or export it again") from error
        try:
            yield pdf
        except pdfium.PdfiumError as error:
            raise ImageRejected(f"a damaged page ({error}); export the PDF again") from error
        finally:
            pdf.close()
