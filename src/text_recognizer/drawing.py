"""What it costs to draw a page of a PDF, before it is drawn: a small file may hold hours of work.

A megabyte unpacks to a gigabyte of drawing, and a form that draws another ten times, which does the same, and so on,
never ends. Here each stream is unpacked once and up to a limit, and what it draws is added up by what it names.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from text_recognizer.errors import ImageRejected

MOST = 256 * 2**20  # bytes of drawing, with those that are drawn more than once, and pixels of pictures
PIXELS = 8  # of a picture cost as much as a byte of drawing
LONGEST = 128 * 2**20  # bytes of one stream, unpacked
_DEEPEST = 30  # forms within forms
_PIECE = 2**20
_NAMED = re.compile(rb"/([^\s/\[\]<>(){}%]+)\s+Do\b")
_OVERLAP = 160  # bytes by which pieces overlap, since a name may stand across their border
_PLAIN = 2**18  # packed bytes of a stream of a rare kind that is unpacked at once


def check_drawing(document: Path | bytes, password: str | None, number: int) -> None:
    """Raises `ImageRejected` where page `number` (from 1) of a PDF takes too long to draw, or too much memory.

    A PDF that pikepdf cannot open is not judged.
    """
    import pikepdf  # late: reading images needs none of it

    source = document if isinstance(document, Path) else BytesIO(document)
    try:
        with pikepdf.open(source, password=password or "") as pdf:
            page = pdf.pages[number - 1].obj
            cost = _Costs().of_page(page)
    except (pikepdf.PdfError, pikepdf.PasswordError, OSError, IndexError, ValueError, TypeError):
        return
    if cost > MOST:
        raise ImageRejected("a page that takes too long to draw; export it as an image")


class _Costs:
    """Costs of the forms and pictures of one page, each found once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], float] = {}

    def of_page(self, page: Any) -> float:
        contents = page.get("/Contents")
        streams = [] if contents is None else list(contents) if _is_array(contents) else [contents]
        named = _inherited(page, "/Resources").get("/XObject", {})
        return sum(self._of_stream(stream, named, 0) for stream in streams)

    def _of_stream(self, stream: Any, named: Any, depth: int) -> float:
        cost = 0.0
        drawn: dict[bytes, int] = {}
        for piece, fresh in _pieces(stream):
            cost += fresh
            for name in _NAMED.findall(piece):
                drawn[name] = drawn.get(name, 0) + 1
            if cost > LONGEST:
                return float("inf")
        for name, times in drawn.items():
            thing = named.get("/" + name.decode("latin-1"))
            if thing is not None:
                cost += times * self._of_thing(thing, named, depth + 1)
        return cost

    def _of_thing(self, thing: Any, around: Any, depth: int) -> float:
        key = thing.objgen
        if key == (0, 0) or key not in self._known:
            self._known[key] = float("inf")  # for a form that draws itself, which nobody needs
            if thing.get("/Subtype") == "/Image":
                cost = float(thing.get("/Width", 1)) * float(thing.get("/Height", 1)) / PIXELS
            elif depth > _DEEPEST:
                cost = float("inf")
            else:
                resources = thing.get("/Resources")
                named = around if resources is None else resources.get("/XObject", {})
                cost = self._of_stream(thing, named, depth)
            self._known[key] = cost
        return self._known[key]


def _pieces(stream: Any) -> Iterator[tuple[bytes, int]]:
    """The content of a stream, piece by piece, each with the end of the one before; and how many bytes are new."""
    filters = stream.get("/Filter")
    names = [] if filters is None else [str(f) for f in filters] if _is_array(filters) else [str(filters)]
    raw = bytes(stream.read_raw_bytes())
    if not names:
        yield raw, len(raw)
    elif names == ["/FlateDecode"]:
        unpacked, before = zlib.decompressobj(), b""
        while raw and not unpacked.eof:
            try:
                piece = unpacked.decompress(raw, _PIECE)
            except zlib.error:  # what stands before the damage is drawn
                return
            yield before + piece, len(piece)
            before, raw = piece[-_OVERLAP:], unpacked.unconsumed_tail
            if not piece:
                return
    elif len(raw) <= _PLAIN and sum(name in ("/FlateDecode", "/LZWDecode", "/RunLengthDecode") for name in names) < 2:
        data = bytes(stream.read_bytes())
        yield data, len(data)
    else:
        yield b"", 4 * len(raw)


def _inherited(page: Any, name: str) -> Any:
    """An entry of a page, or of the nodes above it."""
    for _ in range(_DEEPEST):
        if name in page:
            return page[name]
        if "/Parent" not in page:
            break
        page = page["/Parent"]
    return {}


def _is_array(thing: Any) -> bool:
    import pikepdf

    return isinstance(thing, pikepdf.Array)
