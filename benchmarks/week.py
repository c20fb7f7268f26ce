"""A week of a service in some minutes: thousands of readings kept, hundreds corrected, the process killed in between.

    pip install '.[serve]'
    python benchmarks/week.py [--readings 10000] [--flags 300] [--store week] [--json]

Starts `text-recognizer serve` on a free port of this machine alone with LOG_READINGS=1, and asks it as `--clients`
clients do that each send a small page of one word, then the next; some of the answers they correct or flag. `--kills`
times the service is ended by SIGKILL and started anew: its clients ask again, under the same X-Request-ID, and say
again what they said, under the same id. At the end every reading and every feedback that was acknowledged must be in
the store, once. Their times are then drawn out to a week, so that reports on the store have seven days to look at.

Exit status 1 where a record is missing, or there twice.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np

from text_recognizer.feedback.store import FILE, Store

WORDS = (
    *("the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "and"),
    *("reads", "every", "letter", "by", "hand", "before", "supper"),
)
PATIENCE = 120.0  # seconds that a client asks again before it gives up


@dataclass
class Result:
    """What came of it; times in seconds."""

    readings: int = 0
    flags: int = 0
    kills: int = 0
    seconds: float = 0.0
    asked_again: int = 0
    late: int = 0
    """Readings that were answered before they were kept, as /metrics counted them."""
    slowest: float = 0.0
    """From the first attempt to the answer, kills and all."""
    problems: list[str] = field(default_factory=list)


class Service:
    """The service as a process on one port, whose store outlives it."""

    def __init__(self, where: str, keep: str, environ: dict[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        settings = {"FEEDBACK": where, "LOG_READINGS": "1", "LOG_CONTENT": keep}
        self._environ = {**os.environ, **{f"TEXT_RECOGNIZER_{k}": v for k, v in settings.items()}, **environ}
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "text_recognizer", "serve", "--port", str(self._port)]
        self._process = subprocess.Popen(
            command, env=self._environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + PATIENCE
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > until:
                raise SystemExit("the service does not start; try: text-recognizer serve")
            time.sleep(0.05)

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)

    def late(self) -> int:
        """Readings answered before they were kept, of this process."""
        with suppress(httpx.HTTPError):
            figures = httpx.get(self.url + "/metrics", timeout=10).text
            found = re.search(r'feedback_failures_total\{operation="log"\} (\S+)', figures)
            return int(float(found[1])) if found else 0
        return 0

    def _ready(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(self.url + "/readyz", timeout=5).status_code == 200
        return False


class Clients:
    """Threads that ask until they are answered."""

    def __init__(self, url: str, readings: int, flags: int, result: Result) -> None:
        self._url, self._result = url, result
        self._images = [_word(word) for word in WORDS]
        self._due = iter(range(readings))
        every = max(1, readings // max(1, flags))
        self._flagged = set(list(range(0, readings, every))[:flags])
        self._lock = threading.Lock()
        self.read: set[str] = set()
        self.said: dict[str, str] = {}
        self.errors: list[str] = []

    def run(self, number: int) -> None:
        threads = [threading.Thread(target=self._work, args=(n,)) for n in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, number: int) -> None:
        rng = random.Random(number)
        with httpx.Client(base_url=self._url, timeout=30) as http:
            while True:
                with self._lock:
                    item = next(self._due, None)
                if item is None:
                    return
                try:
                    self._ask(http, item, rng)
                except Exception as error:
                    with self._lock:
                        self.errors.append(f"client {number}: {type(error).__name__}: {error}")
                    return

    def _ask(self, http: httpx.Client, item: int, rng: random.Random) -> None:
        request_id = f"week-{item:06}"
        image = self._images[item % len(self._images)]
        headers = {"X-Request-ID": request_id, "Content-Type": "image/png"}
        answer = self._until_answered(
            lambda: http.post("/v1/read", params={"mode": "fast"}, content=image, headers=headers), (200,)
        )
        page = answer.json()
        with self._lock:
            self.read.add(request_id)
        if item not in self._flagged:
            return
        said: dict[str, Any] = {"request_id": request_id, "id": f"said-{item:06}", "flag": "incorrect"}
        if rng.random() < 0.2:
            said["flag"] = rng.choice(["offensive", "other"])
        else:
            said["lines"] = [WORDS[item % len(WORDS)] if n == 0 else "" for n in range(len(page["lines"]))]
            said["checked"] = True
        answer = self._until_answered(lambda: http.post("/v1/feedback", json=said), (200, 201, 404))
        if answer.status_code == 404:
            form = {"feedback": json.dumps({**said, "page": page, "mode": "fast"})}
            self._until_answered(lambda: http.post("/v1/feedback", data=form, files={"image": image}), (200, 201))
        with self._lock:
            self.said[said["id"]] = request_id

    def _until_answered(self, ask: Callable[[], httpx.Response], statuses: tuple[int, ...]) -> httpx.Response:
        begin, pause = time.monotonic(), 0.05
        while True:
            with suppress(httpx.TransportError):
                answer = ask()
                if answer.status_code in statuses:
                    with self._lock:
                        self._result.slowest = max(self._result.slowest, time.monotonic() - begin)
                    return answer
                if answer.status_code not in (429, 502, 503, 504):
                    raise RuntimeError(f"{answer.status_code} {answer.text}")
            if time.monotonic() - begin > PATIENCE:
                raise RuntimeError("no answer for long")
            with self._lock:
                self._result.asked_again += 1
            time.sleep(pause)
            pause = min(1.0, 2 * pause)


def _word(text: str) -> bytes:
    """A small page with one word on it, as PNG."""
    page = np.full((90, 60 + 24 * len(text)), 235, np.uint8)
    cv2.putText(page, text, (25, 58), cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 1.3, 40, 2, cv2.LINE_AA)
    return bytes(cv2.imencode(".png", page)[1])


def week(
    where: Path, readings: int, flags: int, clients: int, kills: int, keep: str = "pages", **environ: str
) -> Result:
    """Runs it with the store in the folder `where`, and looks at what is there afterwards."""
    result = Result()
    service = Service(str(where), keep, environ)
    asking = Clients(service.url, readings, flags, result)
    begin = time.monotonic()
    threads = threading.Thread(target=asking.run, args=(clients,))
    threads.start()
    for number in range(1, kills + 1):
        while threads.is_alive() and len(asking.read) < readings * number / (kills + 1):
            time.sleep(0.005)
        if not threads.is_alive():
            break
        result.late += service.late()
        service.kill()
        result.kills += 1
        service.start()
    threads.join()
    result.seconds = time.monotonic() - begin
    result.late += service.late()
    service.stop()
    result.readings, result.flags = len(asking.read), len(asking.said)
    result.problems = [*asking.errors, *check(where, asking.read, asking.said)]
    return result


def check(where: Path, read: set[str], said: dict[str, str]) -> list[str]:
    """What is missing of what was acknowledged, there twice, or damaged."""
    problems = []
    store = Store.open(where)
    there: Counter[str] = Counter()
    feedback: Counter[tuple[str, str]] = Counter()
    for record in store.records():
        there[record.reading.request_id] += 1
        feedback.update((one.id, one.request_id) for one in record.feedback)
        if record.feedback and record.reading.page is None:
            problems.append(f"{record.reading.request_id} has feedback and no page")
        if record.reading.image and not store.image(record.reading):
            problems.append(f"the image of {record.reading.request_id} is empty")
    store.close()
    problems += [f"{name} is missing" for name in sorted(read - set(there))]
    problems += [f"{name} is there {count} times" for name, count in there.items() if count > 1]
    problems += [f"feedback {one} on {name} is missing" for one, name in said.items() if (one, name) not in feedback]
    problems += [f"feedback {one} is there {count} times" for (one, _), count in feedback.items() if count > 1]
    with sqlite3.connect(where / FILE) as connection:
        [(state,)] = connection.execute("PRAGMA integrity_check").fetchall()
    return problems if state == "ok" else [*problems, f"SQLite says: {state}"]


def draw_out(where: Path) -> None:
    """Readings and feedback as if they had come in the course of the last week, in their order."""
    form = "%Y-%m-%d %H:%M:%S.%f"
    begin = datetime.now(UTC) - timedelta(days=7)
    with sqlite3.connect(where / FILE) as connection:
        rows = connection.execute(
            "SELECT number, request_id FROM text_recognizer_readings ORDER BY at, number"
        ).fetchall()
        for place, (number, request_id) in enumerate(rows):
            at = begin + timedelta(days=7) * place / len(rows)
            connection.execute(
                "UPDATE text_recognizer_readings SET at = ? WHERE number = ?", (at.strftime(form), number)
            )
            later = (at + timedelta(minutes=1)).strftime(form)
            connection.execute("UPDATE text_recognizer_feedback SET at = ? WHERE request_id = ?", (later, request_id))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readings", type=int, default=10_000)
    parser.add_argument("--flags", type=int, default=300)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--keep", choices=("numbers", "pages", "images"), default="pages", help="LOG_CONTENT")
    parser.add_argument("--store", type=Path, metavar="DIR", help="keep the store there; default: a temporary folder")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        where = options.store or Path(temporary) / "feedback"
        if (where / FILE).exists():
            parser.error(f"{where} holds a store already; name another folder")
        result = week(where, options.readings, options.flags, options.clients, options.kills, options.keep)
        size = sum(path.stat().st_size for path in where.rglob("*") if path.is_file())
        draw_out(where)
    if options.json:
        print(json.dumps({**asdict(result), "bytes": size}))
    else:
        print(f"{result.readings} readings and {result.flags} feedbacks acknowledged to {options.clients} clients")
        print(
            f"in {result.seconds:.0f} s, {result.readings / result.seconds:.1f} readings a second; "
            f"{size / 2**20:.1f} MiB"
        )
        print(f"killed {result.kills} times; {result.asked_again} requests sent again; slowest {result.slowest:.1f} s")
        print(f"answered before they were kept: {result.late}")
        print("\n".join(result.problems) or "every one of them is in the store once")
    return 1 if result.problems else 0


if __name__ == "__main__":
    sys.exit(main())
