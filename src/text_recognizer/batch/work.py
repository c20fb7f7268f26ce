"""The work of a batch on a page or a document, in any process: read, write, assemble.

The results of a single-page file are written at once. Each page of a longer document is first stored as JSON in
`PAGES`; when all pages are read, the document is assembled from them.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from text_recognizer import formats
from text_recognizer.batch.journal import ERRORS, JOURNAL, about_page
from text_recognizer.bundle import sha256
from text_recognizer.description import DESCRIPTION
from text_recognizer.devices import CPU
from text_recognizer.documents import PageReference
from text_recognizer.errors import TextRecognizerError, UsageError
from text_recognizer.formats import Writer
from text_recognizer.formats.document import DocumentFile, ending
from text_recognizer.formats.json_lines import from_dict
from text_recognizer.images import to_picture
from text_recognizer.page import Mode
from text_recognizer.reader import Reader
from text_recognizer.sheets import about_document, make_sheet

PAGES = ".pages"
"""Subfolder of the output for pages already read: a JSON for each page, and the pictures of pages from URLs."""
TABLE = "pages"
"""File name of the table of all pages, without its suffix."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How pages are read, and what is written.

    Args:
        output: folder for one file per document and format, named by its `whole`.
        formats: names of `formats.NAMES`.
        pdf_a: whether PDFs are PDF/A-2b, as for `sheets.about_document`.
        table: whether all pages are stored in `PAGES`, from which `table.write_table` makes one table.
        bundle, device: as for `Reader`.
        language: as for `Reader.read`.
        embedded_text: as for `Reader.read_reference`.
        jobs: processes with one thread each; None for one per core.
        resume: skip pages that are in the folder's journal with the same content, model and options.
        retry: how often a page is tried again after an unexpected error.
    """

    output: Path
    formats: tuple[str, ...] = ("text",)
    pdf_a: bool = False
    table: bool = False
    mode: Mode = "accurate"
    bundle: Path | str | None = None
    language: str | None = None
    embedded_text: bool = False
    device: str = CPU
    jobs: int | None = None
    resume: bool = False
    retry: int = 1

    def identity(self, bundle: Path) -> str:
        """What the result of a page depends on apart from its content. `bundle` is the folder of the model."""
        parts = [sha256(bundle / DESCRIPTION), self.mode, self.language, sorted(self.formats), self.pdf_a]
        return json.dumps([*parts, self.embedded_text])

    @property
    def pictured(self) -> bool:
        """Whether one of the formats shows the page."""
        return any(formats.get_format(name).needs_picture for name in self.formats)


@dataclass(frozen=True, slots=True)
class Task:
    """A page to read, or a document to assemble from `parts`, of which `page` is the first."""

    key: str
    page: PageReference
    tried: int = 0
    parts: tuple[Task, ...] = ()

    @property
    def of_document(self) -> bool:
        """Whether the page is written together with others, or into the PDF that it comes from."""
        return self.page.count > 1 or self.page.kind == "pdf"


class Place(Protocol):
    """Where results are stored, by names with forward slashes. Files only appear when they are complete."""

    def write(self, name: str, data: bytes) -> None:
        """Raises `OutputFailed`."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is no such file."""

    def folder(self, name: str) -> Path:
        """A local folder to write `name` to; `collect` moves the files from there."""

    def collect(self) -> None:
        """Move the files in `folder` to their place. Raises `OutputFailed`."""


class Documents:
    """Documents whose pages are not all read yet."""

    def __init__(self) -> None:
        self._parts: dict[int, list[Task]] = {}
        self._missing: dict[int, set[str]] = {}
        self._fresh: set[int] = set()  # documents with a page that was read in this run
        self._of: dict[str, int] = {}
        self._number = 0  # of the document whose pages are arriving
        self.ready: list[tuple[Task, bool]] = []

    def add(self, task: Task) -> None:
        """Add a page; the pages of a document are consecutive."""
        parts = self._parts.get(self._number)
        if parts and (parts[-1].page.document, parts[-1].page.whole) != (task.page.document, task.page.whole):
            self.end()
        self._parts.setdefault(self._number, []).append(task)
        self._missing.setdefault(self._number, set()).add(task.key)
        self._of[task.key] = self._number

    def end(self) -> None:
        """End the latest document: it has no further pages."""
        self._number += 1
        self._look_at(self._number - 1)

    def settle(self, key: str, fresh: bool) -> None:
        """Mark a page as done: read now (`fresh`) or in an earlier run, or failed."""
        if (number := self._of.pop(key, None)) is not None:
            if fresh:
                self._fresh.add(number)
            self._missing[number].discard(key)
            self._look_at(number)

    def _look_at(self, number: int) -> None:
        if number < self._number and number in self._parts and not self._missing[number]:
            parts = tuple(self._parts.pop(number))
            del self._missing[number]
            key = hashlib.sha256(json.dumps([part.key for part in parts]).encode()).hexdigest()[:32]
            self.ready.append((Task(key, parts[0].page, parts=parts), number in self._fresh))
            self._fresh.discard(number)


def tasks(
    pages: Iterable[PageReference | None], identity: str, output: Path | None = None, earlier: Container[str] = ()
) -> Iterator[Task | None]:
    """Yield the pages with their keys: hashes of a page's content and of how it is read.

    A page from a file inside `output` is left out if the file is in `earlier`, the names of its results. Any other file
    there raises `UsageError`, because a result might replace it.
    """
    digests: dict[Any, str] = {}
    inside = output.resolve() if output is not None else None
    for page in pages:
        if page is None:
            yield None
            continue
        source = page.source
        where = (source.path, source.url, source.entry, source.member, id(source.data))
        if where not in digests:
            digests.clear()  # the pages of a document are consecutive
            if inside is not None and source.path is not None and source.path.resolve().is_relative_to(inside):
                if source.path.resolve().relative_to(inside).as_posix() in earlier:
                    continue
                raise UsageError(f"{source.path} lies in the output folder {output}; choose another --output")
            digests[where] = _digest(page)
        parts = [digests[where], page.kind, page.number, page.dpi, page.stem.as_posix(), identity]
        yield Task(hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32], page)


def _digest(page: PageReference) -> str:
    if page.source.url is not None:  # fetched only once, when it is read, so its address identifies it
        return page.source.url
    try:
        opened = page.source.opened
        return sha256(opened) if isinstance(opened, Path) else hashlib.sha256(opened).hexdigest()
    except (TextRecognizerError, OSError, ValueError):
        return ""  # reading the page will report what is wrong


def kept_page(key: str) -> str:
    """The file of a page already read, relative to the output folder; `key` comes from its record."""
    return f"{PAGES}/{key[:2]}/{key}.json"


def _kept_picture(key: str) -> str:
    return f"{PAGES}/{key[:2]}/{key}.image"


def read_page(task: Task, reader: Reader, options: Options, place: Place) -> dict[str, Any]:
    """Read a page, write its files, return the record for the journal. Raises whatever reading and writing raise."""
    start, reference = time.monotonic(), task.page
    page, image = reader.read_reference(
        reference, options.mode, language=options.language, embedded_text=options.embedded_text
    )
    files = []
    if task.of_document or options.table:
        kept = kept_page(task.key)
        place.write(kept, formats.get_format("json").write(page, reference.name))
        if reference.source.url is not None and task.of_document and options.pictured and image is not None:
            place.write(_kept_picture(task.key), reference.picture(image).data)  # so as not to fetch it again
        files = [kept] if task.of_document else []
    if not task.of_document:
        for name in options.formats:
            file = reference.stem.with_name(reference.stem.name + ending(name, options.formats, 1)).as_posix()
            chosen = formats.get_format(name)
            picture = reference.picture(image) if chosen.needs_picture else None
            place.write(file, chosen.write(page, reference.name, picture))
            files.append(file)
    return {
        **about_page(task.key, reference),
        "files": files,
        "lines": len(page.lines),
        "characters": len(page.text),
        "seconds": round(time.monotonic() - start, 3),
    }


def _file(page: PageReference, name: str, suffix: str) -> PurePosixPath:
    """The file of a document in format `name`. It never collides with the journal, batch.jsonl."""
    file = page.whole.with_name(page.whole.name + suffix)
    if file.as_posix() in (JOURNAL, ERRORS, f"{TABLE}.jsonl"):
        return page.whole.with_name(f"{page.whole.name}.{name}{suffix}")
    return file


def put_together(task: Task, options: Options, place: Place) -> dict[str, Any]:
    """Assemble a document from its pages, and return the record for the journal. Raises whatever writing raises."""
    first, count = task.page, len(task.parts)
    files: list[str] = []
    with ExitStack() as writers:
        open_writers: list[Writer] = []
        for part in task.parts:
            kept = place.read(kept_page(part.key))
            if kept is None:
                continue  # it could not be read, and its own record says why
            page = from_dict(json.loads(kept))
            if not open_writers:
                about = about_document(
                    first, keep_pdf="pdf" in options.formats, pdf_a=options.pdf_a, languages=[page.language]
                )
                for name in options.formats:
                    relative = _file(first, name, ending(name, options.formats, count))
                    files.append(relative.as_posix())
                    target = place.folder(relative.as_posix()) / relative.name
                    open_writers.append(writers.enter_context(DocumentFile(name, target, about)))
            fetched = place.read(_kept_picture(part.key)) if part.page.source.url is not None else None
            picture = to_picture(fetched) if fetched is not None else None
            sheet = make_sheet(part.page, None, page, options.formats, about, picture)
            for writer in open_writers:
                writer.add(sheet)
    place.collect()
    return {**about_page(task.key, task.page), "document": True, "files": files}
