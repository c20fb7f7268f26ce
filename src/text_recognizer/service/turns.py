"""Clients that are slow to take what they asked for: they keep their turn only as long as nobody else waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

SLOW = 10.0  # seconds that a client may let its pages wait in all, if others wait for its turn


class Client:
    """Takes the pages of a document; `seconds` is how long it has let them wait. It is waited for from the start."""

    def __init__(self) -> None:
        self._before, self._since = 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        return self._before + (time.monotonic() - self._since if self._since else 0.0)

    @property
    def is_waited_for(self) -> bool:
        return self._since > 0

    @property
    def is_slow(self) -> bool:
        return self.seconds > SLOW

    def takes(self) -> None:
        """It asks for more."""
        self._before, self._since = self.seconds, 0.0

    def has(self) -> None:
        """It is sent what it asked for."""
        self._since = time.monotonic()


class Turn:
    """That of a document whose pages are sent as they are read."""

    def __init__(self) -> None:
        self.client = Client()
        self.client.takes()
        self.is_over = False
        self._sending: asyncio.Task[None] | None = None

    def end(self) -> bool:
        """Take the turn from a client that is slow; whether it was one."""
        if self._sending is None or not (self.client.is_slow and self.client.is_waited_for):
            return False
        self.is_over = True
        self._sending.cancel()
        return True

    async def send(self, answer: Coroutine[Any, Any, None]) -> None:
        """Send `answer`, until it or the turn is over."""
        self._sending = asyncio.create_task(answer)
        try:
            await self._sending
        except asyncio.CancelledError:
            if not self.is_over:
                raise
