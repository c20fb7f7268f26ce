"""Estimate the cost of drawing a page of a PDF before it is drawn: a small file may take hours.

A megabyte can unpack to a gigabyte of drawing. A form that draws another form ten times, which does the same, and so
on, never ends. The same goes for a pattern of invisibly small tiles, masks of masks, and a thousand annotations with
one drawing. Here each stream is unpacked once, up to a limit, and the costs of the objects that it names are added up.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from text_recognizer.errors import ImageRejected

MOST = 256 * 2**20  # bytes of drawing, repeats included, and of pictures in the unit of PIXELS
PIXELS = 8  # pixels of a picture that cost as much as a byte of drawing
LONGEST = 128 * 2**20  # bytes of one stream, unpacked
DENSEST = 1032  # largest factor by which a zlib stream unpacks
WHOLE = {"/JPXDecode": 20, "/DCTDecode": 10}  # bytes per pixel of a picture that is decoded as a whole …
DETAIL = 256  # … up to so many times its packed bytes: a picture with fewer of these only claims its huge size
NOTE = 1000  # bytes of drawing that an annotation costs
DENSITY = (200 / 72) ** 2  # pixels per square point
_DEEPEST = 30  # nested forms
_PIECE = 2**20
_NAMED = re.compile(rb"/([^\s/\[\]<>(){}%]+)\s+(Do|gs|scn|SCN)\b")
_OVERLAP = 160  # bytes by which pieces overlap, since a name may cross their border
_PLAIN = 2**18  # packed bytes up to which a stream with a rare filter is unpacked at once


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture that is decoded as a whole: its pixels, bytes of memory per pixel, and its packed bytes."""

    pixels: float = 0.0
    memory: int = 0
    size: int = 0

    def needs(self, drawn: int, spare: int) -> int:
        """Bytes of memory to decode it for a page of `drawn` pixels; `spare` bytes are available in any case.

        Raises `ImageRejected` if it has too few packed bytes to be a real picture of its size. With too little memory,
        PDFium would omit it without an error.
        """
        # If it is drawn at less than half its width and height, it is decoded at half of them.
        needed = self.memory * min(self.pixels, 4 * drawn)
        if needed > spare + DETAIL * self.size:
            raise ImageRejected("a page with a picture that claims a huge size; export it as an image")
        return int(needed)


def check_opening(document: Path | bytes, password: str | None) -> None:
    """Open a PDF as `check_drawing` does for each page: one with very many objects takes more memory than there is."""
    import pikepdf  # late: reading images needs none of it

    source = document if isinstance(document, Path) else BytesIO(document)
    with (
        suppress(pikepdf.PdfError, pikepdf.PasswordError, OSError, ValueError),
        pikepdf.open(source, password=password or ""),
    ):
        pass


def check_drawing(document: Path | bytes, password: str | None, number: int) -> Decoded:
    """Raises `ImageRejected` if page `number` (from 1) of a PDF takes too much time or memory to draw.

    Returns the largest of its pictures that are decoded as a whole. A PDF that pikepdf cannot open is not judged.
    """
    import pikepdf  # late: reading images needs none of it

    source = document if isinstance(document, Path) else BytesIO(document)
    try:
        with pikepdf.open(source, password=password or "") as pdf:
            page = _page(pdf.Root.get("/Pages"), number)
            if page is None:
                return Decoded()
            costs = _Costs(_area(_inherited(page, "/MediaBox")))
            cost = costs.of_page(page)
    except (pikepdf.PdfError, pikepdf.PasswordError, OSError, IndexError, ValueError, TypeError):
        return Decoded()
    if cost > MOST:
        raise ImageRejected("a page that takes too long to draw; export it as an image")
    return costs.decoded


class _Costs:
    """Costs of the forms and pictures of one page of `area` square points; each is computed once."""

    def __init__(self, area: float) -> None:
        self._area = area
        self._fonts: set[tuple[int, int]] = set()
        self._known: dict[tuple[int, int], float] = {}
        self.decoded = Decoded()

    def of_page(self, page: Any) -> float:
        contents = page.get("/Contents")
        streams = [] if contents is None else list(contents) if _is_array(contents) else [contents]
        resources = _inherited(page, "/Resources")
        cost = sum(self._of_stream(stream, resources, 0) for stream in streams)
        notes = page.get("/Annots")
        for note in notes if _is_array(notes) else ():
            if cost > MOST:
                break
            drawing = _entry(note, "/AP", "/N")
            if drawing is not None and not _is_stream(drawing):  # one drawing per state, as for a check box
                drawing = _entry(drawing, str(_entry(note, "/AS")))
            cost += NOTE + (self._of_thing(drawing, resources, 1) if _is_stream(drawing) else 0)
        return cost

    def _of_stream(self, stream: Any, resources: Any, depth: int) -> float:
        cost = self._of_fonts(resources)
        drawn: dict[tuple[bytes, bytes], int] = {}
        for piece, fresh in _pieces(stream):
            cost += fresh
            for named in _NAMED.findall(piece):
                drawn[named] = drawn.get(named, 0) + 1
            if cost > LONGEST:
                return float("inf")
        for (name, operator), times in drawn.items():
            key = "/" + name.decode("latin-1")
            if operator == b"Do":
                thing = _entry(resources, "/XObject", key)
                if thing is not None:
                    cost += times * self._of_thing(thing, resources, depth + 1)
            elif operator == b"gs":
                mask = _entry(resources, "/ExtGState", key, "/SMask", "/G")
                if _is_stream(mask):
                    cost += times * (self._of_thing(mask, resources, depth + 1) + self._mask(mask))
            else:  # counted once, however often it is used: the filled areas may be small
                pattern = _entry(resources, "/Pattern", key)
                if _is_stream(pattern):
                    cost += self._of_tiles(pattern, resources, depth + 1)
        return cost

    def _of_fonts(self, resources: Any) -> float:
        """0, or infinity if a font file unpacks to far more than any real font."""
        import pikepdf

        fonts = _entry(resources, "/Font")
        for font in fonts.as_dict().values() if isinstance(fonts, pikepdf.Dictionary) else ():
            if not isinstance(font, pikepdf.Dictionary) or font.objgen in self._fonts:
                continue
            if font.is_indirect:
                self._fonts.add(font.objgen)
            inner = _entry(font, "/DescendantFonts")
            described = _entry(inner[0] if _is_array(inner) and len(inner) else font, "/FontDescriptor")
            for name in ("/FontFile", "/FontFile2", "/FontFile3"):
                file = _entry(described, name)
                if _is_stream(file) and is_long(file):
                    return float("inf")
        return 0.0

    def _mask(self, form: Any) -> float:
        """Cost of a mask, which is a picture as large as its form."""
        return min(self._area, _area(_entry(form, "/BBox"))) * DENSITY / PIXELS

    def _of_tiles(self, pattern: Any, around: Any, depth: int) -> float:
        """Cost of filling the page with a pattern. A tile is drawn once, unless it is larger than the page."""
        steps = abs(float(pattern.get("/XStep", 1)) * float(pattern.get("/YStep", 1)))
        a, b, c, d = (float(number) for number in list(pattern.get("/Matrix", (1, 0, 0, 1, 0, 0)))[:4])
        scale = abs(a * d - b * c)
        if not steps * scale > 0:
            return 0.0  # PDFium does not draw it
        tiles, tile = self._area / (steps * scale), _area(pattern.get("/BBox")) * scale
        drawing = self._of_thing(pattern, around, depth)
        return tiles * (1 + min(tile, self._area) * DENSITY / PIXELS**2) + drawing * max(1, tiles * (tile > self._area))

    def _of_thing(self, thing: Any, around: Any, depth: int) -> float:
        key = thing.objgen
        if key == (0, 0) or key not in self._known:
            self._known[key] = float("inf")  # until it is known: a form that draws itself is refused
            if thing.get("/Subtype") == "/Image":
                cost = self._of_picture(thing)
            elif depth > _DEEPEST:
                cost = float("inf")
            else:
                cost = self._of_stream(thing, thing.get("/Resources", around), depth)
            self._known[key] = cost
        return self._known[key]

    def _of_picture(self, picture: Any) -> float:
        pixels = float(picture.get("/Width", 1)) * float(picture.get("/Height", 1))
        for part in (picture, picture.get("/SMask")):
            for name in WHOLE.keys() & set(_filters(part)) if _is_stream(part) else ():
                size = float(part.get("/Width", 1)) * float(part.get("/Height", 1))
                found = Decoded(size, WHOLE[name], len(part.read_raw_bytes()))
                if found.memory * found.pixels > self.decoded.memory * self.decoded.pixels:
                    self.decoded = found
        return pixels / PIXELS


def is_long(stream: Any, most: int = LONGEST) -> bool:
    """Whether a pikepdf stream unpacks to more than `most` bytes; it is unpacked only up to that limit."""
    if len(stream.read_raw_bytes()) * DENSEST <= most:
        return False
    size = 0
    for _, fresh in _pieces(stream):
        size += fresh
        if size > most:
            return True
    return False


def _pieces(stream: Any) -> Iterator[tuple[bytes, int]]:
    """The content of a stream in pieces, each preceded by the end of the last one, and the number of new bytes."""
    names = _filters(stream)
    raw = bytes(stream.read_raw_bytes())
    if not names:
        yield raw, len(raw)
    elif names == ["/FlateDecode"]:
        unpacked, before = zlib.decompressobj(), b""
        while raw and not unpacked.eof:
            try:
                piece = unpacked.decompress(raw, _PIECE)
            except zlib.error:  # the content before the damage is drawn
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


def _filters(stream: Any) -> list[str]:
    """The filters of a stream, in the order of decoding."""
    filters = stream.get("/Filter")
    return [] if filters is None else [str(each) for each in filters] if _is_array(filters) else [str(filters)]


def _page(tree: Any, number: int) -> Any:
    """Page `number` of a page tree; None if there are fewer. `pdf.pages` would expand the whole tree for one page."""
    left = number - 1  # pages before it
    for _ in range(_DEEPEST):
        kids = _entry(tree, "/Kids")
        if not _is_array(kids):
            return tree if left == 0 and _entry(tree) is not None else None
        if int(_entry(tree, "/Count") or 0) == len(kids) > left:  # all are pages, as in most documents
            tree, left = kids[left], 0
            continue
        for kid in kids:
            below = int(_entry(kid, "/Count") or 0) if _is_array(_entry(kid, "/Kids")) else 1
            if left < below:
                tree = kid
                break
            left -= below
        else:
            return None
    return None


def _inherited(page: Any, name: str) -> Any:
    """An entry of a page, possibly inherited from the nodes above it."""
    for _ in range(_DEEPEST):
        if name in page:
            return page[name]
        if "/Parent" not in page:
            break
        page = page["/Parent"]
    return {}


def _entry(thing: Any, *names: str) -> Any:
    """The value at a path of `names` in nested dictionaries; None if there is none."""
    import pikepdf

    for name in names:
        if not isinstance(thing, pikepdf.Dictionary | pikepdf.Stream) or not name.startswith("/"):
            return None
        thing = thing.get(name)
    return thing


def _area(box: Any) -> float:
    """Area of a box in square points; that of A4 if the box is invalid."""
    try:
        left, bottom, right, top = (float(number) for number in box)
    except (TypeError, ValueError):
        return 595.0 * 842
    return abs((right - left) * (top - bottom))


def _is_array(thing: Any) -> bool:
    import pikepdf

    return isinstance(thing, pikepdf.Array)


def _is_stream(thing: Any) -> bool:
    import pikepdf

    return isinstance(thing, pikepdf.Stream)
