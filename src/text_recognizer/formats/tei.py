"""TEI P5, for scholarly editions: text with page and line breaks, each linked to its place on the picture.

Each page has a `surface` with a zone for each line; `pb` and `lb` in the text point to them by `facs`. `handShift`
marks where print or handwriting begins, `del` struck-out text, `cb` the start of a column; forms are `ab` of type
"row".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import BinaryIO
from xml.sax.saxutils import escape, quoteattr

from text_recognizer.formats.blocks import blocks_of, grid
from text_recognizer.formats.format import About, Format, Sheet, Writer, write_alone
from text_recognizer.formats.markup import clean
from text_recognizer.formats.shapes import file_name, marked_words, outline, words_of
from text_recognizer.page import Block, Page, Picture, Script
from text_recognizer.version import __version__

NAMESPACE = "http://www.tei-c.org/ns/1.0"
_IN_MEMORY = 16 * 2**20  # bytes of text, which comes after the zones of all pages


class TeiWriter:
    """A document of many pages. Its text is kept apart until the zones of all pages are written."""

    def __init__(self, out: BinaryIO, about: About) -> None:
        self._out, self._about, self._count, self._model = out, about, 0, ""
        self._text = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115, closed with the document

    def add(self, sheet: Sheet) -> None:
        page = sheet.page
        if not self._count:
            self._head(page.model)
        self._count += 1
        name, image = f"page{self._count}", file_name(sheet.source)
        if PurePosixPath(image).suffix.lower() == ".pdf":
            image = f"{image}#page={sheet.number}"
        size = f'ulx="0" uly="0" lrx="{page.width}" lry="{page.height}"'
        self._out.write(f' <surface xml:id="{name}" {size}>\n'.encode())
        self._out.write(f"  <graphic url={_quoted(image)}/>\n".encode())
        self._text.write(f'<pb n="{sheet.number}" facs="#{name}"/>\n'.encode())
        for number, line in enumerate(page.lines, 1):
            points = " ".join(f"{x},{y}" for x, y in outline(line, page))
            self._out.write(f'  <zone xml:id="{name}line{number}" points="{points}"/>\n'.encode())
        self._text.write("".join(_blocks(blocks_of(page), page, name, [None])).encode())
        self._out.write(b" </surface>\n")

    def close(self) -> None:
        if not self._count:
            self._head("")
        self._out.write(b"</facsimile>\n<text>\n<body>\n<div>\n")
        self._text.seek(0)
        while part := self._text.read(1 << 20):
            self._out.write(part)
        self._text.close()
        # A division needs at least one paragraph, even if all pages are blank.
        self._out.write(b"<ab/>\n</div>\n</body>\n</text>\n</TEI>\n")

    def _head(self, model: str) -> None:
        title = escape(clean(self._about.title) or "untitled")
        language = f" xml:lang={_quoted(self._about.language)}" if self._about.language else ""
        self._out.write(
            f'<?xml version="1.0" encoding="UTF-8"?>\n<TEI xmlns="{NAMESPACE}"{language}>\n<teiHeader>\n<fileDesc>\n'
            f"<titleStmt><title>{title}</title></titleStmt>\n"
            "<publicationStmt><p>Read by a program; not published</p></publicationStmt>\n"
            f"<sourceDesc><p>{title}</p></sourceDesc>\n</fileDesc>\n<encodingDesc><appInfo>\n"
            f'<application ident="text-recognizer" version="{__version__}"><label>text-recognizer, model '
            f"{escape(clean(model))}</label></application>\n</appInfo></encodingDesc>\n<profileDesc>\n<handNotes>\n"
            '<handNote xml:id="handwritten"><p>Written by hand</p></handNote>\n'
            '<handNote xml:id="printed"><p>Printed or typed</p></handNote>\n'
            "</handNotes>\n</profileDesc>\n</teiHeader>\n<facsimile>\n".encode()
        )


def write(page: Page, source: str = "", picture: Picture | None = None) -> bytes:
    """A document of one page."""
    return write_alone(TeiWriter, Sheet(page=page, source=source))


def open_document(out: BinaryIO, about: About) -> Writer:
    """A document of many pages."""
    return TeiWriter(out, about)


def _blocks(blocks: Sequence[Block], page: Page, name: str, script: list[Script | None]) -> Iterator[str]:
    """The text of blocks, each line after a break that points to its zone. `script`: the script of the latest line."""
    for block in blocks:
        if block.kind not in ("column", "table"):
            lines = [_line(page, number, name, script) for number in range(block.start, block.stop)]
        match block.kind:
            case "column":
                yield "<cb/>\n"
                yield from _blocks(block.blocks, page, name, script)
            case "table":
                yield "<table>\n"
                for row in grid(block, page):
                    cells = ("" if number is None else _line(page, number, name, script) for number in row)
                    yield "<row>" + "".join(f"<cell>{cell}</cell>" for cell in cells) + "</row>\n"
                yield "</table>\n"
            case "margin":
                yield '<note place="margin">' + "\n".join(lines) + "</note>\n"
            case "heading":
                yield '<p rend="heading">\n' + "\n".join(lines) + "\n</p>\n"
            case "row":
                yield '<ab type="row">\n' + "\n".join(lines) + "\n</ab>\n"
            case _:
                yield "<p>\n" + "\n".join(lines) + "\n</p>\n"


def _line(page: Page, number: int, name: str, script: list[Script | None]) -> str:
    line = page.lines[number]
    shift = ""
    if line.script is not None and line.script != script[0]:
        script[0] = line.script
        shift = f'<handShift new="#{line.script}"/>'
    text = escape(clean(line.text))
    if line.struck and words_of(line):
        text = " ".join(
            f'<del rend="overstrike">{escape(clean(word.text))}</del>' if struck else escape(clean(word.text))
            for word, struck in marked_words(line)
        )
    return f'<lb facs="#{name}line{number + 1}"/>{shift}{text}'


def _quoted(text: str) -> str:
    return quoteattr(clean(text))


FORMATS = {"tei": Format("tei", ".tei", "application/tei+xml", write, stands_alone=True)}
