"""Read many pages in several processes: files appear complete, and a bad page does not affect the others."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path, PurePosixPath
from shutil import disk_usage
from threading import Thread
from typing import Any

from text_recognizer.batch.journal import Journal, failure
from text_recognizer.batch.work import Documents, Options, Task, kept_page, put_together, read_page, tasks
from text_recognizer.documents import PageReference
from text_recognizer.errors import ImageRejected, OutputFailed, TextRecognizerError
from text_recognizer.formats.document import write_file
from text_recognizer.reader import Reader
from text_recognizer.registry import resolve

FULL = 2**20  # bytes; with less space on the output's disk, no further page is read


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


def read_batch(
    pages: Iterable[PageReference | None],
    options: Options,
    report: Callable[[dict[str, Any]], None] = lambda record: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Summary:
    """Read `pages` and write their files. Returns the counts.

    A None among `pages` ends the current document, like the end of `pages`.
    `report` receives the record of each page when it is finished, skipped or failed. `stopped` is checked between
    pages: once it is true, pages in progress are finished and no new ones are started. A page that kills its process
    (out of memory, a library crash) is tried again alone, and then counts as failed.
    Raises `OutputFailed` if the output folder cannot be written, `BundleInvalid`, `UsageError`.
    """
    jobs = options.jobs or _cores()
    bundle = resolve(options.bundle)
    reader = Reader(bundle, device=options.device)  # report a damaged model or a wrong language once, not for each page
    reader.check_device()
    reader.recognizer.in_language(options.language)
    summary, documents, start = Summary(), Documents(), time.monotonic()
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
                if record.get("error") == OutputFailed.code and disk_usage(options.output).free < FULL:
                    raise OutputFailed(f"no room is left in {options.output}; make some and give --resume")
                documents.settle(record["key"], fresh=not failed)

        def put_together() -> None:
            while documents.ready:
                task, fresh = documents.ready.pop()
                if fresh or not journal.has(task.key):
                    settle(workers.submit(task))

        for task in tasks(pages, options.identity(bundle), options.output, journal.files):
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
            documents.end()  # an incomplete document is left for the next run
        while True:
            settle(workers.finish())
            if not documents.ready:
                break
            put_together()
    summary.seconds = time.monotonic() - start
    return summary


class _Workers:
    """Reading processes with a short queue each, so that none is idle and memory is bounded."""

    def __init__(self, options: Options, bundle: Path, jobs: int) -> None:
        self._options, self._bundle, self._jobs = options, bundle, jobs
        self._pool: ProcessPoolExecutor | None = None
        self._running: dict[Future[dict[str, Any]], Task] = {}

    def submit(self, task: Task) -> Iterator[dict[str, Any]]:
        """Submit a page; yields the records of pages that were finished in the meantime."""
        while len(self._running) >= 2 * self._jobs:
            yield from self._wait()
        self._start(task)

    def finish(self) -> Iterator[dict[str, Any]]:
        """Wait for all submitted pages."""
        while self._running:
            yield from self._wait()

    def _start(self, task: Task, jobs: int | None = None) -> None:
        if self._pool is None:
            # Spawn, not fork: the threads of the parent's libraries do not survive a fork.
            arguments = (self._bundle, self._options)
            self._pool = ProcessPoolExecutor(
                jobs or self._jobs, mp_context=get_context("spawn"), initializer=_begin, initargs=arguments
            )
        self._running[self._pool.submit(_do, task)] = task

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

    def _one_by_one(self, tasks: Sequence[Task]) -> Iterator[dict[str, Any]]:
        """Read unfinished pages one at a time after a process died, to find the page that killed it."""
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

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            for process in active_children():  # do not wait seconds for their pages
                process.kill()
        self._close()


# ------------------------------------------------------------------------------------------------ in the processes

_state: dict[str, Any] = {}


def _begin(bundle: Path, options: Options) -> None:
    # Ctrl-C reaches the whole process group, and SIGTERM often does; the parent decides what is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    reader = Reader(bundle, threads=1, device=options.device)
    _state.update(reader=reader, options=options, place=Folder(options.output))


def _end_with_parent() -> None:
    # A process that waits for its next page does not notice that its parent has died.
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class Folder:
    """The output folder as the `Place` of results."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def write(self, name: str, data: bytes) -> None:
        write_file(self.folder(name) / PurePosixPath(name).name, data)

    def read(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            return None

    def folder(self, name: str) -> Path:
        folder = (self._root / name).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputFailed(f"cannot write {folder} ({error.strerror}); choose another --output") from None
        return folder

    def collect(self) -> None:
        pass


def _do(task: Task) -> dict[str, Any]:
    """Read a page or assemble a document. Returns the record for the journal; "again" means that a retry may help."""
    options: Options = _state["options"]
    about = {"document": True} if task.parts else {}
    try:
        if task.parts:
            return put_together(task, options, _state["place"])
        return read_page(task, _state["reader"], options, _state["place"])
    except TextRecognizerError as error:
        return {**failure(task.key, task.page, error), **about}
    except Exception as error:  # one bad page must not fail the others
        return {**failure(task.key, task.page, error), **about, "again": True}


def _cores() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Let SIGTERM and Ctrl-C end a batch after the current pages; a second signal ends it at once."""
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
