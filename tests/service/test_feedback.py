"""Feedback over HTTP: kept once, with what it is said of, and nothing of readings that nobody said anything of."""

import json
import shutil
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from text_recognizer.feedback.record import Check, Feedback, Reading
from text_recognizer.feedback.store import Store
from text_recognizer.service import feedback

PNG = {"Content-Type": "image/png"}


def read(http, picture, request_id=None, **params):
    headers = PNG | ({"X-Request-ID": request_id} if request_id else {})
    answer = http.post("/v1/read", content=picture, headers=headers, params={"mode": "fast", **params})
    assert answer.status_code == 200, answer.text
    return answer.json() if "format" not in params and "stream" not in params else answer


def say(http, request_id, **what):
    return http.post("/v1/feedback", json={"request_id": request_id, **what})


def files(folder):
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def kept(running, tmp_path_factory):
    """A service that keeps feedback, and its store."""
    folder = tmp_path_factory.mktemp("kept") / "feedback"
    with running(feedback=str(folder)) as service:
        service.folder, service.store = folder, Store.open(folder)
        yield service


# ------------------------------------------------------------------------------------------------------ taking it


def test_correction_is_stored_with_page_and_image(kept, picture):
    page = read(kept.http, picture)
    lines = ["a straight correction", page["lines"][1]["text"], ""]
    answer = say(kept.http, page["request_id"], flag="incorrect", comment="first line", lines=lines, checked=True)
    assert answer.status_code == 201
    told = answer.json()
    assert told == {
        "id": told["id"],
        "request_id": page["request_id"],
        "image_stored": True,
        "page_stored": True,
        "outside_alphabet": [],
    }
    record = kept.store.get(page["request_id"])
    assert record.correction.lines == tuple(lines)
    assert (record.flags, record.correction.checked, record.correction.comment) == (("incorrect",), True, "first line")
    assert record.reading.page["lines"] == page["lines"]
    assert (record.reading.mode, record.reading.model) == ("fast", page["model"])
    assert record.reading.statistics["lines"] == 3
    assert record.reading.timings == page["timings"]
    assert kept.store.image(record.reading) == picture


def test_same_id_again_is_answered_the_same_and_stored_once(kept, picture):
    request_id = read(kept.http, picture)["request_id"]
    first = say(kept.http, request_id, id="same", comment="日", text="日x")
    again = say(kept.http, request_id, id="same", flag="other")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["outside_alphabet"] == ["日"]
    assert [said.comment for said in kept.store.get(request_id).feedback] == ["日"]


@pytest.mark.parametrize("way", ["stream", "text", "original"])
def test_however_a_page_was_read_feedback_finds_it(kept, picture, way):
    request_id = f"read-as-{way}"
    if way == "original":
        import base64

        url = "data:image/png;base64," + base64.b64encode(picture).decode()
        kept.http.post("/", json={"image": url}, headers={"X-Request-ID": request_id})
    else:
        read(kept.http, picture, request_id, **({"stream": "true"} if way == "stream" else {"format": "text"}))
    told = say(kept.http, request_id, flag="offensive").json()
    assert (told["image_stored"], told["page_stored"]) == (True, True)
    assert kept.store.image(kept.store.get(request_id).reading) == picture


def test_flag_for_unknown_request_is_reported_and_can_bring_image_and_page(kept, picture):
    page = read(kept.http, picture)
    for body in ({"flag": "other"}, {"flag": "other", "page": page}):
        answer = say(kept.http, "never-heard-of", **body)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown-request")
        assert "send the image and the page" in answer.json()["detail"]
    said = {"request_id": "never-heard-of", "id": "f-brought", "text": "whole", "page": page, "mode": "fast"}
    for status in (201, 200):
        answer = kept.http.post("/v1/feedback", data={"feedback": json.dumps(said)}, files={"image": picture})
        assert (answer.status_code, answer.json()["image_stored"], answer.json()["page_stored"]) == (status, True, True)
    record = kept.store.get("never-heard-of")
    assert (record.reading.mode, record.reading.page["text"]) == ("fast", page["text"])
    assert kept.store.image(record.reading) == picture
    assert record.reading.statistics["lines"] == 3
    assert record.correction.text == "whole"


def test_image_and_page_that_do_not_belong_together_are_refused(kept, picture, blank):
    page = read(kept.http, picture)
    said = json.dumps({"request_id": "mismatched", "flag": "other", "page": page})
    answer = kept.http.post("/v1/feedback", data={"feedback": said}, files={"image": blank})
    assert (answer.status_code, answer.json()["code"]) == (422, "feedback-rejected")
    answer = kept.http.post("/v1/feedback", data={"feedback": said}, files={"image": b"no image"})
    assert (answer.status_code, answer.json()["code"]) == (422, "image-rejected")
    assert kept.store.get("mismatched") is None


def test_what_the_service_knows_goes_before_what_a_client_claims(kept, picture, blank):
    page = read(kept.http, picture)
    forged = {**page, "lines": [], "text": ""}
    said = json.dumps({"request_id": page["request_id"], "flag": "other", "page": forged})
    assert kept.http.post("/v1/feedback", data={"feedback": said}, files={"image": blank}).status_code == 201
    record = kept.store.get(page["request_id"])
    assert len(record.reading.page["lines"]) == 3
    assert kept.store.image(record.reading) == picture


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({}, "is empty"),
        ({"comment": "  \n"}, "is empty"),
        ({"lines": ["one"]}, "1 lines for a page of 3"),
        ({"lines": ["one"] * 4}, "4 lines"),
        ({"text": "x" * 20_001}, "20,000"),
        ({"text": "x" * 1_000_000}, "20,000"),
        ({"text": "e" + "\u0301" * 31}, "combining marks"),
        ({"comment": "e" + "\u0301" * 31}, "combining marks"),
        ({"lines": ["one", "e" + "\u0316\u0301" * 16, "three"]}, "combining marks"),
        ({"lines": ["x" * 7000] * 3}, "20,000"),
        ({"lines": [""] * 100_000}, "2,000 lines"),
        ({"comment": "x" * 2_001}, "2,000"),
        ({"comment": "bell \x07"}, "control"),
        ({"text": "null \x00"}, "control"),
        ({"text": "\ud800"}, "control"),
        ({"lines": ["one\ntwo", "", ""]}, "control"),
    ],
)
def test_feedback_that_cannot_be_meant_is_refused(kept, picture, what, words):
    request_id = read(kept.http, picture)["request_id"]
    answer = kept.http.post(
        "/v1/feedback",
        content=json.dumps({"request_id": request_id, **what}),
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "feedback-rejected")
    assert words in answer.json()["detail"]
    assert kept.store.get(request_id) is None


def test_1_mb_correction_in_a_form_is_refused_for_its_length(kept, picture):
    request_id = read(kept.http, picture)["request_id"]
    said = json.dumps({"request_id": request_id, "text": "x" * 1_100_000})
    answer = kept.http.post("/v1/feedback", data={"feedback": said}, files={"image": picture})
    assert (answer.status_code, answer.json()["code"]) == (422, "feedback-rejected")


def test_letter_may_have_some_marks(kept, picture):
    request_id = read(kept.http, picture)["request_id"]
    text = "e\u0301 o\u0323\u0302 a" + "\u0316" * 30
    assert say(kept.http, request_id, text=text).status_code == 201
    assert kept.store.get(request_id).correction.text == "é ộ a" + "\u0316" * 30


@pytest.mark.parametrize("text", ["日本語 ₤ 𝔘", "a\r\nb\tc", "x" * 20_000])
def test_any_writing_is_stored_as_it_is(kept, picture, text):
    request_id = read(kept.http, picture)["request_id"]
    answer = say(kept.http, request_id, text=text)
    assert answer.status_code == 201
    assert kept.store.get(request_id).correction.text == text.replace("\r\n", "\n")
    assert answer.json()["outside_alphabet"] == sorted(set("日本語₤𝔘") & set(text))


BAD_PAGES = [{}, {"lines": 5}, {"width": 1, "height": 1, "model": "m", "lines": [{}]}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[]",
        b"[" * 100_000,
        b'"text"',
        b'{"flag": "other"}',
        b'{"request_id": 5, "flag": "other"}',
        b'{"request_id": "r", "flag": "wrong"}',
        b'{"request_id": "r", "lines": [1]}',
        b'{"request_id": "r", "checked": "yes"}',
        b'{"request_id": "../r", "flag": "other"}',
        b'{"request_id": "r", "id": "", "flag": "other"}',
        *(json.dumps({"request_id": "r", "flag": "other", "page": page}).encode() for page in BAD_PAGES),
        b'{"request_id": "r", "flag": "other", "page": {"width": 1e999, "height": 1, "model": "m", "lines": []}}',
    ],
)
def test_what_is_not_understood_is_reported(kept, body):
    answer = kept.http.post("/v1/feedback", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-request")


def test_other_bodies(running, picture, tmp_path):
    with running(feedback=str(tmp_path), max_bytes=100_000, max_buffered=200_000) as service:
        answer = service.http.post("/v1/feedback", content=b"x" * 150_000, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
        answer = service.http.post("/v1/feedback", content=picture, headers=PNG)
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type")
        for form in ({"files": {"image": picture}}, {"data": {"feedback": "{}", "image": "x"}, "files": {"a": b"x"}}):
            answer = service.http.post("/v1/feedback", **form)
            assert (answer.status_code, answer.json()["code"]) == (400, "bad-request")


def test_another_image_under_a_request_id_that_is_stored_is_refused(kept, picture, blank):
    read(kept.http, picture, "used-twice")
    assert say(kept.http, "used-twice", flag="other").status_code == 201
    page = read(kept.http, blank, "used-twice")
    answer = say(kept.http, "used-twice", flag="incorrect")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown-request")  # the id does not say which image
    said = json.dumps({"request_id": "used-twice", "flag": "incorrect", "page": page})
    answer = kept.http.post("/v1/feedback", data={"feedback": said}, files={"image": blank})
    assert (answer.status_code, answer.json()["code"]) == (422, "feedback-rejected")
    assert kept.store.image(kept.store.get("used-twice").reading) == picture


def test_models_tell_whether_feedback_is_taken(kept, running, picture):
    assert kept.http.get("/v1/models").json()["feedback"] is True
    with running(feedback="off") as service:
        assert service.http.get("/v1/models").json()["feedback"] is False
        request_id = read(service.http, picture)["request_id"]
        for answer in (say(service.http, request_id, flag="other"), service.http.delete(f"/v1/feedback/{request_id}")):
            assert (answer.status_code, answer.json()["code"]) == (404, "feedback-off")


def test_keys_and_rates_hold_for_feedback_too(running, tmp_path):
    with running(feedback=str(tmp_path), api_keys=("key",), rate_limit=6) as service:
        for ask in (lambda h: service.http.post("/v1/feedback", json={}, headers=h),
                    lambda h: service.http.delete("/v1/feedback/r", headers=h)):  # fmt: skip
            assert ask({}).status_code == 401
        key = {"X-API-Key": "key"}
        assert service.http.delete("/v1/feedback/r", headers=key).status_code == 404
        assert service.http.delete("/v1/feedback/r", headers=key).status_code == 429


def test_web_pages_of_allowed_origins_may_delete(running, tmp_path):
    with running(feedback=str(tmp_path), cors=("https://app.example.org",)) as service:
        asked = {"Origin": "https://app.example.org", "Access-Control-Request-Method": "DELETE"}
        answer = service.http.options("/v1/feedback/r", headers=asked)
        assert "DELETE" in answer.headers["access-control-allow-methods"]


# ------------------------------------------------------------------------------------------------- privacy, deleting


def test_nothing_is_on_disk_after_readings_that_nobody_flagged(running, picture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with running() as service:
        for params in ({}, {"stream": "true"}, {"format": "text"}):
            read(service.http, picture, **params)
        service.http.get("/metrics")
        service.http.delete("/v1/feedback/unknown")
        say(service.http, "unknown", flag="other")
    assert list(tmp_path.iterdir()) == []


def test_deleting_takes_row_feedback_image_and_memory(running, picture, tmp_path):
    with running(feedback=str(tmp_path)) as service:
        page = read(service.http, picture)
        assert say(service.http, page["request_id"], comment="a secret").status_code == 201
        assert len(files(tmp_path / "images")) == 1
        address = f"/v1/feedback/{page['request_id']}"
        assert service.http.delete(address).status_code == 204
        assert files(tmp_path / "images") == []
        assert Store.open(tmp_path).get(page["request_id"]) is None
        assert say(service.http, page["request_id"], flag="other").json()["code"] == "unknown-request"
        assert service.http.delete(address).json()["code"] == "unknown-request"
        assert b"secret" not in b"".join(path.read_bytes() for path in files(tmp_path))
        # What is only remembered can be deleted too.
        request_id = read(service.http, picture)["request_id"]
        assert service.http.delete(f"/v1/feedback/{request_id}").status_code == 204
        assert say(service.http, request_id, flag="other").status_code == 404


def test_readings_are_forgotten_after_their_time(running, picture, tmp_path, figure, wait_until):
    with running(feedback=str(tmp_path), remember_seconds=0.5) as service:
        request_id = read(service.http, picture)["request_id"]
        assert figure(service.http, "remembered_bytes") > len(picture)
        wait_until(lambda: figure(service.http, "remembered_bytes") == 0)
        assert say(service.http, request_id, flag="other").status_code == 404


def test_memory_of_readings_is_bounded_and_the_oldest_go_first(running, picture, tmp_path, figure):
    with running(feedback=str(tmp_path)) as service:
        read(service.http, picture)
        one = figure(service.http, "remembered_bytes")
    assert one > len(picture)
    with running(feedback=str(tmp_path), remember_bytes=int(2.5 * one)) as service:
        numbers = [read(service.http, picture)["request_id"] for _ in range(4)]
        assert figure(service.http, "remembered_bytes") == 2 * one
        statuses = [say(service.http, request_id, flag="other").status_code for request_id in numbers]
        assert statuses == [404, 404, 201, 201]


# ----------------------------------------------------------------------------------------------------- figures, alerts


def test_figures_count_feedback_by_flag(kept, picture, figure):
    before = {kind: figure(kept.http, "feedback_total", flag=kind) for kind in ("offensive", "correction", "comment")}
    request_id = read(kept.http, picture)["request_id"]
    for _ in range(2):  # sent twice, counted once
        say(kept.http, request_id, id="c1", flag="offensive")
        say(kept.http, request_id, id="c2", checked=True)
        say(kept.http, request_id, id="c3", comment="nice")
    after = {kind: figure(kept.http, "feedback_total", flag=kind) for kind in before}
    assert after == {kind: count + 1 for kind, count in before.items()}


def test_alerts_of_monitoring_are_in_the_figures(running, tmp_path, figure, monkeypatch, wait_until):
    from datetime import UTC, datetime

    monkeypatch.setattr(feedback, "ALERTS_SECONDS", 0.05)
    folder = tmp_path / "feedback"
    with running(feedback=str(folder)) as service:
        assert "text_recognizer_alert{" not in service.http.get("/metrics").text
        assert not folder.exists()
        at = datetime.now(UTC)
        Store.open(folder).save_checks(
            Check(at=at, rule=rule, value=0.5, limit=0.3, fired=fired)
            for rule, fired in (("drift", True), ("flags", False))
        )
        wait_until(lambda: figure(service.http, "alert", rule="drift") == 1)
        assert 'text_recognizer_alert{rule="flags"} 0.0' in service.http.get("/metrics").text
        shutil.rmtree(folder)
        folder.mkdir()
        (folder / "feedback.db").write_bytes(b"no database " * 1000)
        wait_until(lambda: "text_recognizer_alert{" not in service.http.get("/metrics").text)
        assert service.http.get("/metrics").status_code == 200


# -------------------------------------------------------------------------------------------------- what goes wrong


def test_locked_store_is_reported_and_reading_goes_on(running, picture, tmp_path, monkeypatch, figure):
    monkeypatch.setattr("text_recognizer.feedback.database.BUSY_SECONDS", 0.3)
    with running(feedback=str(tmp_path)) as service:
        first = read(service.http, picture)["request_id"]
        assert say(service.http, first, flag="other").status_code == 201
        other = sqlite3.connect(tmp_path / "feedback.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        second = read(service.http, picture)["request_id"]
        for answer in (say(service.http, second, flag="other"), service.http.delete(f"/v1/feedback/{first}")):
            assert (answer.status_code, answer.json()["code"]) == (503, "feedback-unavailable")
            assert int(answer.headers["retry-after"]) >= 1
            assert str(tmp_path) not in answer.text
        assert figure(service.http, "feedback_failures_total", operation="flag") == 1
        assert figure(service.http, "feedback_failures_total", operation="delete") == 1
        other.execute("ROLLBACK")
        assert say(service.http, second, flag="other").status_code == 201
    assert [record.reading.request_id for record in Store.open(tmp_path).records()] == [first, second]


def test_postgresql_that_is_away_is_reported_and_reading_goes_on(running, picture, tmp_path):
    url = "postgresql://tester:secret@127.0.0.1:9/name"
    with running(feedback=url, feedback_images=str(tmp_path), log_readings=1.0) as service:
        request_id = read(service.http, picture)["request_id"]
        answer = say(service.http, request_id, flag="other")
        assert (answer.status_code, answer.json()["code"]) == (503, "feedback-unavailable")
        assert "secret" not in answer.text
        assert service.http.get("/metrics").status_code == 200
        assert service.http.get("/readyz").status_code == 200


def test_full_disk_lets_reading_go_on_and_the_store_stays_whole(process, picture, tmp_path):
    import resource

    def little_can_be_written():
        resource.setrlimit(resource.RLIMIT_FSIZE, (160_000, 160_000))

    environ = {"TEXT_RECOGNIZER_FEEDBACK": str(tmp_path)}
    with process("--threads", "1", preexec=little_can_be_written, **environ) as service:
        kept, answer = [], None
        for number in range(60):
            request_id = read(service.http, picture)["request_id"]
            answer = say(service.http, request_id, id=f"f{number}", text="x" * 20_000)
            if answer.status_code != 201:
                break
            kept.append(request_id)
        assert (answer.status_code, answer.json()["code"]) == (503, "feedback-unavailable")
        assert read(service.http, picture)["lines"]
    assert {record.reading.request_id for record in Store.open(tmp_path).records()} == set(kept)
    assert kept
    with sqlite3.connect(tmp_path / "feedback.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_folder_that_cannot_be_made_lets_reading_go_on(running, picture):
    with running(feedback="/proc/feedback", log_readings=1.0) as service:  # not even root makes one there
        request_id = read(service.http, picture)["request_id"]
        answer = say(service.http, request_id, flag="other")
        assert (answer.status_code, answer.json()["code"]) == (503, "feedback-unavailable")
        assert read(service.http, picture)["lines"]


def test_reading_belongs_to_the_key_that_read_it(running, picture, blank, tmp_path):
    keys = [{"X-API-Key": key} for key in ("first", "second")]
    with running(api_keys=("first", "second"), feedback=str(tmp_path)) as service:

        def read(image, key):
            headers = {"Content-Type": "image/png", "X-Request-ID": "page-1", **key}
            return service.http.post("/v1/read?mode=fast", content=image, headers=headers).json()

        def flag(key, feedback_id, **more):
            said = {"request_id": "page-1", "id": feedback_id, "flag": "incorrect"}
            return service.http.post("/v1/feedback", headers=key, **(more or {"json": said}))

        read(picture, keys[0])
        assert flag(keys[1], "of-the-second").status_code == 404
        assert service.http.delete("/v1/feedback/page-1", headers=keys[1]).status_code == 404
        assert flag(keys[0], "of-the-first").status_code == 201
        # Stored now: neither its feedback nor its id nor its deletion is open to the other key.
        assert flag(keys[1], "of-the-first").status_code == 404
        assert service.http.delete("/v1/feedback/page-1", headers=keys[1]).status_code == 404
        other = read(blank, keys[1])
        assert flag(keys[1], "of-the-second").status_code == 422
        said = json.dumps({"request_id": "page-1", "flag": "other", "page": other})
        answer = flag(keys[1], "", data={"feedback": said}, files={"image": blank})
        assert (answer.status_code, answer.json()["code"]) == (422, "feedback-rejected")
        record = Store.open(tmp_path).get("page-1")
        assert [said.id for said in record.feedback] == ["of-the-first"]
        assert Store.open(tmp_path).image(record.reading) == picture
        assert "first" not in record.reading.owner
        assert service.http.delete("/v1/feedback/page-1", headers=keys[0]).status_code == 204


def test_id_of_several_images_stands_for_none_of_them(running, picture, blank, tmp_path):
    with running(feedback=str(tmp_path)) as service:

        def read(image):
            headers = {"Content-Type": "image/png", "X-Request-ID": "page-1"}
            return service.http.post("/v1/read?mode=fast", content=image, headers=headers).json()

        said = {"request_id": "page-1", "flag": "incorrect"}
        page = read(picture)
        read(picture)  # sent again
        read(blank)  # by somebody else
        assert service.http.post("/v1/feedback", json=said).json()["code"] == "unknown-request"
        form = {"feedback": json.dumps({**said, "page": page})}
        assert service.http.post("/v1/feedback", data=form, files={"image": picture}).status_code == 201
        assert Store.open(tmp_path).image(Store.open(tmp_path).get("page-1").reading) == picture


def test_store_takes_no_more_than_its_quota(running, picture, tmp_path):
    with running(feedback=str(tmp_path), feedback_bytes=60_000) as service:
        statuses = []
        for n in range(40):
            read(service.http, picture, f"page-{n}")
            statuses.append(say(service.http, f"page-{n}", flag="other").status_code)
            if statuses[-1] != 201:
                break
        answer = say(service.http, "page-0", flag="other")
        assert (answer.status_code, answer.json()["code"]) == (507, "feedback-full")
        assert 1 < len(statuses) < 40
        assert read(service.http, picture)["text"], "reading goes on"


def test_readings_with_feedback_expire_where_that_is_set(tmp_path, picture):
    def reading(name, days):
        at = datetime.now(UTC) - timedelta(days=days)
        return Reading(request_id=name, at=at, model="m@1", mode="fast", image_sha256=name * 8)

    store = Store.open(tmp_path)
    for name, days in (("old", 100), ("new", 10)):
        flag = Feedback(id=name, request_id=name, at=datetime.now(UTC), flag="other")
        assert store.flag(flag, reading(name, days), picture).new
    store.log([(reading("bare", 10), None)])
    now = datetime.now(UTC)
    assert store.expire(now - timedelta(days=200)) == 0
    assert store.expire(now - timedelta(days=200), now - timedelta(days=90)) == 1
    assert [store.get(name) is None for name in ("old", "new", "bare")] == [True, False, False]
    assert store.size() > len(picture)


def test_no_thread_of_the_store_outlives_the_process(kept, picture):
    """A store that hangs must not keep the process alive after SIGTERM: threads that are no daemons are joined."""
    say(kept.http, read(kept.http, picture)["request_id"], flag="other")
    ours = [thread for thread in threading.enumerate() if thread.name.startswith("text-recognizer-")]
    assert any("feedback" in thread.name for thread in ours)
    assert all(thread.daemon for thread in ours)
