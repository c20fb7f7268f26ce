"""`text-recognizer batch --ray`: pages read by the actors of a Ray cluster, each with a model of its own.

A page's files are written by the actor that read it, and after them its record in the folder `DONE` of the output. So
nothing is lost with the driver, a node or an actor: Ray starts lost actors again and repeats what they had in hand, and
a page whose record is there is not read once more. Ray Data hands out a few pages at a time, however many there are.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import pickle
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

# Ray reports on its use unless this is set before it is imported.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray
from ray.data import ActorPoolStrategy, DataContext

from text_recognizer import formats
from text_recognizer.batch.journal import about_page, failure
from text_recognizer.batch.read import Options, Summary
from text_recognizer.bundle import sha256
from text_recognizer.description import DESCRIPTION
from text_recognizer.documents import PageReference
from text_recognizer.errors import ImageRejected, OutputFailed, TextRecognizerError, UsageError
from text_recognizer.formats.document import ending, write_file
from text_recognizer.reader import Reader
from text_recognizer.registry import resolve

DONE, BEGUN, ERRORS = ".done", ".begun", "errors.jsonl"
# Of a processor, an actor. With whole ones, two actors on two processors leave none for Ray Data's own tasks, which
# then wait for ever (ray issue 44687).
SHARE = 0.9
AT_ONCE = 8  # pages that are handed to an actor together, at most


class Place:
    """The output: a folder of this machine, or any address that fsspec knows. Files appear in it whole."""

    def __init__(self, address: str) -> None:
        self.address = address
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
            if isinstance(self._files, LocalFileSystem):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                write_file(Path(path), data)
            else:
                self._files.pipe_file(path, data)
        except OSError as error:
            raise OutputFailed(f"cannot write {path} ({error}); choose another --output") from None

    def read(self, name: str) -> bytes | None:
        """None where there is no such file."""
        try:
            return bytes(self._files.cat_file(f"{self._root}/{name}"))
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> set[str]:
        """Names of the files below `folder`, without the folders that they are in."""
        return {str(path).rpartition("/")[2] for path in self._files.find(f"{self._root}/{folder}")}

    def remove(self, name: str) -> None:
        """A file or a folder, if it is there."""
        path = f"{self._root}/{name}"
        if self._files.exists(path):
            self._files.rm(path, recursive=True)


@dataclass(frozen=True, slots=True)
class Task:
    """A page to read; `key` is of what it shows, of the model and of the options."""

    key: str
    page: PageReference


def read_ray(
    pages: Iterable[PageReference],
    options: Options,
    output: str,
    address: str = "local",
    report: Callable[[dict[str, Any]], None] = lambda record: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Summary:
    """Read `pages` on a Ray cluster and write a file a page and format below `output`; returns the counts.

    Args:
        options: as for `read_batch`; `jobs` are actors, None for one a processor; its `output` is not used.
        output: a folder or an fsspec address; with several nodes, one that all of them reach, as they must the sources.
        address: of the cluster, or "local" for one on this machine, for this batch alone.
        report: gets each page's record as it is finished (also of skipped and failed pages).
        stopped: asked between records: once it is true, the batch ends; `options.resume` reads the rest.

    Raises `OutputFailed`, `BundleInvalid`, `UsageError`.
    """
    place = Place(output)
    done = place.names(DONE)
    if done and not options.resume:
        raise UsageError(f"{output} holds the results of a batch: give --resume to go on, or another --output")
    place.remove(BEGUN)  # of a run that has ended: nobody is at these pages any more
    reader = Reader(options.bundle, device=options.device)  # what is wrong with the model is one error, not one a page
    reader.recognizer.in_language(options.language)
    summary, start = Summary(), time.monotonic()
    failures, waiting = [], []
    for task in _tasks(pages, options):
        if f"{task.key}.json" in done:
            summary.skipped += 1
            report({"source": task.page.name, "page": task.page.number, "skipped": True})
        else:
            waiting.append(task)
    for record in _read(waiting, options, place, address) if waiting else ():
        if record.get("error"):
            summary.failed += 1
            summary.statuses.append(record["status"])
            failures.append(record)
        else:
            summary.read += 1
        report(record)
        if stopped() and summary.read + summary.failed < len(waiting):
            summary.stopped = True
            break
    place.remove(BEGUN)
    place.remove(ERRORS)
    if failures:
        place.write(ERRORS, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in failures).encode())
    summary.seconds = time.monotonic() - start
    return summary


def _read(tasks: list[Task], options: Options, place: Place, address: str) -> Iterator[dict[str, Any]]:
    """The records of `tasks`, as they are finished."""
    local = address == "local"
    try:
        ray.init(
            address=address,
            num_cpus=options.jobs if local else None,
            include_dashboard=False if local else None,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except Exception as error:  # Ray raises bare ones too
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UsageError(f"no Ray answers or starts at '{address}' ({reason}); or read without --ray") from None
    try:
        actors = min(len(tasks), options.jobs or max(1, int(ray.cluster_resources().get("CPU", 1))))
        DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        together = max(1, min(AT_ONCE, len(tasks) // (4 * actors)))
        rows = ray.data.from_items(
            [{"task": pickle.dumps(task)} for task in tasks], override_num_blocks=math.ceil(len(tasks) / together)
        )
        reading = rows.map(
            Actor, fn_constructor_args=(options, place), num_cpus=SHARE, compute=ActorPoolStrategy(size=actors)
        )
        for row in reading.iter_rows():
            yield json.loads(row["record"])
    finally:
        ray.shutdown()


class Actor:
    """Reads pages with one model on one thread, in a process of Ray's."""

    def __init__(self, options: Options, place: Place) -> None:
        self._options, self._place = options, place
        self._reader = Reader(options.bundle, threads=1, device=options.device)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """From `task` to `record`, as JSON."""
        task: Task = pickle.loads(row["task"])  # of our own driver
        done = f"{DONE}/{task.key[:2]}/{task.key}.json"
        # Ray repeats a row whose result was lost with its node, and one that ended its process.
        if (record := self._place.read(done)) is None:
            begun = f"{BEGUN}/{task.key}"
            times = int(self._place.read(begun) or 0)
            if times > self._options.retry:
                problem = ImageRejected("its process was killed, perhaps because memory ran out; scale the image down")
                return {"record": json.dumps(failure(task.key, task.page, problem))}
            self._place.write(begun, str(times + 1).encode())
            found = self._attempt(task)
            self._place.remove(begun)
            record = json.dumps(found, ensure_ascii=False).encode()
            if not found.get("error"):
                self._place.write(done, record)
        return {"record": record.decode()}

    def _attempt(self, task: Task) -> dict[str, Any]:
        for left in reversed(range(self._options.retry + 1)):
            try:
                return self._read(task)
            except TextRecognizerError as error:
                return failure(task.key, task.page, error)
            except Exception as error:  # one page that trips us up must not cost the other thousand
                if not left:
                    return failure(task.key, task.page, error)
        raise AssertionError

    def _read(self, task: Task) -> dict[str, Any]:
        start, options, reference, files = time.monotonic(), self._options, task.page, []
        image = reference.load()
        page = self._reader.read(image, options.mode, language=options.language)
        for name in options.formats:
            chosen = formats.get_format(name)
            picture = reference.picture(image) if chosen.needs_picture else None
            file = reference.stem.with_name(reference.stem.name + ending(name, options.formats, 1)).as_posix()
            self._place.write(file, chosen.write(page, reference.name, picture))
            files.append(file)
        seconds = round(time.monotonic() - start, 3)
        counts = {"lines": len(page.lines), "characters": len(page.text), "seconds": seconds}
        return {**about_page(task.key, task.page), "files": files, **counts}


def _tasks(pages: Iterable[PageReference], options: Options) -> Iterator[Task]:
    """Raises `UsageError` for a document that would be sent along with each of its pages."""
    model = sha256(resolve(options.bundle) / DESCRIPTION)
    identity = [model, options.mode, options.language, sorted(options.formats)]
    shown: dict[Any, str] = {}
    for page in pages:
        source = page.source
        if source.data is not None and page.count > 1:
            raise UsageError(f"{page.name} is not a file; save it to one that all nodes reach, and give that")
        where = (source.path, source.url, source.entry, source.member)
        if where not in shown:
            shown.clear()  # pages of one document follow each other
            shown[where] = _digest(page)
        parts = [shown[where], page.kind, page.number, page.dpi, page.stem.as_posix(), identity]
        yield Task(hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32], page)


def _digest(page: PageReference) -> str:
    if page.source.url is not None:
        return page.source.url
    try:
        opened = page.source.opened
        return sha256(opened) if isinstance(opened, Path) else hashlib.sha256(opened).hexdigest()
    except (TextRecognizerError, OSError):
        return ""  # reading it says what is wrong
