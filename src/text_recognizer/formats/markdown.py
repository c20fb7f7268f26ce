"""Markdown (CommonMark, with GitHub's tables and task lists): headings, lists, tables, and margin notes as quotes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from text_recognizer.formats.blocks import blocks_of, grid
from text_recognizer.formats.format import Format
from text_recognizer.page import Block, Page, Picture

_MARKS = re.compile(r"([\\`*_\[\]<>|#~])")  # characters with a meaning anywhere
_BULLET = re.compile(r"[-–—•·*○●▪■→⇒↳>+]\s+")
_BOX = re.compile(r"([□☐☑☒✓✔])\s+")
_NUMBER = re.compile(r"\(?(\d{1,3})[.)]\s+")
_CIRCLED = re.compile(r"([\u2460-\u2473])\s*")
_CONFUSED = re.compile(r"(\d*)(?=[.)]|[-+=])")  # at the start of a line: a list or a rule in Markdown


def write(page: Page, source: str = "", picture: Picture | None = None) -> bytes:
    """The page's blocks with blank lines between them; nothing for a blank page."""
    parts = _parts(blocks_of(page), page)
    return ("\n\n".join(parts) + "\n").encode(errors="replace") if parts else b""


def _parts(blocks: Sequence[Block], page: Page) -> list[str]:
    parts: list[str] = []
    form: list[Block] = []
    for block in blocks:
        if block.kind == "row":
            form.append(block)
            continue
        if form:
            parts.append(_form(form, page))
            form = []
        texts = [line.text for line in page.lines[block.start : block.stop]]
        if block.kind == "column":
            parts += _parts(block.blocks, page)
        elif block.kind == "table":
            parts.append(_table([[_cell(page, number) for number in row] for row in grid(block, page)]))
        elif block.kind == "heading":
            parts.append("## " + " ".join(_escaped(text) for text in texts))
        elif block.kind == "margin":
            parts.append("\n".join("> " + _line(text) for text in texts))
        else:
            parts.append(_paragraph(texts))
    if form:
        parts.append(_form(form, page))
    return parts


def _paragraph(texts: Sequence[str]) -> str:
    """Lines with the paper's line breaks; list items become items, with their continuation lines below them."""
    out: list[str] = []
    in_list = False
    for text in texts:
        item = _item(text)
        in_list = in_list or item is not None
        out.append(item if item is not None else ("  " if in_list else "") + _line(text))
    return "\n".join(out)


def _item(text: str) -> str | None:
    """The line as a list item; None if it is not one."""
    if found := _BOX.match(text):
        return f"- [{'x' if found[1] in '☑☒✓✔' else ' '}] {_escaped(text[found.end() :])}"
    if found := _BULLET.match(text):
        return f"- {_escaped(text[found.end() :])}"
    if found := _NUMBER.match(text):
        return f"{int(found[1])}. {_escaped(text[found.end() :])}"
    if found := _CIRCLED.match(text):
        return f"{ord(found[1]) - 0x245F}. {_escaped(text[found.end() :])}"
    return None


def _line(text: str) -> str:
    """A line of prose. A beginning that looks like a list or a rule is escaped."""
    plain = _escaped(text)
    found = _CONFUSED.match(plain)
    return plain if found is None else f"{found[1]}\\{plain[found.end(1) :]}"


def _escaped(text: str) -> str:
    return _MARKS.sub(r"\\\1", " ".join(text.split()))


def _cell(page: Page, number: int | None) -> str:
    return "" if number is None else _escaped(page.lines[number].text)


def _form(rows: Sequence[Block], page: Page) -> str:
    """Labels and values, one pair a line."""
    texts = [" ".join(line.text for line in page.lines[row.start : row.stop]) for row in rows]
    return "\\\n".join(_line(text) for text in texts)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A table with its first row as the head, which the notation requires."""
    head, *body = (f"| {' | '.join(cells)} |" for cells in rows)
    return "\n".join([head, f"|{' --- |' * len(rows[0])}", *body])


FORMATS = {"md": Format("md", ".md", "text/markdown; charset=utf-8", write, heads_several=True)}
