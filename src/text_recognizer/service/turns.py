"""Slow clients: one that is slow to take its pages keeps its turn only until somebody else needs it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

SLOW = 10.0  # total seconds that a client may let its pages wait while others need its turn


class Client:
    """A client that takes the pages of a document; `seconds` is how long it has let them wait."""

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
        """The client asks for the next page."""
        self._before, self._since = self.seconds, 0.0

    def has(self) -> None:
        """A page is ready for the client."""
        self._since = time.monotonic()


class Turn:
    """The turn of a document whose pages are sent as they are read."""

    def __init__(self) -> None:
        self.client = Client()
        self.client.takes()
        self.is_over = False
        self._sending: asyncio.Task[None] | None = None

    def end(self) -> bool:
        """Take the turn from its client if that is slow. Returns whether it was."""
        if self._sending is None or not (self.client.is_slow and self.client.is_waited_for):
            return False
        self.is_over = True
        self._sending.cancel()
        return True

    async def send(self, answer: Coroutine[Any, Any, None]) -> None:
        """Send `answer` until it is complete or the turn is over."""
        self._sending = asyncio.create_task(answer)
        try:
            await self._sending
        except asyncio.CancelledError:
            if not self.is_over:
                raise
