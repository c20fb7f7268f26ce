"""uvicorn's HTTP/1.1, hardened for all kinds of clients: timeouts, half-closed connections, no delayed answers."""

from __future__ import annotations

import asyncio
import socket
from typing import ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# A chunk costs the event loop microseconds, however small it is: 2 MiB of one-byte chunks would block it for seconds.
# A body may have `CHUNKS` chunks of any size, and one more for every `CHUNK_BYTES` bytes.
CHUNKS, CHUNK_BYTES = 4096, 256
MAX_HEAD = 2**16  # bytes
DISCARDED = 64 * 2**20  # bytes of a body accepted after its answer: some clients read only after they have sent it all
STOPPING = "text_recognizer.stopping"  # key in the lifespan state: a callback for when the server begins to stop


class _Connection(h11.Connection):
    """Treats bodies in very small chunks as invalid HTTP."""

    _left = CHUNKS * CHUNK_BYTES

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._left = CHUNKS * CHUNK_BYTES
        elif isinstance(event, h11.Data) and event.chunk_start:
            self._left -= CHUNK_BYTES
        if isinstance(event, h11.Data):
            self._left = min(CHUNKS * CHUNK_BYTES, self._left + len(event.data))
            if self._left < 0:
                raise h11.RemoteProtocolError("the chunks of the body are too small")
        return event


class TimeoutProtocol(H11Protocol):
    """Closes the connection if a request's headers are incomplete, or an answer is not read, after `seconds`.

    It also does so if a body continues after its answer, for that long or for `DISCARDED` bytes. The request's deadline
    limits its body. A client that closes its side of the connection after the request still gets its answer.
    """

    seconds: ClassVar[float] = 20.0
    gone_seconds: ClassVar[float] = 0.1  # between two checks whether a client that closed its side is still there
    _ended = False
    _discarded = 0
    _header_timer: asyncio.TimerHandle | None = None
    _answer_timer: asyncio.TimerHandle | None = None
    _gone_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.conn = _Connection(h11.SERVER, self.config.h11_max_incomplete_event_size or MAX_HEAD)
        sock = transport.get_extra_info("socket")
        # asyncio sets this only if the listening socket states TCP as its protocol, which Python's sockets rarely do.
        # Without it, the body of an answer waits 40 ms for the client to acknowledge its head.
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._header_timer = self._abort_later()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_header_timer()
            self._discarded = 0
            return
        if self._header_timer is None:
            self._header_timer = self._abort_later()
        self._discarded += len(data)
        if self._discarded > DISCARDED:
            self.transport.abort()

    def shutdown(self) -> None:
        """Tell the application that the server begins to stop; uvicorn calls this for each connection."""
        if (stopping := self.app_state.get(STOPPING)) is not None:
            stopping()
        super().shutdown()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection open while an answer is due.

        A client that has gone looks like one that only closed its side. The difference shows when something is sent:
        the system of a client that has gone resets the connection. So send "100 Continue", which every HTTP/1.1 client
        must skip; Python's client skips nothing else.
        """
        self._ended = True
        if not self._answer_is_due() or self.scope["http_version"] == "1.0":
            return False
        if self.conn.our_state is h11.SEND_RESPONSE:
            self.transport.write(self.conn.send(h11.InformationalResponse(status_code=100, headers=[])))
        self._abort_if_gone()
        return True

    def on_response_complete(self) -> None:
        super().on_response_complete()  # begins the next request if one has already arrived
        if self._ended and not self._answer_is_due():
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer invalid HTTP. A request that it belongs to gets no other answer."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            try:
                super().send_400_response(msg)
            except h11.LocalProtocolError:  # an answer to HEAD has no body
                self.transport.close()
        else:  # another answer has begun
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._answer_timer = self._abort_later()

    def resume_writing(self) -> None:
        self._stop_answer_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_header_timer()
        self._stop_answer_timer()
        if self._gone_timer is not None:
            self._gone_timer.cancel()
        super().connection_lost(exc)

    def _answer_is_due(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def _abort_if_gone(self) -> None:
        # asyncio does not watch a connection whose other side is closed, so look for the error on the socket.
        if self.transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.transport.abort()
        else:
            self._gone_timer = self.loop.call_later(self.gone_seconds, self._abort_if_gone)

    def _abort_later(self) -> asyncio.TimerHandle:
        return self.loop.call_later(self.seconds, self.transport.abort)

    def _stop_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None
