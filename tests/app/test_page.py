"""What the page's server gives and what it keeps shut, asked over HTTP."""

import asyncio
import io
import json
import subprocess
import sys
import time

import httpx
import numpy as np
import pikepdf
import pytest
from PIL import Image
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from small_heic import HEIC
from text_recognizer.app import decoding, forward
from text_recognizer.app.mounted import create_app
from text_recognizer.app.page import Page
from text_recognizer.errors import UsageError
from text_recognizer.formats.json_lines import from_dict
from text_recognizer.service import turns
from text_recognizer.service.settings import Settings


@pytest.fixture(scope="module")
def before(service, alone):
    """The page alone, in front of the service."""
    with alone(service.url) as served:
        yield served


@pytest.fixture(scope="module")
def page(service, picture):
    return service.http.post("/v1/read?mode=fast", files={"image": ("page.png", picture)}).json()


def test_page_is_at_the_root_and_the_service_around_it_as_it_was(service, picture):
    shown = service.http.get("/")
    assert (shown.status_code == 200 and "<title>" in shown.text) or "Text Recognizer" in shown.text
    assert service.http.head("/").status_code == 200
    read = service.http.post("/", content=picture).json()
    assert read["code"] == "bad-request"  # the original's contract is JSON, and still there
    for path in ("/nothing", "/gradio_api/info", "/config", "/v1/nothing"):
        refused = service.http.get(path)
        assert (refused.status_code, refused.json()["code"]) == (404, "not-found"), path
    wrong = service.http.get("/v1/read")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method-not-allowed")
    assert set(service.http.get("/openapi.json").json()["paths"]) >= {"/", "/v1/read", "/v1/models", "/healthz"}
    assert service.http.get("/healthz").json() == {"status": "ok"}


def test_only_pages_that_the_operator_names_may_frame_the_page():
    async def policy(*frames):
        page = Page(admit=None, frames=frames)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(page), base_url="http://127.0.0.1") as http:
            return (await http.get("/")).headers["content-security-policy"]

    assert asyncio.run(policy()).endswith("frame-ancestors 'self'")
    assert asyncio.run(policy("http://localhost:8888")).endswith("frame-ancestors 'self' http://localhost:8888")
    with pytest.raises(UsageError, match="not an origin"):
        Settings.from_environment({"TEXT_RECOGNIZER_FRAMES": "http://localhost:8888;script-src"})


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Host": "evil.example", "Origin": "http://evil.example"},
    {"Host": "evil.example:80", "Sec-Fetch-Site": "same-origin"},
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("where", ["service", "before"])
def test_page_of_another_site_can_send_nothing_that_changes_or_costs(request, where, page, headers):
    http = request.getfixturevalue(where).http
    addresses = {
        ("POST", "/v1/read"), ("POST", "/v1/image"), ("POST", "/v1/feedback"), ("DELETE", "/v1/feedback/r"),
        ("POST", "/page/pages"), ("POST", "/page/written/text"),
    }  # fmt: skip
    for method, path in addresses:
        answer = http.request(method, path, json={"page": page} if method == "POST" else None, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign-page"), path
    own = {"Origin": "http://localhost:7860", "Host": "localhost:7860"}
    assert http.post("/page/written/text", json={"page": page}, headers=own).status_code == 200


def test_names_of_the_page_alone_let_browsers_in(service, serving, page):
    rebound = {"Host": "pages.intranet", "Origin": "http://pages.intranet"}
    for hosts, status in ((("pages.intranet",), 200), (None, 200), (("other.intranet",), 403)):
        with serving(forward.create_app(service.url, hosts=hosts)) as url:
            answer = httpx.post(f"{url}/page/written/text", json={"page": page}, headers=rebound, timeout=60)
            assert answer.status_code == status, hosts


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/upload"),
        ("POST", "/gradio_api/queue/join"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/run/predict"),
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/gradio_api/file=http://127.0.0.1:9/secret"),
        ("GET", "/gradio_api/proxy=http://127.0.0.1:9/secret"),
        ("GET", "/gradio_api/deep_link"),
        ("GET", "/file=/etc/passwd"),
        ("GET", "/monitoring"),
        ("GET", "/assets/..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd"),
        ("GET", "/assets/../../../../../../../../etc/passwd"),
        ("GET", f"/assets/{'a' * 50_000}"),
        ("GET", f"/static/img/{'a' * 300}"),
        ("GET", "/assets/%00"),
        ("GET", "/static/%0a"),
        ("GET", "/static/..%2f..%2f..%2fetc%2fpasswd"),
        ("GET", "/static//etc/passwd"),
        ("GET", "/page/examples/..%2f..%2f__init__.py"),
        ("GET", "/page/examples/%2fetc%2fpasswd"),
        ("GET", "/page/browser/..%2fpage.py"),
        ("GET", "/page/browser/../page.py"),
    ],
)
def test_no_address_of_gradio_reads_files_or_fetches_for_strangers(service, before, method, path):
    for server in (service, before):
        answer = server.http.request(method, path, json={})
        assert answer.status_code in (403, 404, 405), (path, answer.status_code)
        assert "root:" not in answer.text and "import" not in answer.text


def test_page_takes_nothing_from_elsewhere(service):
    shown = service.http.get("/")
    policy = shown.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http" not in policy and "unsafe-eval" not in policy
    assert shown.headers["x-content-type-options"] == "nosniff"


def test_page_can_be_switched_off(mounted):
    with mounted(page=False) as plain:
        refused = plain.http.get("/")
        assert refused.status_code in (404, 405) and refused.headers["content-type"] == "application/problem+json"
        assert plain.http.get("/page/examples/page.jpg").status_code == 404


def test_serving_without_gradio_has_no_page():
    code = (
        "import sys; sys.modules['gradio'] = None\n"
        "from text_recognizer import cli\n"
        "import text_recognizer.service.serve as serving\n"
        "serving.serve = lambda *given: print(given)\n"
        "cli.main(['serve'])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert told.stdout.strip() == "({},)", told.stderr


def test_gradio_is_not_loaded_before_somebody_looks_at_the_page():
    code = "import sys, text_recognizer.app.mounted as m; m.create_app(); print('gradio' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


def test_gradio_asks_nobody_for_anything():
    code = (
        "import sys, socket\n"
        "def hook(event, given):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo'): print(event, given)\n"
        "sys.addaudithook(hook)\n"
        "from text_recognizer.app.shell import gradio_application\n"
        "gradio_application({})\n"
        "import time; time.sleep(1)  # what it would do beside"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == ""


def test_corrected_page_is_written_in_every_format_that_the_service_names(service, page, picture):
    texts = ["corrected words here", *[line["text"] for line in page["lines"][1:]]]
    form = {"page": json.dumps({"page": page, "texts": texts, "source": "a.png"})}
    for name in service.http.get("/v1/models").json()["formats"]:
        answer = service.http.post(f"/page/written/{name}", data=form, files={"image": ("a.png", picture)})
        assert answer.status_code == 200, (name, answer.text)
        assert answer.content or name == "tables"  # there is none
    text = service.http.post("/page/written/text", json={"page": page, "texts": texts}).text
    assert text.splitlines()[0] == "corrected words here" and len(text.splitlines()) == len(page["lines"])
    written = json.loads(service.http.post("/page/written/json", json={"page": page, "texts": texts}).text)
    first = from_dict(written).lines[0]
    assert [word.text for word in first.words] == ["corrected", "words", "here"]
    assert first.alternatives[0] == page["lines"][0]["text"]


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"page": 1}', b'{"page": {"lines": [1]}}', b"[" * 100_000, b'{"page": null, "texts": 1}'],
)
def test_what_is_not_a_page_is_refused(service, content):
    answer = service.http.post("/page/written/text", content=content)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-request")


def test_one_text_for_each_line_and_known_formats_only(service, page):
    assert service.http.post("/page/written/json", json={"page": page, "texts": ["one"]}).status_code == 400
    assert service.http.post("/page/written/nothing", json={"page": page}).status_code == 404
    assert "picture" in service.http.post("/page/written/pdf", json={"page": page}).json()["detail"]
    for form in ({"files": {"image": b"x"}}, {"data": {"page": "{}"}, "files": {"other": b"x"}}):
        assert service.http.post("/page/written/pdf", **form).status_code == 400
    assert service.http.get("/page/written/json").status_code == 405
    assert service.http.get("/page/nothing").json()["code"] == "not-found"


def leaves(content):
    """The pictures in an answer: each follows its length."""
    while content:
        size = int.from_bytes(content[:4], "big")
        yield content[4 : 4 + size]
        content = content[4 + size :]


def test_pages_of_what_browsers_cannot_show_become_pictures(service, tiff, pdf):
    for content, sizes in ((tiff, [(480, 240)]), (pdf, [(556, 278)] * 3), (HEIC, [(64, 64)])):
        shown = service.http.post("/page/pages", content=content)
        assert shown.status_code == 200 and int(shown.headers["x-pages"]) == len(sizes)
        pictures = [Image.open(io.BytesIO(picture)) for picture in leaves(shown.content)]
        assert [picture.format for picture in pictures] == ["JPEG"] * len(sizes)
        assert [picture.size for picture in pictures] == sizes or content is HEIC
    for nonsense, words in ((b"nonsense", "image"), (b"%PDF-1.7", "PDF"), (b"PK\3\4", "unpack"), (b"", "")):
        refused = service.http.post("/page/pages", content=nonsense)
        assert (refused.status_code, refused.json()["code"]) == (422, "image-rejected")
        assert words in refused.json()["detail"]


def test_table_whose_rows_would_be_filled_up_without_end_is_refused(service, page):
    """A long row, and many short ones: the square of what was sent."""
    line = {**page["lines"][0], "words": [], "alternatives": []}
    rows = [
        {"kind": "row", "start": 0, "stop": 300},
        *({"kind": "row", "start": n, "stop": n + 1} for n in range(300, 600)),
    ]
    blocks = [{"kind": "table", "start": 0, "stop": 600, "blocks": rows}]
    content = {"page": {**page, "lines": [line] * 600, "blocks": blocks}}
    answer = service.http.post("/page/written/tables", json=content)
    assert (answer.status_code, "divide it" in answer.json()["detail"]) == (400, True)
    blocks[0]["blocks"] = [{"kind": "row", "start": n, "stop": n + 6} for n in range(0, 600, 6)]
    assert service.http.post("/page/written/tables", json=content).text.count("\n") == 100


def test_encrypted_document_is_told_what_to_do(service):
    stored = io.BytesIO()
    with pikepdf.new() as pdf:
        pdf.add_blank_page()
        pdf.save(stored, encryption=pikepdf.Encryption(user="secret", owner="secret"))
    answer = service.http.post("/page/pages", content=stored.getvalue())
    assert (answer.status_code, "save it without its password" in answer.json()["detail"]) == (422, True)


def test_bad_page_of_a_document_costs_only_itself(service, damaged):
    shown = service.http.post("/page/pages", content=damaged)
    assert [len(picture) > 0 for picture in leaves(shown.content)] == [True, False, True]


def test_clients_that_take_their_pages_slowly_make_room_for_others(monkeypatch):
    """Both turns are theirs, and neither takes more than a part of its document."""
    monkeypatch.setattr(turns, "SLOW", 0.3)
    monkeypatch.setattr(decoding, "LOOKS", 0.1)
    monkeypatch.setattr(decoding, "AT_ONCE", 2)
    noise = np.random.default_rng(0).integers(0, 256, (700, 500), np.uint8)
    stored = io.BytesIO()
    Image.fromarray(noise).save(stored, "TIFF", save_all=True, append_images=[Image.fromarray(noise)] * 5)

    async def clients():
        decoder = decoding.Decoder(10**7)

        async def opened():
            return await decoder.open(stored.getvalue(), time.monotonic() + 30)

        slow = [await opened() for _ in range(2)]
        for _, pages in slow:
            await anext(pages)
        quick = b""
        count, pages = await opened()
        async for part in pages:
            quick += part
        rest = [b"".join([part async for part in pages]) for _, pages in slow]
        # One that leaves leaves nothing behind, also where its document waits to be taken.
        for _ in range(3):
            _, left = await opened()
            await anext(left)
            await left.aclose()
        # Nobody else waits: a slow client keeps its turn.
        (_, alone), whole = await opened(), b""
        async for part in alone:
            if not whole:
                await asyncio.sleep(1)
            whole += part
        await asyncio.sleep(0.5)  # processes that were killed end
        return count, quick, rest, whole

    count, quick, rest, whole = asyncio.run(clients())
    assert count == len(list(leaves(quick))) == 6
    assert min(map(len, rest)) < len(quick) / 2
    assert whole == quick


def test_document_that_takes_too_long_is_killed_and_costs_nobody_else_anything(service, pdf, monkeypatch, wait_until):
    monkeypatch.setattr(decoding, "SECONDS", 0.0)
    refused = service.http.post("/page/pages", content=pdf)
    assert (refused.status_code, refused.json()["code"]) == (422, "image-rejected")
    monkeypatch.undo()
    assert service.http.post("/page/pages", content=pdf).headers["x-pages"] == "3"


def test_too_much_is_refused_while_it_comes_in(mounted):
    with mounted(max_bytes=1000) as small:
        refused = small.http.post("/page/pages", content=b"x" * 2000)
        assert (refused.status_code, refused.json()["code"]) == (413, "too-large")


def test_keys_and_rates_hold_for_the_page_too(mounted, alone, page, picture):
    with mounted(api_keys=("one",), rate_limit=60) as kept, alone(kept.url) as before, alone(kept.url, "one") as given:
        for server in (kept, before):
            for path, content in (("/page/pages", picture), ("/page/written/text", json.dumps({"page": page}))):
                assert server.http.post(path, content=content).status_code == 401
                assert server.http.post(path, content=content, headers={"X-API-Key": "two"}).status_code == 401
            assert server.http.post("/v1/read", content=picture).status_code in (401, 415)
            allowed = server.http.post("/page/pages", content=picture, headers={"X-API-Key": "one"})
            assert allowed.status_code == 200
        # Whose key the app holds, its visitors need none.
        assert given.http.get("/v1/models").status_code == 200
        codes = [given.http.post("/page/written/text", json={"page": page}).status_code for _ in range(15)]
        assert set(codes) == {200, 429}


def test_alone_only_what_the_page_asks_for_is_passed_on(before, picture):
    assert before.http.get("/").status_code == 200
    assert before.http.get("/healthz").json() == {"status": "ok"}
    read = before.http.post("/v1/read?mode=fast", files={"image": ("page.png", picture)})
    assert read.json()["source"] == "page.png" and read.headers["x-model"]
    for method, path in (
        ("GET", "/metrics"), ("GET", "/openapi.json"), ("POST", "/"), ("GET", "/readyz"), ("GET", "/v1/read"),
        ("DELETE", "/v1/feedback/..%2f..%2fmetrics"), ("GET", "/v1/../metrics"), ("PUT", "/v1/feedback"),
    ):  # fmt: skip
        assert before.http.request(method, path).status_code == 404, (method, path)


def test_visitors_are_told_apart_by_the_service_behind(serving, wait_until):
    """Both servers trust the proxy before them, here the test."""
    service = create_app(Settings(rate_limit=6, threads=1, feedback="off"))
    with serving(ProxyHeadersMiddleware(service, "127.0.0.1")) as address:
        page = forward.create_app(address)
        with serving(ProxyHeadersMiddleware(page, "127.0.0.1")) as url, httpx.Client(base_url=url) as http:
            wait_until(lambda: httpx.get(f"{address}/readyz").status_code == 200)
            visitor = {"X-Forwarded-For": "203.0.113.7"}
            first = [http.get("/v1/models", headers=visitor).status_code for _ in range(3)]
            assert first[0] == 200 and first[-1] == 429
            assert http.get("/v1/models", headers={"X-Forwarded-For": "203.0.113.8"}).status_code == 200


def test_service_that_is_away_is_reported_in_a_problem_document(alone, picture):
    with alone("http://127.0.0.1:9") as lonely:
        assert lonely.http.get("/").status_code == 200
        for path in ("/v1/read", "/page/pages"):
            answer = lonely.http.post(path, content=picture)
            assert (answer.status_code, answer.json()["code"]) == (502, "service-away")
            assert "127.0.0.1" not in answer.text


def test_lines_pass_through_as_they_are_read_and_a_client_that_leaves_is_noticed(service, alone, large, wait_until):
    dropped = lambda: [row for row in service.http.get("/metrics").text.splitlines() if "dropped_total" in row][-1]  # noqa: E731
    with alone(service.url) as before:
        before_it = dropped()
        with before.http.stream("POST", "/v1/read?stream=true", files={"image": large}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            rows = answer.iter_lines()
            assert next(rows) == "event: layout"
        wait_until(lambda: dropped() != before_it)
