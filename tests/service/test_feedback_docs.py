"""What docs/review/feedback.md shows works as shown, from the first line to the last."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from text_recognizer.service.feedback import MAX_COMMENT, MAX_TEXT

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "review" / "feedback.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl here")
def test_commands_run_one_after_the_other(running, tmp_path, monkeypatch):
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    command = bin_folder / "text-recognizer"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m text_recognizer "$@"\n')
    command.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(bin_folder), prepend=":")
    monkeypatch.delenv("TEXT_RECOGNIZER_FEEDBACK", raising=False)
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    blocks = [block for block in blocks if "finetune" not in block]  # it wants twenty lines, and minutes
    # What is deleted in one block is exported in a later one: a correction for that.
    said = '{"request_id": "page-1", "id": "mine-3", "text": "Washington, D.C."}'
    with running() as service:
        out = []
        for block in blocks:
            if "export" in block:
                service.http.post("/v1/read?mode=fast", files={"image": (ROOT / "samples" / "page.png").read_bytes()},
                                  headers={"X-Request-ID": "page-1"})  # fmt: skip
                service.http.post("/v1/feedback", content=said, headers={"Content-Type": "application/json"})
            script = block.replace(ADDRESS, service.url)
            done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True)
            assert done.returncode == 0, script + done.stderr
            out.append(done.stdout)
    assert '"image_stored":true' in out[0]
    assert '"request_id":"letter-2"' in out[1]
    assert "the date is wrong" in out[3]
    assert (tmp_path / "letter.jpg").read_bytes() == (ROOT / "samples" / "letter-1905.jpg").read_bytes()
    assert "1 pages as transcripts" in out[4]
    assert (tmp_path / "corrections" / "export.json").is_file()


def test_python_runs(running, tmp_path, monkeypatch, capsys):
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    monkeypatch.chdir(tmp_path)
    [block] = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    with running() as service:
        exec(compile(block.replace(ADDRESS, service.url), "feedback.md", "exec"), {})
    assert capsys.readouterr().out == "True ()\n"


def test_limits_are_those_of_the_code():
    assert f"at most {MAX_COMMENT:,} characters" in GUIDE
    assert f"at most {MAX_TEXT:,} characters" in GUIDE
