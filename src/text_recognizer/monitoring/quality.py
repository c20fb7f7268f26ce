"""How well pages were read, by what people said is written there: character error rates, and the worst lines.

People correct what is wrong and pass over what is right, so corrected pages are worse than all pages; and a line that
nobody changed counts as right although nobody may have looked at it, so errors on a page are too few. Pages of which
somebody said that all lines were looked at (`checked`) are free of the second.

References
- Levenshtein 1966: edits
- Efron 1979: bootstrap, here over whole pages, since the lines of a page err together
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein

from text_recognizer.feedback.record import Record

DRAWS = 1000
# Typed and curly forms are the same text, as everywhere where errors are counted.
_SAME = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "..."})


def normalised(text: str) -> str:
    """What counts as the same text: one form of quotes and dashes, single blanks, none at the ends."""
    return " ".join(text.translate(_SAME).split())


@dataclass(frozen=True, slots=True)
class CorrectedLine:
    """A line as read and as a person says that it stands there; `index` of the page's lines."""

    record: Record
    index: int
    read: str
    truth: str
    edits: int

    @property
    def rate(self) -> float:
        """Character error rate, 1 where something was read and nothing is there."""
        length = len(normalised(self.truth))
        return self.edits / length if length else float(self.edits > 0)


@dataclass(frozen=True, slots=True)
class CorrectedPage:
    """A page that was corrected, with the edits and characters of its text."""

    record: Record
    edits: int
    characters: int
    checked: bool
    lines: tuple[CorrectedLine, ...] = ()


@dataclass(frozen=True, slots=True)
class Quality:
    """Errors of a model on corrected pages: edits over characters, with a 95 % bootstrap interval over pages."""

    model: str
    pages: int
    checked: int
    characters: int
    rate: float
    low: float
    high: float


def corrected_page(record: Record) -> CorrectedPage | None:
    """What its latest correction says of a reading; None where there is none, or its text was not kept."""
    said = record.correction
    page = record.reading.page
    if said is None or page is None:
        return None
    read = [str(line["text"]) for line in page["lines"]]
    if said.lines is None or len(said.lines) != len(read):
        truth = normalised(said.text if said.text is not None else " ".join(said.lines or ()))
        edits = Levenshtein.distance(truth, normalised(" ".join(read)))
        return CorrectedPage(record, edits, len(truth), said.checked)
    lines = tuple(
        CorrectedLine(record, i, ours, theirs, Levenshtein.distance(normalised(theirs), normalised(ours)))
        for i, (ours, theirs) in enumerate(zip(read, said.lines, strict=True))
    )
    characters = sum(len(normalised(line.truth)) for line in lines)
    return CorrectedPage(record, sum(line.edits for line in lines), characters, said.checked, lines)


def corrected_pages(records: Iterable[Record]) -> list[CorrectedPage]:
    """Of all records that have a correction."""
    return [page for page in map(corrected_page, records) if page is not None]


def quality(pages: Sequence[CorrectedPage]) -> list[Quality]:
    """For each model, the one with the most pages first."""
    models: dict[str, list[CorrectedPage]] = {}
    for page in pages:
        models.setdefault(page.record.reading.model, []).append(page)
    found = [_quality(model, of_it) for model, of_it in models.items()]
    return sorted(found, key=lambda q: (-q.pages, q.model))


def _quality(model: str, pages: Sequence[CorrectedPage], seed: int = 0) -> Quality:
    sums = np.asarray([(page.edits, page.characters) for page in pages], np.int64)
    edits, characters = (int(total) for total in sums.sum(0))
    rng = np.random.default_rng(seed)
    # Drawing pages with replacement is drawing how often each of them counts.
    weights = rng.multinomial(len(pages), np.full(len(pages), 1 / len(pages)), DRAWS)
    drawn = weights @ sums
    low, high = np.percentile(drawn[:, 0] / np.maximum(drawn[:, 1], 1), [2.5, 97.5])
    checked = sum(page.checked for page in pages)
    return Quality(model, len(pages), checked, characters, edits / max(1, characters), float(low), float(high))


def worst_lines(pages: Sequence[CorrectedPage], most: int) -> list[CorrectedLine]:
    """The lines with the highest error rate; of equal ones those with more edits, then the latest."""
    wrong = [line for page in pages for line in page.lines if line.edits]
    wrong.sort(key=lambda line: (-min(line.rate, 1.0), -line.edits, -line.record.reading.at.timestamp()))
    return wrong[:most]
