"""How well pages were read, by what people said is written there: character error rates, and the worst lines.

People correct what is wrong and pass over what is right, so corrected pages are worse than all pages; and a line that
nobody changed counts as right although nobody may have looked at it, so errors on a page are too few. Pages of which
somebody said that all lines were looked at (`checked`) are free of the second.
Errors are counted, and their intervals drawn over whole pages, by `evaluation.metrics`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from text_recognizer.evaluation.metrics import Normalisation, errors, rate
from text_recognizer.feedback.record import Record

_normalise = Normalisation()


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
        length = len(_normalise(self.truth))
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
        found = errors(said.text if said.text is not None else " ".join(said.lines or ()), " ".join(read))
        return CorrectedPage(record, found.character_edits, found.characters, said.checked)
    counts = [errors(theirs, ours) for ours, theirs in zip(read, said.lines, strict=True)]
    lines = tuple(
        CorrectedLine(record, i, ours, theirs, count.character_edits)
        for i, (ours, theirs, count) in enumerate(zip(read, said.lines, counts, strict=True))
    )
    edits, characters = sum(c.character_edits for c in counts), sum(c.characters for c in counts)
    return CorrectedPage(record, edits, characters, said.checked, lines)


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


def _quality(model: str, pages: Sequence[CorrectedPage]) -> Quality:
    lengths = [page.characters for page in pages]
    found = rate([page.edits for page in pages], lengths, [str(number) for number in range(len(pages))])
    checked = sum(page.checked for page in pages)
    return Quality(model, len(pages), checked, sum(lengths), found.value, found.low, found.high)


def worst_lines(pages: Sequence[CorrectedPage], most: int) -> list[CorrectedLine]:
    """The lines with the highest error rate; of equal ones those with more edits, then the latest."""
    wrong = [line for page in pages for line in page.lines if line.edits]
    wrong.sort(key=lambda line: (-min(line.rate, 1.0), -line.edits, -line.record.reading.at.timestamp()))
    return wrong[:most]
