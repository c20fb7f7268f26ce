"""Readings are kept as the settings say, before they are answered, and cost nothing where that cannot be."""

import base64
import json
import sqlite3
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from text_recognizer.feedback.store import Store
from text_recognizer.service import feedback, readings_log

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

from week import draw_out, week

PNG = {"Content-Type": "image/png"}


def read(http, picture, request_id=None, **params):
    headers = PNG | ({"X-Request-ID": request_id} if request_id else {})
    answer = http.post("/v1/read", content=picture, headers=headers, params={"mode": "fast", **params})
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("keep", ["numbers", "pages", "images"])
def test_readings_are_stored_as_the_settings_say(running, picture, tmp_path, keep):
    with running(feedback=str(tmp_path), log_readings=1.0, log_content=keep) as service:
        for request_id, params in (("json", {}), ("text", {"format": "text"}), ("stream", {"stream": "true"})):
            read(service.http, picture, request_id, **params)
            record = Store.open(tmp_path).get(request_id)  # as soon as it is answered
            assert (record.reading.page is not None) == (keep != "numbers")
            assert bool(record.reading.image) == (keep == "images")
            assert record.reading.statistics["lines"] == 3
            assert record.reading.timings["total"] > 0
            assert not record.feedback
        service.http.post("/", json={"image_url": "https://127.0.0.1/"}, headers={"X-Request-ID": "refused"})
        url = "data:image/png;base64," + base64.b64encode(picture).decode()
        service.http.post("/", json={"image": url}, headers={"X-Request-ID": "original"})
    store = Store.open(tmp_path)
    assert {record.reading.request_id for record in store.records()} == {"json", "text", "stream", "original"}
    text = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert (b"polygon" in text) == (keep != "numbers")


def test_share_of_readings_is_stored_and_a_request_sent_again_is_in_it_or_not(running, blank, tmp_path):
    with running(feedback=str(tmp_path), log_readings=0.5) as service:
        for _ in range(2):
            for number in range(24):
                read(service.http, blank, f"r{number}")
    kept = {record.reading.request_id for record in Store.open(tmp_path).records()}
    assert 4 <= len(kept) <= 20
    assert all((feedback.sample(f"r{number}") < 0.5) == (f"r{number}" in kept) for number in range(24))


def test_flagged_reading_stored_as_numbers_gets_page_and_image(running, picture, tmp_path):
    with running(feedback=str(tmp_path), log_readings=1.0) as service:
        read(service.http, picture, "r1")
        told = service.http.post("/v1/feedback", json={"request_id": "r1", "flag": "other"}).json()
        assert (told["page_stored"], told["image_stored"]) == (True, True)
    store = Store.open(tmp_path)
    assert store.image(store.get("r1").reading) == picture


def test_stored_reading_takes_feedback_when_it_has_left_memory(running, picture, tmp_path):
    with running(feedback=str(tmp_path), log_readings=1.0, remember_seconds=0) as service:
        page = read(service.http, picture, "r1").json()
        said = {"request_id": "r1", "lines": ["a", "b", "c"]}
        told = service.http.post("/v1/feedback", json=said).json()
        assert (told["page_stored"], told["image_stored"]) == (False, False)
        form = {"feedback": json.dumps({**said, "page": page})}
        told = service.http.post("/v1/feedback", data=form, files={"image": picture}).json()
        assert (told["page_stored"], told["image_stored"]) == (True, True)
        assert service.http.delete("/v1/feedback/r1").status_code == 204


def test_clients_at_once_are_stored_in_few_transactions(running, picture, tmp_path, monkeypatch):
    batches = []
    log = Store.log

    def counted(self, readings):
        batch = list(readings)
        batches.append(len(batch))
        time.sleep(0.2)  # a slow disk
        log(self, batch)

    monkeypatch.setattr(Store, "log", counted)
    with running(feedback=str(tmp_path), log_readings=1.0) as service:

        def ask(me):
            with httpx.Client(base_url=service.url, timeout=60) as http:
                for number in range(4):
                    read(http, picture, f"r{me}-{number}")

        threads = [threading.Thread(target=ask, args=(me,)) for me in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(batches) == 32
    assert len(batches) < 32
    assert len(list(Store.open(tmp_path).records())) == 32


def test_locked_store_delays_an_answer_by_its_limit_at_most_and_nothing_is_lost(
    running, picture, tmp_path, monkeypatch, figure, wait_until
):
    monkeypatch.setattr("text_recognizer.feedback.database.BUSY_SECONDS", 0.3)
    monkeypatch.setattr(readings_log, "WAIT_SECONDS", 0.5)
    monkeypatch.setattr(readings_log, "RETRY_SECONDS", 0.1)
    with running(feedback=str(tmp_path), log_readings=1.0) as service:
        read(service.http, picture, "before")
        other = sqlite3.connect(tmp_path / "feedback.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        for number in range(5):
            read(service.http, picture, f"during-{number}")
        assert figure(service.http, "feedback_failures_total", operation="log") == 5
        other.execute("ROLLBACK")
        store = Store.open(tmp_path)
        wait_until(lambda: len(list(store.records())) == 6)
        read(service.http, picture, "after")
        assert store.get("after") is not None


def test_what_waits_for_a_store_that_is_away_is_bounded(running, picture, tmp_path, monkeypatch, figure, wait_until):
    monkeypatch.setattr(readings_log, "WAITING", 3)
    monkeypatch.setattr(readings_log, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(readings_log, "RETRY_SECONDS", 0.1)
    (tmp_path / "feedback").write_text("in the way")
    with running(feedback=str(tmp_path / "feedback"), log_readings=1.0) as service:
        for number in range(8):
            read(service.http, picture, f"r{number}")
        assert figure(service.http, "feedback_failures_total", operation="log") == 8
        (tmp_path / "feedback").unlink()
        store = Store.open(tmp_path / "feedback")
        wait_until(lambda: len(list(store.records())) >= 3)
        read(service.http, picture, "later")
        assert len(list(store.records())) < 8


def test_reading_that_is_being_stored_can_be_deleted(running, picture, tmp_path, monkeypatch):
    log, slow = Store.log, threading.Event()

    def slowly(self, readings):
        batch = list(readings)
        slow.wait(1.0)
        log(self, batch)

    monkeypatch.setattr(Store, "log", slowly)
    monkeypatch.setattr(readings_log, "WAIT_SECONDS", 0.1)
    with running(feedback=str(tmp_path), log_readings=1.0) as service:
        read(service.http, picture, "r1")
        assert service.http.delete("/v1/feedback/r1").status_code == 204
    assert list(Store.open(tmp_path).records()) == []


def test_what_waits_is_stored_when_the_service_ends(running, picture, tmp_path, monkeypatch):
    monkeypatch.setattr(readings_log, "WAIT_SECONDS", 0.0)
    with running(feedback=str(tmp_path), log_readings=1.0) as service:
        for number in range(5):
            read(service.http, picture, f"r{number}")
    assert len(list(Store.open(tmp_path).records())) == 5


def test_old_readings_expire_while_the_service_runs(running, tmp_path, monkeypatch, wait_until):
    from text_recognizer.feedback.record import Feedback, Reading

    monkeypatch.setattr(feedback, "EXPIRE_SECONDS", 0.1)
    store = Store.open(tmp_path)
    old = datetime.now(UTC) - timedelta(days=31)
    kinds = {"old": old, "old-and-flagged": old, "new": datetime.now(UTC)}
    store.log(
        (Reading(request_id=name, at=at, model="m@1", mode="fast", image_sha256="ab" * 32), b"image")
        for name, at in kinds.items()
    )
    store.flag(Feedback(id="f", request_id="old-and-flagged", at=old, flag="other"))
    with running(feedback=str(tmp_path)):
        wait_until(lambda: {record.reading.request_id for record in store.records()} == {"old-and-flagged", "new"})


def test_killed_service_loses_and_doubles_nothing_that_was_acknowledged(tmp_path):
    result = week(tmp_path / "feedback", readings=240, flags=40, clients=8, kills=2, keep="images")
    assert result.problems == []
    assert (result.readings, result.flags, result.kills) == (240, 40, 2)
    assert result.asked_again > 0
    draw_out(tmp_path / "feedback")
    times = [record.reading.at for record in Store.open(tmp_path / "feedback").records()]
    assert times[-1] - times[0] > timedelta(days=6)
