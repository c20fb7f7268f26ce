"""HTTP/1.1 as uvicorn speaks it, but with an end to the patience for clients that send or take nothing."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol


class ImpatientProtocol(H11Protocol):
    """Hangs up where a request's headers are not complete, or an answer is not taken, within `seconds`.

    The body of a request is limited by its deadline.
    """

    seconds: ClassVar[float] = 20.0
    _watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_progress()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        else:
            self._expect_progress()

    def on_response_complete(self) -> None:
        self._forget()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_progress()

    def resume_writing(self) -> None:
        self._forget()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _expect_progress(self) -> None:
        if self._watch is None:
            self._watch = self.loop.call_later(self.seconds, self._hang_up)

    def _forget(self, *_: Any) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _hang_up(self) -> None:
        self.transport.abort()
