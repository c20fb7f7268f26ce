"""The service with its feedback elsewhere: PostgreSQL, S3, several processes."""

import json

from text_recognizer.client import Client
from text_recognizer.feedback.store import Store


def test_feedback_in_postgresql_with_images_in_s3(running, picture, postgres, s3):
    url, images = postgres.database("service"), f"{s3}/service"
    with running(feedback=url, feedback_images=images, log_readings=1.0, log_content="images") as service:
        with Client(service.url) as client:
            answer = client.read_answer(picture, "fast")
            other = client.read_answer(picture, "fast")
            assert client.feedback(answer, flag="incorrect", text="whole").image_stored
            store = Store.open(url, images)
            record = store.get(answer.request_id)
            assert store.image(record.reading) == picture
            assert record.correction.text == "whole"
            client.delete_feedback(answer)
            assert store.get(answer.request_id) is None
            assert store.image(store.get(other.request_id).reading) == picture  # of the same image
            client.delete_feedback(other)
        # The database goes away and comes back.
        postgres.stop()
        try:
            headers = {"Content-Type": "image/png", "X-Request-ID": "without-database"}
            read = service.http.post("/v1/read?mode=fast", content=picture, headers=headers)
            assert read.status_code == 200
            said = {"request_id": "without-database", "id": "f1", "flag": "other"}
            answer = service.http.post("/v1/feedback", json=said)
            assert (answer.status_code, answer.json()["code"]) == (503, "feedback-unavailable")
            assert service.http.get("/metrics").status_code == 200
        finally:
            postgres.start()
        assert service.http.post("/v1/feedback", json=said).status_code == 201
    assert [record.reading.request_id for record in store.records()] == ["without-database"]
    store.close()


def test_feedback_on_what_another_process_read_is_stored_with_what_the_client_sends(process, picture, tmp_path):
    environ = {"TEXT_RECOGNIZER_FEEDBACK": str(tmp_path)}
    with process("--workers", "2", "--threads", "1", **environ) as service:
        numbers = []
        for number in range(12):
            # Each client is a connection of its own, which either process takes.
            with Client(service.url) as client:
                answer = client.read_answer(picture, "fast")
            with Client(service.url) as client:
                kept = client.feedback(answer, comment=str(number), image=picture)
            assert (kept.image_stored, kept.page_stored) == (True, True)
            numbers.append(answer.request_id)
        assert "text_recognizer_alert" in service.http.get("/metrics").text
    records = {record.reading.request_id: record for record in Store.open(tmp_path).records()}
    assert set(records) == set(numbers)
    assert all(len(record.feedback) == 1 for record in records.values())
    assert len(json.dumps(records[numbers[0]].reading.page)) > 100
