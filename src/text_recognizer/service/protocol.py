"""HTTP/1.1 as uvicorn speaks it, but with an end to the patience for clients that send or take nothing."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol


class ImpatientProtocol(H11Protocol):
    """Hangs up where a request's headers are not complete, or an answer is not taken, within `seconds`.

    The body of a request is limited by its deadline.
    """

    seconds: ClassVar[float] = 20.0
    _for_headers: asyncio.TimerHandle | None = None
    _for_taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._for_headers = self._hang_up_later()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting_for_headers()
        elif self._for_headers is None:
            self._for_headers = self._hang_up_later()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._for_taking = self._hang_up_later()

    def resume_writing(self) -> None:
        self._stop_waiting_for_taking()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting_for_headers()
        self._stop_waiting_for_taking()
        super().connection_lost(exc)

    def _hang_up_later(self) -> asyncio.TimerHandle:
        return self.loop.call_later(self.seconds, self.transport.abort)

    def _stop_waiting_for_headers(self) -> None:
        if self._for_headers is not None:
            self._for_headers.cancel()
            self._for_headers = None

    def _stop_waiting_for_taking(self) -> None:
        if self._for_taking is not None:
            self._for_taking.cancel()
            self._for_taking = None
