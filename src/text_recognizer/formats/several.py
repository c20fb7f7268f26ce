"""Multi-page documents, combined from single-page documents one page at a time."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import BinaryIO
from xml.etree import ElementTree as ET

from text_recognizer.formats import get_format, markup
from text_recognizer.formats.format import About, Sheet
from text_recognizer.formats.pdf_file import PRODUCER, now
from text_recognizer.formats.shapes import file_name

XHTML = "http://www.w3.org/1999/xhtml"
METS = "http://www.loc.gov/METS/"
XLINK = "http://www.w3.org/1999/xlink"
_MEDIA_TYPES = {"alto": "application/alto+xml", "page": "application/vnd.prima.page+xml"}


class Following:
    """Consecutive pages with `separator` between them."""

    def __init__(self, name: str, separator: bytes, out: BinaryIO) -> None:
        self._write, self._separator, self._out, self._begun = get_format(name).write, separator, out, False

    def add(self, sheet: Sheet) -> None:
        self._out.write((self._separator if self._begun else b"") + self._write(sheet.page, sheet.source))
        self._begun = True

    def close(self) -> None:
        pass


class JsonLines:
    """An object for each page, with the page's number as `page`."""

    def __init__(self, out: BinaryIO, about: About) -> None:
        self._out = out

    def add(self, sheet: Sheet) -> None:
        found = json.loads(get_format("json").write(sheet.page, sheet.source))
        found = {"format": found.pop("format"), "source": found.pop("source"), "page": sheet.number, **found}
        self._out.write(json.dumps(found, ensure_ascii=False).encode(errors="backslashreplace") + b"\n")

    def close(self) -> None:
        pass


class Table:
    """The rows of all pages below one head; in a TSV, the second column is the page number."""

    def __init__(self, name: str, out: BinaryIO) -> None:
        self._format, self._out, self._begun = get_format(name), out, False

    def add(self, sheet: Sheet) -> None:
        written = self._format.write(sheet.page, sheet.source)
        if self._format.name == "tsv":
            head, *rows = written.splitlines(keepends=True)
            cells = [row.split(b"\t", 2) for row in rows]
            rows = [b"%s\t%d\t%s" % (level, sheet.number, rest) for level, _, rest in cells]
            written = b"".join(rows if self._begun else [head, *rows])
        elif self._begun:
            written = written.removeprefix(self._format.opening)
        self._out.write(written)
        self._begun = True

    def close(self) -> None:
        pass


class Hocr:
    """One file with an `ocr_page` for each page."""

    def __init__(self, out: BinaryIO, about: About) -> None:
        self._out, self._end, self._count = out, b"", 0

    def add(self, sheet: Sheet) -> None:
        self._count += 1
        head, body, rest = get_format("hocr").write(sheet.page, sheet.source).partition(b"<body>")
        inner, end, tail = rest.rpartition(b"</body>")
        if not self._end:
            # The number of pages is not known yet; the standard allows leaving it out.
            head = b"".join(line for line in head.splitlines(keepends=True) if b"ocr-number-of-pages" not in line)
            self._out.write(head + body + b"\n")
            self._end = end + tail
        root = ET.fromstring(b'<div xmlns="%s">%s</div>' % (XHTML.encode(), inner))
        for element in root.iter():
            if name := element.get("id"):
                element.set("id", f"page_{self._count}" if name == "page_1" else f"page_{self._count}_{name}")
        (page,) = root
        page.set("title", page.get("title", "").replace("ppageno 0", f"ppageno {sheet.number - 1}"))
        ET.register_namespace("", XHTML)
        shown = ET.tostring(page, encoding="unicode").strip().replace(f' xmlns="{XHTML}"', "")
        self._out.write(shown.encode() + b"\n")

    def close(self) -> None:
        self._out.write(self._end or b"<html/>\n")


class Mets:
    """ALTO or PAGE with a file for each page, and METS that links them. `put` receives the name and bytes of each file.

    `name`: of the METS file. The page files have the same name with their numbers.
    """

    def __init__(self, format_name: str, put: Callable[[str, bytes], None], name: str, about: About) -> None:
        self._format, self._put, self._name = get_format(format_name), put, name
        stem = name.removesuffix(".xml").removesuffix(".mets")
        ending = ".xml"
        if stem.endswith(f".{format_name}"):  # both formats go to the same folder
            stem, ending = stem.removesuffix(f".{format_name}"), f".{format_name}.xml"
        self._page_name = stem + "-{:03}" + ending
        self._root = ET.Element(
            "mets",
            {
                "xmlns": METS,
                "xmlns:xlink": XLINK,
                "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
                "xsi:schemaLocation": f"{METS} http://www.loc.gov/standards/mets/mets.xsd",
                "LABEL": markup.clean(about.title),
            },
        )
        head = markup.add(self._root, "metsHdr", {"CREATEDATE": now().isoformat().replace("+00:00", "Z")})
        agent = markup.add(head, "agent", {"ROLE": "CREATOR", "TYPE": "OTHER", "OTHERTYPE": "SOFTWARE"})
        markup.add(agent, "name", text=PRODUCER)
        files = markup.add(self._root, "fileSec")
        self._images = markup.add(files, "fileGrp", {"USE": "DEFAULT"})
        self._texts = markup.add(files, "fileGrp", {"USE": "FULLTEXT"})
        structure = markup.add(self._root, "structMap", {"TYPE": "PHYSICAL"})
        self._sequence = markup.add(structure, "div", {"TYPE": "physSequence"})
        self._count = 0

    def add(self, sheet: Sheet) -> None:
        self._count += 1
        name = self._page_name.format(sheet.number)
        self._put(name, self._format.write(sheet.page, sheet.source))
        place = {"TYPE": "page", "ORDER": self._count, "ORDERLABEL": sheet.number, "ID": f"page{self._count}"}
        div = markup.add(self._sequence, "div", place)
        image = file_name(sheet.source)
        # An image shows its only page. For a document, METS names the page by a fragment.
        href = f"{image}#page={sheet.number}" if PurePosixPath(image).suffix.lower() == ".pdf" else image
        for group, mark, mime, target in (
            (self._images, "image", None, href),
            (self._texts, "text", _MEDIA_TYPES[self._format.name], name),
        ):
            identifier = f"{mark}{self._count}"
            file = markup.add(group, "file", {"ID": identifier, "MIMETYPE": mime})
            markup.add(file, "FLocat", {"LOCTYPE": "URL", "xlink:type": "simple", "xlink:href": target})
            markup.add(div, "fptr", {"FILEID": identifier})

    def close(self) -> None:
        self._put(self._name, markup.document(self._root))


class Archive:
    """The files of `Mets` in a ZIP."""

    def __init__(self, name: str, out: BinaryIO, about: About) -> None:
        self._archive = zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED)
        self._inner = Mets(name, self._archive.writestr, "mets.xml", about)

    def add(self, sheet: Sheet) -> None:
        self._inner.add(sheet)

    def close(self) -> None:
        self._inner.close()
        self._archive.close()
