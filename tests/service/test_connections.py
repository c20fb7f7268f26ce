"""Connections: answers leave at once, clients may end their side first, and what is not HTTP does no harm."""

import contextlib
import logging
import re
import socket
import time
from urllib.parse import urlsplit

import pytest

from text_recognizer.service.protocol import TimeoutProtocol

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def request(content, version="1.1"):
    head = f"POST /v1/read?mode=fast HTTP/{version}\r\nHost: x\r\nContent-Type: image/png\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def connected(service):
    address = urlsplit(service.url)
    return socket.create_connection((address.hostname, address.port), timeout=60)


def half_closed(service, sent):
    """All that is answered to a client that sends this and ends its side."""
    with connected(service) as sock:
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(2**16), b""))


def statuses(answer):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", answer) if status != b"100"]


def test_client_that_ends_its_side_after_the_request_gets_its_answer(service, picture):
    answer = half_closed(service, request(picture))
    assert statuses(answer) == [200]
    assert b'"lines"' in answer
    assert statuses(half_closed(service, HEALTH)) == [200]


def test_client_that_sends_several_requests_and_ends_its_side_gets_all_answers(service, picture):
    assert statuses(half_closed(service, HEALTH + request(picture) + HEALTH)) == [200, 200, 200]


def test_client_that_ends_its_side_within_the_request_is_hung_up_on(service, picture):
    assert half_closed(service, request(picture)[:-9]) == b""
    assert half_closed(service, b"GET /healthz HT") == b""
    assert half_closed(service, b"") == b""


def test_client_that_ended_its_side_and_then_goes_frees_its_place(running, heavy, picture, figure, wait_until):
    with running(threads=1) as service, connected(service) as busy:
        busy.sendall(request(heavy))
        wait_until(lambda: figure(service.http, "working_pages") == 1)
        with connected(service) as sock:
            sock.sendall(request(picture))
            sock.shutdown(socket.SHUT_WR)
            wait_until(lambda: figure(service.http, "queue_pages") == 1)
            time.sleep(5 * TimeoutProtocol.gone_seconds)
            assert figure(service.http, "queue_pages") == 1  # it still listens
        wait_until(lambda: figure(service.http, "queue_pages") == 0)
        assert figure(service.http, "dropped_total") == 1
        assert figure(service.http, "pages_total") == 0


@pytest.mark.alone
def test_answers_leave_at_once(process):
    """Otherwise the body of each waits 40 ms until its head is acknowledged."""
    with process("--threads", "1") as service, connected(service) as sock:
        took = []
        for _ in range(40):  # the first ones are acknowledged at once
            begin = time.monotonic()
            sock.sendall(HEALTH)
            answer = b""
            while b'"ok"' not in answer:
                answer += sock.recv(2**16)
            took.append(time.monotonic() - begin)
        assert min(took[20:]) < 0.02, took


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /v1/read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno number\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
        b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nno request\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"\0\r\n\r\n",
    ],
)
def test_what_is_not_http_ends_its_connection_and_leaves_no_trace(service, sent):
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    for name in ("uvicorn.error", "asyncio", "text_recognizer"):
        logging.getLogger(name).addHandler(handler)
    try:
        with connected(service) as sock:
            sock.sendall(sent)
            answer = sock.recv(2**16)
            with contextlib.suppress(ConnectionError):  # where it has hung up
                sock.sendall(b"no number either\r\n\r\n")
                while sock.recv(2**16):
                    pass
    finally:
        for name in ("uvicorn.error", "asyncio", "text_recognizer"):
            logging.getLogger(name).removeHandler(handler)
    assert statuses(answer)
    assert [record.getMessage() for record in records if record.levelno >= logging.ERROR] == []
    assert service.http.get("/healthz").status_code == 200
