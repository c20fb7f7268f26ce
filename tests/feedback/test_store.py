"""What is kept stays whole and single, in SQLite as in PostgreSQL, and what is deleted is gone."""

import hashlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from text_recognizer.errors import DataInvalid, ExtraMissing, FeedbackRejected, FeedbackUnavailable, UsageError
from text_recognizer.feedback.record import Check
from text_recognizer.feedback.store import Store

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def everything(store):
    return {record.reading.request_id: record for record in store.records()}


# -------------------------------------------------------------------------------------------------- what is kept


def test_nothing_is_created_before_something_is_stored(tmp_path, files):
    store = Store.open(tmp_path / "feedback")
    assert store.get("r1") is None
    assert list(store.records()) == []
    assert store.latest_checks() == []
    assert store.delete("r1") is False
    assert store.expire(NOW) == store.tidy() == 0
    store.log([])
    assert not (tmp_path / "feedback").exists()


def test_database_without_tables_is_an_empty_store(databases, tmp_path):
    store = Store.open(*databases("postgresql", tmp_path))
    assert store.get("r1") is None
    assert list(store.records()) == []
    assert store.latest_checks() == []


def test_reading_comes_back_as_it_was_stored(store, reading):
    local = timezone(timedelta(hours=5))
    first, second = reading("r1"), replace(reading("r2", b"another"), page=None, at=NOW.astimezone(local))
    store.log([(first, b"an image"), (second, None)])
    assert store.get("r2").reading == second
    kept = store.get("r1").reading
    assert kept == replace(first, image=kept.image)
    assert store.image(kept) == b"an image"
    assert kept.at.tzinfo is UTC
    with pytest.raises(DataInvalid, match="no image of the reading"):
        store.image(second)


def test_same_request_again_is_stored_once_and_another_image_does_not_replace_the_first(store, reading, files, place):
    store.log([(reading("r1"), b"an image")])
    store.log([(reading("r1"), b"an image"), (reading("r1", b"forged"), b"forged"), (reading("r2"), None)])
    assert set(everything(store)) == {"r1", "r2"}
    assert store.image(store.get("r1").reading) == b"an image"
    assert len(files(place[1])) == 1


def test_same_request_twice_in_a_batch_is_the_first(store, reading):
    store.log([(reading("r1", lines=("first",)), None), (reading("r1", lines=("second",)), None)])
    assert store.get("r1").reading.page["text"] == "first"


def test_numbers_that_are_none_do_not_get_in(store, reading):
    store.log([(replace(reading("r1"), statistics={"a": float("nan"), "b": float("inf"), "c": 1.0}), None)])
    assert store.get("r1").reading.statistics == {"c": 1.0}


@pytest.mark.parametrize("text", ["ß “quoted” 𝔘 日本", "\ud800 and \x00", "a" * 1_000_000])
def test_any_text_of_a_page_comes_back(store, reading, text):
    store.log([(reading("r1", lines=(text,)), None)])
    assert store.get("r1").reading.page["lines"][0]["text"] == text


# ----------------------------------------------------------------------------------------------------- feedback


def test_flag_comes_with_its_reading_and_image(store, reading, said):
    kept = store.flag(said("f1", "r1", flag="incorrect", lines=("one", "too")), reading("r1"), b"an image")
    assert (kept.new, kept.image_stored, kept.page_stored) == (True, True, True)
    record = store.get("r1")
    assert record.feedback == (said("f1", "r1", flag="incorrect", lines=("one", "too")),)
    assert record.correction.lines == ("one", "too")
    assert store.image(record.reading) == b"an image"


def test_page_that_somebody_outlined_anew_comes_back_whole(store, reading, said, page):
    corrected = said("f1", "r1", text="one\nté", page=page("one", "té"), checked=True)
    store.flag(corrected, reading("r1"), b"an image")
    assert store.get("r1").feedback == (corrected,)


def test_flag_for_unknown_request_is_reported_and_leaves_nothing(store, said):
    assert store.flag(said("f1", "r1", flag="other")) is None
    assert list(store.records()) == []


def test_same_feedback_again_is_stored_once_as_it_came_first(store, reading, said):
    store.flag(said("f1", "r1", comment="first"), reading("r1"))
    again = store.flag(said("f1", "r1", comment="second"), reading("r1"))
    assert (again.new, again.feedback.comment, again.page_stored, again.image_stored) == (False, "first", True, False)
    assert [said.comment for said in store.get("r1").feedback] == ["first"]


def test_several_feedbacks_stand_in_the_order_in_which_they_came(store, reading, said):
    store.flag(said("f1", "r1", flag="offensive"), reading("r1"))
    for number in range(2, 5):
        store.flag(said(f"f{number}", "r1", text=str(number)))
    record = store.get("r1")
    assert [f.id for f in record.feedback] == ["f1", "f2", "f3", "f4"]
    assert (record.flags, record.correction.text) == (("offensive",), "4")


def test_reading_stored_as_numbers_gets_page_and_image(store, reading, said):
    store.log([(replace(reading("r1"), page=None), None)])
    kept = store.flag(said("f1", "r1", flag="other"), reading("r1"), b"an image")
    assert (kept.page_stored, kept.image_stored) == (True, True)
    assert store.get("r1").reading.page["text"] == "one\ntwo"
    assert store.image(store.get("r1").reading) == b"an image"


@pytest.mark.parametrize("page_known", [True, False])
def test_lines_that_are_not_as_many_as_the_page_has_are_refused(store, reading, said, page_known):
    store.log([(reading("r1") if page_known else replace(reading("r1"), page=None), None)])
    with pytest.raises(FeedbackRejected, match="3 lines for a page of 2"):
        store.flag(said("f1", "r1", lines=("a", "b", "c")))
    with pytest.raises(FeedbackRejected, match="1 lines for a page of 2"):
        store.flag(said("f1", "r2", lines=("a",)), reading("r2"), b"an image")
    assert set(everything(store)) == {"r1"}
    assert not store.get("r1").feedback


def test_feedback_on_another_image_under_the_same_request_is_refused(store, reading, said):
    store.log([(reading("r1"), None)])
    with pytest.raises(FeedbackRejected, match="another image"):
        store.flag(said("f1", "r1", flag="other"), reading("r1", b"different"), b"different")
    assert not store.get("r1").feedback


def test_id_of_feedback_on_another_request_is_refused(store, reading, said):
    store.flag(said("f1", "r1", flag="other"), reading("r1"))
    with pytest.raises(FeedbackRejected, match="another request"):
        store.flag(said("f1", "r2", flag="other"), reading("r2"))
    assert store.get("r2") is None


# ------------------------------------------------------------------------------------------------ looking through


def test_records_by_time_and_feedback(store, reading, said):
    store.log([(reading(f"r{n}", minutes=n), None) for n in (3, 1, 2, 0)])
    store.flag(said("f", "r2", flag="other"))

    def ids(**which):
        return [record.reading.request_id for record in store.records(**which)]

    assert ids() == ["r0", "r1", "r2", "r3"]
    assert ids(newest_first=True) == ["r3", "r2", "r1", "r0"]
    assert ids(since=NOW + timedelta(minutes=1), until=NOW + timedelta(minutes=3)) == ["r1", "r2"]
    assert ids(with_feedback=True) == ["r2"]
    assert ids(with_feedback=False) == ["r0", "r1", "r3"]
    assert [record.reading.page for record in store.records(pages=False)] == [None] * 4


@pytest.mark.parametrize("newest_first", [False, True])
def test_thousands_of_records_come_each_once_in_their_order(store, reading, said, newest_first):
    # Many of one instant, so that pages of the answer end within them.
    readings = [reading(f"r{n:05}", minutes=n // 700) for n in range(2100)]
    store.log([(r, None) for r in readings])
    for n in range(0, 2100, 300):
        store.flag(said(f"f{n}", f"r{n:05}", flag="other"))
    found = [(record.reading.request_id, len(record.feedback)) for record in store.records(newest_first=newest_first)]
    expected = [(f"r{n:05}", int(n % 300 == 0)) for n in range(2100)]
    assert found == (expected[::-1] if newest_first else expected)


def test_what_is_fetched_slowly_keeps_nobody_from_writing(store, reading):
    store.log([(reading(f"r{n}", minutes=n), None) for n in range(600)])
    records = store.records()
    next(records)
    store.log([(reading("late", minutes=1000), None)])
    assert store.delete("r550")
    assert [r.reading.request_id for r in records][-1] == "late"


# -------------------------------------------------------------------------------------------------------- deleting


def test_deleted_reading_takes_feedback_and_image_with_it(store, reading, said, place, files):
    store.flag(said("f1", "r1", comment="mine"), reading("r1"), b"an image")
    assert store.delete("r1") is True
    assert store.delete("r1") is False
    assert store.get("r1") is None
    assert files(place[1]) == []
    # Its place is free again, and so is the feedback's id.
    assert store.flag(said("f1", "r1", comment="again"), reading("r1"), b"an image").new


def test_image_of_two_readings_goes_with_the_last(store, reading, place, files):
    store.log([(reading("r1"), b"an image"), (reading("r2"), b"an image")])
    assert len(files(place[1])) == 1
    store.delete("r1")
    assert store.image(store.get("r2").reading) == b"an image"
    store.delete("r2")
    assert files(place[1]) == []


def test_deleted_text_is_not_left_in_the_files(tmp_path, reading, said):
    store = Store.open(tmp_path)
    store.flag(
        said("f1", "r1", comment="a very secret comment"), reading("r1", lines=("a very secret line",)), b"i" * 99
    )
    store.delete("r1")
    left = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"secret" not in left


def test_unflagged_readings_expire_with_their_images(store, reading, said, place, files):
    old = [(reading(f"old{n}", f"image {n}".encode()), f"image {n}".encode()) for n in range(3)]
    store.log([*old, (reading("shared", b"image 1", minutes=90), b"image 1"), (reading("new", minutes=90), None)])
    store.flag(said("f", "old2", flag="other"))
    assert store.expire(NOW + timedelta(hours=1)) == 2
    assert set(everything(store)) == {"old2", "shared", "new"}
    kept = {hashlib.sha256(text).hexdigest() for text in (b"image 1", b"image 2")}
    assert {Path(name).name for name in files(place[1])} == kept
    assert store.expire(NOW + timedelta(hours=1)) == 0


def test_images_that_nobody_names_are_swept_away(store, reading, place, files):
    store.log([(reading("r1"), b"an image")])
    kept = files(place[1])
    orphan = Path(place[1]) / "ab" / ("ab" * 32)
    orphan.parent.mkdir()
    orphan.write_bytes(b"of a row that never came")
    assert store.tidy() == 1
    assert files(place[1]) == kept


def test_truncated_image_is_written_anew(store, reading, place, files):
    store.log([(reading("r1"), b"an image")])
    [name] = files(place[1])
    (Path(place[1]) / name).write_bytes(b"an")
    store.log([(reading("r2"), b"an image")])
    assert store.image(store.get("r1").reading) == b"an image"


def test_missing_image_is_reported(store, reading, place, files):
    store.log([(reading("r1"), b"an image")])
    (Path(place[1]) / files(place[1])[0]).unlink()
    with pytest.raises(DataInvalid, match="missing"):
        store.image(store.get("r1").reading)
    assert store.delete("r1")


# ---------------------------------------------------------------------------------------------------------- checks


def test_latest_checks_are_those_of_the_last_look(store):
    def check(rule, fired, minutes, value=0.5):
        at = NOW + timedelta(minutes=minutes)
        return Check(at=at, rule=rule, value=value, limit=0.3, fired=fired, message="a message")

    store.save_checks([check("a", True, 0), check("b", False, 0)])
    store.save_checks([check("c", False, 10, None), check("a", False, 10, float("nan"))])
    assert store.latest_checks() == [check("c", False, 10, None), check("a", False, 10, None)]
    store.save_checks([])
    assert len(store.latest_checks()) == 2
    store.expire(NOW + timedelta(days=1))
    assert len(store.latest_checks()) == 2  # however old


def test_no_other_user_of_the_machine_can_read_feedback(tmp_path, reading):
    before = os.umask(0o022)
    try:
        store = Store.open(tmp_path / "feedback")
        store.log([(reading("r1", b"image"), b"image")])
        elsewhere = Store.open(tmp_path / "other", tmp_path / "deep" / "images")
        elsewhere.log([(reading("r1", b"image"), b"image")])
    finally:
        os.umask(before)
    made = [tmp_path / name for name in ("feedback", "other", "deep/images")]
    made += [path for folder in made for path in folder.rglob("*")]
    assert {path.name for path in made} >= {"feedback.db", "images"}
    assert {oct(path.stat().st_mode & 0o777) for path in made} == {"0o700", "0o600"}


# -------------------------------------------------------------------------------------------------- many at a time

WRITER = """
import hashlib, sys
from datetime import UTC, datetime
from text_recognizer.feedback.record import Feedback, Reading
from text_recognizer.feedback.store import Store
store = Store.open(sys.argv[1], sys.argv[2])
at = datetime.now(UTC)
for n in range(int(sys.argv[3])):
    image = b"image %d" % (n % 7)
    sha256 = hashlib.sha256(image).hexdigest()
    reading = Reading(request_id=f"r{n}", at=at, model="m@1", mode="fast", image_sha256=sha256)
    store.log([(reading, image)])
    store.flag(Feedback(id=f"f{n}", request_id=f"r{n}", at=at, flag="other"), reading, image)
"""


def test_processes_that_write_the_same_keep_it_once(place, store):
    command = [sys.executable, "-c", WRITER, *place, "30"]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    records = everything(store)
    assert len(records) == 30
    assert all(len(record.feedback) == 1 for record in records.values())
    assert all(store.image(record.reading) for record in records.values())


def test_8_threads_write_flag_and_delete_and_every_image_left_is_that_of_a_reading(store, reading, said, place, files):
    failures = []

    def work(me):
        try:
            for n in range(12):
                image = b"image %d" % (n % 3)  # shared by all, so that the last one is removed while others write it
                request_id = f"r{me}-{n}"
                store.log([(reading(request_id, image), image)])
                if n % 2:
                    store.flag(said(f"f{me}-{n}", request_id, flag="other"), reading(request_id, image), image)
                if n % 3 != 1 or n < 9:
                    assert store.delete(request_id)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(me,)) for me in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    records = everything(store)
    assert set(records) == {f"r{me}-10" for me in range(8)}
    assert {store.image(record.reading) for record in records.values()} == {b"image 1"}
    assert len(files(place[1])) == 1


# -------------------------------------------------------------------------------------------------- S3, and addresses


def test_images_in_s3(s3, tmp_path, reading, said):
    store = Store.open(tmp_path / "feedback", f"{s3}/prefix")
    store.log([(reading("r1"), b"an image"), (reading("r2"), b"an image"), (reading("r3", b"other"), b"other")])
    assert store.image(store.get("r1").reading) == b"an image"
    store.flag(said("f", "r3", flag="other"), reading("r3", b"other"), b"other")
    Store.open(tmp_path / "elsewhere", f"{s3}/prefix").log([(reading("r9", b"orphan"), b"orphan")])
    assert store.tidy() == 1
    store.delete("r1")
    assert store.image(store.get("r2").reading) == b"an image"
    assert store.expire(NOW + timedelta(days=1)) == 1
    assert store.images.names() == [store.get("r3").reading.image]
    assert not (tmp_path / "feedback" / "images").exists()


def test_bucket_that_is_not_there_is_unavailable_and_nothing_is_stored(s3, tmp_path, reading, said):
    store = Store.open(tmp_path / "feedback", "s3://no-such-bucket/prefix")
    with pytest.raises(FeedbackUnavailable, match="no-such-bucket"):
        store.flag(said("f", "r1", flag="other"), reading("r1"), b"an image")
    assert store.get("r1") is None


def test_s3_that_does_not_answer_is_unavailable_in_seconds(s3, tmp_path, reading, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    store = Store.open(tmp_path / "feedback", "s3://elsewhere/prefix")
    began = time.monotonic()
    with pytest.raises(FeedbackUnavailable):
        store.log([(reading("r1"), b"an image")])
    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("where", "images", "error", "words"),
    [
        ("postgresql://host/name", None, UsageError, "place for images"),
        ("mysql://host/name", "/tmp/images", UsageError, "postgresql://"),
        ("postgresql://host:port/name", "/tmp/images", UsageError, "not a URL"),
        ("folder", "nonsense://bucket", UsageError, "nonsense"),
        ("folder", "gs://bucket", ExtraMissing, "gcsfs"),
    ],
)
def test_address_that_cannot_be_used_is_reported_at_once(where, images, error, words):
    with pytest.raises(error, match=words):
        Store.open(where, images)


def test_environment_names_the_store(tmp_path, monkeypatch, reading):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TEXT_RECOGNIZER_FEEDBACK", raising=False)
    assert str(Store.from_environment()) == "feedback/feedback.db"
    monkeypatch.setenv("TEXT_RECOGNIZER_FEEDBACK", str(tmp_path / "kept"))
    monkeypatch.setenv("TEXT_RECOGNIZER_FEEDBACK_IMAGES", str(tmp_path / "pictures"))
    Store.from_environment().log([(reading("r1"), b"an image")])
    assert (tmp_path / "kept" / "feedback.db").exists()
    assert len(list((tmp_path / "pictures").rglob("*/*"))) == 1
    monkeypatch.setenv("TEXT_RECOGNIZER_FEEDBACK", "off")
    with pytest.raises(UsageError, match="off"):
        Store.from_environment()


# ----------------------------------------------------------------------------------------------------- what goes wrong


def test_password_of_the_database_is_in_no_message(tmp_path):
    store = Store.open("postgresql://tester:secret@127.0.0.1:9/name", tmp_path)
    with pytest.raises(FeedbackUnavailable) as caught:
        store.get("r1")
    assert "secret" not in str(caught.value) + str(store)


def test_locked_database_is_unavailable_and_intact_afterwards(tmp_path, reading, said, monkeypatch):
    monkeypatch.setattr("text_recognizer.feedback.database.BUSY_SECONDS", 0.3)
    store = Store.open(tmp_path)
    store.log([(reading("r1"), b"an image")])
    other = sqlite3.connect(tmp_path / "feedback.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    for write in (
        lambda: store.log([(reading("r2"), None)]),
        lambda: store.flag(said("f", "r1", flag="other")),
        lambda: store.delete("r1"),
    ):
        with pytest.raises(FeedbackUnavailable, match="locked"):
            write()
    assert store.get("r1") is not None  # looking goes on
    other.execute("ROLLBACK")
    assert set(everything(store)) == {"r1"}
    store.flag(said("f", "r1", flag="other"))
    assert store.image(store.get("r1").reading) == b"an image"


FULL = """
import os, resource, sys
from datetime import UTC, datetime
from text_recognizer.errors import FeedbackUnavailable
from text_recognizer.feedback.record import Feedback, Reading
from text_recognizer.feedback.store import Store
store = Store.open(sys.argv[1])
if len(sys.argv) > 4:
    os.setgid(int(sys.argv[4]))
    os.setuid(int(sys.argv[4]))
reading = Reading(request_id="r2", at=datetime.now(UTC), model="m@1", mode="fast", image_sha256="c" * 64)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
said = Feedback(id="f", request_id="r2", at=datetime.now(UTC), comment="x" * 300_000)
try:
    store.flag(said, reading, bytes(int(sys.argv[3])))
except FeedbackUnavailable as error:
    print(error)
"""


@pytest.mark.parametrize(("limit", "image"), [(200_000, 10), (600_000, 900_000), (0, 10)])
def test_full_disk_is_unavailable_and_the_store_stays_whole(tmp_path, reading, limit, image, files):
    store = Store.open(tmp_path)
    store.log([(reading("r1"), b"an image")])
    store.close()
    command = [sys.executable, "-c", FULL, str(tmp_path), str(limit), str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "try again" in done.stdout, done.stderr
    assert set(everything(store)) == {"r1"}
    store.tidy()
    assert files(tmp_path / "images") == [store.get("r1").reading.image]
    with sqlite3.connect(tmp_path / "feedback.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    store.log([(reading("r3"), None)])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_read_only_folder_is_unavailable(reading):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        nobody = "65534"
        command = [sys.executable, "-c", FULL, f"{folder}/feedback", "1000000000", "10", nobody]
        done = subprocess.run(command, capture_output=True, text=True)
        assert "try again" in done.stdout, done.stderr
        assert list(Path(folder).iterdir()) == []


def test_folder_that_is_a_file_is_unavailable(tmp_path, reading):
    (tmp_path / "feedback").write_text("not a folder")
    with pytest.raises(FeedbackUnavailable, match="check it"):
        Store.open(tmp_path / "feedback").log([(reading("r1"), None)])


def test_damaged_file_is_unavailable_until_it_is_replaced(tmp_path, reading):
    store = Store.open(tmp_path / "feedback")
    store.log([(reading("r1"), None)])
    store.close()
    file = tmp_path / "feedback" / "feedback.db"
    whole = file.read_bytes()
    file.write_bytes(b"no database at all " * 500)
    with pytest.raises(FeedbackUnavailable, match="not a database"):
        store.get("r1")
    with pytest.raises(FeedbackUnavailable, match="not a database"):
        store.log([(reading("r2"), None)])
    file.unlink()
    file.write_bytes(whole)
    store.log([(reading("r2"), None)])
    assert set(everything(store)) == {"r1", "r2"}


def test_folder_removed_under_an_open_store_is_made_anew(tmp_path, reading):
    import shutil

    store = Store.open(tmp_path / "feedback")
    store.log([(reading("r1"), None)])
    shutil.rmtree(tmp_path / "feedback")
    assert list(store.records()) == []
    store.log([(reading("r2"), None)])
    assert set(everything(store)) == {"r2"}
    assert set(everything(Store.open(tmp_path / "feedback"))) == {"r2"}


@pytest.mark.parametrize(("version", "words"), [(99, "newer version of text-recognizer"), (0, "version that wrote it")])
def test_tables_of_another_version_are_reported(tmp_path, reading, version, words):
    Store.open(tmp_path).log([(reading("r1"), None)])
    with sqlite3.connect(tmp_path / "feedback.db") as connection:
        connection.execute("UPDATE text_recognizer_schema SET version = ?", (version,))
    store = Store.open(tmp_path)
    for use in (lambda: store.get("r1"), lambda: store.log([(reading("r2"), None)])):
        with pytest.raises(FeedbackUnavailable, match=words):
            use()


def test_postgres_that_stops_is_unavailable_and_serves_again_when_it_is_back(
    postgres, databases, tmp_path, reading, said
):
    store = Store.open(*databases("postgresql", tmp_path))
    store.log([(reading("r1"), None)])
    postgres.stop()
    try:
        with pytest.raises(FeedbackUnavailable):
            store.log([(reading("r2"), None)])
        with pytest.raises(FeedbackUnavailable):
            store.get("r1")
    finally:
        postgres.start()
    store.flag(said("f", "r1", flag="other"))
    assert [f.id for f in store.get("r1").feedback] == ["f"]
