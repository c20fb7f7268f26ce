"""What many tests share: the shipped model, the sample letter, a page drawn on the spot, a PostgreSQL and an S3."""

import contextlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import httpx
import numpy as np
import pytest
import uvicorn
from hypothesis import settings

from text_recognizer.reader import Reader
from text_recognizer.service.listening import OPTIONS

# Stores of feedback and readings, for feedback and monitoring.
pytest_plugins = ["review_fixtures"]

ROOT = Path(__file__).parent.parent

# Machines that test also train: how long an example takes says nothing about the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


# Files that take longest, longest first: processes that share the tests (`make unit`) begin with them.
LONGEST = (
    "system/test_loop.py",
    "notebooks/test_walkthrough.py",
    "service/test_fuzz.py",
    "training/test_finetune.py",
    "training/test_train.py",
    "training/test_demo.py",
    "app/test_tool.py",
    "service/test_worst_bodies.py",
    "training/test_stage.py",
    "service/test_chaos.py",
    "test_packaging.py",
    "integrations/test_ray.py",
    "batch/test_batch.py",
    "app/test_services.py",
    "app/test_reading.py",
    "app/test_editing.py",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of several processes
        places = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def bundle_dir() -> Path:
    """The model folder that ships with the package."""
    return ROOT / "src" / "text_recognizer" / "bundles" / "default"


@pytest.fixture(scope="session")
def letter() -> Path:
    """A handwritten letter of 1905: 13 lines, dark on light, RGB, 1280 × 1629."""
    return ROOT / "samples" / "letter-1905.jpg"


@pytest.fixture(scope="session")
def drawn() -> np.ndarray:
    """A small page with writing on it, gray uint8 (240, 480), dark on light."""
    page = np.full((240, 480), 235, np.uint8)
    for row, words in enumerate(("the quick brown fox", "jumps over the lazy", "dog near the bank")):
        cv2.putText(page, words, (30, 60 + 70 * row), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1.3, 40, 2, cv2.LINE_AA)
    return page


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def _unprivileged() -> dict[str, object]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid():
        return {}
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL needs a user other than root, and there is none")


class Postgres:
    """A cluster on a unix socket in a folder of its own, thrown away afterwards."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self._folder, self._binaries, self._as = folder, binaries, _unprivileged()
        if self._as:
            os.chown(folder, self._as["user"], self._as["group"])
        self._run("initdb", "-D", str(folder / "data"), "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()

    def start(self) -> None:
        options = f"-k {self._folder} -c listen_addresses='' -c fsync=off -c max_connections=60"
        self._run(
            "pg_ctl", "-D", str(self._folder / "data"), "-w", "-l", str(self._folder / "log"), "-o", options, "start"
        )

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-m", "immediate", "-w", "stop")

    def database(self, name: str) -> str:
        """The URL of a new, empty database."""
        self._run("createdb", "-h", str(self._folder), "-U", "tester", name)
        return f"postgresql://tester@/{name}?host={self._folder}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        done = subprocess.run(
            command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **self._as
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL of our own."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("PostgreSQL's initdb is not installed here (Debian: apt install postgresql)")
    # Not below pytest's folder, which only this user may enter.
    with tempfile.TemporaryDirectory(prefix="text-recognizer-postgres-") as folder:
        cluster = Postgres(Path(folder), binaries)
        yield cluster
        cluster.stop()


@pytest.fixture(scope="module")
def s3():
    """The address of a bucket of moto's server, which s3fs finds by the environment."""
    import boto3
    import s3fs

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # A process: a server in a thread would not end before connections that s3fs keeps.
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "testing")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    try:
        until = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None and time.monotonic() < until, "moto's server does not start"
            time.sleep(0.05)
        boto3.client("s3").create_bucket(Bucket="pages")
        yield "s3://pages"
    finally:
        s3fs.S3FileSystem.clear_instance_cache()  # it would ask this server for ever
        patch.undo()
        server.terminate()
        server.wait(30)


def _until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def wait_until():
    """Waits for what comes about by itself."""
    return _until


@contextlib.contextmanager
def _serving(application):
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_level="warning", **OPTIONS))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        _until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="session")
def one_model():
    """Services in this process share one copy of the shipped model: loading it takes seconds, and there are many."""
    shipped = cache(partial(Reader, None))

    def reader(model, **options):
        return shipped(**options) if model is None else Reader(model, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("text_recognizer.service.engine.Reader", reader)
        yield


@pytest.fixture(scope="session")
def serving(one_model):
    """Context manager: an application on a server in a thread, as it runs in earnest; its address."""
    return _serving


@contextlib.contextmanager
def _process(wait_until, *options, preexec=None, **environ):
    """`text-recognizer serve` in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "text_recognizer", "serve", "--port", "0", *options],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=preexec,
    )
    log = []
    try:
        first = process.stdout.readline()
        found = re.search(r"http://\S+", first)
        assert found, first + process.stdout.read()
        threading.Thread(target=lambda: log.extend(process.stdout), daemon=True).start()
        with httpx.Client(base_url=found[0], timeout=60) as http:

            def ready():
                with contextlib.suppress(httpx.TransportError):
                    return http.get("/readyz").status_code == 200
                assert process.poll() is None, "".join(log)
                return False

            wait_until(ready)
            yield SimpleNamespace(url=found[0], http=http, process=process, log=log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


@pytest.fixture(scope="session")
def process(wait_until):
    """Context manager: a service as a process, with these options and variables."""
    return partial(_process, wait_until)
