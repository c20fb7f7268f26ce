"""The client against real servers: a service, and one that is in trouble."""

import asyncio
import inspect
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import uvicorn

from text_recognizer.bundle import Bundle
from text_recognizer.client import AsyncClient, Client, ServiceError, clients
from text_recognizer.errors import ImageRejected, UsageError
from text_recognizer.reader import Reader
from text_recognizer.service.app import create_app
from text_recognizer.service.settings import Settings


def serving(**settings):
    server = uvicorn.Server(uvicorn.Config(create_app(Settings(threads=2, **settings)), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(30)


@pytest.fixture(scope="module")
def address():
    yield from serving(api_keys=("key",))


@pytest.fixture(scope="module")
def feedback_address(tmp_path_factory):
    yield from serving(feedback=str(tmp_path_factory.mktemp("feedback")))


@pytest.fixture
def in_trouble():
    """A server that answers as `answers` says, one after the other: a status with headers and a body."""

    class Trouble(BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.server.numbers.append(self.headers["X-Request-ID"])
            status, headers, body = self.server.answers.pop(0)
            self.server.asked.append(time.monotonic())
            if not status:
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Trouble) as server:
        server.answers, server.asked, server.bodies, server.numbers = [], [], [], []
        server.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


PAGE = json.dumps({"width": 8, "height": 8, "model": "m@1", "lines": []}).encode()
BUSY = (429, {"Retry-After": "1"}, b"{}")


def run(make, asking):
    """`asking(client)` with both clients; what the one without `await` gives must be the same."""

    async def with_await():
        async with make(AsyncClient) as client:
            return await asking(client)

    with make(Client) as client:
        plain = asking(client)
    assert asyncio.run(with_await()) == plain
    return plain


@pytest.mark.parametrize("form", ["path", "string", "bytes", "file"])
def test_page_from_the_service_is_the_page_that_the_reader_gives(address, letter, form):
    def source():
        return {"path": letter, "string": str(letter), "bytes": letter.read_bytes(), "file": letter.open("rb")}[form]

    page = run(lambda kind: kind(address, api_key="key"), lambda client: client.read(source(), "fast"))
    expected = Reader(threads=1).read(letter, "fast")
    assert (page.text, page.model, page.width, page.height) == (expected.text, expected.model, 1280, 1629)
    assert [line.words[0].text for line in page.lines] == [line.words[0].text for line in expected.lines]


def test_formats_and_models(address, letter):
    text = run(lambda kind: kind(address, api_key="key"), lambda client: client.read_as(letter, "text", "fast"))
    assert text.decode().count("\n") >= 8
    assert (
        run(lambda kind: kind(address, api_key="key"), lambda client: client.models())["models"][0]["name"]
        == Bundle.open().name
    )


def test_lines_are_streamed(address, letter):
    async def collect():
        async with AsyncClient(address, api_key="key") as client:
            return [line.text async for line in client.stream(letter, "fast")]

    with Client(address, api_key="key") as client:
        lines = list(client.stream(letter, "fast"))
        assert asyncio.run(collect()) == [line.text for line in lines]
        assert tuple(lines) == client.read(letter, "fast").lines


def test_refusals_are_the_errors_of_the_package(address, tmp_path):
    with Client(address, api_key="key") as client:
        with pytest.raises(ImageRejected, match="not an image"):
            client.read(b"nonsense")
        with pytest.raises(ImageRejected, match="not an image"):
            list(client.stream(b"nonsense"))
        with pytest.raises(ImageRejected, match="public"):
            client.read("https://127.0.0.1/")
        with pytest.raises(ImageRejected, match="check the path"):
            client.read(tmp_path / "nothing.png")
    with Client(address, api_key="wrong") as client, pytest.raises(ServiceError) as caught:
        client.read(b"x")
    assert (caught.value.status, caught.value.code) == (401, "unauthorized")
    assert caught.value.request_id


def test_it_waits_as_long_as_retry_after_says_and_asks_again(in_trouble):
    in_trouble.answers = [BUSY, (503, {"Retry-After": "1"}, b"{}"), (200, {}, PAGE)]
    with Client(in_trouble.address) as client:
        assert client.read(b"x").model == "m@1"
    first, second, third = in_trouble.asked
    assert second - first >= 1
    assert third - second >= 1


def test_it_waits_with_await_too(in_trouble):
    async def ask():
        async with AsyncClient(in_trouble.address) as client:
            return await client.read(b"x")

    in_trouble.answers = [BUSY, (200, {}, PAGE)]
    assert asyncio.run(ask()).model == "m@1"
    assert in_trouble.asked[1] - in_trouble.asked[0] >= 1


def test_connection_that_breaks_is_tried_again(in_trouble, monkeypatch):
    monkeypatch.setattr(clients, "LONGEST_PAUSE", 0.05)
    in_trouble.answers = [(0, {}, b""), (200, {}, PAGE)]
    with Client(in_trouble.address) as client:
        assert client.read(b"x").model == "m@1"


def test_after_so_many_attempts_it_gives_up(in_trouble, monkeypatch):
    monkeypatch.setattr(clients, "LONGEST_PAUSE", 0.05)
    in_trouble.answers = [BUSY] * 10
    with Client(in_trouble.address, retries=2) as client:
        with pytest.raises(ServiceError):
            client.read(b"x")
        assert len(in_trouble.asked) == 3
        with pytest.raises(ServiceError):
            list(client.stream(b"x"))
        assert len(in_trouble.asked) == 6


@pytest.mark.parametrize("status", [400, 401, 413, 500])
def test_what_would_fail_again_is_not_tried_again(in_trouble, status):
    in_trouble.answers = [(status, {}, b"no json")] * 2
    with Client(in_trouble.address) as client, pytest.raises(ServiceError, match=str(status)):
        client.read(b"x")
    assert len(in_trouble.asked) == 1


def test_stream_that_breaks_off_is_not_a_whole_page(in_trouble):
    line = json.dumps({"text": "a", "confidence": 1, "polygon": [], "baseline": [], "alternatives": [], "words": []})
    in_trouble.answers = [(200, {}, f"event: line\ndata: {line}\n\n".encode())]
    lines = []
    with Client(in_trouble.address) as client, pytest.raises(ServiceError, match="connection broke"):
        lines.extend(line.text for line in client.stream(b"x"))
    assert len(in_trouble.asked) == 1


def test_service_that_is_not_there_is_named_as_such():
    with Client("http://127.0.0.1:9", retries=0) as client, pytest.raises(ServiceError, match="not reachable"):
        client.read(b"x")


def test_client_needs_nothing_of_what_reading_needs():
    import subprocess
    import sys

    code = "import sys, text_recognizer.client; print({'onnxruntime', 'cv2', 'numpy', 'PIL'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_feedback_on_an_answer_is_submitted_and_deleted(feedback_address, letter):
    async def given(what):
        return await what if inspect.isawaitable(what) else what

    async def ask(client):
        answer = await given(client.read_answer(letter, "fast"))
        lines = [*(line.text for line in answer.page.lines[:-1]), "日"]
        kept = await given(client.feedback(answer, flag="incorrect", comment="a comment", lines=lines, checked=True))
        await given(client.delete_feedback(answer))
        with pytest.raises(ServiceError) as caught:
            await given(client.delete_feedback(answer.request_id))
        assert (caught.value.status, caught.value.code) == (404, "unknown-request")
        assert (kept.request_id, kept.image_stored, kept.page_stored) == (answer.request_id, True, True)
        assert kept.outside_alphabet == ("日",)
        assert answer.timings["total"] > 0

    async def with_await():
        async with AsyncClient(feedback_address) as client:
            await ask(client)

    with Client(feedback_address) as client:
        asyncio.run(ask(client))
    asyncio.run(with_await())


def test_image_and_page_are_sent_where_the_service_has_forgotten_them(feedback_address, letter):
    with Client(feedback_address) as client:
        answer = client.read_answer(letter, "fast")
        client.delete_feedback(answer)
        with pytest.raises(ServiceError) as caught:
            client.feedback(answer, flag="other")
        assert caught.value.code == "unknown-request"
        assert client.feedback(answer, flag="other", image=letter).image_stored
        with pytest.raises(ServiceError, match="lines for a page of"):
            client.feedback(answer, lines=["too few"])
        with pytest.raises(UsageError):
            client.feedback(answer, lines="no list")
        with pytest.raises(UsageError):
            client.delete_feedback("../models")


def test_feedback_that_is_tried_again_bears_the_same_id(in_trouble, monkeypatch):
    monkeypatch.setattr(clients, "LONGEST_PAUSE", 0.05)
    kept = {"id": "f", "request_id": "r", "image_stored": True, "page_stored": True, "outside_alphabet": []}
    in_trouble.answers = [(503, {}, b"{}"), (0, {}, b""), (201, {}, json.dumps(kept).encode())]
    with Client(in_trouble.address) as client:
        assert client.feedback("r", flag="other").id == "f"
    assert len({json.loads(body)["id"] for body in in_trouble.bodies}) == 1
    assert len(in_trouble.bodies) == 3


def test_reading_that_is_tried_again_is_the_same_request(in_trouble, monkeypatch):
    monkeypatch.setattr(clients, "LONGEST_PAUSE", 0.05)
    in_trouble.answers = [(503, {}, b"{}"), (200, {}, PAGE)]
    with Client(in_trouble.address) as client:
        client.read(b"x")
    assert len(set(in_trouble.numbers)) == 1
    assert len(in_trouble.numbers) == 2
