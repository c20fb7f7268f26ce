"""Read many pages in several processes: each page's files appear whole, and no page costs another."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from text_recognizer import formats
from text_recognizer.batch.journal import Journal
from text_recognizer.bundle import sha256
from text_recognizer.description import DESCRIPTION
from text_recognizer.devices import CPU
from text_recognizer.documents import PageReference
from text_recognizer.errors import ImageRejected, OutputFailed, TextRecognizerError
from text_recognizer.images import LoadedImage
from text_recognizer.page import Mode, Page
from text_recognizer.reader import Reader
from text_recognizer.registry import resolve


@dataclass(frozen=True, kw_only=True)
class Options:
    """How pages are read and what is written.

    Args:
        output: folder for one file per page and format, named by the `stem` of the page.
        formats: names of `formats.NAMES`.
        bundle, device: as for `Reader`.
        language: as for `Reader.read`.
        jobs: processes with one thread each; None for one per core.
        resume: skip pages that are in the journal of the folder, with the same content, model and options.
        retry: how often a page is tried again after an unexpected error.
    """

    output: Path
    formats: tuple[str, ...] = ("text",)
    mode: Mode = "accurate"
    bundle: Path | str | None = None
    language: str | None = None
    device: str = CPU
    jobs: int | None = None
    resume: bool = False
    retry: int = 1

    def suffix(self, name: str) -> str:
        """The ending of the files of that format. ALTO and PAGE are both .xml, so together they include their name."""
        own = formats.get_format(name).suffix
        shared = [other for other in self.formats if formats.get_format(other).suffix == own]
        return f".{name}{own}" if len(shared) > 1 else own


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
    key: str
    page: PageReference
    tried: int = 0


def read_batch(
    pages: Iterable[PageReference],
    options: Options,
    report: Callable[[dict[str, Any]], None] = lambda record: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Summary:
    """Read `pages` and write their files; returns the counts.

    `report` gets each page's record as it is finished (also of skipped and failed pages). `stopped` is asked between
    pages: once it is true, pages in hand are finished and no other is begun. A page that ends its process (out of
    memory, a crash of a library) is tried alone, then counted as failed.
    Raises `OutputFailed` where the output folder cannot be written, `BundleInvalid`, `UsageError`.
    """
    jobs = options.jobs or len(os.sched_getaffinity(0))
    bundle = resolve(options.bundle)
    reader = Reader(bundle, device=options.device)  # a damaged model, a wrong language are one error, not one a page
    reader.recognizer.in_language(options.language)
    identity = json.dumps([sha256(bundle / DESCRIPTION), options.mode, options.language, sorted(options.formats)])
    summary, start = Summary(), time.monotonic()
    with Journal(options.output, options.resume) as journal, _Workers(options, bundle, jobs) as workers:

        def settle(record: dict[str, Any]) -> None:
            journal.add(record)
            if record.get("error"):
                summary.failed += 1
                summary.statuses.append(record["status"])
            else:
                summary.read += 1
            report(record)

        for task in _tasks(pages, identity):
            known = journal.done.get(task.key)
            if known and not known.get("error") and all((options.output / name).is_file() for name in known["files"]):
                summary.skipped += 1
                report({**known, "skipped": True})
                continue
            if stopped():
                summary.stopped = True
                break
            for record in workers.submit(task):
                settle(record)
        for record in workers.finish():
            settle(record)
    summary.seconds = time.monotonic() - start
    return summary


class _Workers:
    """Processes that read; a few pages wait for each, so that none idles and memory stays bounded."""

    def __init__(self, options: Options, bundle: Path, jobs: int) -> None:
        self._options, self._bundle, self._jobs = options, bundle, jobs
        self._pool: ProcessPoolExecutor | None = None
        self._running: dict[Future[dict[str, Any]], _Task] = {}

    def submit(self, task: _Task) -> Iterator[dict[str, Any]]:
        """Hand a page over; yields the records of pages that were finished meanwhile."""
        while len(self._running) >= 2 * self._jobs:
            yield from self._wait()
        self._start(task)

    def finish(self) -> Iterator[dict[str, Any]]:
        """Wait for all pages in hand."""
        while self._running:
            yield from self._wait()

    def _start(self, task: _Task, jobs: int | None = None) -> None:
        if self._pool is None:
            # Spawned, not forked: threads of the parent's libraries do not survive a fork.
            arguments = (self._bundle, self._options)
            self._pool = ProcessPoolExecutor(
                jobs or self._jobs, mp_context=get_context("spawn"), initializer=_begin, initargs=arguments
            )
        self._running[self._pool.submit(_read_page, task)] = task

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
        """A process has died, and with it the pool: each page that was in hand is read alone, to find which it was."""
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
                problem = ImageRejected("its process was ended, perhaps for want of memory; scale the image down")
                record = _failure(task, problem)
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


def _tasks(pages: Iterable[PageReference], identity: str) -> Iterator[_Task]:
    """Pages with their keys: what a page shows, and how it is read."""
    digests: dict[Any, str] = {}
    for page in pages:
        source = page.source
        where = (source.path, source.url, source.member, id(source.data))
        if where not in digests:
            digests.clear()  # pages of one document follow each other
            digests[where] = _digest(page)
        parts = [digests[where], page.kind, page.number, page.dpi, page.stem.as_posix(), identity]
        yield _Task(hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32], page)


def _digest(page: PageReference) -> str:
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
        image = task.page.load()
        page = reader.read(image, options.mode, language=options.language)
        files = [_write(task.page, page, image, name, options) for name in options.formats]
    except TextRecognizerError as error:
        return _failure(task, error)
    except Exception as error:  # one page that trips us up must not cost the other thousand
        return {**_failure(task, error), "again": True}
    seconds = round(time.monotonic() - start, 3)
    return {**_about(task), "files": files, "lines": len(page.lines), "characters": len(page.text), "seconds": seconds}


def _write(reference: PageReference, page: Page, image: LoadedImage, name: str, options: Options) -> str:
    """Write one file whole, then move it into place. Returns its path below `output`."""
    chosen = formats.get_format(name)
    picture = reference.picture(image) if chosen.needs_picture else None
    document = chosen.write(page, reference.name, picture)
    relative = reference.stem.with_name(reference.stem.name + options.suffix(name))
    target = options.output / relative
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(document)
        fresh.replace(target)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise OutputFailed(f"cannot write {target} ({error.strerror}); make room or choose another --output") from None
    return relative.as_posix()


def _about(task: _Task) -> dict[str, Any]:
    return {"key": task.key, "source": task.page.name, "page": task.page.number, "stem": task.page.stem.as_posix()}


def _failure(task: _Task, error: Exception) -> dict[str, Any]:
    if not isinstance(error, TextRecognizerError):
        meaning, advice = TextRecognizerError.meaning, TextRecognizerError.advice
        error = TextRecognizerError(f"{meaning} ({type(error).__name__}: {error}); {advice}")
    return {**_about(task), "files": [], "error": error.code, "message": str(error), "status": error.exit_status}


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Lets SIGTERM and Ctrl-C end a batch after the pages in hand; a second one ends it at once."""
    asked = [False]

    def ask(number: int, frame: Any) -> None:
        if asked[0]:
            raise KeyboardInterrupt
        asked[0] = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked[0]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
