"""The worst body of each size, sent to each address: it costs little time and memory, and nobody else waits for it.

Every address whose cost is not linear in its body, or whose objects are not counted, belongs here.
"""

import base64
import contextlib
import io
import json
import os
import re
import socket
import struct
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image
from starlette.routing import Route, Router

from text_recognizer import formats
from text_recognizer.service.app import create_app
from text_recognizer.service.settings import Settings

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measures by /proc")

SIZES = (64 * 2**10, 2 * 2**20, 20 * 2**20 - 4096)
SECONDS, MIB = 2.0, 200  # of a processor, and of memory
JSON = "application/json"
FORM = "multipart/form-data; boundary=xxxxxxxxxx"


def fill(pattern: bytes, size: int, before: bytes = b"", after: bytes = b"") -> bytes:
    return before + pattern * ((size - len(before) - len(after)) // len(pattern)) + after


def part(content: bytes, name: str = "image", file: bool = True) -> bytes:
    named = f'name="{name}"' + '; filename="x"' * file
    return f"--xxxxxxxxxx\r\nContent-Disposition: form-data; {named}\r\n\r\n".encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--xxxxxxxxxx--\r\n"


def png(size: int = 64, **options) -> bytes:
    stored = io.BytesIO()
    Image.new("L", (size, size), 255).save(stored, "PNG", **options)
    return stored.getvalue()


def directories(size: int) -> bytes:
    chain = (struct.pack("<HHHIII", 1, 254, 4, 1, 1, 8 + 18 * (n + 1)) for n in range((size - 8) // 18))
    return b"".join((b"II*\0", struct.pack("<I", 8), *chain))


def naming_all_bytes(size: int) -> bytes:
    data, entries = bytearray(size), min(60_000, (size - 10) // 12)
    data[:10] = b"II*\0" + struct.pack("<IH", 8, entries)
    for n in range(entries):
        struct.pack_into("<HHII", data, 10 + 12 * n, n, 7, size - 100, 0)
    return bytes(data)


def exif_pieces(size: int) -> bytes:
    stored = io.BytesIO()
    Image.new("L", (64, 64), 255).save(stored, "JPEG")
    jpeg, exif = stored.getvalue(), b"Exif\0\0" + naming_all_bytes(65_000)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    return jpeg[:2] + segment * max(1, size // len(segment)) + jpeg[2:]


def scans(size: int) -> bytes:
    stored = io.BytesIO()
    Image.new("L", (6000, 6000), 255).save(stored, "JPEG", progressive=True, quality=10)
    jpeg = stored.getvalue()
    scan = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + scan * max(0, (size - len(jpeg)) // len(scan)) + jpeg[-2:]


def chunks(size: int) -> bytes:
    data = png()
    return data[:33] + fill(b"\0\0\0\0aaAa\xd4\x3d\xd0\x09", size - len(data)) + data[33:]


def frames(size: int) -> bytes:
    stored = io.BytesIO()
    Image.new("L", (8, 8)).save(stored, "GIF")
    gif = stored.getvalue()
    at = gif.index(b"\x2c", 13)
    return gif[:at] + fill(gif[at:-1], size - len(gif)) + gif[-1:]


def spaced(size: int) -> bytes:
    return fill(b"a ", size, b'{"image": "data:;base64,', b'"}')


READ = {
    "numbers": lambda size: (JSON, fill(b"0,", size, b"[", b"0]")),
    "nested": lambda size: (JSON, b"[" * size),
    "empty strings": lambda size: (JSON, fill(b'"",', size, b"[", b'""]')),
    "keys": lambda size: (JSON, b"{" + b",".join(b'"%d":0' % n for n in range(size // 12)) + b"}"),
    "spaces": lambda size: (JSON, b" " * size),
    "digits": lambda size: (JSON, b"1" * size),
    "data": lambda size: (JSON, fill(b"a", size, b'{"image": "data:;base64,', b'"}')),
    "spaced data": lambda size: (JSON, spaced(size)),
    "escaped data": lambda size: (JSON, fill(b"%41", size, b'{"image": "data:,', b'"}')),
    "wide data": lambda size: (JSON, fill(b"\\ud83d\\ude00", size, b'{"image": "data:,', b'"}')),
    "long address": lambda size: (JSON, fill(b"a.", size, b'{"image_url": "https://', b'org"}')),
    "wide address": lambda size: (JSON, fill("ü".encode(), size, b'{"image_url": "https://', b'.org"}')),
    "string of numbers": lambda size: (JSON, json.dumps("[" + "0," * (size // 2 - 8) + "0]").encode()),
    "string of brackets": lambda size: (JSON, fill(b"[", size, b'{"image": "', b'"}')),
    "wide encoding": lambda size: (JSON, ("[" + '"",' * (size // 6 - 8) + '""]').encode("utf-16")),
    "boundaries": lambda size: (FORM, form(part(fill(b"\r\n--xxxxxxxxx", size - 200)))),
    "many parts": lambda size: (FORM, form(*[part(b"")] * (size // 80))),
    "slow charset": lambda size: (f"{FORM}; charset=punycode", form(part(b"a" * (size - 200), file=False))),
    "long name": lambda size: (FORM, form(part(b"", "a" * (size - 200)))),
    "directories": lambda size: ("image/tiff", directories(size)),
    "entries": lambda size: ("image/tiff", naming_all_bytes(size)),
    "pieces of EXIF": lambda size: ("image/jpeg", exif_pieces(size)),
    "scans": lambda size: ("image/jpeg", scans(size)),
    "chunks": lambda size: ("image/png", chunks(size)),
    "EXIF of PNG": lambda size: ("image/png", png(exif=naming_all_bytes(size - 4096))),
    "frames": lambda size: ("image/gif", frames(size)),
}


def page(lines: int = 1, points: int = 4, words: int = 1, text: str = "a") -> dict:
    polygon = [[n % 100, n % 7] for n in range(points)]
    word = {"text": text, "confidence": 0.5, "polygon": polygon[:4]}
    line = {"text": text, "confidence": 0.5, "polygon": polygon, "baseline": [[0, 5], [90, 5]], "alternatives": []}
    answer = {"width": 64, "height": 64, "model": "m@1", "lines": [{**line, "words": [word] * words}] * lines}
    return {"format": 1, "text": text, "source": "", **answer}


def feedback(**said) -> bytes:
    return json.dumps({"request_id": "worst", "flag": "other", **said}).encode()


def with_page(said: bytes, size: int) -> bytes:
    return form(part(said, "feedback", file=False), part(fill(b"\0", max(64, size - len(said) - 500), png())))


def uneven() -> dict:
    """One long line and many short ones."""
    return {**page(), "lines": [*page(text="a b" * 6000)["lines"], *page(lines=2000)["lines"]]}


def written(page: dict, texts: list[str] | None = None) -> tuple[str, bytes]:
    return JSON, json.dumps({"page": page, "texts": texts}).encode()


FEEDBACK = {
    **{name: READ[name] for name in ("numbers", "nested", "empty strings", "keys", "slow charset", "boundaries")},
    "combining marks": lambda size: (JSON, feedback(text="a" + "\u0316\u0301" * min(9_999, size // 12))),
    "long text": lambda size: (JSON, feedback(text="a" * (size - 100))),
    "many lines": lambda size: (JSON, feedback(lines=[""] * (size // 4 - 100))),
    "points": lambda size: (FORM, with_page(feedback(page=page(points=size // 12)), size)),
    "lines of a page": lambda size: (FORM, with_page(feedback(page=page(lines=size // 160)), size)),
    "uneven lines": lambda size: (FORM, with_page(feedback(page=uneven()), size)),
}

WRITTEN = {
    **{name: READ[name] for name in ("numbers", "nested", "empty strings", "slow charset", "boundaries")},
    "words by points": lambda size: written(page(points=min(size, 2**21) // 32), ["b " * (min(size, 2**21) // 4)]),
    "lines": lambda size: written(page(lines=size // 160)),
    "points": lambda size: written(page(points=size // 12)),
    "texts": lambda size: written(page(), ["a" * (size - 500)]),
    "combining marks": lambda size: written(page(text="a" + "\u0316\u0301" * (size // 24))),
}

FORMATS = ("json", "alto", "hocr", "text")
CASES = [
    *[("/v1/read?mode=fast", name, body) for name, body in READ.items()],
    *[("/?mode=fast", name, body) for name, body in READ.items() if body(8192)[0] == JSON],
    *[("/v1/feedback", name, body) for name, body in FEEDBACK.items()],
    *[("/v1/image", name, body) for name, body in READ.items() if body(8192)[0] == JSON],
    *[("/page/pages", name, body) for name, body in READ.items() if body(8192)[0].startswith("image/")],
    *[(f"/page/written/{kind}", name, body) for kind in FORMATS for name, body in WRITTEN.items()],
]


def addresses() -> list[tuple[str, str]]:
    """Method and path of all that the service answers, those of the page too; nothing can be added without being here.

    Places in a path are filled by something long, and by each format of a page.
    """
    pytest.importorskip("gradio")
    from text_recognizer.app.page import GRADIO, Page

    app = create_app(Settings(feedback="off"))
    # Newer versions of FastAPI keep routers within each other.
    routes = [inner for route in app.routes for inner in getattr(route, "original_router", Router([route])).routes]
    found = [(method, route.path) for route in routes for method in route.methods]
    assert {path for _, path in found} >= app.openapi()["paths"].keys()
    for route in Page(lambda _: None).own.routes:
        methods = getattr(route, "methods", None) or {"GET"}
        found += [(method, route.path if isinstance(route, Route) else f"{route.path}/{{file}}") for method in methods]
    found += [("GET", path if path.endswith(".css") else f"{path}{{file}}") for path in (*GRADIO, "/")]
    filled = []
    for method, path in found:
        names = formats.NAMES if "{format}" in path else ("",)
        filled += [(method, re.sub(r"\{\w+\}", "a" * 50_000, path.replace("{format}", name))) for name in names]
    return sorted({one for one in filled if one[0] != "HEAD"})


def seconds(pid: int) -> float:
    """Of processor time that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def mib(pid: int, name: str) -> float:
    return int(Path(f"/proc/{pid}/status").read_text().partition(f"{name}:")[2].split()[0]) / 1024


@pytest.fixture(scope="module")
def server(process, tmp_path_factory):
    folder = tmp_path_factory.mktemp("worst")
    with process(TEXT_RECOGNIZER_FEEDBACK=str(folder), TEXT_RECOGNIZER_MAX_PIXELS="4000000") as served:
        served.http.get("/")  # the page is loaded now, not within what is measured
        yield served


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("path", "name", "body"), CASES, ids=[f"{path} {name}" for path, name, _ in CASES])
def test_worst_body_costs_little(server, path, name, body, size):
    if path.startswith("/page/") and server.http.get("/page/browser/main.js").status_code == 404:
        pytest.skip("the page is not installed")
    kind, content = body(size)
    pid = server.process.pid
    time.sleep(0.05)
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak starts anew
    before, memory = seconds(pid), mib(pid, "VmRSS")
    answer = server.http.post(path, content=content, headers={"Content-Type": kind})
    assert answer.status_code in (200, 201, 400, 413, 415, 422, 404), answer.text[:200]
    used, more = seconds(pid) - before, mib(pid, "VmHWM") - memory
    assert (used < SECONDS, more < MIB) == (True, True), f"{len(content) >> 10} KiB: {used:.1f} s, {more:.0f} MiB"


def test_no_address_escapes():
    """A new one that takes a body needs cases here; of a page, some formats are enough."""
    taking = {path for method, path in addresses() if method == "POST"}
    covered = {path.partition("?")[0] for path, _, _ in CASES}
    assert {path for path in taking - covered if path.rpartition("/")[0] != "/page/written"} == set()


def test_large_body_does_no_harm_at_any_address(server):
    """At those that take none, too, and with names that are too long for a file."""
    kind, content = READ["numbers"](SIZES[-1])
    pid, costs = server.process.pid, {}
    for method, path in addresses():
        before = seconds(pid)
        # A connection of its own: one that was kept may be closed at the moment.
        answer = httpx.request(method, server.url + path, content=content, headers={"Content-Type": kind}, timeout=60)
        costs[method, path[:60]] = answer.status_code, seconds(pid) - before
    assert {at: cost for at, cost in costs.items() if cost[0] >= 500 or cost[1] > SECONDS} == {}
    assert {method for method, _ in costs} >= {"GET", "POST", "DELETE"}


CHUNKED = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunked(server, path: str, chunk: bytes, size: int) -> int:
    """The status of the answer to a body of `size` bytes in chunks like this one."""
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port), timeout=60) as sock:
        with contextlib.suppress(ConnectionError):  # it may hang up before the end
            sock.sendall(CHUNKED % path.encode() + b"%x\r\n%s\r\n" % (len(chunk), chunk) * (size // len(chunk)))
            sock.sendall(b"0\r\n\r\n")
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = sock.recv(2**16)
    return int([*answer.split(), b"", b"0"][1])


@pytest.mark.parametrize("path", ["/v1/read", "/v1/feedback", "/page/pages", "/healthz", "/nothing"])
def test_body_in_tiny_chunks_costs_little(server, path):
    pid, before = server.process.pid, seconds(server.process.pid)
    assert chunked(server, path, b"a", 4 * 2**20) in (0, 400, 404, 405)  # 0: hung up
    assert seconds(pid) - before < SECONDS / 4
    assert server.http.get("/healthz").status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/docs"])
def test_body_without_end_is_cut_off_where_nobody_takes_it(server, path):
    pid, before, piece, sent = server.process.pid, seconds(server.process.pid), 2**20, 0
    address = httpx.URL(server.url)
    with socket.create_connection((address.host, address.port), timeout=60) as sock, contextlib.suppress(OSError):
        sock.sendall(CHUNKED % path.encode())
        while sent < 2**30:
            sock.sendall(b"%x\r\n%s\r\n" % (piece, bytes(piece)))
            sent += piece
    assert sent < 2**30
    assert seconds(pid) - before < SECONDS / 4
    assert server.http.get("/healthz").status_code == 200


def test_body_in_small_chunks_is_read(server):
    assert chunked(server, "/v1/read?mode=fast", b"a" * 300, 4 * 2**20) == 422  # no image
    assert chunked(server, "/v1/read?mode=fast", b"a", 4000) == 422


@pytest.mark.alone
def test_others_are_answered_meanwhile_and_the_process_ends_within_its_grace(process, tmp_path):
    """Eight of the worst bodies at once."""
    kinds = [
        ("/v1/read?mode=fast", *READ["numbers"](SIZES[-1])),
        ("/v1/read?mode=fast", *READ["wide data"](SIZES[-1])),
        ("/v1/read?mode=fast", *READ["slow charset"](SIZES[-1])),
        ("/page/written/alto", *WRITTEN["words by points"](SIZES[-1])),
    ]
    stop = threading.Event()

    def send(url, path, kind, content):
        while not stop.is_set():
            try:
                httpx.post(url + path, content=content, headers={"Content-Type": kind}, timeout=60)
            except httpx.TransportError:
                return

    with process(TEXT_RECOGNIZER_FEEDBACK=str(tmp_path), TEXT_RECOGNIZER_DEADLINE="5") as served:
        threads = [threading.Thread(target=send, args=(served.url, *kind), daemon=True) for kind in kinds * 2]
        for thread in threads:
            thread.start()
        waits = []
        for _ in range(20):
            begin = time.monotonic()
            assert served.http.get("/healthz").status_code == 200
            waits.append(time.monotonic() - begin)
            time.sleep(0.1)
        stop.set()
        served.process.terminate()
        served.process.wait(20)
        # The median does not depend on what else this machine does.
        assert sorted(waits)[10] < 1.0, waits


def test_base64_with_white_space_is_read(server, blank):
    text = base64.b64encode(blank).decode()
    wrapped = "\n".join(text[i : i + 76] for i in range(0, len(text), 76)) + " \t"
    assert server.http.post("/?mode=fast", json={"image": f"data:image/png;base64,{wrapped}"}).json() == {"pred": ""}
