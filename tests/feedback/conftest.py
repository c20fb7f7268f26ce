"""Stores of all kinds: SQLite, a PostgreSQL of our own, images in a folder and in an S3 on loopback."""

import hashlib
import os
import pwd
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from text_recognizer.feedback.record import Feedback, Reading
from text_recognizer.feedback.store import Store

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


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
    import tempfile

    with tempfile.TemporaryDirectory(prefix="text-recognizer-postgres-") as folder:
        cluster = Postgres(Path(folder), binaries)
        yield cluster
        cluster.stop()


@pytest.fixture(scope="session")
def s3():
    """The address of a bucket of moto's server, which s3fs finds by the environment."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.setenv(name, "testing")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    import boto3

    boto3.client("s3").create_bucket(Bucket="pages")
    yield "s3://pages"
    patch.undo()
    server.stop()


@pytest.fixture(scope="session")
def databases(request):
    """Makes a new place for a store of that kind: SQLite in a folder, or a database of PostgreSQL."""
    made = [0]

    def make(kind: str, folder: Path) -> tuple[str, str]:
        made[0] += 1
        if kind == "sqlite":
            return str(folder / "feedback"), str(folder / "feedback" / "images")
        return request.getfixturevalue("postgres").database(f"store{made[0]}"), str(folder / "images")

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, databases, tmp_path):
    """Where a store is, and its images."""
    return databases(request.param, tmp_path)


@pytest.fixture
def store(place):
    opened = Store.open(*place)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def page():
    """A page of these lines as JSON."""

    def make(*texts):
        lines = [
            {
                "text": text,
                "confidence": 0.9,
                "polygon": [[10.0, 20.0 + 40 * row], [290.0, 20.0 + 40 * row], [290.0, 55.0 + 40 * row]],
                "baseline": [[10.0, 50.0 + 40 * row], [290.0, 50.0 + 40 * row]],
                "alternatives": [],
                "words": [],
            }
            for row, text in enumerate(texts)
        ]
        return {
            "format": 1,
            "source": "",
            "model": "pen@0.2",
            "width": 300,
            "height": 200,
            "text": "\n".join(texts),
            "lines": lines,
        }

    return make


@pytest.fixture(scope="session")
def reading(page):
    """A reading of that request."""

    def make(request_id, image=b"an image", minutes=0.0, lines=("one", "two"), **changed):
        known = {
            "request_id": request_id,
            "at": NOW + timedelta(minutes=minutes),
            "model": "pen@0.2",
            "mode": "fast",
            "image_sha256": hashlib.sha256(image).hexdigest(),
            "page": page(*lines),
            "statistics": {"lines": float(len(lines)), "width": 300.0},
            "timings": {"total": 0.25},
        }
        return Reading(**{**known, **changed})

    return make


@pytest.fixture(scope="session")
def said():
    """Feedback on that request."""

    def make(feedback_id, request_id, **what):
        return Feedback(id=feedback_id, request_id=request_id, at=NOW, **what)

    return make


@pytest.fixture(scope="session")
def files():
    """All files below a folder."""

    def look(folder):
        return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())

    return look
