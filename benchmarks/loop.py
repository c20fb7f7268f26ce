"""The loop closed, by a team's own commands: a hand that the model reads badly is corrected, learned and served.

    python benchmarks/loop.py --unipen data/unipen.npz --fonts data/fonts --texts data/texts \\
        --dev data/sets/heldout-lines

A service reads with the model in production. Pages of a hand that nobody trained on go through it; a simulated person
corrects every line, as `POST /v1/feedback`. Then `feedback export`, `finetune` on that and on rendered lines, `models
add`, `models promote` through the gate: the running service goes over to the new model while other clients keep asking
it. In the end it reads pages of that hand which took no part.

The hand is that of a held-out writer of UNIPEN, the worst read one with ink enough; pages to correct and pages to
measure share no ink, and with --strict no word. With --letter-forms it is a face with some letters turned on their
heads, since people form letters in ways of their own; that needs no data but fonts to render from.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np

from text_recognizer.bundle import SHIPPED, Bundle
from text_recognizer.evaluation.metrics import errors, rate
from text_recognizer.evaluation.sets import load_set
from text_recognizer.recognition.recognizer import Recognizer
from text_recognizer.synthesis.rendering.ink import Hand
from text_recognizer.synthesis.rendering.page import RenderedPage, render_page
from text_recognizer.synthesis.rendering.page_style import PageStyle
from text_recognizer.synthesis.sources.fonts import HandFont, inspect_font
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.synthesis.sources.unipen import Writer, load_writers
from text_recognizer.training.finetune import read_rate
from text_recognizer.training.line_match import match, overlap_matrix
from text_recognizer.training.own_lines import cut_lines

CLIENTS = 2  # who keep asking while the model changes
LEAST_INKS = 100  # of a writer whose words are to fill two sets of pages
OWN_FORMS = dict(zip("aehmrtvwyk", "дєћшгтѵωұж", strict=True))


@dataclass
class Outcome:
    """Character error rates of pages as the service read them, and of the lines of the old set."""

    hand: str
    corrected_pages: int
    corrected_lines: int
    before: float
    after: float
    dev_before: float
    dev_after: float
    asked: int  # readings of the clients that kept asking
    failed: int
    models: list[str]  # that answered them, in the order of their first answers
    finetune_seconds: float

    @property
    def gain(self) -> float:
        """Share of the hand's errors that went away."""
        return 1 - self.after / self.before

    @property
    def loss(self) -> float:
        """Share by which the errors on the old set grew."""
        return self.dev_after / self.dev_before - 1


# ------------------------------------------------------------------------------------------------------------ the hand


def worst_hands(unipen: Path, dev: Path, threads: int | None, strict: bool = False) -> list[tuple[Hand, Hand]]:
    """Held-out writers, the worst read first; of each the ink to correct and the ink to measure on."""
    bundle = Bundle.open(SHIPPED)
    lines = cut_lines(load_set(dev), 48, bundle.description.alphabet, 240).lines
    readings = Recognizer(bundle, threads).read_lines([line.image for line in lines], "fast")
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for line, got in zip(lines, readings, strict=True):
        found = errors(line.text, got.text)
        counts[line.writer][0] += found.character_edits
        counts[line.writer][1] += found.characters
    writers = {w.id: w for w in load_writers(unipen, "heldout") if len(w.inks) >= LEAST_INKS}
    worst = sorted(writers.keys() & counts.keys(), key=lambda w: -counts[w][0] / counts[w][1])
    halves = [_halves(writers[name], strict) for name in worst]
    return [pair for pair in halves if all(len(hand.word_list) >= 25 for hand in pair)]


def _halves(writer: Writer, strict: bool) -> tuple[Hand, Hand]:
    """Two hands of one writer that share no ink; with `strict` no word either."""
    rng = np.random.default_rng(1)
    if strict:
        texts = sorted({ink.text for ink in writer.inks})
        first = set(rng.permutation(texts)[: len(texts) * 6 // 10].tolist())
        words = {w for text in first for w in text.split()}
        inks = [i for i in writer.inks if i.text in first]
        others = [i for i in writer.inks if i.text not in first and not words.intersection(i.text.split())]
    else:
        drawn = set(rng.permutation(len(writer.inks))[: len(writer.inks) * 6 // 10].tolist())
        inks = [ink for n, ink in enumerate(writer.inks) if n in drawn]
        others = [ink for n, ink in enumerate(writer.inks) if n not in drawn]
    return Hand(Writer(writer.id, tuple(inks), writer.chars)), Hand(Writer(writer.id, tuple(others), {}))


def letter_forms(face: Path, folder: Path) -> HandFont:
    """A hand of its own: `face` with some letters formed as in `OWN_FORMS`. The face must have those signs."""
    from fontTools.ttLib import TTFont

    with TTFont(face) as font:
        for table in font["cmap"].tables:
            for letter, form in OWN_FORMS.items():
                if ord(form) in table.cmap:
                    table.cmap[ord(letter)] = table.cmap[ord(form)]
        target = folder / "own-forms.ttf"
        font.save(target)
    return inspect_font(target, "own-forms")


def write_pages(hand: Hand | HandFont, text: TextSource, count: int, seed: int) -> list[RenderedPage]:
    """Pages in one hand, not varied, of some ten lines each."""
    style = PageStyle(x_height=24, width=44, height=34, furniture=0.0, hyphens=0.0)
    return [render_page(hand, np.random.default_rng([seed, n]), style, text, variation=0.0) for n in range(count)]


# --------------------------------------------------------------------------------------------------------- the service


@contextmanager
def serving(folder: Path, threads: int) -> Iterator[str]:
    """A service of its own with the model in production; its address."""
    environ = {
        **os.environ,
        "TEXT_RECOGNIZER_FEEDBACK": str(folder / "feedback"),
        "TEXT_RECOGNIZER_MODELS": str(folder / "models"),
        "TEXT_RECOGNIZER_RELOAD_SECONDS": "1",
        "TEXT_RECOGNIZER_DEADLINE": "300",  # it shares its cores with the training
    }
    command = [sys.executable, "-m", "text_recognizer", "serve", "--port", "0", "--model", "production"]
    log = (folder / "service.log").open("w")
    with (
        log,
        subprocess.Popen(
            [*command, "--threads", str(threads)], env=environ, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            found = re.search(r"http://\S+", first)
            if found is None:
                raise SystemExit(f"the service did not start: {first}{(folder / 'service.log').read_text()}")
            with httpx.Client(base_url=found[0]) as http:
                _until(lambda: http.get("/readyz").status_code == 200)
            yield found[0]
        finally:
            process.terminate()
            process.communicate(timeout=400)


def _until(condition: Any, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SystemExit("it did not come about")
        time.sleep(0.2)


class Clients:
    """They read one page over and over, and count what they get."""

    def __init__(self, url: str, page: bytes) -> None:
        self.asked = self.failed = 0
        self.models: list[str] = []
        self._url, self._page = url, page
        self._over, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=400) as http:
            while not self._over.wait(0.2):
                try:
                    answer = http.post("/v1/read?mode=fast", files={"image": self._page})
                    model = answer.json()["model"] if answer.is_success else ""
                except httpx.TransportError:
                    model = ""
                with self._lock:
                    self.asked += 1
                    self.failed += not model
                    if model and model not in self.models:
                        self.models.append(model)

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


def _encoded(page: RenderedPage) -> bytes:
    stored = cv2.imencode(".jpg", cv2.cvtColor(page.rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    return stored.tobytes()


def _matched(page: RenderedPage, answer: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The true text of each line read (empty where there is none), and of each true line what was read there."""
    truth = [np.asarray(line.polygon, np.float64) for line in page.lines]
    found = [np.asarray(line["polygon"], np.float64) for line in answer["lines"]]
    correct, read = [""] * len(found), [""] * len(truth)
    for i, j in match(overlap_matrix(truth, found), 0.3):
        correct[j], read[i] = page.lines[i].text, answer["lines"][j]["text"]
    return correct, read


def pages_rate(http: httpx.Client, pages: Sequence[RenderedPage]) -> float:
    """CER of the accurate mode on whole pages; a line that was not found counts as read empty."""
    edits, lengths = [], []
    for page in pages:
        answer = http.post("/v1/read", files={"image": _encoded(page)}).raise_for_status().json()
        for line, got in zip(page.lines, _matched(page, answer)[1], strict=True):
            found = errors(line.text, got)
            edits.append(found.character_edits)
            lengths.append(found.characters)
    return rate(edits, lengths, [str(n) for n in range(len(edits))]).value


def correct(http: httpx.Client, pages: Sequence[RenderedPage]) -> int:
    """Reads the pages and sends what is truly written; how many lines that were."""
    lines = 0
    for page in pages:
        answer = http.post("/v1/read", files={"image": _encoded(page)}).raise_for_status().json()
        texts, _ = _matched(page, answer)
        said = {"request_id": answer["request_id"], "id": uuid.uuid4().hex, "flag": "incorrect", "lines": texts}
        http.post("/v1/feedback", json={**said, "checked": True}).raise_for_status()
        lines += sum(map(bool, texts))
    return lines


def dev_rate(bundle: Bundle, dev: Path, threads: int | None) -> float:
    """CER of the accurate mode on the lines of a set."""
    lines = cut_lines(load_set(dev), 48, bundle.description.alphabet, 240).lines
    return read_rate(bundle, lines, threads).value


# ------------------------------------------------------------------------------------------------------------ the loop


def run(folder: Path, *command: str | Path) -> str:
    """One of the project's commands, with the registry in `folder`; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "text_recognizer", *map(str, command)],
        env={**os.environ, "TEXT_RECOGNIZER_MODELS": str(folder / "models")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def loop(
    folder: Path,
    name: str,
    to_correct: Sequence[RenderedPage],
    to_measure: Sequence[RenderedPage],
    dev: Path,
    finetune: Sequence[str | Path] = (),
    gate: Sequence[str] = (),
    threads: int = 2,
) -> Outcome:
    """From pages that are read badly to a service that reads them better; all that is written lies in `folder`."""
    run(folder, "models", "add", SHIPPED)
    base = Bundle.open(SHIPPED)
    run(folder, "models", "promote", f"{base.name}@{base.version}", "--force", "--reason", "the first")
    with serving(folder, threads) as url, httpx.Client(base_url=url, timeout=400) as http:
        before = pages_rate(http, to_measure)
        lines = correct(http, to_correct)
        run(folder, "feedback", "export", folder / "corrected", "--store", folder / "feedback")
        begin = time.monotonic()
        tuned = folder / "tuned"
        options = ("--base", "production", "--name", base.name, "--version", f"{base.version}.1", *finetune)
        run(folder, "train", "finetune", folder / "corrected", "--out", tuned, *options)
        seconds = time.monotonic() - begin
        run(folder, "models", "add", tuned)
        clients = Clients(url, _encoded(to_measure[0]))
        run(folder, "models", "promote", f"{base.name}@{base.version}.1", "--sets", dev, "--slower", "2", *gate)
        _until(lambda: http.get("/v1/models").json()["models"][0]["version"] == f"{base.version}.1")
        time.sleep(3)
        clients.stop()
        after = pages_rate(http, to_measure)
    return Outcome(
        hand=name,
        corrected_pages=len(to_correct),
        corrected_lines=lines,
        before=before,
        after=after,
        dev_before=dev_rate(base, dev, threads),
        dev_after=dev_rate(Bundle.open(tuned), dev, threads),
        asked=clients.asked,
        failed=clients.failed,
        models=clients.models,
        finetune_seconds=seconds,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unipen", type=Path, help="rendered lines between the corrected ones, and whose hands")
    parser.add_argument("--fonts", type=Path)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--dev", type=Path, required=True, help="set of lines that must not read worse")
    parser.add_argument("--letter-forms", type=Path, metavar="TTF", help="this face with letters of its own")
    parser.add_argument("--hands", type=int, default=2, help="so many held-out writers, one after another")
    parser.add_argument("--strict", action="store_true", help="measure on words that no corrected page has")
    parser.add_argument("--pages", type=int, default=20, help="to correct (%(default)s)")
    parser.add_argument("--measured", type=int, default=8, help="pages to measure on (%(default)s)")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--replay", type=float, default=0.6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the outcomes here")
    args = parser.parse_args()
    finetune: list[str | Path] = [
        "--steps", str(args.steps), "--batch-size", str(args.batch_size), "--replay", str(args.replay),
    ]  # fmt: skip
    for option in ("unipen", "fonts", "texts"):
        if getattr(args, option):
            finetune += [f"--{option}", getattr(args, option)]
    text = TextSource(args.texts)
    outcomes = []
    with tempfile.TemporaryDirectory() as scratch:
        pairs: list[tuple[str, Hand | HandFont, Hand | HandFont]] = []
        if args.letter_forms:
            own = letter_forms(args.letter_forms, Path(scratch))
            pairs.append(("letter forms of its own", own, own))
        else:
            worst = worst_hands(args.unipen, args.dev, args.threads, args.strict)[: args.hands]
            pairs += [(f"held-out writer {n}", *pair) for n, pair in enumerate(worst, 1)]
        for name, first, second in pairs:
            folder = Path(scratch) / uuid.uuid4().hex
            folder.mkdir()
            to_correct, to_measure = (
                write_pages(first, text, args.pages, 1),
                write_pages(second, text, args.measured, 2),
            )
            outcomes.append(loop(folder, name, to_correct, to_measure, args.dev, finetune, threads=args.threads))
            shutil.rmtree(folder)
            show(outcomes[-1])
    if args.json:
        args.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")


def show(o: Outcome) -> None:
    print(f"{o.hand}: {o.corrected_pages} pages, {o.corrected_lines} lines corrected")
    print(f"  its other pages: CER {100 * o.before:.1f} % → {100 * o.after:.1f} % ({-100 * o.gain:+.0f} %)")
    print(f"  old set:         CER {100 * o.dev_before:.2f} % → {100 * o.dev_after:.2f} % ({100 * o.loss:+.1f} %)")
    print(f"  while the model changed: {o.asked} readings, {o.failed} failed, by {' then '.join(o.models)}")
    print(f"  fine-tuning took {o.finetune_seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
