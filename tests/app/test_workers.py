"""Several processes behind one port: nothing is lost when one of them dies, and nobody sees the words of others."""

import os
import signal
from pathlib import Path

import pytest

from text_recognizer.feedback.store import Store

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="finds the processes by /proc")
LINES = "[...document.querySelectorAll('#tr-lines textarea')].map((field) => field.value).join('|')"


def workers(process):
    tasks = Path(f"/proc/{process.pid}/task").glob("*/children")
    children = " ".join(task.read_text() for task in tasks).split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def test_two_clients_correct_the_same_page_before_two_workers_of_which_each_dies(
    process, browse, picture, tmp_path, wait_until
):
    keys = {"TEXT_RECOGNIZER_API_KEYS": "key-of-ann,key-of-bea", "TEXT_RECOGNIZER_FEEDBACK": str(tmp_path / "kept")}
    with process("--workers", "2", "--threads", "1", **keys) as service:
        wait_until(lambda: len(workers(service.process)) == 2)
        tabs = {}
        for name in ("ann", "bea"):
            tab = tabs[name] = browse(service.url)
            tab.fill("#tr-key", f"key-of-{name}")
            tab.locator("#tr-key").press("Tab")
            tab.read(picture).nth(0).fill(f"words of {name}")
        second = tabs["ann"].another()  # one of them in two tabs
        second.until(f"{LINES}.startsWith('words of ann|')")
        second.locator("#tr-lines textarea").nth(1).fill("other tab of ann")
        tabs["ann"].until(f"{LINES}.includes('|other tab of ann|')")

        # Nobody remembers a reading afterwards.
        for old in workers(service.process):
            os.kill(old, signal.SIGKILL)
            wait_until(lambda old=old: len(workers(service.process)) == 2 and old not in workers(service.process))
        wait_until(lambda: service.http.get("/readyz").status_code == 200)
        sent = {}
        for name, tab in tabs.items():
            tab.until("!document.querySelector('#tr-say').hidden")
            tab.get_by_role("button", name="Send", exact=True).click()
            tab.until("document.querySelector('#tr-said').textContent.includes('Stored')")
            sent[name] = tab.texts()
            tab.reload()
            tab.until(f"{LINES} === {'|'.join(sent[name])!r}")
            assert not tab.errors

    found = {record.correction.lines[0]: record for record in Store.open(tmp_path / "kept").records()}
    assert {first: record.correction.lines for first, record in found.items()} == {
        lines[0]: tuple(lines) for lines in sent.values()
    }
    assert sent["ann"][:2] == ["words of ann", "other tab of ann"] and "ann" not in " ".join(sent["bea"])
    assert len({record.reading.owner for record in found.values()}) == 2
