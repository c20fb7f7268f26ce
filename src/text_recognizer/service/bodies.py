"""Bodies of requests: counted as they arrive, so that together they stay within a limit; never written to disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from starlette.requests import ClientDisconnect, Request

from text_recognizer.service.problems import Overloaded, TooLarge, TooSlow, WrongMediaType

# Read and discard a body that is too large up to here: some clients read the answer only after they have sent it all.
DRAINED_BYTES, DRAINED_SECONDS = 64 * 2**20, 5.0


class Bodies:
    """The bodies that are held at once.

    Args:
        most_held: bytes of all of them.
        changed: called with the bytes held now, each time that they change.
    """

    def __init__(self, most_held: int, changed: Callable[[int], object] = lambda held: None) -> None:
        self._most_held, self._changed = most_held, changed
        self._held = 0

    @asynccontextmanager
    async def of(self, request: Request, most: int, deadline: float) -> AsyncIterator[bytes]:
        """The whole body of a request, counted as long as the context lasts.

        Args:
            most: bytes of this body.
            deadline: of time.monotonic(), for its arrival.

        Raises `TooLarge`, `TooSlow`, `Overloaded`, `WrongMediaType`; `ClientDisconnect`.
        """
        body = await self._read(request, most, deadline)
        try:
            yield body
        finally:
            self.release(body)

    def hold(self, body: bytes) -> None:
        """Keep `body` counted for longer than its context; call `release` for it."""
        self._count(len(body))

    def release(self, body: bytes) -> None:
        """Stop counting a body for which `hold` was called."""
        self._count(-len(body))

    def _count(self, size: int) -> None:
        self._held += size
        self._changed(self._held)

    async def _read(self, request: Request, most: int, deadline: float) -> bytes:
        if request.headers.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
            raise WrongMediaType("the body has a Content-Encoding; send it as it is")  # its real size is unknown
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > most:
            await _refuse_large(request, most, expected=request.headers.get("expect", "").lower() == "100-continue")
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                async for part in request.stream():
                    size += len(part)
                    self._count(len(part))
                    parts.append(part)
                    if size > most:
                        parts.clear()
                        await _refuse_large(request, most)
                    if self._held > self._most_held:
                        raise Overloaded("too many images are arriving at once; try again later", retry_after=2)
        except BaseException as error:
            self._count(-size)
            if isinstance(error, TimeoutError):
                raise TooSlow("the body did not arrive in time; send a smaller image") from None
            raise
        return b"".join(parts)


async def _refuse_large(request: Request, most: int, expected: bool = False) -> None:
    if not expected:  # a client that waits for "100 Continue" has sent nothing, so it reads the answer
        with suppress(TimeoutError, ClientDisconnect):
            async with asyncio.timeout(DRAINED_SECONDS):
                size = 0
                async for part in request.stream():
                    size += len(part)
                    if size > DRAINED_BYTES:
                        break
    raise TooLarge(f"the body is larger than {most / 2**20:.3g} MiB; scale the image down")
