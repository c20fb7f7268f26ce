"""Documents of strangers, decoded by `leaves` in processes of their own."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import suppress

from text_recognizer.errors import ImageRejected
from text_recognizer.service.problems import DeadlineExceeded, Overloaded

AT_ONCE = 2
WAITING = 16  # documents that may wait for their turn
SECONDS = 180.0  # for the whole document, also where the client takes its pages slowly
_PART = 2**16  # bytes


class Decoder:
    """At most `AT_ONCE` documents at the same time; `max_pixels`: of each page."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._free = asyncio.Semaphore(AT_ONCE)
        self._inside = 0
        self._watching: set[asyncio.Task[None]] = set()

    async def open(self, content: bytes, deadline: float) -> tuple[int, AsyncIterator[bytes]]:
        """The number of pages of a document, by `deadline` in time.monotonic(), and these, as `leaves` writes them.

        Raises `ImageRejected`, `Overloaded`, `DeadlineExceeded`.
        """
        process = None
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                process = await self._started()
                return await _count(process, content), _pages(process)
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
        try:
            await self._free.acquire()
        except BaseException:
            self._inside -= 1
            raise
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
        watching = asyncio.create_task(self._watch(process))
        self._watching.add(watching)
        watching.add_done_callback(self._watching.discard)
        return process

    async def _watch(self, process: Process) -> None:
        """Its turn is over when the process ends, and it ends in time."""
        try:
            async with asyncio.timeout(SECONDS):
                await process.wait()
        except TimeoutError:
            _kill(process)
            await process.wait()
        finally:
            self._left()

    def _left(self) -> None:
        self._inside -= 1
        self._free.release()


async def _count(process: Process, content: bytes) -> int:
    assert process.stdin is not None and process.stdout is not None
    with suppress(ConnectionError):  # it ended early, and says why
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


async def _pages(process: Process) -> AsyncIterator[bytes]:
    assert process.stdout is not None
    try:
        while part := await process.stdout.read(_PART):
            yield part
    finally:
        _kill(process)


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
