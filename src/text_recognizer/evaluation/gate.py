"""The gate before production: a model passes unless it reads worse, or much slower, than the model in production.

Both models read the same images in alternation, so that other load on the machine affects both alike. The difference
of their CER has a paired bootstrap interval over writers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from text_recognizer.bundle import Bundle
from text_recognizer.errors import DataInvalid
from text_recognizer.evaluation.evaluate import By, Report, evaluate
from text_recognizer.evaluation.metrics import Rate, rate_difference
from text_recognizer.evaluation.sets import LINE_TYPES, load_set
from text_recognizer.evaluation.truth import EvaluationSet
from text_recognizer.page import Mode
from text_recognizer.reader import Reader

TOLERANCE = 0.0  # largest lower bound of the difference of CER that passes
SLOWER = 1.25  # most seconds an image, as a multiple of production's
FEW_WRITERS = 5  # with fewer writers, the bootstrap draws samples instead of writers


@dataclass(frozen=True)
class Comparison:
    """Candidate and production on one set. `difference`: CER of the candidate minus CER of production."""

    set: str
    samples: int
    writers: int
    candidate: float
    production: float
    difference: Rate
    seconds: tuple[float, float]  # median per image (page or line): candidate, production
    ratio: float  # candidate's seconds over production's, median over images

    def faults(self, tolerance: float = TOLERANCE, slower: float = SLOWER) -> list[str]:
        """Why the candidate is refused; empty if it passes."""
        out = []
        if self.difference.low > tolerance:
            out.append(
                f"{self.set}: CER is {100 * self.difference.value:.2f} points higher, at least "
                f"{100 * self.difference.low:.2f} with 97.5 % certainty ({100 * tolerance:.2f} allowed)"
            )
        if self.ratio > slower:
            out.append(f"{self.set}: an image takes {self.ratio:.2f} times as long ({slower:.2f} allowed)")
        return out


@dataclass(frozen=True)
class Verdict:
    """The verdict of the gate; `faults` is empty if the candidate passes."""

    candidate: str
    production: str
    mode: str
    by: str
    tolerance: float
    slower: float
    comparisons: tuple[Comparison, ...]

    @property
    def faults(self) -> list[str]:
        return [fault for c in self.comparisons for fault in c.faults(self.tolerance, self.slower)]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "faults": self.faults}


def compare(
    data: EvaluationSet, name: str, candidate: Reader, production: Reader, mode: Mode = "accurate", by: By = "line"
) -> Comparison:
    """Read `data` with both models. Raises DataInvalid if no sample could be measured with both."""
    reports = (Report(), Report())
    readers = (candidate, production)
    for reader in readers:  # lazy loading must not count in an image's time
        evaluate(EvaluationSet(data.pages[:1], []), reader, mode, by)
    for number, page in enumerate(data.pages):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            one = evaluate(EvaluationSet([page], []), readers[side], mode, by)
            reports[side].samples.extend(one.samples)
            reports[side].seconds.extend(one.seconds)
    ours = {s.name: s for s in reports[0].samples}
    theirs = {s.name: s for s in reports[1].samples}
    both = [n for n in ours if n in theirs and ours[n].errors.characters]
    if not both or not reports[0].seconds:
        raise DataInvalid(f"{name}: no sample could be measured with both models; check its images with 'evaluate'.")
    writers = {ours[n].writer for n in both}
    groups = [ours[n].writer if len(writers) >= FEW_WRITERS else n for n in both]
    edits = [ours[n].errors.character_edits for n in both]
    edits_before = [theirs[n].errors.character_edits for n in both]
    lengths = [ours[n].errors.characters for n in both]
    total = sum(lengths)
    seconds = (np.asarray(reports[0].seconds), np.asarray(reports[1].seconds))
    return Comparison(
        name, len(both), len(writers), sum(edits) / total, sum(edits_before) / total,
        rate_difference(edits, edits_before, lengths, groups),
        (float(np.median(seconds[0])), float(np.median(seconds[1]))),
        float(np.median(seconds[0] / np.maximum(seconds[1], 1e-9))),
    )  # fmt: skip


def gate(
    candidate: Bundle,
    production: Bundle,
    sets: Sequence[Path],
    mode: Mode = "accurate",
    by: By = "line",
    tolerance: float = TOLERANCE,
    slower: float = SLOWER,
    threads: int | None = None,
) -> Verdict:
    """Compare two bundles on each of `sets` (any form that `evaluate` reads). Raises DataInvalid."""
    readers = Reader(candidate, threads), Reader(production, threads)
    types = LINE_TYPES if by == "page" else ("Handwritten",)
    found = tuple(compare(load_set(path, types), path.name, *readers, mode, by) for path in sets)
    return Verdict(readers[0].model, readers[1].model, mode, by, tolerance, slower, found)
