"""The addresses of the service as a page."""

from text_recognizer.service.api_page import render


def test_page_has_no_script_and_its_policy_allows_none(service):
    answer = service.http.get("/docs")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "script-src" not in policy
    assert "<script" not in answer.text and "http-equiv" not in answer.text


def test_words_of_the_document_stay_words():
    evil = "<img src=x onerror=alert(1)>'\"&"
    schema = {"type": "object", "properties": {evil: {"enum": [evil], "description": evil}}, "description": evil}
    operation = {
        "summary": evil,
        "parameters": [{"name": evil, "in": evil, "schema": {"type": evil, "default": evil}, "description": evil}],
        "requestBody": {"content": {evil: {"schema": schema}}},
        "responses": {evil: {"description": evil, "content": {evil: {"schema": {"$ref": f"#/{evil}"}}}}},
    }
    document = {
        "info": {"title": evil, "version": evil, "description": evil},
        "paths": {f"/{evil}": {"post": operation}},
        "components": {"schemas": {evil: schema}},
    }
    shown = render(document)
    assert "<img" not in shown and shown.count("&lt;img") > 10
