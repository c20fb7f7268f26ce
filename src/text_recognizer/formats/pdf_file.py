"""A PDF written object by object, so that a document of any length only needs memory for one page."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from xml.sax.saxutils import escape

from text_recognizer.formats import pdf_text
from text_recognizer.formats.markup import clean
from text_recognizer.version import __version__

PRODUCER = f"text-recognizer {__version__}"


class PdfFile:
    """Writes PDF 1.7 to `out`; only the offsets of the objects stay in memory."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._at, self._places = out, 0, [0]
        self._hash = hashlib.sha256()
        self._put(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")

    def reserve(self) -> int:
        """Reserve the number of an object that will be written later."""
        self._places.append(0)
        return len(self._places) - 1

    def add(self, value: str, number: int | None = None) -> int:
        """Write an object; returns its number."""
        return self._object(value.encode("latin-1"), number)

    def add_stream(self, entries: str, data: bytes, *, compress: bool = True) -> int:
        """Write a stream; `entries` are its dictionary entries apart from the length."""
        if compress:
            data, entries = zlib.compress(data), f"{entries} /Filter /FlateDecode"
        head = f"<< {entries} /Length {len(data)} >>\nstream\n".encode("latin-1")
        return self._object(head + data + b"\nendstream")

    def finish(self, root: int, info: int) -> None:
        """Write the table of all objects and the trailer."""
        start, size = self._at, len(self._places)
        rows = "".join(f"{place:010} 00000 n \n" for place in self._places[1:])
        name = self._hash.hexdigest()[:32]
        self._put(
            f"xref\n0 {size}\n0000000000 65535 f \n{rows}trailer\n<< /Size {size} /Root {root} 0 R /Info {info} 0 R "
            f"/ID [<{name}> <{name}>] >>\nstartxref\n{start}\n%%EOF\n".encode()
        )

    def _object(self, content: bytes, number: int | None = None) -> int:
        number = self.reserve() if number is None else number
        self._places[number] = self._at
        self._put(b"%d 0 obj\n" % number)
        self._put(content)
        self._put(b"\nendobj\n")
        return number

    def _put(self, data: bytes) -> None:
        self._out.write(data)
        self._hash.update(data)
        self._at += len(data)


def add_font(file: PdfFile) -> int:
    """Write the font of the invisible text; returns its number."""
    data = pdf_text.font_file()
    program = file.add_stream(f"/Length1 {len(data)}", data)
    top, bottom, width = (round(1000 * share) for share in (pdf_text.ASCENT, pdf_text.DESCENT, pdf_text.WIDTH))
    descriptor = file.add(
        f"<< /Type /FontDescriptor /FontName /{pdf_text.FONT} /Flags 4 /FontBBox [0 {bottom} {width} {top}] "
        f"/ItalicAngle 0 /Ascent {top} /Descent {bottom} /CapHeight {top} /StemV 80 /FontFile2 {program} 0 R >>"
    )
    glyphs = file.add_stream("", pdf_text.glyphs())
    inner = file.add(
        f"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /{pdf_text.FONT} /DW {width} "
        "/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> "
        f"/CIDToGIDMap {glyphs} 0 R /FontDescriptor {descriptor} 0 R >>"
    )
    codes = file.add_stream("", pdf_text.to_unicode())
    return file.add(
        f"<< /Type /Font /Subtype /Type0 /BaseFont /{pdf_text.FONT} /Encoding /Identity-H "
        f"/DescendantFonts [{inner} 0 R] /ToUnicode {codes} 0 R >>"
    )


def srgb() -> bytes:
    """The ICC profile of sRGB, made by tools/srgb_profile.py."""
    return Path(__file__).with_name("srgb.icc").read_bytes()


def string(text: str) -> str:
    """`text` as a PDF string."""
    return f"<feff{text.encode('utf-16-be', 'replace').hex()}>"


def info(about: Mapping[str, str], now: datetime) -> str:
    """The document information dictionary; `about` uses its names."""
    date = now.strftime("D:%Y%m%d%H%M%S+00'00'")
    return "<< " + "".join(f"/{name} {string(text)} " for name, text in about.items()) + f"/CreationDate ({date}) >>"


def xmp(about: Mapping[str, str], now: datetime, language: str = "") -> bytes:
    """The same metadata as XMP, which declares the document as PDF/A-2b."""
    date = now.isoformat(timespec="seconds")
    title, creator = (escape(clean(about.get(name, ""))) for name in ("Title", "Creator"))
    languages = f"<dc:language><rdf:Bag><rdf:li>{escape(language)}</rdf:li></rdf:Bag></dc:language>" if language else ""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:pdf="http://ns.adobe.com/pdf/1.3/" '
        'xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/">\n'
        "<pdfaid:part>2</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance>\n"
        f'<dc:title><rdf:Alt><rdf:li xml:lang="x-default">{title}</rdf:li></rdf:Alt></dc:title>{languages}\n'
        f"<xmp:CreatorTool>{creator}</xmp:CreatorTool><xmp:CreateDate>{date}</xmp:CreateDate>\n"
        f"<pdf:Producer>{PRODUCER}</pdf:Producer>\n"
        '</rdf:Description></rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
    ).encode()


def now() -> datetime:
    """The current time in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
