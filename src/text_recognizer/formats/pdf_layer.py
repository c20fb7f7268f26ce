"""Adds the recognised text to an existing PDF. Its pages, bookmarks and metadata stay as they are.

Invisible text from an earlier program is replaced. If a page shows text of its own, lines that repeat it are left out.
"""

from __future__ import annotations

import copy
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pikepdf
from pikepdf import Array, Dictionary, Name, Operator, Pdf, Stream

from text_recognizer.drawing import is_long
from text_recognizer.formats import pdf_text
from text_recognizer.formats.format import About, Sheet
from text_recognizer.formats.shapes import contains
from text_recognizer.page import Area, Line

_SHOWING = {Operator(name) for name in ("Tj", "TJ", "'", '"')}
_INVISIBLE = 3
_DEEPEST = 8  # levels of forms within forms
MOST_METADATA = 4 * 2**20  # bytes of XMP; some programs write half a megabyte
LONGEST_CONTENT = 16 * 2**20  # bytes; longer content streams are drawings and are not searched for invisible text
_TOLD = ("/Title", "/Author", "/Subject", "/Keywords", "/Creator", "/Producer", "/CreationDate", "/ModDate")
_FONT = Name("/" + pdf_text.FONT)


class LayerWriter:
    """Adds text to the pages of `about.original`, and writes the document to `out` when it is closed.

    Raises pikepdf's `PdfError` if the original is damaged, `PasswordError` if its password is wrong.
    """

    def __init__(self, out: BinaryIO, about: About) -> None:
        self._out, self._about = out, about
        assert about.original is not None
        self._pdf = _opened(about.original, about.password)
        self._font: Any = None
        self._forms: dict[tuple[int, int], Any] = {}  # from each form to its copy without invisible text

    def add(self, sheet: Sheet) -> None:
        page = self._pdf.pages[sheet.number - 1]
        self._remove_unseen(page)
        read = sheet.page.with_lines([None if _repeats(line, sheet.printed) else line for line in sheet.page.lines])
        if not read.lines:
            return
        matrix, width, height = _display(page)
        numbers = " ".join(f"{number:g}" for number in matrix)
        shown = b"q %s cm\n%sQ\n" % (numbers.encode(), pdf_text.operators(read, width, height))
        # Before the page's own content, so that graphics state which the page does not restore cannot move this text.
        page.contents_add(self._stream(shown), prepend=True)
        if self._font is None:
            self._font = self._add_font()
        resources = _own(page.obj, Name.Resources)
        _own(resources, Name.Font)[_FONT] = self._font
        if turn := read.orientation:
            page.obj.Rotate = (page.rotation + turn) % 360

    def close(self) -> None:
        pdf, language = self._pdf, self._about.language
        with pdf:
            if language and Name.Lang not in pdf.Root:
                pdf.Root.Lang = pikepdf.String(language)
            if Name.Metadata not in pdf.Root:
                with pdf.open_metadata(set_pikepdf_as_editor=False, update_docinfo=False) as metadata:
                    metadata.load_from_docinfo({name: pdf.docinfo[name] for name in _TOLD if name in pdf.docinfo})
            elif self._font is not None:
                self._lower_level()
            pdf.save(self._out, encryption=bool(pdf.is_encrypted))

    def _lower_level(self) -> None:
        # PDF/A level A requires a structure that names each text; the added text has none.
        with self._pdf.open_metadata(set_pikepdf_as_editor=False, update_docinfo=False) as metadata:
            level_a = metadata.pdfa_status.endswith("A")
        if level_a:
            with self._pdf.open_metadata(set_pikepdf_as_editor=False, update_docinfo=False) as metadata:
                metadata["pdfaid:conformance"] = "B"

    def _stream(self, data: bytes) -> Any:
        stream = Stream(self._pdf, zlib.compress(data))  # compressed now, because there may be thousands
        stream.Filter = Name.FlateDecode
        return stream

    def _add_font(self) -> Any:
        pdf = self._pdf
        top, bottom, width = (round(1000 * share) for share in (pdf_text.ASCENT, pdf_text.DESCENT, pdf_text.WIDTH))
        program = self._stream(pdf_text.font_file())
        program.Length1 = len(pdf_text.font_file())
        descriptor = Dictionary(
            Type=Name.FontDescriptor, FontName=_FONT, Flags=4, FontBBox=Array([0, bottom, width, top]), ItalicAngle=0,
            Ascent=top, Descent=bottom, CapHeight=top, StemV=80, FontFile2=program,
        )  # fmt: skip
        inner = Dictionary(
            Type=Name.Font, Subtype=Name.CIDFontType2, BaseFont=_FONT, DW=width,
            CIDSystemInfo=Dictionary(
                Registry=pikepdf.String("Adobe"), Ordering=pikepdf.String("Identity"), Supplement=0
            ),
            CIDToGIDMap=self._stream(pdf_text.glyphs()), FontDescriptor=pdf.make_indirect(descriptor),
        )  # fmt: skip
        return pdf.make_indirect(
            Dictionary(
                Type=Name.Font, Subtype=Name.Type0, BaseFont=_FONT, Encoding=Name("/Identity-H"),
                DescendantFonts=Array([pdf.make_indirect(inner)]), ToUnicode=self._stream(pdf_text.to_unicode()),
            )
        )  # fmt: skip

    def _remove_unseen(self, page: pikepdf.Page) -> None:
        """Remove invisible text from the page. Content that cannot be parsed stays as it is."""
        if page.obj.get(Name.Contents) is None:
            return
        kept, forms = self._without_unseen(page, page.obj.get(Name.Resources), 0)
        if kept is not None:
            page.obj.Contents = self._stream(kept)
        if forms:
            _own(_own(page.obj, Name.Resources), Name.XObject).update(forms)

    def _without_unseen(self, content: Any, resources: Any, depth: int) -> tuple[bytes | None, dict[str, Any]]:
        """The content stream without invisible text, None if it has none; and the replacements for its forms."""
        try:
            if _length(content) > LONGEST_CONTENT:
                return None, {}
            instructions = pikepdf.parse_content_stream(content)
        except pikepdf.PdfError:
            return None, {}
        kept, modes, mode, forms = [], [0], 0, dict[str, Any]()
        for instruction in instructions:
            match str(instruction.operator):
                case "q":
                    modes.append(mode)
                case "Q":
                    mode = modes.pop() if len(modes) > 1 else mode
                case "Tr" if instruction.operands:
                    mode = int(instruction.operands[0])
                case "Do" if instruction.operands and depth < _DEEPEST:
                    name = str(instruction.operands[0])
                    if (form := self._form(resources, name, depth)) is not None:
                        forms[name] = form
            if mode != _INVISIBLE or instruction.operator not in _SHOWING:
                kept.append(instruction)
        return (pikepdf.unparse_content_stream(kept) if len(kept) < len(instructions) else None), forms

    def _form(self, resources: Any, name: str, depth: int) -> Any:
        """The form `name` without invisible text; None if it has none or is a picture."""
        form = resources.get(Name.XObject, {}).get(name) if resources is not None else None
        if form is None or form.get(Name.Subtype) != Name.Form:
            return None
        key = form.objgen
        if key not in self._forms:
            self._forms[key] = None  # stops at a form that contains itself
            inner = form.get(Name.Resources, resources)
            kept, forms = self._without_unseen(form, inner, depth + 1)
            if kept is not None or forms:
                changed = self._stream(form.read_bytes() if kept is None else kept)
                for entry, value in form.items():
                    if entry not in ("/Length", "/Filter", "/DecodeParms"):
                        changed[entry] = value
                if forms:
                    changed.Resources = copy.copy(inner)
                    _own(changed.Resources, Name.XObject).update(forms)
                self._forms[key] = changed
        return self._forms[key]


def takes_text(original: Path | bytes, password: str | None, count: int, pdf_a: bool) -> bool:
    """Whether text can be added to a PDF: it opens, has at least `count` pages, and declares PDF/A if `pdf_a`.

    Metadata that unpack to more than `MOST_METADATA` are not opened.
    """
    try:
        with _opened(original, password) as pdf:
            if len(pdf.pages) < count:
                return False
            metadata = pdf.Root.get(Name.Metadata)
            if isinstance(metadata, Stream) and is_long(metadata, MOST_METADATA):
                return False
            if pdf_a:
                with pdf.open_metadata() as told:
                    return bool(told.pdfa_status)
            return True
    except (pikepdf.PdfError, pikepdf.PasswordError, ValueError, OSError):
        return False


def _opened(original: Path | bytes, password: str | None) -> Pdf:
    source = original if isinstance(original, Path) else BytesIO(original)
    return Pdf.open(source, password=password or "")


def _own(holder: Any, name: Name) -> Any:
    """A copy of the dictionary `name`, owned by `holder`, since other pages may share the original."""
    holder[name] = copy.copy(holder[name]) if name in holder else Dictionary()
    return holder[name]


def _display(page: pikepdf.Page) -> tuple[tuple[float, ...], float, float]:
    """The matrix from the displayed page, with its origin at the lower left, to page space; its width and height."""
    media, crop = ([float(number) for number in box] for box in (page.mediabox, page.cropbox))
    left, bottom = max(min(media[0::2]), min(crop[0::2])), max(min(media[1::2]), min(crop[1::2]))
    right, top = min(max(media[0::2]), max(crop[0::2])), min(max(media[1::2]), max(crop[1::2]))
    if right <= left or top <= bottom:
        left, right, bottom, top = min(media[0::2]), max(media[0::2]), min(media[1::2]), max(media[1::2])
    width, height = right - left, top - bottom
    match page.rotation % 360:
        case 90:
            return (0, 1, -1, 0, right, bottom), height, width
        case 180:
            return (-1, 0, 0, -1, right, top), width, height
        case 270:
            return (0, -1, 1, 0, left, top), height, width
    return (1, 0, 0, 1, left, bottom), width, height


def _length(content: Any) -> int:
    """The unpacked size in bytes of the content of a page or form."""
    if isinstance(content, pikepdf.Page):
        found = content.obj.Contents
        return sum(len(part.read_bytes()) for part in (found if isinstance(found, Array) else [found]))
    return len(content.read_bytes())


def _repeats(line: Line, printed: Sequence[Area]) -> bool:
    """Whether most of `line` lies on text that the page shows, judged by points along its middle."""
    if not printed or not line.polygon:
        return False
    xs, ys = zip(*line.polygon, strict=True)
    start, end = (line.baseline[0], line.baseline[-1]) if len(line.baseline) > 1 else ((min(xs), 0), (max(xs), 0))
    middle = (min(ys) + max(ys)) / 2 if len(line.baseline) < 2 else None
    rise = min(max(ys) - min(ys), max(xs) - min(xs)) / 4  # from the baseline into the letters
    points = [
        (
            start[0] + share * (end[0] - start[0]),
            start[1] + share * (end[1] - start[1]) - rise if middle is None else middle,
        )
        for share in (0.1, 0.3, 0.5, 0.7, 0.9)
    ]
    return sum(any(contains(area, point) for area in printed) for point in points) > 2
