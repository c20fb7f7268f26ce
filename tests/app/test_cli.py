"""`text-recognizer app` and the page in `text-recognizer serve`, as processes."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from text_recognizer.app.cli import main as app
from text_recognizer.errors import UsageError


@contextlib.contextmanager
def process(*command, **environ):
    """The address at which the command serves; it ends by SIGTERM, with status 0."""
    running = subprocess.Popen(
        [sys.executable, "-m", "text_recognizer", *command, "--port", "0"],
        env={**os.environ, "TEXT_RECOGNIZER_FEEDBACK": "off", **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        first = running.stdout.readline()
        found = re.search(r"http://\S+", first)
        assert found, first + running.stdout.read()
        threading.Thread(target=running.stdout.read, daemon=True).start()
        yield found[0]
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0


def ready(url):
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/readyz").status_code == 200


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--model-url"),
        (["--model-url", "ftp://a.org"], "not the address of a service"),
        (["--model-url", "a.org:80"], "not the address of a service"),
        (["--model-url", "http://user:word@a.org"], "not the address of a service"),
        (["--model-url", "http://a.org", "--api-key-file", "/not/there"], "cannot be read"),
        (["--model-url", "http://a.org", "--share", "sh tunnel"], "with {port}"),
        (["--model-url", "http://a.org", "--share", "'sh {port}"], "quot"),
        (["--model-url", "http://a.org", "--share", "no-such-tunnel {port}"], "not installed"),
    ],
)
def test_arguments_that_do_not_fit_are_named(options, words):
    with pytest.raises(UsageError, match=words):
        app(options)


def test_file_of_a_key_holds_one(tmp_path):
    file = tmp_path / "key"
    file.write_text("one\ntwo\n")
    with pytest.raises(UsageError, match="one key"):
        app(["--model-url", "http://a.org", "--api-key-file", str(file)])


def test_app_before_a_service_with_a_key(tmp_path, picture, wait_until):
    file = tmp_path / "key"
    file.write_text("secret\n")
    with (
        process("serve", TEXT_RECOGNIZER_API_KEYS="secret") as service,
        process("app", "--model-url", service, "--api-key-file", str(file)) as page,
    ):
        assert "Text Recognizer" in httpx.get(page, timeout=60).text
        wait_until(lambda: ready(service))
        answer = httpx.post(f"{page}/v1/read?mode=fast", files={"image": picture}, timeout=60)
        assert len(answer.json()["lines"]) == 3


def test_several_workers_show_the_page_and_read_for_twenty_at_once(picture, browse, wait_until):
    with process("serve", "--workers", "2", "--host", "0.0.0.0") as service:
        url = service.replace("0.0.0.0", "127.0.0.1")
        wait_until(lambda: ready(url))
        tab = browse(url)  # its many connections reach both workers
        tab.read(picture)
        assert len(tab.texts()) == 3

        def read(_):
            return httpx.post(f"{url}/v1/read?mode=fast&stream=true", files={"image": picture}, timeout=60).text

        with ThreadPoolExecutor(20) as people:
            assert all("event: page" in answer for answer in people.map(read, range(20)))
