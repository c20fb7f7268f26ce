"""SIGTERM: what is in hand is finished, the rest is refused, and the process ends in time with status 0."""

import asyncio
import io
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from text_recognizer.service.edge import Edge
from text_recognizer.service.metrics import Metrics

DEADLINE, PAGES = 6, 400
PDF = {"Content-Type": "application/pdf"}


@pytest.fixture(scope="module")
def long_document(drawn):
    """A PDF of more pages than can be read within the deadline."""
    stored = io.BytesIO()
    page = Image.fromarray(drawn)
    page.save(stored, "PDF", save_all=True, append_images=[page] * (PAGES - 1), resolution=150)
    return stored.getvalue()


def test_long_documents_end_with_what_was_read_and_a_problem_for_the_rest(process, long_document, figure, wait_until):
    """Threads that compute in native code at that moment abort a process that Python finalises."""

    def ask(query):
        return service.http.post(f"/v1/read?mode=fast{query}", content=long_document, headers=PDF)

    limits = {"TEXT_RECOGNIZER_DEADLINE": str(DEADLINE), "TEXT_RECOGNIZER_MAX_PAGES": str(PAGES)}
    with process("--threads", "2", **limits) as service, ThreadPoolExecutor(2) as clients:
        lines, whole = clients.submit(ask, ""), clients.submit(ask, "&format=pdf")
        wait_until(lambda: figure(service.http, "pages_total") >= 2)
        service.process.terminate()
        begin = time.monotonic()
        pages = [json.loads(line) for line in lines.result().text.splitlines()]
        problem = whole.result()
        assert service.process.wait(60) == 0, "".join(service.log)
        took = time.monotonic() - begin
    assert [page["page"] for page in pages] == list(range(1, PAGES + 1))
    read = [page for page in pages if "text" in page]
    codes = {page["problem"]["code"] for page in pages if "problem" in page}
    assert read
    assert codes == {"not-ready"}
    # Two pages of a document are in hand at a time, and the later one of the last two may be the one that is read.
    assert pages.index(read[-1]) <= len(read), "the first pages are those that were read"
    assert (problem.status_code, problem.json()["code"]) == (503, "not-ready")
    assert int(problem.headers["retry-after"]) > 0
    assert "Traceback" not in "".join(service.log)
    assert took < DEADLINE + 10


@pytest.mark.parametrize("begun", [False, True])
def test_request_that_the_server_cancels_gets_a_problem(begun):
    """uvicorn itself would answer 500 without saying why, and log a stack trace."""
    sent = []

    async def send(message):
        sent.append(message)

    async def slow(scope, receive, send):
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(60)

    async def cancelled():
        request = {"type": "http", "headers": [], "method": "GET", "path": "/"}
        task = asyncio.create_task(Edge(slow, Metrics())(request, None, send))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    asyncio.run(cancelled())
    assert [message["status"] for message in sent if "status" in message] == [200 if begun else 503]
    if not begun:
        assert json.loads(sent[-1]["body"])["code"] == "not-ready"


def test_gradio_is_loaded_on_a_thread_that_nobody_joins(monkeypatch):
    """It takes many seconds on a busy machine, in which SIGTERM would not end the process."""
    pytest.importorskip("gradio")
    from text_recognizer.app import page

    threads = []

    def gradio_application(_):
        threads.append(threading.current_thread())
        return "app"

    monkeypatch.setattr(page, "gradio_application", gradio_application)
    assert asyncio.run(page.Page(lambda _: None).load()) == "app"
    assert [thread.daemon for thread in threads] == [True]
