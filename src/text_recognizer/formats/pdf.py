"""Searchable PDF: the picture of each page, with each word as invisible text at its position.

Documents made of pictures are PDF/A-2b. A page that is rotated by 90 or 180 degrees is shown upright.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from text_recognizer.formats import pdf_file, pdf_text
from text_recognizer.formats.format import About, Format, Sheet, Writer, write_alone
from text_recognizer.page import Page, Picture

A4 = 297 / 25.4 * 72
"""Points of the longer side if the size of the paper is unknown."""

LONGEST = 14_400
"""Largest side of a PDF page, in points."""

# For each EXIF orientation, the map from the unit square in which PDF draws a picture (u right, v up) to the square of
# the upright page, as (a, b, c, d, e, f) in x = a·u + c·v + e, y = b·u + d·v + f.
_UPRIGHT = {
    1: (1, 0, 0, 1, 0, 0),
    2: (-1, 0, 0, 1, 1, 0),
    3: (-1, 0, 0, -1, 1, 1),
    4: (1, 0, 0, -1, 0, 1),
    5: (0, -1, -1, 0, 1, 1),
    6: (0, -1, 1, 0, 0, 1),
    7: (0, 1, 1, 0, 0, 0),
    8: (0, 1, -1, 0, 1, 0),
}


def write(page: Page, source: str = "", picture: Picture | None = None) -> bytes:
    """A single-page document, as large as the paper if `picture` has a `dpi`, else with A4's longer side.

    Raises ValueError without `picture`.
    """
    return write_alone(PictureWriter, Sheet(page=page, source=source, picture=picture))


class PictureWriter:
    """A document made of the pictures of its pages."""

    def __init__(self, out: BinaryIO, about: About) -> None:
        self._about = about
        self._file = pdf_file.PdfFile(out)
        self._pages, self._kids, self._model = self._file.reserve(), list[int](), ""
        self._font = pdf_file.add_font(self._file)

    def add(self, sheet: Sheet) -> None:
        """Raises ValueError for a sheet without a picture."""
        if sheet.picture is None:
            raise ValueError("a PDF shows the page: give its picture, of images.to_picture")
        page, picture, file = sheet.page, sheet.picture, self._file
        self._model = self._model or page.model
        longer = max(page.width, page.height, 1)
        scale = min(72 / picture.dpi if picture.dpi else A4 / longer, LONGEST / longer)
        width, height = (max(round(side * scale, 3), 1.0) for side in (page.width, page.height))
        image = _add_image(file, picture)
        a, b, c, d, e, f = _UPRIGHT.get(picture.orientation, _UPRIGHT[1])
        matrix = (a * width, b * height, c * width, d * height, e * width, f * height)
        drawn = f"q {' '.join(f'{number:g}' for number in matrix)} cm /Picture Do Q\n".encode()
        content = file.add_stream("", drawn + pdf_text.operators(page, width, height))
        self._kids.append(
            file.add(
                f"<< /Type /Page /Parent {self._pages} 0 R /MediaBox [0 0 {width:g} {height:g}] "
                f"/Rotate {page.orientation} /Contents {content} 0 R /Resources << "
                f"/Font << /{pdf_text.FONT} {self._font} 0 R >> /XObject << /Picture {image} 0 R >> >> >>"
            )
        )

    def close(self) -> None:
        file, now = self._file, pdf_file.now()
        kids = " ".join(f"{kid} 0 R" for kid in self._kids)
        file.add(f"<< /Type /Pages /Count {len(self._kids)} /Kids [{kids}] >>", self._pages)
        about = {
            "Title": pdf_text.extractable(self._about.title),
            "Creator": pdf_text.extractable(f"{pdf_file.PRODUCER}, model {self._model}"),
            "Producer": pdf_file.PRODUCER,
        }
        profile = file.add_stream("/N 3", pdf_file.srgb())
        intent = (
            "<< /Type /OutputIntent /S /GTS_PDFA1 /OutputConditionIdentifier (sRGB) "
            f"/DestOutputProfile {profile} 0 R >>"
        )
        metadata = file.add_stream(
            "/Type /Metadata /Subtype /XML", pdf_file.xmp(about, now, self._about.language), compress=False
        )
        language = f"/Lang {pdf_file.string(self._about.language)} " if self._about.language else ""
        root = file.add(
            f"<< /Type /Catalog /Pages {self._pages} 0 R /Metadata {metadata} 0 R /OutputIntents [{intent}] {language}"
            "/ViewerPreferences << /DisplayDocTitle true >> >>"
        )
        file.finish(root, file.add(pdf_file.info(about, now)))


def open_document(out: BinaryIO, about: About) -> Writer:
    """Add the text to the pages of `about.original`, or write a document of the pages' pictures."""
    if about.original is not None:
        from text_recognizer.formats.pdf_layer import LayerWriter  # imported late: pictures do not need it

        return LayerWriter(out, about)
    return PictureWriter(out, about)


def _add_image(file: pdf_file.PdfFile, picture: Picture) -> int:
    """Write a JPEG or PNG with its pixels untouched. Raises ValueError for any other kind."""
    data = picture.data
    if data[:2] == b"\xff\xd8":
        if (size := picture.jpeg_size()) is None:
            raise ValueError("a JPEG that is damaged or neither grey nor RGB; make its picture by images.to_picture")
        width, height, colours = size
        entries, pixels = "/Filter /DCTDecode", data
    else:
        width, height, colours, pixels = _png(data)
        entries = (
            "/Filter /FlateDecode /DecodeParms << /Predictor 15 "
            f"/Colors {colours} /BitsPerComponent 8 /Columns {width} >>"
        )
    space = "DeviceRGB" if colours == 3 else "DeviceGray"
    return file.add_stream(
        f"/Type /XObject /Subtype /Image /Width {width} /Height {height} /ColorSpace /{space} "
        f"/BitsPerComponent 8 {entries}",
        pixels,
        compress=False,
    )


def _png(data: bytes) -> tuple[int, int, int, bytes]:
    """Width, height, colours and compressed pixels."""
    at, pixels, head = 8, bytearray(), (0, 0, 0, 0, 0, 0, 0)
    while data[:8] == b"\x89PNG\r\n\x1a\n" and at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            head = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            pixels += body
        at += 12 + length
    width, height, depth, colour, _, _, interlaced = head
    if depth != 8 or colour not in (0, 2) or interlaced:
        raise ValueError("not a JPEG, and not a PNG of 8 bits in grey or RGB; make its picture by images.to_picture")
    return width, height, 3 if colour == 2 else 1, bytes(pixels)


FORMATS = {
    "pdf": Format("pdf", ".pdf", "application/pdf", write, needs_picture=True, stands_alone=True, is_binary=True)
}
