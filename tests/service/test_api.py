"""What the addresses promise, asked over a real connection."""

import base64
import gzip
import json
import socket
import threading
import urllib.request
from asyncio import BaseEventLoop
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
import requests

from text_recognizer import formats

PNG = {"Content-Type": "image/png"}
FAST = {"mode": "fast"}


def data_url(picture) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()


@pytest.fixture(scope="module")
def page(service, picture):
    """What the picture says, read once from its raw bytes."""
    answer = service.http.post("/v1/read", content=picture, headers=PNG, params=FAST)
    assert answer.status_code == 200
    return answer.json()


def problem(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["type"] == f"urn:text-recognizer:problem:{code}"
    assert (told["status"], told["code"]) == (status, code)
    assert told["request_id"] == answer.headers["x-request-id"]
    return told["detail"]


# ---------------------------------------------------------------------------------------------------------- reading


def test_page_comes_with_its_lines_its_model_and_its_timings(page, model):
    assert len(page["lines"]) == 3
    assert page["text"] == "\n".join(line["text"] for line in page["lines"])
    assert (page["width"], page["height"]) == (480, 240)
    assert page["model"] == f"{model.name}@{model.version}"
    assert page["timings"]["total"] >= page["timings"]["layout"] > 0


def test_form_data_url_and_raw_bytes_read_alike(service, picture, page):
    form = service.http.post("/v1/read", files={"image": ("my page.png", picture)}, params=FAST)
    url = service.http.post("/v1/read", json={"image": data_url(picture)}, params=FAST)
    bytes_ = service.http.post(
        "/v1/read", content=picture, params=FAST, headers={"Content-Type": "application/octet-stream"}
    )
    assert form.json()["lines"] == url.json()["lines"] == bytes_.json()["lines"] == page["lines"]
    assert form.json()["source"] == "my page.png"


def test_file_is_found_under_any_name_of_its_field(service, picture, page):
    answer = service.http.post("/v1/read", files={"upload": picture}, data={"note": "x"}, params=FAST)
    assert answer.json()["lines"] == page["lines"]


def test_accurate_is_the_default(service, picture, figure):
    before = figure(service.http, "pages_total", mode="accurate")
    assert service.http.post("/v1/read", content=picture, headers=PNG).status_code == 200
    assert service.http.post("/", json={"image": data_url(picture)}).status_code == 200
    assert figure(service.http, "pages_total", mode="accurate") == before + 2


def test_text_is_what_the_command_prints(service, picture, page):
    answer = service.http.post("/v1/read", content=picture, headers=PNG, params={**FAST, "format": "text"})
    assert answer.text == page["text"] + "\n"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-model"] == page["model"]
    assert "recognition;dur=" in answer.headers["server-timing"]


def test_blank_page_is_read_as_empty_text(service, blank):
    answer = service.http.post("/v1/read", content=blank, headers=PNG, params=FAST)
    assert (answer.status_code, answer.json()["text"], answer.json()["lines"]) == (200, "", [])
    assert service.http.post("/", json={"image": data_url(blank)}).json() == {"pred": ""}


def test_lines_are_streamed_in_order_and_then_the_page(service, picture, page):
    with service.http.stream(
        "POST", "/v1/read", content=picture, headers=PNG, params={**FAST, "stream": "true"}
    ) as got:
        assert got.headers["content-type"].startswith("text/event-stream")
        events = [
            dict(row.split(": ", 1) for row in event.splitlines()) for event in got.read().decode().split("\n\n")[:-1]
        ]
    assert [event["event"] for event in events] == ["layout", *["line"] * 3, "page"]
    layout, *lines, whole = [json.loads(event["data"]) for event in events]
    assert lines == page["lines"] == whole["lines"]
    assert layout["polygons"] == [line["polygon"] for line in lines]
    assert (layout["width"], layout["height"]) == (whole["width"], whole["height"])


def test_only_a_stream_wakes_the_event_loop_for_each_line(service, picture, monkeypatch):
    wake, woken = BaseEventLoop.call_soon_threadsafe, []

    def counted(self, *args, **options):
        if threading.current_thread().name.startswith("text-recognizer-reader"):
            woken.append(args)
        return wake(self, *args, **options)

    monkeypatch.setattr(BaseEventLoop, "call_soon_threadsafe", counted)
    counts = []
    for stream in ("false", "true"):
        woken.clear()
        service.http.post("/v1/read", content=picture, headers=PNG, params={**FAST, "stream": stream})
        counts.append(len(woken))
    assert counts == [1, 5]  # the page; its layout, three lines and the page


def test_request_keeps_the_number_that_it_came_with_if_that_is_harmless(service):
    assert service.http.get("/healthz", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert service.http.get("/healthz", headers={"X-Request-ID": "a b{}"}).headers["x-request-id"] != "a b{}"


# ------------------------------------------------------------------------------------------- the original's contract


def test_lines_of_the_original_notebook_work_but_for_the_address(service, picture, page):
    response = requests.post(service.url, json={"image": data_url(picture)}, params=FAST)
    assert response.json()["pred"] == page["text"]
    response = requests.post(service.url, data=json.dumps({"image": data_url(picture)}), params=FAST)  # no media type
    assert response.json()["pred"] == page["text"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "image/png", "nonsense"])
def test_original_contract_does_not_look_at_the_media_type(service, picture, page, kind):
    body = json.dumps({"image": data_url(picture)})
    answer = service.http.post("/", content=body, headers={"Content-Type": kind}, params=FAST)
    assert answer.json() == {"pred": page["text"]}


def test_original_contract_takes_json_in_a_string_and_more_keys(service, picture, page):
    body = {"image": data_url(picture), "image_url": None, "other": 1}
    assert service.http.post("/", json=json.dumps(body), params=FAST).json() == {"pred": page["text"]}


@pytest.mark.parametrize(
    "body", ["{}", '{"image": null}', "[]", "3", '"x"', "", "{", '{"image": 3}', "\xff", "[" * 100_000]
)
def test_neither_key_is_a_bad_request(service, body):
    problem(service.http.post("/", content=body.encode("latin-1")), 400, "bad-request")


# ---------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "body", [b"no image", b"\x89PNG\r\n\x1a\n", b"%PDF-1.7", b"<svg/>", b"\xff\xd8\xff\xe0" + bytes(100)]
)
def test_what_is_not_an_image_is_unprocessable(service, body):
    detail = problem(service.http.post("/v1/read", content=body, headers=PNG), 422, "image-rejected")
    assert "/" not in detail.replace("and/or", "")
    assert "0x" not in detail
    answer = service.http.post("/v1/read", content=body, headers=PNG, params={"stream": "true"})
    problem(answer, 422, "image-rejected")


def test_media_type_of_curl_without_a_header_is_refused_with_what_to_write(service, picture):
    answer = service.http.post(
        "/v1/read", content=picture, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert "image/jpeg" in problem(answer, 415, "unsupported-media-type")
    problem(service.http.post("/v1/read", content=picture), 415, "unsupported-media-type")


@pytest.mark.parametrize("path", ["/v1/read", "/", "/v1/image", "/v1/feedback"])
def test_packed_bodies_are_refused_with_what_to_send(service, path):
    """Nobody knows how much they become."""
    packed = gzip.compress(bytes(100_000_000), 1)
    answer = service.http.post(path, content=packed, headers={"Content-Encoding": "gzip", "Content-Type": "image/png"})
    assert "send it as it is" in problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"image": "data:,", "image_url": "https://example.org"},
        {"image": 1},
        {"image": "", "mode": "fast"},
        "x",
    ],
)
def test_json_with_anything_but_one_image_is_a_bad_request(service, body):
    problem(service.http.post("/v1/read", json=body), 400, "bad-request")


@pytest.mark.parametrize("params", [{"mode": "x"}, {"format": "odt"}, {"stream": "maybe"}])
def test_unknown_options_are_a_bad_request_that_names_them(service, picture, params):
    detail = problem(service.http.post("/v1/read", content=picture, headers=PNG, params=params), 400, "bad-request")
    assert next(iter(params)) in detail


@pytest.mark.parametrize(
    "body", [b"", b"--x--", b"nonsense", b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--"]
)
def test_form_without_a_file_is_a_bad_request(service, body):
    answer = service.http.post("/v1/read", content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    problem(answer, 400, "bad-request")
    problem(
        service.http.post("/v1/read", content=body, headers={"Content-Type": "multipart/form-data"}), 400, "bad-request"
    )


def test_two_files_are_refused(service, picture):
    problem(service.http.post("/v1/read", files=[("a", picture), ("b", picture)]), 400, "bad-request")


def test_request_with_two_lengths_hides_no_other_one(service):
    """A proxy that counts by Content-Length would take what follows for part of the body."""
    hidden = b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    head = b"POST /v1/read HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n"
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as sock:
        sock.sendall(head % len(hidden) + hidden)
        answer = b"".join(iter(lambda: sock.recv(4096), b""))  # to the end: it hangs up
    assert answer.startswith(b"HTTP/1.1 400") and answer.count(b"HTTP/1.1") == 1


def test_nothing_there_and_wrong_methods_are_problems_too(service):
    problem(service.http.get("/v2/read"), 404, "not-found")
    answer = service.http.get("/v1/read")
    problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    "name", ["{}", "file://{}", "//localhost{}", "FILE://{}", " {}", "data:{}", "http:{}", "data:;base64,{}"]
)
@pytest.mark.parametrize("key", ["image", "image_url"])
@pytest.mark.parametrize("path", ["/", "/v1/read"])
def test_string_that_names_a_file_never_opens_it(service, letter, name, key, path):
    answer = service.http.post(path, json={key: name.format(letter)}, params=FAST)
    assert answer.status_code in (400, 422)
    assert "letter" not in answer.json()["detail"]


@pytest.mark.parametrize("chunked", [False, True])
def test_body_over_the_cap_is_refused_and_its_sender_hears_of_it(running, chunked):
    with running(max_bytes=10_000, max_buffered=10_000_000) as service:
        body = bytes(3_000_000)
        answer = requests.post(
            service.url + "/v1/read",
            headers=PNG,
            data=(body[i : i + 50_000] for i in range(0, len(body), 50_000)) if chunked else body,
        )
        problem_of = answer.json()
        assert (answer.status_code, problem_of["code"]) == (413, "too-large")
        assert service.engine.metrics.buffered._value.get() == 0  # noqa: SLF001


def test_client_that_waits_to_send_a_large_body_need_not_send_it(running):
    with (
        running(max_bytes=10_000) as service,
        socket.create_connection(("127.0.0.1", int(service.url[-5:].lstrip(":")))) as sock,
    ):
        sock.sendall(
            b"POST /v1/read HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
            b"Content-Length: 99999\r\nExpect: 100-continue\r\n\r\n"
        )
        sock.settimeout(5)
        assert b" 413 " in sock.recv(4096)


# ------------------------------------------------------------------------------------------------- who, and how often


def test_without_a_known_key_nothing_is_read(running, picture):
    with running(api_keys=("first", "sécond")) as service:
        for headers in ({}, {"Authorization": "Bearer firs"}, {"X-API-Key": "third"}, {"Authorization": "Basic first"}):
            answer = service.http.post("/v1/read", content=picture, headers={**PNG, **headers})
            problem(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
            problem(service.http.post("/", json={}, headers=headers), 401, "unauthorized")
            problem(service.http.get("/v1/models", headers=headers), 401, "unauthorized")
        for headers in ({"Authorization": "Bearer first"}, {"X-API-Key": "first"}, {"authorization": "bearer first"}):
            answer = service.http.post("/v1/read", content=picture, headers={**PNG, **headers}, params=FAST)
            assert answer.status_code == 200
        assert service.http.get("/healthz").status_code == service.http.get("/readyz").status_code == 200


def test_rate_is_limited_for_each_key_by_itself(running):
    with running(api_keys=("a", "b"), rate_limit=6) as service:
        assert service.http.get("/v1/models", headers={"X-API-Key": "a"}).status_code == 200
        answer = service.http.get("/v1/models", headers={"X-API-Key": "a"})
        problem(answer, 429, "rate-limited")
        assert 1 <= int(answer.headers["retry-after"]) <= 10
        assert service.http.get("/v1/models", headers={"X-API-Key": "b"}).status_code == 200


def test_wrong_keys_are_limited_and_whoever_has_a_key_is_not_locked_out(running):
    with running(api_keys=("a", "b")) as service:
        assert service.http.get("/v1/models", headers={"X-API-Key": "a"}).status_code == 200
        statuses = [service.http.get("/v1/models", headers={"X-API-Key": f"guess {n}"}).status_code for n in range(40)]
        assert statuses[:20] == [401] * 20
        assert statuses[-1] == 429
        assert service.http.get("/v1/models", headers={"X-API-Key": "a"}).status_code == 200
        answer = service.http.get("/v1/models", headers={"X-API-Key": "b"})
        problem(answer, 429, "rate-limited")  # a guess that is right is not answered either
        assert 1 <= int(answer.headers["retry-after"]) <= 2


def test_client_with_a_network_of_ipv6_is_one_client(process):
    with process(TEXT_RECOGNIZER_API_KEYS="a", TEXT_RECOGNIZER_TRUSTED_PROXIES="127.0.0.1") as service:

        def status(address):
            sent = {"X-API-Key": "wrong", "X-Forwarded-For": address}
            return service.http.get("/v1/models", headers=sent).status_code

        statuses = [status(f"2001:db8:0:1:{n:x}::{n:x}") for n in range(40)]
        assert statuses[:20] == [401] * 20 and statuses[-1] == 429
        assert status("2001:db8:0:2::1") == status("192.0.2.1") == status("::ffff:192.0.2.2") == 401


@pytest.mark.parametrize(("trusted", "status"), [("", 429), ("10.1.2.3", 429), ("127.0.0.0/8,::1", 200)])
def test_forwarded_address_is_believed_from_trusted_proxies_alone(process, trusted, status):
    with process(TEXT_RECOGNIZER_RATE_LIMIT="6", TEXT_RECOGNIZER_TRUSTED_PROXIES=trusted) as service:
        answers = [service.http.get("/v1/models", headers={"X-Forwarded-For": f"192.0.2.{n}"}) for n in range(2)]
        assert [answer.status_code for answer in answers] == [200, status]


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "OWN"},
    {"Host": "evil.example", "Origin": "http://evil.example"},
    {"Host": "evil.example:80", "Sec-Fetch-Site": "same-origin"},
]
OWN = [{}, {"Origin": "OWN"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Host": "evil.example"}]
OWN += [{"Host": "localhost:8000", "Origin": "http://localhost:8000"}, {"Host": "[::1]", "Origin": "http://[::1]"}]


@pytest.mark.parametrize("headers", [*FOREIGN, *OWN])
def test_foreign_page_can_send_nothing_that_changes_or_costs(service, picture, headers):
    sent = {name: service.url if value == "OWN" else value for name, value in headers.items()}
    answers = [
        service.http.post("/v1/feedback", json={"request_id": "r", "checked": True}, headers=sent),
        service.http.delete("/v1/feedback/r", headers=sent),
        service.http.post("/v1/read?mode=fast", content=picture, headers={**PNG, **sent}),
        service.http.post("/", json={}, headers=sent),
    ]
    if headers in FOREIGN:
        for answer in answers:
            problem(answer, 403, "foreign-page")
    else:
        assert [answer.status_code for answer in answers] == [404, 404, 200, 400]
    assert service.http.get("/v1/models", headers=sent).status_code == 200


def test_names_of_the_service_keys_and_listed_origins_let_browsers_in(running):
    feedback = {"request_id": "r", "checked": True}
    rebound = {"Host": "pages.intranet", "Origin": "http://pages.intranet"}
    for settings in ({"hosts": ("pages.intranet",)}, {"api_keys": ("key",)}):
        with running(feedback="off", **settings) as service:
            answer = service.http.post("/v1/feedback", json=feedback, headers={"X-API-Key": "key", **rebound})
            problem(answer, 404, "feedback-off")
    with running(feedback="off", cors=("https://app.example.org",)) as service:
        sent = {"Origin": "https://app.example.org", "Sec-Fetch-Site": "cross-site"}
        problem(service.http.post("/v1/feedback", json=feedback, headers=sent), 404, "feedback-off")


def test_pages_of_listed_origins_may_ask_from_a_browser(running):
    with running(cors=("https://app.example.org",)) as service:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        for origin, status in (("https://app.example.org", 200), ("https://evil.example.org", 400)):
            answer = service.http.options("/v1/read", headers={"Origin": origin, **asked})
            assert answer.status_code == status
            assert (answer.headers.get("access-control-allow-origin") == origin) == (status == 200)
        answer = service.http.get("/healthz", headers={"Origin": "https://app.example.org"})
        assert answer.headers["access-control-allow-origin"] == "https://app.example.org"


def test_without_a_list_no_origin_is_let_in(service):
    answer = service.http.get("/healthz", headers={"Origin": "https://app.example.org"})
    assert "access-control-allow-origin" not in answer.headers


# --------------------------------------------------------------------------------------------------- looking after it


def test_models_tell_what_reads(service, model):
    known = service.http.get("/v1/models").json()
    assert known["models"][0]["name"] == model.name
    assert "é" in known["models"][0]["alphabet"]
    assert set(known["formats"]) == set(formats.NAMES)


def test_page_comes_as_a_pdf_that_shows_the_image(service, letter):
    data = letter.read_bytes()
    answer = service.http.post(
        "/v1/read", content=data, headers={"Content-Type": "image/jpeg"}, params={**FAST, "format": "pdf"}
    )
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.content.startswith(b"%PDF-")
    assert data in answer.content


@pytest.mark.parametrize("name", ["alto", "page", "hocr"])
def test_page_comes_as_xml(service, picture, name):
    answer = service.http.post("/v1/read", content=picture, headers=PNG, params={**FAST, "format": name})
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == formats.get_format(name).media_type.partition(";")[0]
    assert len(ElementTree.fromstring(answer.content)) > 0


def test_metrics_count_requests_lines_characters_and_refusals(service, picture, page, model, figure):
    def counts():
        return (
            figure(service.http, "requests_total", route="/v1/read", status="200"),
            figure(service.http, "lines_total"),
            figure(service.http, "characters_total"),
            figure(service.http, "line_confidence_count"),
            figure(service.http, "refused_total", code="image-rejected"),
            figure(service.http, "request_seconds_count", route="/v1/read"),
        )

    before = counts()
    service.http.post("/v1/read", content=picture, headers=PNG, params=FAST)
    service.http.post("/v1/read", content=b"x", headers=PNG)
    letters = sum(len(line["text"]) for line in page["lines"])
    assert [b - a for a, b in zip(before, counts(), strict=True)] == [1, 3, letters, 3, 1, 2]
    assert figure(service.http, "model_info", name=model.name, version=model.version) == 1
    assert figure(service.http, "queue_pages") == figure(service.http, "buffered_bytes") == 0


def test_openapi_document_is_there_and_names_no_outside_scripts(service):
    with urllib.request.urlopen(service.url + "/openapi.json") as answer:
        asked = {"/v1/read", "/v1/image", "/", "/v1/models", "/v1/feedback", "/v1/feedback/{request_id}"}
        assert json.load(answer)["paths"].keys() == asked | {"/healthz", "/readyz", "/metrics"}
    assert service.http.get("/redoc").status_code == 404
