"""Untrusted documents, decoded by `leaves` in separate processes."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

from text_recognizer.errors import ImageRejected
from text_recognizer.service.problems import DeadlineExceeded, Overloaded
from text_recognizer.service.turns import Client

AT_ONCE = 2
WAITING = 16  # most documents that wait for their turn
SECONDS = 180.0  # for the whole document, even if the client takes its pages slowly
LOOKS = 0.5  # seconds between checks for a slow client
_PART = 2**16  # bytes


class _Client(Client):
    """A client that takes the pages `process` writes."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.process = process
        self.ended = False

    async def end(self) -> None:
        """Kill the process and drain its pipe: the process counts as running as long as output waits there."""
        self.ended = True
        _kill(self.process)
        if self.is_waited_for:
            assert self.process.stdout is not None
            while await self.process.stdout.read(_PART):
                pass


class Decoder:
    """Decodes at most `AT_ONCE` documents at the same time. `max_pixels`: limit for each page.

    A client that is slow to take its pages keeps its turn only until another document waits for it.
    """

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._free = asyncio.Semaphore(AT_ONCE)
        self._inside = 0
        self._beside: set[asyncio.Task[None]] = set()
        self._clients: dict[Process, _Client] = {}  # clients whose pages are being sent

    async def open(self, content: bytes, deadline: float) -> tuple[int, AsyncIterator[bytes]]:
        """The number of pages of a document, by `deadline` in time.monotonic(), and the stream that `leaves` writes.

        Raises `ImageRejected`, `Overloaded`, `DeadlineExceeded`.
        """
        process = None
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                process = await self._started()
                count = await _count(process, content)
                self._clients[process] = _Client(process)
                return count, self._pages(process)
        except BaseException as error:
            if process is not None:
                _kill(process)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded("the document could not be opened in time; try again later") from None
            raise

    async def _started(self) -> Process:
        if self._inside >= AT_ONCE + WAITING:
            raise Overloaded("too many documents wait; try again later", retry_after=5)
        self._inside += 1
        room = asyncio.create_task(self._make_room())
        try:
            await self._free.acquire()
        except BaseException:
            self._inside -= 1
            raise
        finally:
            room.cancel()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "text_recognizer.app.leaves", str(self._max_pixels)),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )
        except BaseException:
            self._left()
            raise
        self._spawn(self._watch(process))
        return process

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` in the background, even if the caller is cancelled."""
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    async def _watch(self, process: Process) -> None:
        """Wait for the process, kill it after `SECONDS`, and then release its turn."""
        try:
            async with asyncio.timeout(SECONDS):
                await process.wait()
        except TimeoutError:
            _kill(process)
            if (client := self._clients.pop(process, None)) is not None:
                self._spawn(client.end())
            await process.wait()
        finally:
            self._clients.pop(process, None)
            self._left()

    async def _make_room(self) -> None:
        """End the document of the slowest client, repeatedly, as long as another document waits."""
        while True:
            await asyncio.sleep(LOOKS)
            slowest = max(self._clients.values(), key=lambda client: client.seconds, default=None)
            if slowest is not None and slowest.is_slow:
                del self._clients[slowest.process]
                self._spawn(slowest.end())

    async def _pages(self, process: Process) -> AsyncIterator[bytes]:
        assert process.stdout is not None
        client = self._clients.get(process) or _Client(process)
        try:
            client.takes()
            while not client.ended and (part := await process.stdout.read(_PART)):
                client.has()
                yield part
                client.takes()
        finally:
            self._clients.pop(process, None)
            client.has()
            self._spawn(client.end())

    def _left(self) -> None:
        self._inside -= 1
        self._free.release()


async def _count(process: Process, content: bytes) -> int:
    assert process.stdin is not None and process.stdout is not None
    with suppress(ConnectionError):  # the process ended early; its output says why
        process.stdin.write(content)
        await process.stdin.drain()
        process.stdin.close()
    try:
        count = int.from_bytes(await process.stdout.readexactly(4), "big")
    except asyncio.IncompleteReadError:
        raise ImageRejected("a document that takes too much time or memory; export it anew, in smaller parts") from None
    if not count:
        raise ImageRejected((await process.stdout.read()).decode("utf-8", "replace"))
    return count


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
