"""Threads for short work beside the event loop. They end with the process, and drop the work of clients that left.

The threads of `asyncio.to_thread` are joined when the process ends, so one stuck call keeps it alive after SIGTERM, and
their queue is unbounded. The threads here are daemons, and their queue is bounded.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from text_recognizer.service.problems import DeadlineExceeded, Overloaded

T = TypeVar("T")
_Task = tuple["Future[Any]", Callable[[], Any]]


class Workers:
    """`threads` daemon threads, started when needed, with a queue of at most `waiting` calls."""

    def __init__(self, name: str, threads: int, waiting: int = 64) -> None:
        self._name, self._most, self._waiting = name, threads, waiting
        self._tasks: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._open: set[Future[Any]] = set()

    async def run(self, work: Callable[..., T], *args: Any, deadline: float | None = None) -> T:
        """Return the result of `work(*args)` by `deadline`, in time.monotonic().

        A call cancelled while it waits is dropped. Raises `Overloaded`, `DeadlineExceeded`, and whatever `work` raises.
        """
        if len(self._open) >= self._most + self._waiting:
            raise Overloaded("too many requests wait; try again later", retry_after=2)
        future: Future[T] = Future()
        with self._lock:
            self._open.add(future)
            if self._started < min(self._most, len(self._open)):
                threading.Thread(target=self._work, name=f"text-recognizer-{self._name}", daemon=True).start()
                self._started += 1
        future.add_done_callback(self._done)
        self._tasks.put((future, partial(work, *args)))
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            async with asyncio.timeout(left) as timer:
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if not timer.expired():
                raise  # `work` itself raised it
            raise DeadlineExceeded("the answer was not ready in time; try again later") from None

    def _done(self, future: Future[Any]) -> None:
        with self._lock:
            self._open.discard(future)

    def _work(self) -> None:
        while True:
            future, work = self._tasks.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            del future, work  # they hold a request's body


async def while_client_waits(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of `work`. Raises `ClientDisconnect` as soon as the client has gone; call it after the body."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(work), asyncio.create_task(gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise ClientDisconnect
        result: T = tasks[0].result()
        return result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
