"""deploy/compose.yaml: it follows the Compose specification, and with a real engine both containers read a page."""

import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy" / "compose.yaml"
PROJECT = "text-recognizer-test"
# Ports of its own, so that nothing that runs here is in the way.
PORTS = """\
services:
  service: {ports: !override ["127.0.0.1:18000:8000"]}
  app: {ports: !override ["127.0.0.1:17860:7860"]}
"""


def compose() -> list[str]:
    """The command; the test is skipped where there is no docker with its plug-in `compose`."""
    for command in (["docker", "compose"], ["podman", "compose"]):
        if shutil.which(command[0]) and not subprocess.run([*command, "version"], capture_output=True).returncode:
            return command
    pytest.skip("neither 'docker compose' nor 'podman compose' is here")


def against_the_specification(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True)


def test_file_follows_the_specification():
    done = against_the_specification(FILE)
    assert done.returncode == 0, done.stdout


def test_misspelt_key_is_against_the_specification(tmp_path):
    (tmp_path / "compose.yaml").write_text(FILE.read_text().replace("mem_limit: 2g", "memlimit: 2g"))
    done = against_the_specification(tmp_path / "compose.yaml")
    assert done.returncode == 1
    assert "memlimit" in done.stdout


def test_engine_accepts_the_file():
    done = subprocess.run([*compose(), "-f", str(FILE), "config", "--format", "json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    assert set(services) == {"service", "app"}
    assert services["app"]["depends_on"]["service"]["condition"] == "service_healthy"


def test_both_containers_become_healthy_and_a_page_is_read(tmp_path):
    command = compose()
    if subprocess.run([command[0], "info"], capture_output=True).returncode:
        pytest.skip(f"no engine answers '{command[0]} info'")
    (tmp_path / "ports.yaml").write_text(PORTS)
    project = [*command, "-p", PROJECT, "-f", str(FILE), "-f", str(tmp_path / "ports.yaml")]
    try:
        up = subprocess.run(
            [*project, "up", "--build", "--detach", "--wait"], capture_output=True, text=True, timeout=3600
        )
        assert up.returncode == 0, up.stderr[-3000:]
        for port in (18000, 17860):  # the service, and through the web page's server
            page = (ROOT / "samples" / "page.png").read_bytes()
            address = f"http://127.0.0.1:{port}/v1/read?mode=fast&format=text"
            request = urllib.request.Request(address, page, {"Content-Type": "image/png"})
            with urllib.request.urlopen(request, timeout=120) as answer:
                assert b"Dear Anna" in answer.read()
    finally:
        subprocess.run([*project, "down", "--volumes", "--timeout", "45"], capture_output=True, timeout=300)
