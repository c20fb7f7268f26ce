"""The function under AWS's own Runtime Interface Emulator and runtime client, and its limits in this process."""

import base64
import io
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from text_recognizer.feedback.store import Store
from text_recognizer.service import aws_lambda
from text_recognizer.service.settings import Settings

ROOT = Path(__file__).parent.parent.parent
KEY = "a-key-of-the-tests"


@pytest.fixture(scope="module")
def png():
    """The first lines of the sample page."""
    out = io.BytesIO()
    Image.open(ROOT / "samples" / "page.png").crop((0, 0, 1200, 320)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def data_url(png):
    return "data:image/png;base64," + base64.b64encode(png).decode()


def function_url(method, path, body=None, headers=(), query="", encoded=False, stage="$default"):
    """An event as function URLs and HTTP APIs send it (payload format 2.0)."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "abc.lambda-url.eu-west-1.on.aws", "x-forwarded-proto": "https", **dict(headers)},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "abc",
            "domainName": "abc.lambda-url.eu-west-1.on.aws",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "t"},
            "requestId": "id",
            "routeKey": "$default",
            "stage": stage,
            "timeEpoch": 1700000000000,
        },
        "body": body,
        "isBase64Encoded": encoded,
    }


def rest_api(method, path, body=None, headers=(), query=None, encoded=False):
    """An event as REST APIs send it (payload format 1.0)."""
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {"Host": "abc.execute-api.eu-west-1.amazonaws.com", **dict(headers)},
        "multiValueHeaders": {name: [value] for name, value in dict(headers).items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in (query or {}).items()},
        "pathParameters": {"proxy": path.lstrip("/")},
        "stageVariables": None,
        "requestContext": {
            "stage": "prod",
            "identity": {"sourceIp": "192.0.2.1"},
            "requestId": "id",
            "httpMethod": method,
        },
        "body": body,
        "isBase64Encoded": encoded,
    }


# ---------------------------------------------------------------------------------------------- the real runtime client


def emulator() -> Path:
    """The emulator's binary, which `make install` puts beside the environment."""
    machine = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine())
    if sys.platform != "linux" or machine is None:
        pytest.skip("AWS's emulator runs on Linux alone")
    file = Path(sys.prefix) / "lambda-rie" / "samcli" / "local" / "rapid" / f"aws-lambda-rie-{machine}"
    if not file.exists():
        missing = f"AWS's emulator is not in {file.parent}; run: make install"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return file


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def invoke(tmp_path_factory):
    """Sends an event through the emulator and gives the function's answer."""
    front, runtime = free_port(), free_port()
    log = tmp_path_factory.mktemp("rie") / "log"
    command = [
        str(emulator()),
        *("--runtime-interface-emulator-address", f"127.0.0.1:{front}"),
        *("--runtime-api-address", f"127.0.0.1:{runtime}"),
        *(sys.executable, "-m", "awslambdaric", "text_recognizer.service.aws_lambda.handler"),
    ]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)

    def send(event):
        address = f"http://127.0.0.1:{front}/2015-03-31/functions/function/invocations"
        request = urllib.request.Request(address, json.dumps(event).encode())
        # The emulator listens a little after it was started, and urllib does not wait for that.
        for _ in range(100):
            try:
                with urllib.request.urlopen(request, timeout=120) as response:
                    return json.load(response)
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError) or process.poll() is not None:
                    raise
                time.sleep(0.1)
        pytest.fail(f"the emulator did not start: {log.read_text()[-2000:]}")

    yield send
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_direct_call_answers_as_the_original_did(invoke, data_url):
    assert set(answer := invoke({"image": data_url, "mode": "fast"})) == {"pred"}
    assert "Dear Anna" in answer["pred"]


def test_direct_call_without_an_image_is_answered_with_what_to_send(invoke):
    answer = invoke({"picture": "page.png"})
    assert (answer["status"], answer["code"]) == (400, "bad-request")
    assert "image_url" in answer["detail"]


def test_direct_call_cannot_reach_what_only_the_function_can(invoke):
    answer = invoke({"image_url": "https://169.254.170.2/v2/credentials"})
    assert (answer["status"], answer["code"]) == (422, "image-rejected")


def test_function_url_reads_a_photo_sent_as_the_body(invoke, png):
    body = base64.b64encode(png).decode()
    event = function_url("POST", "/v1/read", body, {"content-type": "image/png"}, "mode=fast", encoded=True)
    answer = invoke(event)
    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"] == "application/json"
    assert not answer["isBase64Encoded"]
    page = json.loads(answer["body"])
    assert page["width"] == 1200
    assert "Dear Anna" in page["text"]


def test_function_url_serves_the_clients_of_the_original_contract(invoke, data_url):
    body = json.dumps({"image": data_url})
    answer = invoke(function_url("POST", "/", body, {"content-type": "application/json"}, "mode=fast"))
    assert "Dear Anna" in json.loads(answer["body"])["pred"]


def test_http_api_with_a_named_stage_finds_the_same_addresses(invoke):
    answer = invoke(function_url("GET", "/prod/readyz", stage="prod"))
    assert answer["statusCode"] == 200
    assert invoke(function_url("GET", "/production/readyz", stage="prod"))["statusCode"] == 404


def test_rest_api_gives_text(invoke, png):
    query = {"mode": "fast", "format": "text"}
    body = base64.b64encode(png).decode()
    answer = invoke(rest_api("POST", "/v1/read", body, {"Content-Type": "image/png"}, query, encoded=True))
    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"].startswith("text/plain")
    assert "Dear Anna" in answer["body"]


def test_rest_api_gets_problems_as_readable_text(invoke):
    answer = invoke(rest_api("POST", "/v1/read", "not an image", {"Content-Type": "image/png"}))
    assert answer["statusCode"] == 422
    assert not answer["isBase64Encoded"]
    assert json.loads(answer["body"])["code"] == "image-rejected"


# ------------------------------------------------------------------------------------------------------ in this process


@pytest.fixture(scope="module")
def function():
    function = aws_lambda.Function(Settings(api_keys=(KEY,), threads=1))
    yield function
    function.stop()


def problem(answer):
    assert answer["headers"]["content-type"] == "application/problem+json"
    assert json.loads(answer["body"])["status"] == answer["statusCode"]
    return answer["statusCode"], json.loads(answer["body"])


def test_model_is_loaded_before_the_first_event(function):
    assert function(function_url("GET", "/readyz"))["statusCode"] == 200


def test_direct_call_needs_a_key_where_others_need_one(function, data_url):
    assert function({"image": data_url})["status"] == 401
    assert "Dear Anna" in function({"image": data_url, "mode": "fast", "api_key": KEY})["pred"]


def test_event_over_6_mb_is_refused_in_words_about_images(function):
    status, document = problem(function(function_url("POST", "/v1/read", "A" * (6 * 2**20 + 1), encoded=True)))
    assert (status, document["code"]) == (413, "too-large")
    assert "image_url" in document["detail"]
    assert function({"image": "A" * (6 * 2**20 + 1), "api_key": KEY})["status"] == 413


def test_answer_that_lambda_would_not_carry_becomes_an_error_that_says_so(function, monkeypatch):
    event = function_url("GET", "/openapi.json")
    assert len(function(event)["body"]) > 2000
    monkeypatch.setattr(aws_lambda, "LIMIT", 2000)
    status, document = problem(function(event))
    assert (status, document["code"]) == (413, "too-large")
    assert "format=text" in document["detail"]


@pytest.mark.parametrize(
    "event",
    [
        {"requestContext": {}},
        {"Records": [{"s3": {}}], "requestContext": None, "version": "2.0"},
        function_url("POST", "/v1/read", "A", encoded=True),
    ],
    ids=["empty", "of something else", "damaged base64"],
)
def test_event_of_an_unknown_kind_is_an_error_of_its_sender(function, event):
    assert problem(function(event))[0] == 400


@pytest.mark.parametrize("event", [[], "image", None, {}])
def test_empty_event_is_answered_with_what_to_send(function, event):
    assert "image_url" in function(event)["detail"]


def test_feedback_is_off_unless_a_place_for_it_is_set(monkeypatch, tmp_path, data_url):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TEXT_RECOGNIZER_FEEDBACK", raising=False)
    function = aws_lambda.Function()
    try:
        assert "pred" in function({"image": data_url, "mode": "fast"})
        assert json.loads(function(function_url("GET", "/v1/models"))["body"])["feedback"] is False
    finally:
        function.stop()
    assert list(tmp_path.iterdir()) == []

    monkeypatch.setenv("TEXT_RECOGNIZER_FEEDBACK", str(tmp_path / "feedback"))
    monkeypatch.setenv("TEXT_RECOGNIZER_LOG_READINGS", "1")
    function = aws_lambda.Function()
    try:
        assert "pred" in function({"image": data_url, "mode": "fast"})
        [record] = Store.open(tmp_path / "feedback").records()
        said = json.dumps({"request_id": record.reading.request_id, "flag": "incorrect"})
        answer = function(function_url("POST", "/v1/feedback", said, {"content-type": "application/json"}))
        assert (answer["statusCode"], json.loads(answer["body"])["image_stored"]) == (201, True)
        assert function(function_url("DELETE", f"/v1/feedback/{record.reading.request_id}"))["statusCode"] == 204
        assert list(Store.open(tmp_path / "feedback").records()) == []
    finally:
        function.stop()
