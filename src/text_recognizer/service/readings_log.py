"""Stores readings before they are answered: one thread, with one transaction for all waiting readings."""

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
from text_recognizer.service.settings import LogContent

if TYPE_CHECKING:
    from text_recognizer.feedback.store import Store

logger = logging.getLogger(__name__)

WAIT_SECONDS = 2.0
"""How long an answer waits for its reading to be stored; after that it is sent anyway."""
AT_ONCE = 64  # readings in a transaction
WAITING, WAITING_BYTES = 1000, 64 * 2**20  # queue limits while the store is unavailable; further readings are dropped
RETRY_SECONDS = 1.0
STOP_SECONDS = 4.0  # for the last attempt to store, while the engine also stops
GIVE_UP_SECONDS = 60.0  # after which a reading that cannot be stored is dropped
COMPLAIN_SECONDS = 60.0  # between two log lines about the same operation


@dataclass(eq=False)
class _Entry:
    reading: Remembered
    loop: asyncio.AbstractEventLoop
    stored: asyncio.Future[None] = field(init=False)
    came: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.stored = self.loop.create_future()

    def is_of(self, request_id: str, owner: str) -> bool:
        return (self.reading.request_id, self.reading.owner) == (request_id, owner)

    def release(self) -> None:
        """Let the answer be sent; call it from threads other than the loop's."""

        def end() -> None:
            if not self.stored.done():
                self.stored.set_result(None)

        with suppress(RuntimeError):  # the loop is closed: nobody waits
            self.loop.call_soon_threadsafe(end)


class Failures:
    """Reports failed operations in /metrics, and in the log at most once a minute for each operation."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._last: dict[str, float] = {}

    def __call__(self, operation: str, error: object) -> None:
        self._metrics.feedback_failures.labels(operation).inc()
        self.log(operation, error)

    def log(self, operation: str, error: object) -> None:
        """Report only in the log."""
        now = time.monotonic()
        if now - self._last.get(operation, -COMPLAIN_SECONDS) >= COMPLAIN_SECONDS:
            self._last[operation] = now
            logger.warning("feedback: %s: %s", operation, error)


class ReadingsLog:
    """A queue of readings for the store; `start` and `stop` it. No reading fails because the store is unavailable."""

    def __init__(self, store: Store, keep: LogContent, failures: Failures) -> None:
        self._store, self._keep, self._failures = store, keep, failures
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
        """End the thread after one more attempt to store the waiting readings."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    async def keep(self, reading: Remembered) -> None:
        """Store `reading`. Returns when it is stored, after `WAIT_SECONDS`, or at once if the store is unavailable."""
        entry = _Entry(reading, asyncio.get_running_loop())
        with self._changed:
            room = len(self._waiting) < WAITING and self._bytes + reading.size <= WAITING_BYTES
            if room:
                self._waiting.append(entry)
                self._bytes += reading.size
                self._changed.notify_all()
            away = self._away
        if not room or away:
            self._failures(
                "log", "readings are answered before they are stored, or are not stored: the store is unavailable"
            )
            return
        try:
            await asyncio.wait_for(asyncio.shield(entry.stored), WAIT_SECONDS)
        except TimeoutError:
            self._failures("log", f"a reading was answered before it was stored: that took over {WAIT_SECONDS:g} s")

    def forget(self, request_id: str, owner: str) -> None:
        """Settle a reading: after this call it is either stored or never will be. Not for the loop's thread.

        Raises `FeedbackUnavailable` if the store does not finish in time.
        """
        with self._changed:
            for entry in [entry for entry in self._waiting if entry.is_of(request_id, owner)]:
                self._waiting.remove(entry)
                self._bytes -= entry.reading.size
                entry.release()
            ended = self._changed.wait_for(
                lambda: not any(entry.is_of(request_id, owner) for entry in self._writing), timeout=5
            )
        if not ended:
            raise FeedbackUnavailable("the reading is being stored; try again")

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
            written = self._write()
            with self._changed:
                self._away = not written
                late = time.monotonic() - GIVE_UP_SECONDS
                again = [] if written else [entry for entry in self._writing if entry.came > late]
                self._waiting.extendleft(reversed(again))
                self._bytes += sum(entry.reading.size for entry in again)
                self._writing = []
                self._changed.notify_all()
            if not written and self._closing.wait(RETRY_SECONDS):
                return

    def _write(self) -> bool:
        try:
            self._store.log(
                (entry.reading.reading(self._keep), entry.reading.image if self._keep == "images" else None)
                for entry in self._writing
            )
        except FeedbackUnavailable as error:
            self._failures.log("log", error)
            return False
        except Exception:  # the thread must survive any error
            logger.exception("readings could not be stored")
            return False
        for entry in self._writing:
            entry.release()
        return True
