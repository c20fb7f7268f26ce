"""Readings through a Label Studio that runs: imported by its API, annotated, exported, imported back.

Where TEXT_RECOGNIZER_LABEL_STUDIO is its address and TEXT_RECOGNIZER_LABEL_STUDIO_TOKEN a token of its older kind.
"""

import hashlib
import json
import os
import time
from datetime import UTC, datetime

import pytest
import requests

from text_recognizer import read
from text_recognizer.feedback.annotation import annotate
from text_recognizer.feedback.annotation_import import import_annotations
from text_recognizer.feedback.record import Reading
from text_recognizer.feedback.store import Store
from text_recognizer.formats.json_lines import to_dict

ADDRESS = os.environ.get("TEXT_RECOGNIZER_LABEL_STUDIO", "").rstrip("/")
TOKEN = os.environ.get("TEXT_RECOGNIZER_LABEL_STUDIO_TOKEN", "")
pytestmark = pytest.mark.skipif(not ADDRESS, reason="TEXT_RECOGNIZER_LABEL_STUDIO names no Label Studio")


@pytest.fixture
def http():
    with requests.Session() as session:
        session.headers["Authorization"] = f"Token {TOKEN}"
        yield session


@pytest.fixture
def store(letter, tmp_path):
    opened = Store.open(tmp_path / "feedback")
    data, page = letter.read_bytes(), read(letter, "fast")
    known = Reading(
        request_id="letter",
        at=datetime.now(UTC),
        model=page.model,
        mode="fast",
        image_sha256=hashlib.sha256(data).hexdigest(),
        page=to_dict(page, letter.name),
    )
    opened.log([(known, data)])
    yield opened
    opened.close()


@pytest.fixture
def project(http, store, tmp_path):
    """The address of a project with the letter in it, thrown away afterwards."""
    annotate(store, store.records(), tmp_path / "out", "label-studio")
    config = (tmp_path / "out" / "labels.xml").read_text()
    made = http.post(f"{ADDRESS}/api/projects", json={"title": "test of text-recognizer", "label_config": config})
    assert made.status_code == 201, made.text
    address = f"{ADDRESS}/api/projects/{made.json()['id']}"
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    sent = http.post(f"{address}/import", json=tasks)
    assert sent.status_code == 201, sent.text
    assert (sent.json()["task_count"], sent.json()["prediction_count"]) == (1, 1)
    yield address
    http.delete(address)


def exported(http, project, kind, count=1):
    for _ in range(60):
        answer = http.get(f"{project}/export", params={"exportType": kind, "download_all_tasks": "true"})
        if answer.ok and len(answer.json()) == count:
            return answer
        time.sleep(1)
    raise AssertionError(answer.text)


def test_what_was_submitted_in_label_studio_is_the_correction(http, project, store, tmp_path):
    task = exported(http, project, "JSON").json()[0]["id"]
    results = http.get(f"{ADDRESS}/api/tasks/{task}").json()["predictions"][0]["result"]
    for result in results:
        if result["type"] == "textarea" and result["id"] == "line1":
            result["value"]["text"] = ["Washington, D.C."]
    sent = http.post(f"{ADDRESS}/api/tasks/{task}/annotations/", json={"result": results})
    assert sent.status_code == 201, sent.text
    for kind, expected in (("JSON", (1, 0)), ("JSON", (0, 1)), ("JSON_MIN", (0, 1))):
        file = tmp_path / f"{kind}.json"
        file.write_bytes(exported(http, project, kind).content)
        done = import_annotations(store, file)
        assert (done.stored, done.known, done.problems) == (*expected, [])
    record = store.get("letter")
    read_lines = [line["text"] for line in record.reading.page["lines"]]
    assert record.correction.lines == ("Washington, D.C.", *read_lines[1:])
