"""A public address by a tunnel, with commands that stand in for ngrok and cloudflared."""

import io
import re
import signal
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from text_recognizer.app.share import TUNNELS, say, sharing, tunnel_command

# A tunnel as far as one sees it: it prints what cloudflared prints, passes on what it gets, and runs until it is ended.
TUNNEL = """\
import http.server, sys, urllib.request
port = int(sys.argv[1])

class Through(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{self.path}", timeout=60) as answer:
            body = answer.read()
        self.send_response(200); self.end_headers(); self.wfile.write(body)
    def log_message(self, *_): pass

server = http.server.HTTPServer(("127.0.0.1", 0), Through)
open(sys.argv[2], "w").write(str(server.server_port))
print("INF Terms: https://www.cloudflare.com/website-terms/", file=sys.stderr, flush=True)
print("INF |  https://one-two-three.trycloudflare.com  |", file=sys.stderr, flush=True)
server.serve_forever()
"""


@pytest.fixture
def cloudflared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name on the path, called as the real one is."""
    (tmp_path / "tunnel.py").write_text(TUNNEL)
    program = tmp_path / "cloudflared"
    start = f'exec {sys.executable} {tmp_path}/tunnel.py "${{4##*:}}" {tmp_path}/port'
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n{start}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def test_page_is_reached_through_the_tunnel_and_the_tunnel_ends_with_it(cloudflared: Path) -> None:
    command = [sys.executable, "-m", "text_recognizer", "app", "--model-url", "http://127.0.0.1:9", "--port", "0"]
    app = subprocess.Popen([*command, "--share", "cloudflared"], stdout=subprocess.PIPE, text=True)
    assert app.stdout is not None
    try:
        local = re.search(r"http://127\.0\.0\.1:\d+", app.stdout.readline())
        assert local
        printed = [app.stdout.readline() for _ in range(3)]
        assert "text-recognizer: shared at https://one-two-three.trycloudflare.com\n" in printed
        assert any("WARNING: whoever has this address can use the page" in line for line in printed)
        pid = int((cloudflared / "pid").read_text())
        through = (cloudflared / "port").read_text()
        with urllib.request.urlopen(f"http://127.0.0.1:{through}/healthz", timeout=60) as answer:
            assert answer.read() == b'{"status": "ok"}'
    finally:
        app.send_signal(signal.SIGTERM)
        assert app.wait(60) == 0
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("given", "printed", "found"),
    [
        ("ngrok", "t=2026 lvl=info msg='started tunnel' url=https://ab12.ngrok-free.app", "https://ab12.ngrok-free.app"),
        ("cloudflared", "see https://developers.cloudflare.com/ then https://a-b.trycloudflare.com |", "https://a-b.trycloudflare.com"),
        ("sh -c 'exit {port}'", "your page: https://x.example.org/p (free)", "https://x.example.org/p"),
    ],
)  # fmt: skip
def test_address_is_found_in_what_each_tunnel_prints(
    given: str, printed: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in TUNNELS:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    command, address = tunnel_command(given, 7860)
    assert any("7860" in word for word in command)
    match = address.search(printed)
    assert match
    assert match[0] == found


def test_tunnel_that_ends_is_reported(capfd: pytest.CaptureFixture[str], wait_until) -> None:
    with sharing("sh -c 'echo no account for {port}; exit 3'", 7860, key_is_sent=False):
        said = ""

        def reported() -> bool:
            nonlocal said
            said += capfd.readouterr().err
            return "on this machine only" in said

        wait_until(reported)
    assert "status 3 (no account for 7860)" in said


def test_visitors_that_get_the_key_are_mentioned(capfd: pytest.CaptureFixture[str], wait_until) -> None:
    said = ""

    def shared() -> bool:
        nonlocal said
        said += capfd.readouterr().out
        return "WARNING" in said

    with sharing("sh -c 'echo https://a.example.org/{port}; sleep 60'", 1, key_is_sent=True):
        wait_until(shared)
    assert "shared at https://a.example.org/1" in said
    assert "key of the service is sent for all of them" in said


def test_lines_of_two_threads_stay_whole() -> None:
    written: list[str] = []

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    say("one\ntwo", Stream())
    assert [text for text in written if text] == ["one\ntwo\n"]
