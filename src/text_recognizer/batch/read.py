"""Read many pages in several processes: files appear whole, and no page costs another.

A page that is a file of its own gets its files at once. Of a document of several pages each page is first put down as
JSON in `PAGES`; once all are read, the document is put together from these.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from text_recognizer import formats
from text_recognizer.batch.journal import Journal, about_page, failure
from text_recognizer.bundle import sha256
from text_recognizer.description import DESCRIPTION
from text_recognizer.devices import CPU
from text_recognizer.documents import PageReference
from text_recognizer.errors import ImageRejected, OutputFailed, TextRecognizerError
from text_recognizer.formats import Writer
from text_recognizer.formats.document import DocumentFile, ending, write_file
from text_recognizer.formats.json_lines import from_dict
from text_recognizer.images import LoadedImage
from text_recognizer.page import Mode, Page
from text_recognizer.reader import Reader
from text_recognizer.registry import resolve
from text_recognizer.sheets import about_document, make_sheet

PAGES = ".pages"
"""Folder, below the output, of pages that are read: one JSON a page."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How pages are read and what is written.

    Args:
        output: folder for one file per document and format, named by its `whole`.
        formats: names of `formats.NAMES`.
        pdf_a: whether PDFs are PDF/A-2b, as for `sheets.about_document`.
        table: whether all pages are kept in `PAGES`, from which `table.write_table` makes one table.
        bundle, device: as for `Reader`.
        language: as for `Reader.read`.
        embedded_text: as for `Reader.read_reference`.
        jobs: processes with one thread each; None for one per core.
        resume: skip pages that are in the journal of the folder, with the same content, model and options.
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


@dataclass
class Summary:
    """Counts of a batch. `skipped`: pages read by an earlier run. `statuses`: exit statuses of the failures."""

    read: int = 0
    skipped: int = 0
    failed: int = 0
    stopped: bool = False
    seconds: float = 0.0
    statuses: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        rate = f", {self.read / self.seconds:.2f} pages a second" if self.read and self.seconds else ""
        parts = [f"{self.read} pages read{rate}"]
        parts += [f"{self.skipped} had been read before"] if self.skipped else []
        parts += [f"{self.failed} failed, see errors.jsonl"] if self.failed else []
        parts += ["stopped before the end; give --resume to go on"] if self.stopped else []
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class _Task:
    """A page to read, or the document to put together from `parts`, of which `page` is the first."""

    key: str
    page: PageReference
    tried: int = 0
    parts: tuple[_Task, ...] = ()

    @property
    def of_document(self) -> bool:
        """Whether the page is written with others, or into the PDF that it is of."""
        return self.page.count > 1 or self.page.kind == "pdf"


class _Documents:
    """Documents whose pages are not all read yet."""

    def __init__(self) -> None:
        self._parts: dict[int, list[_Task]] = {}
        self._missing: dict[int, set[str]] = {}
        self._fresh: set[int] = set()  # those of which a page was read just now
        self._of: dict[str, int] = {}
        self._number = 0  # of the document whose pages are coming
        self.ready: list[tuple[_Task, bool]] = []

    def add(self, task: _Task) -> None:
        """A page comes; those of one document follow each other."""
        parts = self._parts.get(self._number)
        if parts and (parts[-1].page.document, parts[-1].page.whole) != (task.page.document, task.page.whole):
            self.end()
        self._parts.setdefault(self._number, []).append(task)
        self._missing.setdefault(self._number, set()).add(task.key)
        self._of[task.key] = self._number

    def end(self) -> None:
        """No further page of the latest document comes."""
        self._number += 1
        self._look_at(self._number - 1)

    def settle(self, key: str, fresh: bool) -> None:
        """A page is read, now (`fresh`) or before, or it could not be."""
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
            self.ready.append((_Task(key, parts[0].page, parts=parts), number in self._fresh))
            self._fresh.discard(number)


def read_batch(
    pages: Iterable[PageReference | None],
    options: Options,
    report: Callable[[dict[str, Any]], None] = lambda record: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Summary:
    """Read `pages` and write their files; returns the counts. None among them ends a document, as their end does.

    `report` gets each page's record as it is finished (also of skipped and failed pages). `stopped` is asked between
    pages: once it is true, pages in hand are finished and no other is begun. A page that ends its process (out of
    memory, a crash of a library) is tried alone, then counted as failed.
    Raises `OutputFailed` where the output folder cannot be written, `BundleInvalid`, `UsageError`.
    """
    jobs = options.jobs or len(os.sched_getaffinity(0))
    bundle = resolve(options.bundle)
    reader = Reader(bundle, device=options.device)  # a damaged model, a wrong language are one error, not one a page
    reader.recognizer.in_language(options.language)
    identity = json.dumps(
        [
            sha256(bundle / DESCRIPTION),
            options.mode,
            options.language,
            sorted(options.formats),
            options.pdf_a,
            options.embedded_text,
        ]
    )
    summary, documents, start = Summary(), _Documents(), time.monotonic()
    with Journal(options.output, options.resume) as journal, _Workers(options, bundle, jobs) as workers:

        def settle(records: Iterable[dict[str, Any]]) -> None:
            for record in records:
                journal.add(record)
                failed, whole = bool(record.get("error")), "document" in record
                if failed:
                    summary.statuses.append(record["status"])
                summary.failed += failed
                summary.read += not failed and not whole
                if failed or not whole:
                    report(record)
                documents.settle(record["key"], fresh=not failed)

        def put_together() -> None:
            while documents.ready:
                task, fresh = documents.ready.pop()
                if fresh or not journal.has(task.key):
                    settle(workers.submit(task))

        for task in _tasks(pages, identity):
            if task is None:
                documents.end()
                put_together()
                continue
            if stopped():
                summary.stopped = True
                break
            if task.of_document:
                documents.add(task)
            if journal.has(task.key) and (not options.table or (options.output / kept_page(task.key)).is_file()):
                summary.skipped += 1
                report({**journal.done[task.key], "skipped": True})
                documents.settle(task.key, fresh=False)
            else:
                settle(workers.submit(task))
            put_together()
        else:
            documents.end()  # a document whose pages did not all come is left for the next run
        while True:
            settle(workers.finish())
            if not documents.ready:
                break
            put_together()
    summary.seconds = time.monotonic() - start
    return summary


class _Workers:
    """Reading processes, with a short queue for each, so that none idles and memory is bounded."""

    def __init__(self, options: Options, bundle: Path, jobs: int) -> None:
        self._options, self._bundle, self._jobs = options, bundle, jobs
        self._pool: ProcessPoolExecutor | None = None
        self._running: dict[Future[dict[str, Any]], _Task] = {}

    def submit(self, task: _Task) -> Iterator[dict[str, Any]]:
        """Submit a page; yields the records of pages that were finished in the meantime."""
        while len(self._running) >= 2 * self._jobs:
            yield from self._wait()
        self._start(task)

    def finish(self) -> Iterator[dict[str, Any]]:
        """Wait for all submitted pages."""
        while self._running:
            yield from self._wait()

    def _start(self, task: _Task, jobs: int | None = None) -> None:
        if self._pool is None:
            # Spawned, not forked: threads of the parent's libraries do not survive a fork.
            arguments = (self._bundle, self._options)
            self._pool = ProcessPoolExecutor(
                jobs or self._jobs, mp_context=get_context("spawn"), initializer=_begin, initargs=arguments
            )
        self._running[self._pool.submit(_put_together if task.parts else _read_page, task)] = task

    def _wait(self) -> Iterator[dict[str, Any]]:
        finished, _ = wait(self._running, return_when=FIRST_COMPLETED)
        broken = []
        for future in finished:
            task = self._running.pop(future)
            try:
                record = future.result()
            except BrokenProcessPool:
                broken.append(task)
                continue
            if record.pop("again", False) and task.tried < self._options.retry:
                self._start(replace(task, tried=task.tried + 1))
            else:
                yield record
        if broken:
            yield from self._one_by_one([*broken, *self._running.values()])

    def _one_by_one(self, tasks: Sequence[_Task]) -> Iterator[dict[str, Any]]:
        """Read unfinished pages alone after a process died, to find the page that killed it."""
        self._running.clear()
        for task in tasks:
            self._close()
            self._start(task, jobs=1)
            (future,) = self._running
            self._running.clear()
            try:
                record = future.result()
                record.pop("again", None)
            except BrokenProcessPool:
                problem = ImageRejected("its process was killed, perhaps because memory ran out; scale the image down")
                record = failure(task.key, task.page, problem)
            yield record
        self._close()

    def _close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


def _tasks(pages: Iterable[PageReference | None], identity: str) -> Iterator[_Task | None]:
    """Pages with their keys: hashes of the content of a page and of how it is read."""
    digests: dict[Any, str] = {}
    for page in pages:
        if page is None:
            yield None
            continue
        source = page.source
        where = (source.path, source.url, source.entry, source.member, id(source.data))
        if where not in digests:
            digests.clear()  # pages of one document follow each other
            digests[where] = _digest(page)
        parts = [digests[where], page.kind, page.number, page.dpi, page.stem.as_posix(), identity]
        yield _Task(hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32], page)


def _digest(page: PageReference) -> str:
    if page.source.url is not None:  # fetched once, when it is read: its address stands for it
        return page.source.url
    try:
        opened = page.source.opened
        return sha256(opened) if isinstance(opened, Path) else hashlib.sha256(opened).hexdigest()
    except (TextRecognizerError, OSError):
        return ""  # reading it says what is wrong


# ------------------------------------------------------------------------------------------------ in the processes

_state: dict[str, Any] = {}


def _begin(bundle: Path, options: Options) -> None:
    # Ctrl-C goes to the whole group of processes; the parent decides what is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _state.update(reader=Reader(bundle, threads=1, device=options.device), options=options)


def _read_page(task: _Task) -> dict[str, Any]:
    """Read one page and write its files; the record for the journal."""
    reader: Reader = _state["reader"]
    options: Options = _state["options"]
    start = time.monotonic()
    try:
        page, image = reader.read_reference(
            task.page, options.mode, language=options.language, embedded_text=options.embedded_text
        )
        files = []
        if task.of_document or options.table:
            kept = kept_page(task.key)
            (options.output / kept).parent.mkdir(parents=True, exist_ok=True)
            write_file(options.output / kept, formats.get_format("json").write(page, task.page.name))
            files = [kept] if task.of_document else []
        if not task.of_document:
            files = [_write(task.page, page, image, name, options) for name in options.formats]
    except TextRecognizerError as error:
        return failure(task.key, task.page, error)
    except Exception as error:  # one page must not fail the others
        return {**failure(task.key, task.page, error), "again": True}
    seconds = round(time.monotonic() - start, 3)
    return {
        **about_page(task.key, task.page),
        "files": files,
        "lines": len(page.lines),
        "characters": len(page.text),
        "seconds": seconds,
    }


def kept_page(key: str) -> str:
    """The file of a page that is read, below the output folder; `key` of its record."""
    return f"{PAGES}/{key[:2]}/{key}.json"


def _write(reference: PageReference, page: Page, image: LoadedImage | None, name: str, options: Options) -> str:
    """Write one file. Returns its path below `output`."""
    chosen = formats.get_format(name)
    picture = reference.picture(image or reference.load()) if chosen.needs_picture else None
    relative = reference.stem.with_name(reference.stem.name + ending(name, options.formats, 1))
    target = options.output / relative
    _make_folder(target)
    write_file(target, chosen.write(page, reference.name, picture))
    return relative.as_posix()


def _make_folder(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputFailed(f"cannot write {target} ({error.strerror}); choose another --output") from None


def _put_together(task: _Task) -> dict[str, Any]:
    """Write the document of pages that are read; the record for the journal."""
    options: Options = _state["options"]
    first, count = task.page, len(task.parts)
    try:
        files: list[str] = []
        with ExitStack() as writers:
            open_writers: list[Writer] = []
            for part in task.parts:
                kept = options.output / kept_page(part.key)
                if not kept.is_file():
                    continue  # it could not be read: its own record says why
                page = from_dict(json.loads(kept.read_bytes()))
                if not open_writers:
                    about = about_document(
                        first, keep_pdf="pdf" in options.formats, pdf_a=options.pdf_a, languages=[page.language]
                    )
                    for name in options.formats:
                        relative = first.whole.with_name(first.whole.name + ending(name, options.formats, count))
                        files.append(relative.as_posix())
                        target = options.output / relative
                        _make_folder(target)
                        open_writers.append(writers.enter_context(DocumentFile(name, target, about)))
                sheet = make_sheet(part.page, None, page, options.formats, about)
                for writer in open_writers:
                    writer.add(sheet)
    except TextRecognizerError as error:
        return {**failure(task.key, task.page, error), "document": True}
    except Exception as error:  # one document that trips us up must not cost the others
        return {**failure(task.key, task.page, error), "document": True, "again": True}
    return {**about_page(task.key, task.page), "document": True, "files": files}


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Let SIGTERM and Ctrl-C end a batch after the current pages; a second one ends it at once."""
    stopped = [False]

    def stop(number: int, frame: Any) -> None:
        if stopped[0]:
            raise KeyboardInterrupt
        stopped[0] = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: stopped[0]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
