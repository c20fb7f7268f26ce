"""Keeps readings in the store before they are answered: one thread, and one transaction for all that wait."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from text_recognizer.errors import FeedbackUnavailable
from text_recognizer.service.metrics import Metrics
from text_recognizer.service.recent import Remembered
from text_recognizer.service.settings import LogKeep

if TYPE_CHECKING:
    from text_recognizer.feedback.store import Store

log = logging.getLogger(__name__)

WAIT_SECONDS = 2.0
"""How long an answer waits until its reading is kept; then it goes out all the same."""
AT_ONCE = 64  # readings in a transaction
WAITING, WAITING_BYTES = 1000, 64 * 2**20  # that wait for a store that is away; what comes then is not kept
RETRY_SECONDS = 1.0
GIVE_UP_SECONDS = 60.0  # after which a reading that cannot be kept is let go
COMPLAIN_SECONDS = 60.0  # between two lines in the log about the same


@dataclass(eq=False)
class _Entry:
    reading: Remembered
    loop: asyncio.AbstractEventLoop
    kept: asyncio.Future[None] = field(init=False)
    came: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.kept = self.loop.create_future()

    def is_of(self, request_id: str, owner: str) -> bool:
        return (self.reading.request_id, self.reading.owner) == (request_id, owner)

    def tell(self) -> None:
        def end() -> None:
            if not self.kept.done():
                self.kept.set_result(None)

        with suppress(RuntimeError):  # the loop is closed: nobody listens
            self.loop.call_soon_threadsafe(end)


class Complaints:
    """Says in the log and in /metrics that an operation failed; in the log once in a while."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._last: dict[str, float] = {}

    def __call__(self, operation: str, error: object) -> None:
        self._metrics.feedback_failures.labels(operation).inc()
        self.tell(operation, error)

    def tell(self, operation: str, error: object) -> None:
        """In the log alone."""
        now = time.monotonic()
        if now - self._last.get(operation, -COMPLAIN_SECONDS) >= COMPLAIN_SECONDS:
            self._last[operation] = now
            log.warning("feedback: %s: %s", operation, error)


class ReadingsLog:
    """`start` it before, `stop` it after. A store that is away costs readings nothing but their place in it."""

    def __init__(self, store: Store, keep: LogKeep, complain: Complaints) -> None:
        self._store, self._keep, self._complain = store, keep, complain
        self._changed = threading.Condition()
        self._waiting: deque[_Entry] = deque()
        self._bytes = 0
        self._writing: list[_Entry] = []
        self._away = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="text-recognizer-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """After one more attempt to keep what waits."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    async def keep(self, reading: Remembered) -> None:
        """Returns when `reading` is kept, or after `WAIT_SECONDS`; at once where the store is away."""
        entry = _Entry(reading, asyncio.get_running_loop())
        with self._changed:
            room = len(self._waiting) < WAITING and self._bytes + reading.size <= WAITING_BYTES
            if room:
                self._waiting.append(entry)
                self._bytes += reading.size
                self._changed.notify_all()
            away = self._away
        if not room or away:
            self._complain("log", "readings are answered before they are kept, or are not kept: the store is away")
            return
        try:
            await asyncio.wait_for(asyncio.shield(entry.kept), WAIT_SECONDS)
        except TimeoutError:
            self._complain("log", f"a reading was answered before it was kept: {WAIT_SECONDS:g} s did not do")

    def forget(self, request_id: str, owner: str) -> None:
        """Afterwards the reading of this request is in the store or never will be; for threads other than the loop's.

        Raises `FeedbackUnavailable` where the store does not come to an end with it.
        """
        with self._changed:
            for entry in [entry for entry in self._waiting if entry.is_of(request_id, owner)]:
                self._waiting.remove(entry)
                self._bytes -= entry.reading.size
                entry.tell()
            ended = self._changed.wait_for(
                lambda: not any(entry.is_of(request_id, owner) for entry in self._writing), timeout=5
            )
        if not ended:
            raise FeedbackUnavailable("the reading is just being kept; try again")

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing.is_set():
                    self._changed.wait()
                if not self._waiting:
                    return
                while self._waiting and len(self._writing) < AT_ONCE:
                    entry = self._waiting.popleft()
                    self._bytes -= entry.reading.size
                    self._writing.append(entry)
            kept = self._write()
            with self._changed:
                self._away = not kept
                late = time.monotonic() - GIVE_UP_SECONDS
                again = [] if kept else [entry for entry in self._writing if entry.came > late]
                self._waiting.extendleft(reversed(again))
                self._bytes += sum(entry.reading.size for entry in again)
                self._writing = []
                self._changed.notify_all()
            if not kept and self._closing.wait(RETRY_SECONDS):
                return

    def _write(self) -> bool:
        try:
            self._store.log(
                (entry.reading.reading(self._keep), entry.reading.image if self._keep == "images" else None)
                for entry in self._writing
            )
        except FeedbackUnavailable as error:
            self._complain.tell("log", error)
            return False
        except Exception:  # the thread must outlive whatever happens
            log.exception("readings could not be kept")
            return False
        for entry in self._writing:
            entry.tell()
        return True
