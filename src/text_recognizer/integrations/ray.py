"""`text-recognizer batch --ray`: read pages with the actors of a Ray cluster, each with its own model.

The actor that read a page writes its files, and then its record in the folder `DONE` of the output. So nothing is lost
with the driver, a node or an actor: Ray restarts lost actors and repeats their pending pages, and a page that has a
record is not read again. Ray Data hands out a few pages at a time, however many there are. When all pages are read,
multi-page documents are assembled in the same way.
"""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

# Ray sends usage statistics unless this is set before the import.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray
from ray.data import ActorPoolStrategy, DataContext

from text_recognizer.batch.journal import about_page, as_line, failure
from text_recognizer.batch.read import Folder, Summary
from text_recognizer.batch.work import PAGES, Documents, Options, Task, put_together, read_page, tasks
from text_recognizer.documents import PageReference
from text_recognizer.errors import ImageRejected, OutputFailed, TextRecognizerError, UsageError
from text_recognizer.reader import Reader
from text_recognizer.registry import resolve

DONE, BEGUN, ERRORS = ".done", ".begun", "errors.jsonl"
# Processors per actor. With whole processors, two actors on two processors leave none for Ray Data's own tasks, which
# then wait forever (ray issue 44687).
SHARE = 0.9
AT_ONCE = 8  # most pages handed to an actor together


class Place:
    """The output: a local folder, or any fsspec address. Files only appear there when they are complete."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._beside: tempfile.TemporaryDirectory[str] | None = None
        try:
            self._files, self._root = fsspec.url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise UsageError(
                f"--output {address} cannot be opened ({error}); give a folder or an fsspec address"
            ) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return Place, (self.address,)

    def write(self, name: str, data: bytes) -> None:
        """Raises `OutputFailed`."""
        path = f"{self._root}/{name}"
        try:
            if self.local is not None:
                Folder(self.local).write(name, data)
            else:
                self._files.pipe_file(path, data)
        except OSError as error:
            raise OutputFailed(f"cannot write {path} ({error}); choose another --output") from None

    @property
    def local(self) -> Path | None:
        """The folder, if it is local."""
        return Path(self._root) if isinstance(self._files, LocalFileSystem) else None

    def folder(self, name: str) -> Path:
        """A local folder to write `name` to; `collect` moves the files from there."""
        root = self.local
        if root is None:
            self._beside = self._beside or tempfile.TemporaryDirectory()
            root = Path(self._beside.name)
        return Folder(root).folder(name)

    def collect(self) -> None:
        """Move the files in `folder` to the output. Raises `OutputFailed`."""
        if self._beside is not None:
            root = Path(self._beside.name)
            try:
                for file in sorted(file for file in root.rglob("*") if file.is_file()):
                    self._files.put_file(str(file), f"{self._root}/{file.relative_to(root).as_posix()}")
            except OSError as error:
                raise OutputFailed(f"cannot write {self.address} ({error}); choose another --output") from None
            finally:
                self._beside.cleanup()
                self._beside = None

    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is no such file."""
        try:
            return bytes(self._files.cat_file(f"{self._root}/{name}"))
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> set[str]:
        """Names of the files in `folder` and its subfolders, without their paths."""
        return {str(path).rpartition("/")[2] for path in self._files.find(f"{self._root}/{folder}")}

    def remove(self, name: str) -> None:
        """Remove a file or folder if it exists."""
        path = f"{self._root}/{name}"
        if self._files.exists(path):
            self._files.rm(path, recursive=True)


def read_ray(
    pages: Iterable[PageReference],
    options: Options,
    output: str,
    address: str = "local",
    report: Callable[[dict[str, Any]], None] = lambda record: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Summary:
    """Read `pages` on a Ray cluster, and write a file for each document and format to `output`. Returns the counts.

    Args:
        options: as for `read_batch`; `jobs` is the number of actors, None for one per processor; `output` is not used.
        output: a folder or an fsspec address. With several nodes, all of them must reach it, and the sources too.
        address: of the cluster, or "local" for a cluster on this machine that only serves this batch.
        report: receives the record of each page when it is finished, skipped or failed.
        stopped: checked between records; once it is true, the batch ends, and `options.resume` reads the rest.

    Raises `OutputFailed`, `BundleInvalid`, `UsageError`.
    """
    place = Place(output)
    done = place.names(DONE)
    if done and not options.resume:
        raise UsageError(f"{output} holds the results of a batch: give --resume to go on, or another --output")
    place.remove(BEGUN)  # left by an earlier run; nobody reads these pages any more
    bundle = resolve(options.bundle)
    reader = Reader(bundle, device=options.device)  # report a bad model once, not for each page
    reader.recognizer.in_language(options.language)
    summary, documents, start = Summary(), Documents(), time.monotonic()
    failures: list[dict[str, Any]] = []
    kept = place.names(PAGES) if options.table else set()
    waiting = []
    for task in tasks(_sent(pages), options.identity(bundle), place.local, _Results(place, done)):
        assert task is not None
        if task.of_document:
            documents.add(task)
        if f"{task.key}.json" in done and (not options.table or f"{task.key}.json" in kept):
            summary.skipped += 1
            report({**about_page(task.key, task.page), "skipped": True})
            documents.settle(task.key, fresh=False)
        else:
            waiting.append(task)
    documents.end()

    def settle(records: Iterable[dict[str, Any]]) -> None:
        for record in records:
            failed, whole = bool(record.get("error")), "document" in record
            if failed:
                summary.statuses.append(record["status"])
                failures.append(record)
            summary.failed += failed
            summary.read += not failed and not whole
            if failed or not whole:
                report(record)
            documents.settle(record["key"], fresh=not failed)
            if stopped():
                summary.stopped = True
                return

    def unfinished() -> list[Task]:
        ready, documents.ready = documents.ready, []
        return [task for task, fresh in ready if fresh or f"{task.key}.json" not in done]

    if waiting or documents.ready:
        with _cluster(address, options) as actors:
            settle(_read(waiting, options, place, actors))
            if not summary.stopped:
                settle(_read(unfinished(), options, place, actors))
    place.remove(BEGUN)
    place.remove(ERRORS)
    if failures:
        place.write(ERRORS, b"".join(map(as_line, failures)))
    summary.seconds = time.monotonic() - start
    return summary


class _Results:
    """Names of the files of an earlier run; its records are only read if a source is among them."""

    def __init__(self, place: Place, done: set[str]) -> None:
        self._place, self._done = place, done
        self._names: set[str] | None = None

    def __contains__(self, name: object) -> bool:
        if self._names is None:
            found = (self._place.read(f"{DONE}/{key[:2]}/{key}") for key in self._done)
            self._names = {str(file) for record in found if record for file in json.loads(record)["files"]}
        return name in self._names


def _sent(pages: Iterable[PageReference]) -> Iterator[PageReference]:
    """Pass `pages` on. Raises `UsageError` for a document that would be sent along with each of its pages."""
    for page in pages:
        if page.source.data is not None and page.count > 1:
            raise UsageError(f"{page.name} is not a file; save it to one that all nodes reach, and give that")
        yield page


@contextmanager
def _cluster(address: str, options: Options) -> Iterator[int]:
    """Connect to Ray; yields the number of reading actors."""
    local = address == "local"
    try:
        ray.init(
            address=address,
            num_cpus=options.jobs if local else None,
            include_dashboard=False if local else None,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except Exception as error:  # Ray also raises bare exceptions
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(f"no Ray answers or starts at '{address}' ({reason}); or read without --ray") from None
    try:
        DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        yield options.jobs or max(1, int(ray.cluster_resources().get("CPU", 1)))
    finally:
        ray.shutdown()


def _read(waiting: list[Task], options: Options, place: Place, most: int) -> Iterator[dict[str, Any]]:
    """Yield the records of the `waiting` tasks as `most` actors finish them."""
    if not waiting:
        return
    actors = min(len(waiting), most)
    together = max(1, min(AT_ONCE, len(waiting) // (4 * actors)))
    rows = ray.data.from_items(
        [{"task": pickle.dumps(task)} for task in waiting], override_num_blocks=math.ceil(len(waiting) / together)
    )
    reading = rows.map(
        Actor, fn_constructor_args=(options, place), num_cpus=SHARE, compute=ActorPoolStrategy(size=actors)
    )
    for row in reading.iter_rows():
        yield json.loads(row["record"])


class Actor:
    """Reads pages with one model on one thread, in a process of Ray's."""

    def __init__(self, options: Options, place: Place) -> None:
        self._options, self._place = options, place
        self._reader = Reader(options.bundle, threads=1, device=options.device)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Turn a row with `task` into a row with `record`, as JSON."""
        task: Task = pickle.loads(row["task"])  # made by our own driver
        done = f"{DONE}/{task.key[:2]}/{task.key}.json"
        # Ray repeats a row if its result was lost with a node, or if it killed its process.
        if (record := self._place.read(done)) is None:
            begun = f"{BEGUN}/{task.key}"
            times = int(self._place.read(begun) or 0)
            if times > self._options.retry:
                problem = ImageRejected("its process was killed, perhaps because memory ran out; scale the image down")
                return {"record": as_line(failure(task.key, task.page, problem)).decode()}
            self._place.write(begun, str(times + 1).encode())
            found = self._attempt(task)
            self._place.remove(begun)
            record = as_line(found)
            if not found.get("error"):
                self._place.write(done, record)
        return {"record": record.decode()}

    def _attempt(self, task: Task) -> dict[str, Any]:
        about = {"document": True} if task.parts else {}
        for left in reversed(range(self._options.retry + 1)):
            try:
                if task.parts:
                    return put_together(task, self._options, self._place)
                return read_page(task, self._reader, self._options, self._place)
            except TextRecognizerError as error:
                return {**failure(task.key, task.page, error), **about}
            except Exception as error:  # one bad page must not fail the others
                if not left:
                    return {**failure(task.key, task.page, error), **about}
        raise AssertionError
