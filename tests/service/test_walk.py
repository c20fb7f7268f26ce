"""A walk to every address of the running service, with what clients send by mistake and attackers on purpose.

The addresses, methods, parameters and media types come from the OpenAPI document, so a new address is walked to without
a change here. Whatever is sent, the answer is never a 5xx, an error is a problem document with advice, `/healthz`
answers meanwhile, memory stays bounded, and SIGTERM then ends the process.
"""

import io
import json
import random
import re
import threading
import time
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from PIL import Image

KEY = "a-key"
MIB = 250  # that the process may grow by
SECONDS = 45  # after which the rest of the walk is left out, on a busy machine
DEADLINE = 20
PRIVATE = re.compile(r"Traceback|\.py\b|/(?:tmp|home|root|usr|src)/", re.IGNORECASE)
ODD = (
    "", " ", "0", "-1", "true", "null", "nonsense", "1e999", "fast", "de", "ﬁ ü 漢字 \u202e\u0301", "\0", "\r\nX: y",
    "../../etc/passwd", "%00", "%ff", "a" * 300, "a" * 20_000, "[]", "1-", ",", "'\"<>&;",
)  # fmt: skip
HEADERS = (
    {"Content-Type": "application/json; charset=utf-16"}, {"Content-Type": "\xff"}, {"Content-Type": "a" * 5000},
    {"Content-Encoding": "gzip"}, {"Accept": "text/html"}, {"Accept-Encoding": "br;q=x"}, {"Range": "bytes=0-0,9-1"},
    {"X-Request-ID": "../ü"}, {"If-None-Match": "*"}, {"X-Forwarded-For": "1.1.1.1, \xff"},
    {"Origin": "null"}, {"Cookie": "a=b;" * 1000}, {"Expect": "100-continue"}, {"Transfer-Encoding": "chunked"},
{"Upgrade": "websocket", "Connection": "Upgrade"},
)  # fmt: skip
CREDENTIALS = (
    {}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer wrong"},
    {"Authorization": f"Basic {KEY}"}, {"Authorization": f"Bearer {KEY}x"}, {"Authorization": b"Bearer \xff\xfe"},
    {"X-API-Key": ""}, {"X-API-Key": "ü".encode()}, {"X-API-Key": "a" * 8000},
)  # fmt: skip
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")


def bodies(picture):
    """Bodies of a request, good, bad, huge and odd: media type and content."""
    form = "multipart/form-data; boundary=x"

    def part(content, about='name="image"; filename="ü.png"'):
        return f"--x\r\nContent-Disposition: form-data; {about}\r\n\r\n".encode() + content + b"\r\n--x--\r\n"

    url = "data:image/png;base64,"
    yield "image/png", picture
    yield form, part(picture)
    for content in (
        {}, [], None, 0, "", "a", {"image": 1}, {"image": None}, {"image": url}, {"image": ["a"]}, {"image": "a.png"},
        {"image": url + "A" * 9}, {"image_url": "file:///etc/passwd"}, {"image_url": "http://127.0.0.1:1/"},
        {"image_url": "https://" + "a" * 9000}, {"image_url": {}}, {"ïmage": "\ud800"}, {"request_id": 1},
        {"request_id": "a", "lines": "a"}, {"request_id": "a", "flag": "no"}, {"request_id": "a", "page": {}},
        {"request_id": "a", "page": {"lines": [0]}},
        {"request_id": "ü", "comment": "a" * 3000}, {"request_id": "a", "lines": [None]}, [[[[]]]], [0] * 5000,
    ):  # fmt: skip
        yield "application/json", json.dumps(content).encode()
    yield "application/json", json.dumps({"image": url}).encode("utf-16")
    yield "application/json", b"\xef\xbb\xbf{}"
    yield "application/json", b'{"image": "data:,\xff"}'
    yield "application/json", b"[" * 2**20
    yield "application/json", b"0" * 2**22
    yield "application/json", b"[" + b"0," * 2**21 + b"0]"
    yield "application/json", b"{"
    yield "application/x-www-form-urlencoded", b"image=a"
    yield "text/plain", "ü".encode()
    yield "", b"a"
    for content in (
        b"",
        b"\0" * 100,
        picture[:50],
        picture + bytes(2**22),
        b"%PDF-1.7",
        b"PK\x03\x04",
        b"II*\0",
        b"GIF8",
    ):
        yield "application/octet-stream", content
        yield "image/ü", content
    yield "application/octet-stream", bytes(21 * 2**20)
    for content in (part(b""), part(picture, 'name="a"'), part(b"{}", 'name="feedback"'), b"", b"--x", b"--x--"):
        yield form, content
    yield "multipart/form-data", part(picture)


class Walk:
    """Sends requests and collects what is wrong with the answers."""

    def __init__(self, url):
        self._http = httpx.Client(timeout=60)
        self._until = time.monotonic() + SECONDS
        self.url, self.sent, self.wrong, self.left_out = url, 0, [], 0

    def send(self, method, path, headers=None, content=b"", key=True, statuses=range(200, 500)):
        if time.monotonic() > self._until:
            self.left_out += 1
            return None
        given = {"Authorization": f"Bearer {KEY}"} if key else {}
        given |= headers or {}
        given = {name: value if isinstance(value, bytes) else value.encode("latin-1") for name, value in given.items()}
        about = f"{method} {path[:80]} {str(headers)[:80]} {content[:40]!r} ({len(content)} bytes)"
        try:
            answer = self._http.request(method, self.url + path, headers=given, content=content)
        except httpx.HTTPError as error:
            self.wrong.append(f"{about}: {error!r}")
            return None
        self.sent += 1
        found = self._complaint(answer, method, statuses)
        if found:
            self.wrong.append(f"{about}: {found}; {answer.text[:200]}")
        return answer

    def _complaint(self, answer, method, statuses):
        if answer.status_code not in statuses:
            return f"status {answer.status_code}"
        if not answer.headers.get("x-request-id") and answer.text != "Invalid HTTP request received.":
            return "no X-Request-ID"
        if answer.status_code < 400 or method == "HEAD" or answer.text == "Invalid HTTP request received.":
            return None
        if answer.headers.get("content-type") != "application/problem+json":
            return f"Content-Type {answer.headers.get('content-type')}"
        told = answer.json()
        if set(told) != {"type", "title", "status", "detail", "code", "request_id"}:
            return f"members {sorted(told)}"
        if told["type"] != f"urn:text-recognizer:problem:{told['code']}" or told["status"] != answer.status_code:
            return "a problem that contradicts itself"
        if told["request_id"] != answer.headers["x-request-id"]:
            return "another request's id"
        if not 10 < len(told["detail"]) < 500 or not told["detail"].isprintable() or PRIVATE.search(told["detail"]):
            return "no advice, or too much of it"
        if answer.status_code == 401 and answer.headers.get("www-authenticate") != "Bearer":
            return "401 without WWW-Authenticate"
        if answer.status_code == 405 and not answer.headers.get("allow"):
            return "405 without Allow"
        return None


def resident(pid):
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) / 1024


@pytest.fixture(scope="module")
def walked(process, tmp_path_factory, picture):
    """The walk, and what was seen beside it."""
    environ = {
        "TEXT_RECOGNIZER_API_KEYS": KEY,
        "TEXT_RECOGNIZER_FEEDBACK": str(tmp_path_factory.mktemp("walk")),
        "TEXT_RECOGNIZER_DEADLINE": str(DEADLINE),
        "TEXT_RECOGNIZER_MAX_PIXELS": "4000000",
    }
    health, over = [], threading.Event()

    def watch(url):
        with httpx.Client(base_url=url, timeout=60) as http:
            while not over.wait(0.2):
                begin = time.monotonic()
                health.append((http.get("/healthz").status_code, time.monotonic() - begin))

    with process("--threads", "1", **environ) as service:
        page = service.http.get("/").status_code == 200  # Gradio is loaded now, not within what is measured
        walk = Walk(service.url)
        schema = walk.send("GET", "/openapi.json").json()
        walk.send("POST", "/v1/read?mode=fast", headers={"Content-Type": "image/png"}, content=picture, statuses=(200,))
        before = resident(service.process.pid)
        watching = threading.Thread(target=watch, args=(service.url,))
        watching.start()
        try:
            requests = [*_everywhere(schema, page), *_bodies(schema, page, picture), *_parameters(schema)]
            random.Random(0).shuffle(requests)  # what a busy machine leaves out is of all kinds
            for request in requests:
                walk.send(*request)
        finally:
            over.set()
            watching.join()
        grown = resident(service.process.pid) - before
        begin = time.monotonic()
        service.process.terminate()
        status = service.process.wait(DEADLINE + 40)
        ended = time.monotonic() - begin
        log = "".join(service.log)
    print(f"{walk.sent} requests, {walk.left_out} left out, {grown:.0f} MiB, ended after {ended:.1f} s")
    yield {"walk": walk, "health": health, "grown": grown, "status": status, "ended": ended, "log": log}


def _addresses(schema, page):
    """Paths with their places filled, and the methods that they are for."""
    for path, operations in schema["paths"].items():
        yield re.sub(r"\{\w+\}", "walk", path), {method.upper() for method in operations}
    for path in ("/docs", "/openapi.json"):
        yield path, {"GET"}
    if page:
        for path in (
            "/",
            "/favicon.ico",
            "/theme.css",
            "/page/browser/main.js",
            "/page/examples/nothing.jpg",
            "/assets/no",
        ):
            yield path, {"GET"} | ({"POST"} if path == "/" else set())
        for path in ("/page/pages", "/page/written/json", "/page/written/docx"):
            yield path, {"POST"}


def _everywhere(schema, page):
    """Wrong methods, credentials and headers, and addresses that are nearly right."""
    for path, methods in _addresses(schema, page):
        for method in METHODS:
            kind = {"Content-Type": "application/json"}
            yield method, path, kind, b"{}" if method in ("POST", "PUT", "PATCH") else b""
        method = sorted(methods)[0]
        for given in CREDENTIALS:
            guarded = path.startswith("/v1/") or method == "POST"
            yield method, path, given, b"", False, (401, 429) if guarded else range(200, 500)
        for given in HEADERS:
            yield method, path, given
        for odd in (f"/{path}", f"{path}/", path + "/%2e%2e", path + "%00", path + "%0d%0a", path + "?%", path.upper(),
                    path + ";a", path + "#", path + "/" + quote("ü漢"), path + "/" + "a" * 9000):  # fmt: skip
            yield method, odd
    for path in ("//", "///v1//models", "/.", "/..;/v1/models", "/v1", "/page", "/page/", "/page/written/", "/nowhere"):
        yield "GET", path
    for value in ODD:
        yield "DELETE", f"/v1/feedback/{quote(value, safe='')}"


def _bodies(schema, page, picture):
    """Every body to every address that takes one."""
    every = list(bodies(picture))
    few = every[::6]  # each starts a process
    for path, methods in _addresses(schema, page):
        for kind, content in (few if path == "/page/pages" else every) if "POST" in methods else ():
            yield "POST", path + "?mode=fast", {"Content-Type": kind}, content


def _parameters(schema):
    """Every parameter with every odd value, beside a body that is good."""
    blank = io.BytesIO()
    Image.new("L", (20, 20), 255).save(blank, "PNG")
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                known = parameter["schema"].get("enum", ())
                for value in (*known, *ODD):
                    kind = {"Content-Type": "image/png"}
                    if parameter["in"] == "query":
                        query = f"{quote(parameter['name'])}={quote(value, safe='')}"
                        twice = f"{query}&{query}"
                        for asked in {query, twice} if value in ("", "fast") else {query}:
                            yield method.upper(), f"{path}?{asked}", kind, blank.getvalue()
                    elif parameter["in"] == "header" and value.strip() and value.isprintable():
                        yield method.upper(), path, {**kind, parameter["name"]: value.encode()}, blank.getvalue()


def test_every_answer_is_a_result_or_a_problem_with_advice(walked):
    wrong = walked["walk"].wrong
    assert not wrong, "\n".join(wrong[:50])
    assert walked["walk"].sent > 500


def test_health_is_answered_all_the_while(walked):
    assert {status for status, _ in walked["health"]} == {200}
    waits = sorted(seconds for _, seconds in walked["health"])
    assert waits[len(waits) // 2] < 1.0  # the median does not depend on what else this machine does


def test_memory_stays_bounded(walked):
    assert walked["grown"] < MIB


def test_process_ends_in_time_and_has_logged_no_stack_trace(walked):
    assert walked["status"] == 0, walked["log"]
    assert walked["ended"] < DEADLINE + 10
    assert "Traceback" not in walked["log"]
