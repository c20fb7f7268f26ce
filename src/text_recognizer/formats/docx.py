"""Word: headings, paragraphs with their line breaks, and tables; each page begins on a new page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

import docx
from docx.enum.text import WD_BREAK
from docx.oxml.ns import qn

from text_recognizer.formats.blocks import blocks_of, grid
from text_recognizer.formats.format import About, Format, Sheet, Writer, write_alone
from text_recognizer.formats.markup import clean
from text_recognizer.page import Block, Page, Picture
from text_recognizer.version import __version__

_LONGEST_PROPERTY = 255


class DocxWriter:
    """A document of many pages. The text of all pages is in memory, a few kilobytes for each."""

    def __init__(self, out: BinaryIO, about: About) -> None:
        self._out, self._count = out, 0
        self._document = docx.Document()
        core = self._document.core_properties
        core.title = clean(about.title)[:_LONGEST_PROPERTY]
        core.author, core.comments = "", f"text-recognizer {__version__}"
        if about.language:
            core.language = about.language
            properties = self._document.styles.element.find(".//" + qn("w:lang"))
            if properties is not None:
                properties.set(qn("w:val"), about.language)

    def add(self, sheet: Sheet) -> None:
        if self._count:
            self._document.add_paragraph().add_run().add_break(WD_BREAK.PAGE)
        self._count += 1
        self._add(blocks_of(sheet.page), sheet.page)

    def _add(self, blocks: Sequence[Block], page: Page) -> None:
        for block in blocks:
            texts = [clean(line.text) for line in page.lines[block.start : block.stop]]
            if block.kind == "column":
                self._add(block.blocks, page)
            elif block.kind == "table":
                self._add_table(grid(block, page), page)
            elif block.kind == "heading":
                self._document.add_heading(" ".join(texts), level=2)
            elif block.kind == "row":
                self._document.add_paragraph(" ".join(texts))
            else:
                # A paragraph on the paper stays one paragraph, with the paper's line breaks.
                run = self._document.add_paragraph().add_run()
                for number, text in enumerate(texts):
                    if number:
                        run.add_break()
                    run.add_text(text)

    def _add_table(self, rows: Sequence[Sequence[int | None]], page: Page) -> None:
        table = self._document.add_table(len(rows), len(rows[0]), style="Table Grid")
        for row, cells in zip(table.rows, rows, strict=True):
            for cell, number in zip(row.cells, cells, strict=True):
                cell.text = "" if number is None else clean(page.lines[number].text)

    def close(self) -> None:
        self._document.save(self._out)


def write(page: Page, source: str = "", picture: Picture | None = None) -> bytes:
    """A document of one page."""
    return write_alone(DocxWriter, Sheet(page=page, source=source))


def open_document(out: BinaryIO, about: About) -> Writer:
    """A document of many pages."""
    return DocxWriter(out, about)


FORMATS = {
    "docx": Format(
        "docx", ".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", write,
        stands_alone=True, is_binary=True,
    )
}  # fmt: skip
