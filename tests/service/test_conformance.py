"""The OpenAPI document is true: whatever is asked, the answer is one that it names."""

import base64

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from text_recognizer import formats

KEY = {"Authorization": "Bearer a-key"}
OPERATIONS = [
    ("/v1/read", "POST"), ("/v1/image", "POST"), ("/", "POST"), ("/v1/feedback", "POST"),
    ("/v1/feedback/{request_id}", "DELETE"), ("/v1/models", "GET"), ("/healthz", "GET"), ("/readyz", "GET"),
    ("/metrics", "GET"),
]  # fmt: skip


@pytest.fixture(scope="module")
def document(running, tmp_path_factory):
    """Of a service that fetches nothing, so that made-up addresses stay unasked."""
    feedback = str(tmp_path_factory.mktemp("conformance") / "feedback")
    with running(image_urls="off", api_keys=("a-key",), feedback=feedback) as service:
        yield schemathesis.openapi.from_url(service.url + "/openapi.json")


def test_all_operations_are_looked_at(document):
    assert [(o.ok().path, o.ok().method.upper()) for o in document.get_all_operations()] == OPERATIONS


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_answer_is_one_that_the_document_names(document, path, method, mode):
    operation = document[path][method]
    if mode is GenerationMode.NEGATIVE and method in ("GET", "DELETE"):
        return  # nothing to get wrong

    @given(operation.as_strategy(generation_mode=mode))
    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def ask(case):
        case.headers = {**(case.headers or {}), **KEY}
        # An image is more than any schema can say: what fits it may still not be one.
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    ask()


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_without_a_key_too(document, path, method):
    place = {"request_id": "r1"} if "{" in path else None
    body = {"image": "data:,"} if method == "POST" else None
    case = document[path][method].Case(media_type="application/json", body=body, path_parameters=place)
    case.call_and_validate()


@pytest.mark.parametrize(
    "query", [{}, {"stream": "true"}, *({"mode": "fast", "format": name} for name in formats.NAMES)]
)
def test_pages_are_as_the_document_says(document, picture, query):
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    for path, body in (("/v1/read", {"image": url}), ("/", {"image": url})):
        chosen = {k: v for k, v in query.items() if path != "/" or k == "mode"}
        case = document[path]["POST"].Case(body=body, media_type="application/json", query=chosen, headers=KEY)
        answer = case.call_and_validate()
        assert answer.status_code == 200


def test_feedback_is_answered_as_the_document_says(document, picture):
    url = "data:image/png;base64," + base64.b64encode(picture).decode()
    page = (
        document["/v1/read"]["POST"].Case(body={"image": url}, media_type="application/json", headers=KEY).call().json()
    )
    said = {"request_id": page["request_id"], "id": "f1", "flag": "incorrect", "lines": ["ß", "", "x"], "page": page}
    for status in (201, 200):
        case = document["/v1/feedback"]["POST"].Case(body=said, media_type="application/json", headers=KEY)
        assert case.call_and_validate().status_code == status
    for status in (204, 404):
        place = {"request_id": page["request_id"]}
        case = document["/v1/feedback/{request_id}"]["DELETE"].Case(path_parameters=place, headers=KEY)
        assert case.call_and_validate().status_code == status
