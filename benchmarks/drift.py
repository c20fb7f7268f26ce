"""Does monitoring notice what it should, and keep quiet otherwise? Weeks of rendered pages, read by the real reader.

    python benchmarks/drift.py --unipen data/unipen.npz --fonts data/fonts --texts data/texts --out data/drift

Compared is with the reference that the bundle carries. The pages are written in hands that the reference has not seen
(training/reference.py takes every second one). A quiet week is drawn from a pool of such pages, those by some of the
hands, so weeks differ in who wrote them as real ones do; the share of quiet weeks on which a rule fires is the rate of
false alarms. The other weeks are dark photographs, pages out of focus, pages at half resolution, pages in two other
languages, and printed pages; each must fire the rule that is named for it. Numbers are kept in --out, so a run that was
cut short goes on and a second one only compares.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.bundle import SHIPPED, Bundle
from text_recognizer.errors import DataInvalid
from text_recognizer.feedback.record import Check, Reading, Record
from text_recognizer.feedback.statistics import Wording
from text_recognizer.monitoring.monitor import Findings, look
from text_recognizer.monitoring.reference import Window, bundle_reference
from text_recognizer.monitoring.rules import check, read_rules
from text_recognizer.page import Mode
from text_recognizer.reader import Reader
from text_recognizer.synthesis.sources.fonts import inspect_font
from text_recognizer.synthesis.sources.text import TextSource
from text_recognizer.training.reference import numbers_of, reference_hands, render_pages

Rgb = NDArray[np.uint8]
Numbers = list[tuple[str, dict[str, float]]]  # of each page its hand and what was measured

SEED = 4_711  # of the pages; the reference has another
AS_PRINTED = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "DejaVuSerif-Italic.ttf")

# Caesar, Commentarii de bello Gallico, I 1.
LATIN = (
    "Gallia est omnis divisa in partes tres, quarum unam incolunt Belgae, aliam Aquitani, tertiam qui ipsorum lingua "
    "Celtae, nostra Galli appellantur. Hi omnes lingua, institutis, legibus inter se differunt. Gallos ab Aquitanis "
    "Garumna flumen, a Belgis Matrona et Sequana dividit. Horum omnium fortissimi sunt Belgae, propterea quod a cultu "
    "atque humanitate provinciae longissime absunt, minimeque ad eos mercatores saepe commeant atque ea quae ad "
    "effeminandos animos pertinent important. Proximique sunt Germanis, qui trans Rhenum incolunt, quibuscum "
    "continenter bellum gerunt. Qua de causa Helvetii quoque reliquos Gallos virtute praecedunt, quod fere cotidianis "
    "proeliis cum Germanis contendunt, cum aut suis finibus eos prohibent aut ipsi in eorum finibus bellum gerunt. "
    "Belgae ab extremis Galliae finibus oriuntur, pertinent ad inferiorem partem fluminis Rheni, spectant in "
    "septentrionem et orientem solem. Aquitania a Garumna flumine ad Pyrenaeos montes et eam partem Oceani quae est ad "
    "Hispaniam pertinet; spectat inter occasum solis et septentriones."
)
# Written for this file.
GERMAN = (
    "Am Morgen ging der Schreiber noch vor dem Regen in den Hafen. Auf dem Tisch lagen drei Briefe, und keiner davon "
    "war an ihn gerichtet. Er nahm den ersten, legte ihn wieder hin und sah lange aus dem Fenster. Unten wurden Fische "
    "verkauft, ein Kind lief einem Hund nach, und die Frau mit dem roten Tuch rief den Preis der Heringe. Warum sollte "
    "gerade heute etwas geschehen? Seit vierzehn Jahren kam die Post um neun, seit vierzehn Jahren trank er danach "
    "einen Kaffee ohne Milch. Doch auf dem zweiten Brief stand eine Schrift, die er kannte. Die Buchstaben standen eng "
    "und etwas schief, als habe jemand im Zug geschrieben. Er wusste sofort, wer das war, und er wusste auch, dass er "
    "den Brief nicht lesen durfte. Also steckte er ihn in die Tasche, zog den Mantel an und machte sich auf den Weg. "
    "Die Strasse war noch nass vom Abend, und an der Ecke stand der alte Lehrer und fragte nach der Zeit."
)


def dark(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """As taken in the evening without a lamp: a third of the light, and the noise that comes with it."""
    noise = rng.normal(0, 4, rgb.shape[:2]).astype(np.float32)[..., None]
    return np.clip(rgb * float(rng.uniform(0.25, 0.45)) + noise, 0, 255).astype(np.uint8)


def blurred(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Out of focus."""
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(2.0, 3.0))), np.uint8)


def half(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """At half the resolution."""
    return np.asarray(cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def as_it_is(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    return rgb


def wording(text: str, folder: Path) -> TextSource:
    """Pages of this text, its sentences in ever other orders."""
    rng = np.random.default_rng(0)
    sentences = text.replace("? ", ". ").split(". ")
    orders = (" ".join(f"{sentences[i].rstrip('.')}." for i in rng.permutation(len(sentences))) for _ in range(60))
    folder.mkdir()
    (folder / "stories.txt").write_text("\n".join(orders), encoding="utf-8")
    return TextSource(folder)


class Measured:
    """Numbers of pages, kept in a folder."""

    def __init__(self, folder: Path, bundle: Bundle, mode: Mode, threads: int) -> None:
        self.folder, self.mode = folder / f"{bundle.name}-{bundle.version}-{mode}", mode
        self.folder.mkdir(parents=True, exist_ok=True)
        self.reader = Reader(bundle, threads)
        self.wording = Wording.of(bundle, self.reader.recognizer.language)

    def of(self, name: str, pages: Callable[[int], Iterator[tuple[str, Rgb]]], count: int) -> Numbers:
        """Numbers of the first `count` of `pages`, read where they are not kept yet."""
        file = self.folder / f"{name}.json"
        held: Numbers = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
        known = len(held)
        for number, (hand, rgb) in enumerate(pages(count) if known < count else ()):
            if number >= known:
                held.append((hand, numbers_of(self.reader, self.wording, rgb, [self.mode])[self.mode]))
                if len(held) % 25 == 0 or len(held) == count:
                    print(f"  {name}: {len(held)} of {count} pages read", flush=True)
                    file.write_text(json.dumps(held), encoding="utf-8")
        return held[:count]


def week(numbers: Numbers, mode: Mode, model: str, reference: Window) -> tuple[Findings, list[Check]]:
    """What monitoring says of a week in which these pages were read."""
    end = datetime(2026, 11, 24, tzinfo=UTC)
    records = [
        Record(
            reading=Reading(
                request_id=f"{i}",
                at=end - timedelta(minutes=1 + 60 * i),
                model=model,
                mode=mode,
                image_sha256="",
                statistics=statistics,
                timings={"total": 1.0},
            )
        )
        for i, (_, statistics) in enumerate(numbers)
    ]
    found = look(records, end - timedelta(days=7), end, reference, logged=1)
    return found, check(read_rules(), found)


def quiet_weeks(pool: Numbers, weeks: int, pages: int, share: float, seed: int = 0) -> Iterator[Numbers]:
    """Weeks of `pages` pages each, by a `share` of the hands."""
    hands = sorted({hand for hand, _ in pool})
    for number in range(weeks):
        rng = np.random.default_rng([seed, number])
        chosen = {hands[i] for i in rng.permutation(len(hands))[: round(share * len(hands))]}
        theirs = [entry for entry in pool if entry[0] in chosen]
        yield [theirs[i] for i in rng.permutation(len(theirs))[:pages]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unipen", type=Path, required=True)
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--printed", type=Path, default=Path("/usr/share/fonts/truetype/dejavu"), help="printed faces")
    parser.add_argument("--out", type=Path, required=True, help="folder for what was measured")
    parser.add_argument("--bundle", type=Path, default=SHIPPED)
    parser.add_argument("--mode", choices=("fast", "accurate"), default="fast")
    parser.add_argument("--pool", type=int, default=450, help="pages that quiet weeks are drawn from")
    parser.add_argument("--pages", type=int, default=150, help="of a week")
    parser.add_argument("--weeks", type=int, default=40)
    parser.add_argument("--share", type=float, default=0.6, help="of the hands that write a quiet week")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    bundle = Bundle.open(args.bundle)
    reference = bundle_reference(bundle)
    if reference is None:
        raise DataInvalid(f"{args.bundle} carries no reference; see 'text-recognizer train stage --reference-only'")
    measured = Measured(args.out, bundle, args.mode, args.threads)
    kinds = reference_hands(args.unipen, args.fonts, others=True)
    faces = [inspect_font(args.printed / name, name, "printed") for name in AS_PRINTED]
    english = TextSource(args.texts)
    model = f"{bundle.name}@{bundle.version}"

    def pages(
        change: Callable[[Rgb, np.random.Generator], Rgb] = as_it_is,
        text: TextSource = english,
        hands: list[list[object]] = kinds,  # type: ignore[assignment]
        seed: int = SEED,
    ) -> Callable[[int], Iterator[tuple[str, Rgb]]]:
        def render(count: int) -> Iterator[tuple[str, Rgb]]:
            for i, (hand, page) in enumerate(render_pages(hands, text, count, seed)):  # type: ignore[arg-type]
                yield hand, change(page.rgb, np.random.default_rng([seed, 1, i]))

        return render

    with tempfile.TemporaryDirectory() as scratch:
        weeks = {
            "dark photographs": ("light", pages(dark)),
            "out of focus": ("sharpness", pages(blurred)),
            "half the resolution": ("size", pages(half)),
            "Latin": ("language", pages(text=wording(LATIN, Path(scratch) / "la"), seed=SEED + 1)),
            "German": ("language", pages(text=wording(GERMAN, Path(scratch) / "de"), seed=SEED + 2)),
            "printed pages": ("writing", pages(hands=[faces], seed=SEED + 3)),
        }
        pool = measured.of("quiet", pages(), args.pool)
        rows = [(name, rule, measured.of(name.replace(" ", "-"), p, args.pages)) for name, (rule, p) in weeks.items()]

    print(f"\nModel {model}, mode {args.mode}; reference: {reference.name}\n")
    alarms: Counter[str] = Counter()
    false = 0
    largest: dict[str, float] = {}
    for numbers in quiet_weeks(pool, args.weeks, args.pages, args.share):
        found, checks = week(numbers, args.mode, model, reference)
        fired = [c.rule for c in checks if c.fired]
        alarms.update(fired)
        false += bool(fired)
        for drift in found.drifts:
            largest[drift.feature.name] = max(largest.get(drift.feature.name, 0.0), drift.distance or 0.0)
    print(f"quiet weeks: a rule fired on {false} of {args.weeks}", dict(alarms) or "")
    print("largest distance in them: " + ", ".join(f"{name} {value:.2f}" for name, value in largest.items()))
    print("\n| week | pages | must fire | fired | largest distances |\n|---|---|---|---|---|")
    missed = 0
    for name, rule, numbers in rows:
        found, checks = week(numbers, args.mode, model, reference)
        fired = [c.rule for c in checks if c.fired]
        missed += rule not in fired
        far = sorted((d for d in found.drifts if d.distance), key=lambda d: -(d.distance or 0))[:4]
        shown = ", ".join(f"{d.feature.name} {d.distance:.2f}" for d in far)
        print(f"| {name} | {len(numbers)} | {rule} | {', '.join(fired) or 'none'} | {shown} |")
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
