"""More work than can be done at once: what waits, what is refused, what is dropped."""

import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import pytest

JPEG = {"Content-Type": "image/jpeg"}
PNG = {"Content-Type": "image/png"}
FAST = {"mode": "fast"}


def post(service, content, headers=JPEG, params=FAST):
    return service.http.post("/v1/read", content=content, headers=headers, params=params)


def test_full_queue_is_answered_429_with_when_to_come_again(running, letter):
    page = letter.read_bytes()
    with running(threads=1, queue=2) as service, ThreadPoolExecutor(14) as clients:
        answers = list(clients.map(lambda _: post(service, page), range(14)))
        assert {answer.status_code for answer in answers} == {200, 429}
        for answer in answers:
            if answer.status_code == 429:
                assert answer.json()["code"] == "overloaded"
                assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert post(service, page).status_code == 200  # and it comes back


@pytest.mark.alone
def test_pages_that_would_be_late_are_refused_at_once_instead_of_waiting_in_vain(running, letter):
    """Sixty at once, of which few can be read in time."""
    page = letter.read_bytes()

    def timed(service):
        begin = time.monotonic()
        status = post(service, page, JPEG).status_code
        return status, time.monotonic() - begin

    with running(threads=1, deadline=8, queue=64) as service, ThreadPoolExecutor(60) as clients:
        assert post(service, page, JPEG).status_code == 200
        answers = [future.result() for future in [clients.submit(timed, service) for _ in range(60)]]
    assert {status for status, _ in answers} == {200, 429}
    assert max(seconds for status, seconds in answers if status == 429) < 6  # while others were still read


@pytest.mark.alone  # a small page must be read within a quarter of a second
def test_page_that_takes_too_long_is_answered_504_and_dropped(running, heavy, picture, figure, wait_until):
    with running(threads=1, deadline=0.25) as service:
        answer = post(service, heavy)
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline-exceeded")
        wait_until(lambda: figure(service.http, "dropped_total") == 1)
        assert figure(service.http, "pages_total") == 0
        wait_until(lambda: post(service, picture, PNG).status_code == 200)


def test_stream_whose_time_is_over_ends_with_a_problem_or_is_refused(running, heavy):
    with running(threads=1, deadline=0.25) as service:
        answer = post(service, heavy, params={**FAST, "stream": "true"})
        assert "deadline-exceeded" in answer.text
        assert "Traceback" not in answer.text


def test_work_for_clients_that_went_away_is_dropped(running, heavy, picture, figure, wait_until):
    with running(threads=1) as service, ThreadPoolExecutor(1) as clients:
        patient = clients.submit(post, service, heavy)
        wait_until(lambda: figure(service.http, "working_pages") == 1)
        address = urlsplit(service.url)
        for path in ("/v1/read?mode=fast", "/v1/read?mode=fast&stream=true", "/?mode=accurate"):
            body = picture if "v1" in path else json.dumps({"image": f"data:,{quote(picture)}"})
            connection = http.client.HTTPConnection(address.hostname, address.port)
            connection.request("POST", path, body, PNG)
            wait_until(lambda: figure(service.http, "queue_pages") == 1)
            connection.close()
            wait_until(lambda: figure(service.http, "queue_pages") == 0)
            assert not patient.done()
        assert patient.result().status_code == 200
        assert figure(service.http, "dropped_total") == 3
        assert figure(service.http, "pages_total") == 1
        assert figure(service.http, "buffered_bytes") == 0


def test_lines_of_several_pages_share_a_batch_and_read_as_alone(running, heavy, picture, figure, wait_until):
    with running(threads=1) as service, ThreadPoolExecutor(8) as clients:
        alone = post(service, picture, PNG).json()["lines"]

        def shared():
            return figure(service.http, "batch_pages_sum") - figure(service.http, "batch_pages_count")

        assert shared() == 0
        first = clients.submit(post, service, heavy)
        wait_until(lambda: figure(service.http, "working_pages") == 1)
        others = [clients.submit(post, service, picture, PNG) for _ in range(4)]
        assert all(other.result().json()["lines"] == alone for other in others)
        assert len(first.result().json()["lines"]) >= 8
        assert shared() >= 1


def test_page_that_trips_up_the_reader_costs_only_itself(running, picture, heavy, monkeypatch, figure, wait_until):
    with running(threads=1) as service, ThreadPoolExecutor(4) as clients:
        recognizer = service.engine.reader.recognizer
        honest = recognizer.read_lines
        alone = post(service, picture, PNG).json()["lines"]

        narrow = max(crop.shape[1] for crop in service.engine.reader.lay_out(picture).crops)

        def tripped_up(crops, mode, **options):
            """As a native library would fail: by what is in the batch."""
            if max(crop.shape[1] for crop in crops) > narrow:
                raise RuntimeError("/secret/path")
            return honest(crops, mode, **options)

        monkeypatch.setattr(recognizer, "read_lines", tripped_up)
        bad = clients.submit(post, service, heavy)
        wait_until(lambda: figure(service.http, "working_pages") == 1)
        good = [clients.submit(post, service, picture, PNG) for _ in range(3)]
        assert [answer.result().json()["lines"] for answer in good] == [alone] * 3
        assert bad.result().status_code == 500
        assert bad.result().json()["code"] == "error"
        assert "secret" not in bad.result().text


def test_bodies_that_come_in_at_once_are_bounded_in_memory(running, figure, wait_until):
    with running(max_bytes=1_000_000, max_buffered=1_500_000) as service:
        address = urlsplit(service.url)
        half = [socket.create_connection((address.hostname, address.port)) for _ in range(4)]
        head = b"POST /v1/read HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 900000\r\n\r\n"
        try:
            for sock in half:
                threading.Thread(target=sock.sendall, args=(head + bytes(600_000),), daemon=True).start()
            wait_until(lambda: figure(service.http, "refused_total", code="overloaded") >= 2)
            assert figure(service.http, "buffered_bytes") <= 1_500_000
        finally:
            for sock in half:
                sock.close()
        wait_until(lambda: figure(service.http, "buffered_bytes") == 0)


def test_body_that_does_not_come_is_answered_408(running):
    with running(deadline=0.3) as service:
        address = urlsplit(service.url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as sock:
            sock.sendall(b"POST /v1/read HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\n1")
            answer = b"".join(iter(lambda: sock.recv(4096), b""))  # to the end: it hangs up
        assert b" 408 " in answer
        assert b"request-timeout" in answer


@pytest.mark.parametrize("stream", ["false", "true"])
def test_what_was_taken_is_finished_before_the_process_ends(process, letter, stream, figure, wait_until):
    with process("--threads", "1") as service, ThreadPoolExecutor(1) as clients:
        params = {"mode": "accurate", "stream": stream}
        taken = clients.submit(post, service, letter.read_bytes(), JPEG, params)
        wait_until(lambda: figure(service.http, "working_pages") + figure(service.http, "queue_pages") == 1)
        service.process.terminate()
        assert taken.result().status_code == 200
        assert "washing" in taken.result().text.lower() and ("event: page" in taken.result().text) == (stream == "true")
        assert service.process.wait(30) == 0
