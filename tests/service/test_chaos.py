"""What goes wrong around a service: it keeps answering or says why not, and comes back."""

import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from text_recognizer.promotion.registrar import Registrar
from text_recognizer.service import engine
from text_recognizer.service.protocol import TimeoutProtocol

PNG = {"Content-Type": "image/png"}


def read(http, picture, mode="fast"):
    return http.post("/v1/read", content=picture, headers=PNG, params={"mode": mode})


def test_bundle_deleted_under_the_running_process_goes_on_reading(running, picture, bundle_dir, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(bundle_dir, bundle)
    with running(model=str(bundle)) as service:
        shutil.rmtree(bundle)
        for mode in ("fast", "accurate"):
            assert len(read(service.http, picture, mode).json()["lines"]) == 3
        assert service.http.get("/readyz").status_code == 200


def test_without_a_model_it_lives_says_why_not_and_comes_back(
    running, picture, bundle_dir, tmp_path, monkeypatch, wait_until
):
    monkeypatch.setattr(engine, "RETRY_SECONDS", 0.1)
    bundle = tmp_path / "bundle"
    with running(wait_until_ready=False, model=str(bundle)) as service:
        assert service.http.get("/healthz").status_code == 200
        for answer in (service.http.get("/readyz"), read(service.http, picture), service.http.get("/v1/models")):
            assert (answer.status_code, answer.json()["code"]) == (503, "not-ready")
            assert int(answer.headers["retry-after"]) >= 1
            assert str(tmp_path) not in answer.text
        shutil.copytree(bundle_dir, tmp_path / "half")
        (tmp_path / "half").rename(bundle)
        wait_until(lambda: service.http.get("/readyz").status_code == 200)
        assert read(service.http, picture).status_code == 200


def test_newly_promoted_model_takes_over_and_no_request_is_lost(
    running, picture, model, tmp_path, monkeypatch, wait_until, figure
):
    monkeypatch.setenv("TEXT_RECOGNIZER_MODELS", str(tmp_path / "models"))
    registry = Registrar()
    old = registry.add(model.path)
    newer = registry.add(_next(model.path, tmp_path / "newer"))
    broken = registry.add(_next(newer.path, tmp_path / "newest", encoder=b"what no runtime loads"))
    registry.promote(old, "production")
    statuses, models, ended = [], [], threading.Event()

    with running(model="production", reload_seconds=0.1) as service:

        def ask():
            with httpx.Client(base_url=service.url, timeout=60) as http:
                while not ended.is_set():
                    answer = read(http, picture)
                    statuses.append(answer.status_code)
                    models.append(answer.json().get("model"))

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            wait_until(lambda: models)
            registry.promote(newer, "production")
            wait_until(lambda: models[-1] == str(newer))
        finally:
            ended.set()
            asking.join()
        assert set(statuses) == {200}
        assert models == sorted(models)  # once gone over, never back
        assert figure(service.http, "model_info", version=newer.version) == 1
        assert figure(service.http, "model_info", version=old.version) == 0

        # One that cannot be loaded changes nothing.
        registry.promote(broken, "production")
        wait_until(lambda: figure(service.http, "model_reloads_total", outcome="failed") >= 1)
        assert read(service.http, picture).json()["model"] == str(newer)
        assert service.http.get("/readyz").status_code == 200


def _next(bundle: Path, target: Path, encoder: bytes | None = None) -> Path:
    """The same model as its next version, or with another encoder."""
    shutil.copytree(bundle, target)
    for file in target.iterdir():
        file.chmod(0o644)
    info = json.loads((target / "bundle.json").read_text())
    if encoder is not None:
        (target / "encoder.onnx").write_bytes(encoder)
        info["files"]["encoder.onnx"] = hashlib.sha256(encoder).hexdigest()
    (target / "bundle.json").write_text(json.dumps({**info, "version": f"{info['version']}.1"}))
    return target


def test_killed_worker_is_replaced_and_the_others_answer(process, picture, wait_until):
    with process("--workers", "2", "--threads", "1") as service:

        def workers():
            tasks = Path(f"/proc/{service.process.pid}/task").glob("*/children")
            children = " ".join(task.read_text() for task in tasks).split()
            return [int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]

        def answered():
            try:
                return httpx.get(service.url + "/readyz", timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(lambda: len(workers()) == 2)
        killed = workers()[0]
        os.kill(killed, signal.SIGKILL)
        wait_until(answered)
        wait_until(lambda: len(workers()) == 2 and killed not in workers())
        wait_until(lambda: all(answered() for _ in range(4)))
        with httpx.Client(base_url=service.url, timeout=60) as http:
            wait_until(lambda: read(http, picture).status_code == 200)
            assert "text_recognizer_pages_total" in http.get("/metrics").text


def test_long_addresses_do_not_fill_the_log(process):
    with process() as service:
        for _ in range(3):
            assert service.http.get("/v1/" + "a" * 50_000).status_code == 404
    assert any("GET /v1/aaa" in line for line in service.log) and max(map(len, service.log)) < 1000


def test_full_disk_does_no_harm(process, letter):
    def nothing_can_be_written():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    with process("--threads", "1", preexec=nothing_can_be_written) as service:
        padded = letter.read_bytes() + bytes(5_000_000)  # what a form parser would put on disk
        answer = service.http.post("/v1/read", files={"image": padded}, params={"mode": "fast"})
        assert answer.status_code == 200
        assert len(answer.json()["lines"]) >= 8


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize(
    "sent", [b"", b"POST /v1/read HTTP/1.1\r\nHost: x\r\nContent-Le", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET"]
)
def test_500_clients_that_send_nearly_nothing_keep_nobody_out(running, picture, monkeypatch, wait_until, sent):
    monkeypatch.setattr(TimeoutProtocol, "seconds", 2.0)
    with running() as service:
        slow = _slow_clients(service.url, sent)
        try:
            assert read(service.http, picture).status_code == 200
            # Each of them is hung up on.
            end = time.monotonic() + 30
            for sock in slow:
                sock.settimeout(max(0.1, end - time.monotonic()))
                try:
                    while sock.recv(4096):
                        pass
                except ConnectionResetError:
                    pass
        finally:
            for sock in slow:
                sock.close()
        assert read(service.http, picture).status_code == 200


@pytest.mark.usefixtures("many_files")
def test_500_clients_with_slow_bodies_keep_nobody_out(running, picture, wait_until, figure):
    with running(deadline=3.0) as service:
        head = b"POST /v1/read HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 100000\r\n\r\n"
        slow = _slow_clients(service.url, head + bytes(1000))
        try:
            assert read(service.http, picture).status_code == 200
            wait_until(lambda: figure(service.http, "refused_total", code="request-timeout") == 500)
            assert figure(service.http, "buffered_bytes") == 0
        finally:
            for sock in slow:
                sock.close()


def test_client_that_never_takes_its_answer_is_hung_up_on(running, letter, monkeypatch, wait_until):
    monkeypatch.setattr(TimeoutProtocol, "seconds", 1.0)
    with running() as service:
        address = urlsplit(service.url)
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        sock.connect((address.hostname, address.port))
        with sock:
            # Many small requests at once, none of whose answers is read.
            request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
            sock.setblocking(False)

            def hung_up():
                try:
                    sock.send(request * 100)
                except BlockingIOError:
                    return False
                except OSError:
                    return True
                return False

            wait_until(hung_up)
        assert service.http.get("/healthz").status_code == 200


def _slow_clients(url, sent):
    address = urlsplit(url)
    slow = []
    for _ in range(500):
        sock = socket.create_connection((address.hostname, address.port), timeout=30)
        if sent:
            sock.sendall(sent)
        slow.append(sock)
    return slow
