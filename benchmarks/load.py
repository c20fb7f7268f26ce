"""The service under load: what it keeps of the bare reader's speed, how long clients wait, what it refuses, its memory.

    pip install '.[serve]' --group bench
    python benchmarks/load.py [--mode accurate] [--json]

Starts `text-recognizer serve` on a free port of this machine alone and asks it as locust's users do. About six minutes:

1. capacity: pages a second of the bare `Reader` with `--cores` cores, and of the service with `--clients` clients that
   each send a page as soon as they have the last one (a closed loop); `--rounds` times in turn;
2. 80 % of that capacity, once evenly spaced and once at random (Poisson), whatever the answers do (an open loop);
3. three times the capacity, evenly spaced;
4. resident memory of a fresh service over `--requests` images of many sizes and kinds.

Everything runs on the first `--cores` processors that this process may use, clients and all. The settings of the
environment (TEXT_RECOGNIZER_…) hold for the service. Quiet machine, please: figures beside other work mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

SAMPLES = Path(__file__).parent.parent / "samples"
PAGES = [SAMPLES / "letter-1905.jpg", SAMPLES / "page.png"]
KINDS = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
# Until all clients are there and the queue has filled; what is answered before does not count.
SETTLING = 3.0


# ------------------------------------------------------------------------------------------------- the bare reader


def bare_reader(spec: dict[str, Any]) -> dict[str, Any]:
    """Pages a second of `readers` threads, each with a reader of its own that may use `threads` threads."""
    import cv2

    from text_recognizer.reader import Reader

    cv2.setNumThreads(spec["threads"])
    pages = [Path(page).read_bytes() for page in spec["pages"]]
    start = threading.Barrier(spec["readers"])
    rates = []

    def run() -> None:
        reader = Reader(spec["model"] or None, threads=spec["threads"])
        for page in pages:
            reader.read(page, spec["mode"])
        start.wait()
        begin, count = time.monotonic(), 0
        while time.monotonic() < begin + spec["seconds"]:
            for page in pages:  # whole rounds, as the pages are not equally dear
                reader.read(page, spec["mode"])
            count += len(pages)
        rates.append(count / (time.monotonic() - begin))

    threads = [threading.Thread(target=run) for _ in range(spec["readers"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"rate": sum(rates)}


# ------------------------------------------------------------------------------------------------------ the clients


def clients(spec: dict[str, Any]) -> dict[str, Any]:
    """Locust's users ask for what `spec` says; each answer is [when it was due, was sent, came, status, Retry-After?].

    Locust as a library, in a process of its own, since it replaces the sockets and threads of its process. Its users
    wait for their answers, which makes a closed loop. In the open loop one user starts a greenlet at each arrival's
    time, and an answer's seconds count from that time, so that nothing the service delays is left out of the figures.
    Answers are kept here: locust's own statistics round them, and know no warm-up.
    """
    import gevent
    import locust
    import psutil
    from gevent.lock import Semaphore
    from gevent.pool import Group
    from locust.env import Environment

    answers: list[list[Any]] = []
    memory: list[int] = []
    wrong: Counter[str] = Counter()
    ended = Semaphore(0)
    server = psutil.Process(spec["pid"])
    path = f"/v1/read?mode={spec['mode']}"
    mixed = "requests" in spec
    content = mixed_images(spec["requests"]) if mixed else cycle(_whole_pages(spec["pages"]))
    begin = time.monotonic()

    def send(user: locust.FastHttpUser, due: float | None = None) -> bool:
        image = next(content, None)
        if image is None:
            return False
        body, kind, expected = image
        sent = time.monotonic()
        answer = user.client.post(path, data=body, headers={"Content-Type": kind})
        retry = (answer.headers or {}).get("Retry-After") is not None
        came = time.monotonic()
        answers.append([(sent if due is None else due) - begin, sent - begin, came - begin, answer.status_code, retry])
        if answer.status_code not in (expected, 429):
            wrong[f"{answer.status_code} instead of {expected}"] += 1
        if mixed and len(answers) % 10 == 0:
            memory.append(_resident(server))
        return True

    class Waiting(locust.FastHttpUser):
        host = spec["url"]

        @locust.task
        def ask(self) -> None:
            while (mixed or time.monotonic() < begin + spec["seconds"]) and send(self):
                pass
            ended.release()
            raise locust.exception.StopUser

    class Arriving(locust.FastHttpUser):
        host = spec["url"]
        concurrency = 10_000  # connections

        @locust.task
        def ask(self) -> None:
            asking = Group()
            for due in arrivals(spec["rate"], spec["seconds"], spec["random"]):
                gevent.sleep(max(0.0, begin + due - time.monotonic()))
                asking.spawn(send, self, begin + due)
            asking.join()
            ended.release()
            raise locust.exception.StopUser

    number = 1 if "rate" in spec else spec["clients"]
    runner = Environment(user_classes=[Arriving if "rate" in spec else Waiting]).create_local_runner()
    busy, begin = time.process_time(), time.monotonic()
    runner.start(number, spawn_rate=number)
    for _ in range(number):
        ended.acquire()
    seconds = time.monotonic() - begin
    runner.quit()
    return {
        "answers": answers,
        "memory": memory,
        "wrong": wrong,
        "seconds": seconds,
        "processor": time.process_time() - busy,
    }


def arrivals(rate: float, seconds: float, random: bool) -> Iterator[float]:
    """When requests are due, from 0 to `seconds`."""
    rng = np.random.default_rng(5)
    due = 0.0
    while due < seconds:
        yield due
        due += rng.exponential(1 / rate) if random else 1 / rate


def _resident(server: Any) -> int:
    """Bytes of the service, its worker processes with it."""
    return sum(process.memory_info().rss for process in (server, *server.children(recursive=True)))


def _whole_pages(pages: list[str]) -> list[tuple[bytes, str, int]]:
    return [(Path(page).read_bytes(), KINDS[Path(page).suffix.lower()], 200) for page in pages]


def mixed_images(number: int) -> Iterator[tuple[bytes, str, int]]:
    """Images as they come to a service that anybody may ask: bytes, media type, the status they deserve.

    Of a hundred: 72 strips of a line or two, 15 parts of pages, 5 whole pages, 2 enlarged ones, 6 that are no images.
    No two are of one size, so that memory which falls apart shows.
    """
    import cv2

    cv2.setNumThreads(1)
    rng = np.random.default_rng(5)
    pages = [image for page in PAGES if (image := cv2.imread(str(page))) is not None]
    bad = [b"", b"no image", b"\xff\xd8\xff\xe0" + bytes(400), PAGES[0].read_bytes()[:300]]
    # A picture of 100,000 × 100,000 pixels, by its header.
    bad[0] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0\1\x86\xa0" * 2 + b"\x08\2\0\0\0" + bytes(4)
    for _ in range(number):
        page = pages[rng.integers(len(pages))]
        height, width = page.shape[:2]
        kind = rng.choice(5, p=(0.72, 0.15, 0.05, 0.02, 0.06))
        if kind == 4:
            yield bad[rng.integers(len(bad))], "image/png", 422
            continue
        if kind == 0:
            high, wide = int(rng.integers(50, 130)), int(rng.integers(width // 3, width))
        elif kind == 1:
            high, wide = int(rng.integers(height // 5, height // 2)), int(rng.integers(width // 3, width))
        else:
            high, wide = height - int(rng.integers(60)), width - int(rng.integers(60))
        top, left = int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1))
        part = page[top : top + high, left : left + wide]
        if kind == 3:
            part = cv2.resize(part, None, fx=1.6, fy=1.6)
        if rng.random() < 0.5:
            part = cv2.cvtColor(part, cv2.COLOR_BGR2GRAY)
        suffix = ".jpg" if rng.random() < 0.6 else ".png"
        yield cv2.imencode(suffix, part)[1].tobytes(), KINDS[suffix], 200


# ------------------------------------------------------------------------------------------------------ the service


@contextmanager
def service(cores: int, model: str) -> Iterator[tuple[str, int]]:
    """Address and process of a service that is ready."""
    command = [sys.executable, "-m", "text_recognizer", "serve", "--host", "127.0.0.1", "--port", "0"]
    command += ["--threads", str(cores), *(["--model", model] if model else [])]
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = _until_ready(process, Path(log.name))
            yield url, process.pid
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def _until_ready(process: subprocess.Popen[bytes], log: Path) -> str:
    patience = time.monotonic() + 60
    while time.monotonic() < patience and process.poll() is None:
        url = log.read_text().partition("http://")[2].partition("\n")[0]
        with suppress(urllib.error.URLError, ConnectionError):
            if url and urllib.request.urlopen(f"http://{url}/readyz", timeout=5).status == 200:
                return f"http://{url}"
        time.sleep(0.1)
    raise SystemExit(f"the service did not get ready:\n{log.read_text()}")


def part(name: str, **spec: Any) -> dict[str, Any]:
    """One of the parts above, in a process of its own."""
    command = [sys.executable, __file__, "--part", name, json.dumps(spec)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


# -------------------------------------------------------------------------------------------------------- measuring


def measure(options: argparse.Namespace) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "mode": options.mode,
        "pages": [page.name for page in options.page],
        "cores": options.cores,
    }
    common = {"mode": options.mode, "pages": [str(page) for page in options.page]}
    if options.only != "memory":
        figures |= speed(options, common)
    if options.only != "speed":
        with service(options.cores, options.model) as (url, pid):
            done = part("clients", requests=options.requests, clients=4, url=url, pid=pid, **common)
        figures["memory"] = {**summary(done), **flatness(done["memory"])}
    return {**figures, "load_average": os.getloadavg()[0]}


def speed(options: argparse.Namespace, common: dict[str, Any]) -> dict[str, Any]:
    readers = {f"1 × {options.cores} threads": (1, options.cores), f"{options.cores} × 1 thread": (options.cores, 1)}
    rates: dict[str, list[float]] = {name: [] for name in readers}

    def bare() -> None:
        for name, (number, threads) in readers.items():
            spec = {"readers": number, "threads": threads, "seconds": options.reader_seconds, "model": options.model}
            rates[name].append(part("bare_reader", **spec, **common)["rate"])
            say(f"bare reader, {name}: {rates[name][-1]:.2f} pages/s")

    def asked(**how: Any) -> dict[str, Any]:
        done = part("clients", **how, **common)
        phase = {**summary(done), "rate": served(done, how["seconds"])}
        say(f"{how}: {phase['rate']:.2f} pages/s, {phase['statuses']}")
        return phase

    with service(options.cores, options.model) as (url, pid):
        where: dict[str, Any] = {"url": url, "pid": pid}
        asked(**where, clients=options.clients, seconds=1)  # the first pages take longer
        rounds = []
        for _ in range(options.rounds):
            bare()
            rounds.append(asked(**where, clients=options.clients, seconds=options.capacity_seconds))
        bare()
        rate = sum(phase["rate"] for phase in rounds) / len(rounds)
        if not rate:
            raise SystemExit("no page was read in time; give more --capacity-seconds")
        load = {
            name: asked(**where, rate=0.8 * rate, seconds=options.load_seconds, random=name == "random")
            for name in ("even", "random")
        }
        overload = asked(**where, rate=3 * rate, seconds=options.overload_seconds, random=False)
    # Each round between the bare readers before and after it: machines slow down and wake up.
    between = [max((each[n] + each[n + 1]) / 2 for each in rates.values()) for n in range(len(rounds))]
    wrong = sum((Counter(phase["wrong"]) for phase in rounds), Counter[str]())
    of_reader = [phase["rate"] / bare for phase, bare in zip(rounds, between, strict=True)]
    return {
        "readers": {name: sum(each) / len(each) for name, each in rates.items()},
        "capacity": {
            "rate": rate,
            "clients": options.clients,
            "wrong": wrong,
            "of_reader": sum(of_reader) / len(of_reader),
            "of_reader_rounds": of_reader,
            "client_cores": max(phase["client_cores"] for phase in rounds),
        },
        "load": load,
        "overload": {**overload, "of_capacity": overload["rate"] / rate},
    }


def served(done: dict[str, Any], seconds: float) -> float:
    """Pages a second that came back while clients asked, without the beginning."""
    settled = min(SETTLING, seconds / 4)
    return sum(status == 200 and settled <= came < seconds for *_, came, status, _ in done["answers"]) / (
        seconds - settled
    )


def summary(done: dict[str, Any]) -> dict[str, Any]:
    answers = done["answers"]
    took = [came - due for due, _, came, status, _ in answers if status == 200] or [float("nan")]
    p50, p99 = np.percentile(took, (50, 99))
    # From the moment of sending: how late a busy client sends says nothing about the service.
    refused = [came - sent for _, sent, came, status, _ in answers if status == 429] or [float("nan")]
    statuses = Counter(status for *_, status, _ in answers)
    return {
        "requests": len(answers),
        "statuses": {str(status): number for status, number in sorted(statuses.items())},
        "refused_with_retry_after": sum(status == 429 and retry for *_, status, retry in answers),
        "wrong": done["wrong"],
        "p50": float(p50),
        "p99": float(p99),
        "ratio": float(p99 / p50),
        "refusal_p50": float(np.median(refused)),
        "refusal_p99": float(np.percentile(refused, 99)),
        "sent_late": float(np.percentile([sent - due for due, sent, *_ in answers], 99)),
        "client_cores": done["processor"] / done["seconds"],
    }


def flatness(memory: list[int]) -> dict[str, Any]:
    """Resident bytes in the second tenth of the requests, the first being the warm-up, and in the last tenth.

    Medians: pages that are being read at the moment of a look come and go.
    """
    tenth = max(1, len(memory) // 10)
    early, late = float(np.median(memory[tenth : 2 * tenth])), float(np.median(memory[-tenth:]))
    return {"early": early, "late": late, "peak": max(memory), "growth": late / early - 1, "samples": memory}


# -------------------------------------------------------------------------------------------------------- reporting


def table(figures: dict[str, Any]) -> str:
    rows = (speed_rows(figures) if "capacity" in figures else []) + (
        memory_rows(figures) if "memory" in figures else []
    )
    about = f"mode {figures['mode']}, {figures['cores']} cores, load {figures['load_average']:.1f} at the end"
    lines = [about, "", "| what | figure | goal |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    if "capacity" in figures:
        phases = (*figures["load"].values(), figures["overload"])
        late = max(phase["sent_late"] for phase in phases)
        took = max(phase["client_cores"] for phase in (figures["capacity"], *phases))
        lines += [
            "",
            f"Sent in turn: {', '.join(figures['pages'])}. Clients shared the cores with the service and took at most",
            f"{took:.0%} of one; they sent at most {1000 * late:.0f} ms (p99) late, which counts as waiting.",
        ]
    return "\n".join(lines)


def speed_rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    capacity, overload = figures["capacity"], figures["overload"]
    rows = [(f"bare reader, {name}", f"{rate:.2f} pages/s", "") for name, rate in figures["readers"].items()]
    each = ", ".join(f"{share:.2f}" for share in capacity["of_reader_rounds"])
    figure = f"{capacity['rate']:.2f} pages/s, {capacity['of_reader']:.2f} of the better bare reader ({each})"
    met = capacity["of_reader"] >= 0.95 and not capacity["wrong"]
    rows.append((f"service, {capacity['clients']} clients", figure + _wrong(capacity), _goal("at least 0.95", met)))
    for name, words in (("even", "evenly spaced"), ("random", "at random")):
        load = figures["load"][name]
        refused = load["statuses"].get("429", 0)
        figure = f"median {load['p50']:.2f} s, p99 {load['p99']:.2f} s, {load['ratio']:.1f} × the median"
        figure += f"; {refused} answered 429" if refused else ""
        met = load["ratio"] < 4 and not load["wrong"] and not refused
        # Random arrivals make a queue at 80 % whatever serves it: they are told, the goal is for the even ones.
        goal = _goal("under 4 ×", met) if name == "even" else ""
        rows.append((f"80 % of that, {words}, {load['requests']} pages", figure + _wrong(load), goal))
    refused, told = overload["statuses"].get("429", 0), overload["refused_with_retry_after"]
    figure = f"{refused / overload['requests']:.0%} answered 429, {told} of {refused} with Retry-After; "
    figure += f"{overload['rate']:.2f} pages/s, {overload['of_capacity']:.2f} of the capacity"
    met = 0 < refused == told and not overload["wrong"] and overload["of_capacity"] >= 0.9
    goal = _goal("429 and no other error, at least 0.9", met)
    rows.append((f"three times that, {overload['requests']} pages", figure + _wrong(overload), goal))
    figure = f"median {1000 * overload['refusal_p50']:.0f} ms, p99 {1000 * overload['refusal_p99']:.0f} ms"
    rows.append(("time until a 429", figure, _goal("under 50 ms", overload["refusal_p99"] < 0.05)))
    return rows


def memory_rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    memory = figures["memory"]
    figure = f"{memory['early'] / 1e6:.0f} MB, at the end {memory['late'] / 1e6:.0f} MB ({memory['growth']:+.1%}), "
    figure += f"peak {memory['peak'] / 1e6:.0f} MB"
    met = abs(memory["growth"]) <= 0.1 and not memory["wrong"]
    return [(f"memory over {memory['requests']} images", figure + _wrong(memory), _goal("within 10 %", met))]


def _goal(words: str, met: bool) -> str:
    return f"{words}: {'met' if met else 'missed'}"


def _wrong(phase: dict[str, Any]) -> str:
    return "".join(f"; {number} × {what}" for what, number in phase["wrong"].items())


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--part"]:
        work = {"bare_reader": bare_reader, "clients": clients}[sys.argv[2]]
        print(json.dumps(work(json.loads(sys.argv[3]))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", choices=("fast", "accurate"), default="fast")
    parser.add_argument("--model", default="", help="as for `serve`; the one that ships, unless given")
    parser.add_argument("--page", type=Path, action="append", help="to be sent, may be repeated; the samples")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3, help="of the bare reader and the service in turn")
    parser.add_argument("--reader-seconds", type=float, default=6, help="for each of its two ways in each round")
    parser.add_argument("--capacity-seconds", type=float, default=13, help="in each round")
    parser.add_argument("--load-seconds", type=float, default=60, help="for each of two runs")
    parser.add_argument("--overload-seconds", type=float, default=30)
    parser.add_argument("--requests", type=int, default=2000, help="for memory, at least 100")
    parser.add_argument("--only", choices=("speed", "memory"), help="parts 1 to 3, or part 4")
    parser.add_argument("--json", action="store_true", help="figures instead of the table")
    options = parser.parse_args()
    options.page = options.page or PAGES
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])  # children inherit it
    figures = measure(options)
    print(json.dumps(figures, indent=1) if options.json else table(figures))


if __name__ == "__main__":
    main()
