"""The engine of the service: a bounded queue of pages, and threads that lay them out and read their lines.

A page is first laid out: it is decoded, and its lines are found and cropped. Its lines then join the lines of other
pages in one pool, from which batches are read. Each thread takes the next step. ONNX Runtime runs on that thread only,
so there is one step for each core. Steps are short: between them the engine notices that a client has disconnected or
a deadline has passed, and drops the rest of that page.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import cv2
import numpy as np

from text_recognizer.devices import share_python
from text_recognizer.errors import TextRecognizerError, UsageError
from text_recognizer.feedback.statistics import Wording, image_statistics, page_statistics
from text_recognizer.images import LoadedImage, load_image
from text_recognizer.page import Line, Mode, Page, Polygon
from text_recognizer.reader import LaidOut, Reader
from text_recognizer.registry import ALIASES, REGISTRY, Registry, resolve
from text_recognizer.service import heap
from text_recognizer.service.metrics import Metrics
from text_recognizer.service.problems import Broken, DeadlineExceeded, LanguageUnknown, NotReady, Overloaded
from text_recognizer.service.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")

# Lines in a batch: larger batches save little (docs/serve/service.md), and a step in accurate mode must stay short.
BATCH: dict[Mode, int] = {"fast": 16, "accurate": 8}
# A page is refused if it is expected to take more than this share of its remaining time: the first on arrival, the
# second while it waits. Costs vary, by a factor of two when other programs use the cores. With the same share for
# both, a page would be admitted, wait, and be refused after all.
PUNCTUAL, PATIENT = 0.5, 0.9
LEARNING = 0.3  # weight of the latest page in the running mean of costs
STUCK = 3.0  # a step that takes longer than this many deadlines will never end
STOP_SECONDS = 4.0  # for all steps in progress together, when the service stops
RETRY_SECONDS = 5.0  # between attempts to load a model


@dataclass(frozen=True, slots=True)
class Layout:
    """Outlines of the lines found on an image of this size. Some of them may turn out to be empty."""

    width: int
    height: int
    polygons: tuple[Polygon, ...]


@dataclass(eq=False)
class Job:
    """A page in progress. Threads fill it in; the coroutine that submitted it waits for it."""

    image: bytes | LoadedImage
    mode: Mode
    deadline: float  # of time.monotonic()
    loop: asyncio.AbstractEventLoop
    forget: Callable[[Job], None]
    language: str | None = None  # the requested language; after the layout, the language that the page is read in
    streamed: bool = False  # a caller waits for the layout and each line; each report wakes the event loop
    came: float = field(default_factory=time.monotonic)
    page: asyncio.Future[Page] = field(init=False)
    laid_out: asyncio.Future[Layout] = field(init=False)
    lines: asyncio.Queue[tuple[int, Line] | None] = field(init=False, default_factory=asyncio.Queue)
    # The fields below belong to the threads.
    reader: Reader | None = None
    layout: LaidOut | None = None
    read: list[Line | None] = field(default_factory=list)
    missing: int = 0
    statistics: dict[str, float] = field(default_factory=dict)
    cost: float = 0.0  # seconds of threads
    began: float = 0.0
    found: float = 0.0
    done: float = 0.0

    def __post_init__(self) -> None:
        self.page, self.laid_out = self.loop.create_future(), self.loop.create_future()
        for future in (self.page, self.laid_out):  # asyncio must not log errors for a caller that gave up
            future.add_done_callback(lambda f: f.cancelled() or f.exception())

    def drop(self) -> None:
        """Abandon the page: its remaining lines will not be read."""
        self.forget(self)

    async def wait(self) -> Page:
        """Wait for the page and return it. Raises `ImageRejected`, `DeadlineExceeded`, `Broken`, `NotReady`."""
        return await self._in_time(_of(self.page))

    async def wait_for_layout(self) -> Layout:
        """Return the outlines of the lines as soon as they are known; for streamed jobs. Raises as `wait` does."""
        return await self._in_time(_of(self.laid_out))

    async def stream(self) -> AsyncIterator[Line]:
        """Yield the lines of a streamed job in order, each as soon as it and all earlier lines are read.

        Raises as `wait` does.
        """
        early: dict[int, Line] = {}
        due = 0
        while (item := await self._in_time(self.lines.get())) is not None:
            early.update([item])
            while due in early:
                line = early.pop(due)
                due += 1
                if line.text:
                    yield line

    async def _in_time(self, what: Coroutine[Any, Any, T]) -> T:
        try:
            return await asyncio.wait_for(what, max(0.0, self.deadline - time.monotonic()))
        except TimeoutError:
            self.drop()
            raise DeadlineExceeded(
                "the page could not be read in time; try again later, with a smaller image, or with mode=fast"
            ) from None

    def timings(self) -> dict[str, float]:
        """Seconds, rounded to milliseconds."""
        spans = {
            "queued": self.began - self.came,
            "layout": self.found - self.began,
            "recognition": self.done - self.found,
            "total": self.done - self.came,
        }
        return {name: round(seconds, 3) for name, seconds in spans.items()}

    # ------------------------------------------------------------------------------------- called by the threads

    def report_layout(self, layout: Layout) -> None:
        if not self.streamed:
            return

        def end() -> None:
            if not self.laid_out.done():
                self.laid_out.set_result(layout)

        self._call(end)

    def report_line(self, index: int, line: Line) -> None:
        if self.streamed:
            self._call(lambda: self.lines.put_nowait((index, line)))

    def report_page(self, page: Page) -> None:
        def end() -> None:
            self.lines.put_nowait(None)
            if not self.page.done():
                self.page.set_result(page)

        self._call(end)

    def report_failure(self, error: TextRecognizerError) -> None:
        def end() -> None:
            for future in (self.laid_out, self.page):
                if not future.done():
                    future.set_exception(error)
            self.lines.put_nowait(None)

        self._call(end)

    def _call(self, what: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self.loop.call_soon_threadsafe(what)


class Engine:
    """Reads pages with `settings.reading_threads` threads; `start` and `stop` it."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self.reader: Reader | None = None
        self._wordings: WeakKeyDictionary[Reader, Wording] = WeakKeyDictionary()
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._working: set[Job] = set()
        self._lines: deque[tuple[Job, int]] = deque()
        self._busy: dict[int, float] = {}  # thread → when its step began
        self._steps = 0  # begun so far
        self._costs: dict[Mode, float] = {"fast": 0.5, "accurate": 1.0}  # thread seconds for a page, running means
        self._closing = threading.Event()

    # --------------------------------------------------------------------------------------------- for the service

    def start(self) -> None:
        """Start the threads and return at once; `ready` becomes true when the model is loaded and warm."""
        cv2.setNumThreads(1)  # the threads here are the parallelism
        heap.share_one()
        share_python()  # the event loop needs the interpreter's lock several times for each request
        # Pillow warns about oddities in files that it can read, and Python keeps each warning forever.
        warnings.filterwarnings("ignore", module="PIL")
        self._start(self._keep_model, "model")
        self._start(partial(heap.return_free, lambda: self._steps, self._closing), "memory")
        for number in range(self.settings.reading_threads):
            self._start(self._work, f"reader-{number}")

    def stop(self) -> None:
        """End the threads after their current steps; unfinished pages fail with `NotReady`."""
        self._closing.set()
        with self._changed:
            left = [*self._waiting, *self._working]
            self._waiting.clear()
            self._lines.clear()
            self._changed.notify_all()
        for job in left:
            self._fail(job, NotReady("the service is stopping; try again", retry_after=1))
        end = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    @property
    def ready(self) -> bool:
        return self.reader is not None and not self._closing.is_set()

    @property
    def stuck(self) -> bool:
        """Whether all threads have been stuck for so long that only a new process will help."""
        late = time.monotonic() - STUCK * self.settings.deadline
        busy = list(self._busy.values())
        return len(busy) == self.settings.reading_threads and all(began < late for began in busy)

    def submit(
        self,
        image: bytes | LoadedImage,
        mode: Mode,
        deadline: float,
        language: str | None = None,
        *,
        streamed: bool = False,
    ) -> Job:
        """Put an image, encoded or decoded, into the queue; call it within an event loop.

        `streamed`: report the layout and each line, not only the page.
        Raises `NotReady`, `Overloaded`, `LanguageUnknown`.
        """
        reader = self.reader
        if reader is None or not self.ready:
            raise NotReady("the model is being loaded; try again in some seconds", retry_after=2)
        try:
            reader.recognizer.in_language(language)
        except UsageError as error:
            raise LanguageUnknown(str(error)) from None
        job = Job(image, mode, deadline, asyncio.get_running_loop(), self._forget, language, streamed)
        with self._changed:
            ahead = sum(self._left(other) for other in (*self._waiting, *self._working))
            if len(self._waiting) >= self.settings.queue or self._is_late(job, ahead, PUNCTUAL):
                raise self._overloaded(ahead)
            self._waiting.append(job)
            self._changed.notify()
        self._count()
        return job

    def _left(self, job: Job) -> float:
        """Thread seconds that a page is expected to take from now on."""
        return max(0.1 * self._costs[job.mode], self._costs[job.mode] - job.cost)

    def _is_late(self, job: Job, ahead: float, share: float) -> bool:
        """Whether a page would take more than `share` of its time, behind others that take `ahead` thread seconds.

        Such a page is refused at once. To wait in vain is worse, and it would delay pages that can be answered in time.
        """
        seconds = (ahead + self._costs[job.mode]) / self.settings.reading_threads
        return ahead > 0 and seconds > share * (job.deadline - time.monotonic())

    def _overloaded(self, ahead: float) -> Overloaded:
        wait = ahead / self.settings.reading_threads / 2
        return Overloaded("too many pages wait to be read; try again later", retry_after=min(60.0, wait))

    def _learn(self, job: Job) -> None:
        """Update the expected cost of a page from a finished one, and refuse waiting pages that will now be late."""
        late: list[tuple[Job, float]] = []
        with self._changed:
            self._costs[job.mode] += LEARNING * (job.cost - self._costs[job.mode])
            ahead = sum(map(self._left, self._working))
            in_time: deque[Job] = deque()
            for waiting in self._waiting:
                if self._is_late(waiting, ahead, PATIENT):
                    late.append((waiting, ahead))
                else:
                    in_time.append(waiting)
                    ahead += self._costs[waiting.mode]
            self._waiting = in_time
        for refused, ahead in late:
            self._fail(refused, self._overloaded(ahead))

    def statistics(self, image: LoadedImage, page: Page) -> dict[str, float]:
        """The statistics of an image and its page, the same as those of a job."""
        reader = self.reader
        wording = Wording("") if reader is None else self._wordings[reader]
        return {**image_statistics(image.gray), **page_statistics(page, wording)}

    # ------------------------------------------------------------------------------------------------- the threads

    def _start(self, target: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=target, name=f"text-recognizer-{name}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _work(self) -> None:
        me = threading.get_ident()
        while True:
            with self._changed:
                while (step := self._next_step()) is None:
                    if self._closing.is_set():
                        return
                    self._changed.wait()
                self._busy[me] = time.monotonic()
                self._steps += 1
            self._count()
            try:
                step()
            except Exception:  # steps report the failures of their pages; the thread must survive any other error
                log.exception("a step of reading failed")
            finally:
                self._busy.pop(me, None)
                del step  # it holds a page
                self._count()

    def _next_step(self) -> Callable[[], None] | None:
        """Take the next step out of the queues; the caller holds the lock."""
        reader = self.reader
        # Lines of several pages fill a batch. Begin no more pages than that needs.
        if self._waiting and reader is not None and len(self._lines) < BATCH[self._waiting[0].mode]:
            job = self._waiting.popleft()
            self._working.add(job)
            return partial(self._lay_out, job, reader)
        if not self._lines:
            return None
        idle = max(1, self.settings.reading_threads - len(self._busy))
        first, _ = self._lines[0]
        size = min(BATCH[first.mode], math.ceil(len(self._lines) / idle))
        batch: list[tuple[Job, int]] = []
        others: deque[tuple[Job, int]] = deque()
        for job, index in self._lines:
            alike = job.mode == first.mode and job.reader is first.reader and job.language == first.language
            (batch if alike and len(batch) < size else others).append((job, index))
        self._lines = others
        return partial(self._read, batch)

    def _forget(self, job: Job) -> None:
        """Remove a page that nobody waits for any more, unless it is done."""
        with self._changed:
            if job in self._working:
                self._working.discard(job)
                self._lines = deque(item for item in self._lines if item[0] is not job)
            elif job in self._waiting:
                self._waiting.remove(job)
            else:
                return
        self.metrics.dropped.inc()
        self._count()

    def _lay_out(self, job: Job, reader: Reader) -> None:
        job.began = time.monotonic()
        try:
            settings = self.settings
            image = load_image(job.image, max_pixels=settings.max_pixels, max_bytes=settings.max_bytes, colour=False)
            job.image = b""
            job.layout = reader.lay_out(image, language=job.language)
            job.language = job.layout.language
            job.statistics.update(image_statistics(image.gray))
            del image
        except TextRecognizerError as error:
            self._fail(job, error)
            return
        except Exception:
            log.exception("a page could not be laid out")
            self._fail(job, Broken())
            return
        job.found = time.monotonic()
        job.cost += job.found - job.began
        job.reader = reader
        job.missing = len(job.layout.crops)
        job.read = [None] * job.missing
        job.report_layout(
            Layout(job.layout.width, job.layout.height, tuple(polygon for polygon, _ in job.layout.places))
        )
        if not job.missing:
            self._finish(job)
            return
        with self._changed:
            if job in self._working:
                self._lines.extend((job, index) for index in range(job.missing))
                self._changed.notify_all()

    def _read(self, batch: list[tuple[Job, int]]) -> None:
        jobs = list(dict.fromkeys(job for job, _ in batch))
        reader, layouts = jobs[0].reader, {job: job.layout for job in jobs}
        assert reader is not None
        begin = time.monotonic()
        try:
            crops = [layout.crops[index] for job, index in batch if (layout := layouts[job]) is not None]
            readings = reader.recognizer.in_language(jobs[0].language).read_lines(
                crops, jobs[0].mode, only_writing=True
            )
        except Exception:
            if len(jobs) > 1:  # one bad page must not fail the others
                for job in jobs:
                    self._read([item for item in batch if item[0] is job])
                return
            log.exception("lines could not be read")
            self._fail(jobs[0], Broken())
            return
        seconds = (time.monotonic() - begin) / len(batch)
        self.metrics.batch.observe(len(batch))
        self.metrics.batch_pages.observe(len(jobs))
        finished = []
        for (job, index), reading in zip(batch, readings, strict=True):
            layout = layouts[job]
            assert layout is not None
            line = layout.line(index, reading)
            with self._changed:
                job.cost += seconds
                job.read[index] = line
                job.missing -= 1
                if not job.missing:
                    finished.append(job)
            job.report_line(index, line)
        for job in finished:
            self._finish(job)

    def _finish(self, job: Job) -> None:
        assert job.layout is not None and job.reader is not None
        job.done = time.monotonic()
        with self._changed:
            if job not in self._working:
                return
            self._working.discard(job)
        self._learn(job)
        page = job.layout.page((line for line in job.read if line is not None), job.reader.model)
        job.layout = None
        job.statistics.update(page_statistics(page, self._wordings[job.reader]))
        counts = self.metrics
        counts.pages.labels(job.mode).inc()
        counts.lines.inc(len(page.lines))
        counts.characters.inc(sum(len(line.text) for line in page.lines))
        for line in page.lines:
            counts.confidence.observe(line.confidence)
        counts.observe(job.statistics)
        timings = job.timings()
        for stage in ("queued", "layout", "recognition"):
            counts.stages.labels(stage).observe(timings[stage])
        job.report_page(page)

    def _fail(self, job: Job, error: TextRecognizerError) -> None:
        with self._changed:
            self._working.discard(job)
            self._lines = deque(item for item in self._lines if item[0] is not job)
        job.image = b""
        job.report_failure(error)

    def _count(self) -> None:
        self.metrics.waiting.set(len(self._waiting))
        self.metrics.working.set(len(self._working))

    # --------------------------------------------------------------------------------------------------- the model

    def _keep_model(self) -> None:
        """Load the model, and later newly promoted ones; pages in progress finish with the model they began with."""
        settings = self.settings
        seen = self._registry_state()
        while not self._load():
            if self._closing.wait(RETRY_SECONDS):
                return
            seen = self._registry_state()
        if settings.model not in ALIASES or not settings.reload_seconds:
            return
        while not self._closing.wait(settings.reload_seconds):
            state = self._registry_state()
            if state != seen and self._load():
                seen = state

    def _registry_state(self) -> tuple[int, int] | None:
        try:
            status = (Registry().folder / REGISTRY).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _load(self) -> bool:
        """Load the model that the settings name, if it is not loaded yet. Returns whether it is in use now."""
        before = self.reader
        try:
            if before is not None and self._names(before):
                return True
            reader = Reader(self.settings.model, threads=1, device=self.settings.device)
            _warm(reader)
            heap.settle()
        except Exception as error:
            expected = isinstance(error, TextRecognizerError)
            log.error("the model %s cannot be loaded: %s", self.settings.model or "", error, exc_info=not expected)
            self.metrics.reloads.labels("failed").inc()
            return False
        with self._changed:
            self._wordings[reader] = Wording.of(reader.bundle, reader.recognizer.language)
            self.reader = reader
            self._changed.notify_all()
        if before is not None:
            self.metrics.model.remove(before.bundle.name, before.bundle.version)
            self.metrics.reloads.labels("changed").inc()
        self.metrics.model.labels(reader.bundle.name, reader.bundle.version).set(1)
        log.info("reading with %s", reader.model)
        return True

    def _names(self, reader: Reader) -> bool:
        return resolve(self.settings.model) == reader.bundle.path


async def _of(future: asyncio.Future[T]) -> T:
    # Shielded: a caller that gives up must not cancel what others wait for.
    return await asyncio.shield(future)


def _warm(reader: Reader) -> None:
    """Load everything that reading needs, so that the model's files may be removed afterwards."""
    page = np.full((200, 480), 235, np.uint8)
    cv2.putText(page, "the quick brown fox", (30, 110), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1.3, 40, 2, cv2.LINE_AA)
    reader.lay_out(page)
    modes: tuple[Mode, ...] = ("fast", "accurate")
    for mode in modes:
        reader.recognizer.read_lines([page], mode)
    for language in reader.languages:
        _ = reader.recognizer.in_language(language).language  # all languages share the networks
