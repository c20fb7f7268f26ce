"""How well pages were read, according to corrections: character error rates and the worst lines.

People correct wrong pages and skip right ones, so corrected pages are worse than the average. An unchanged line counts
as right although perhaps nobody checked it, so the errors on a page are underestimated; `checked` pages do not have
this second bias. `evaluation.metrics` counts errors and computes intervals over whole pages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from text_recognizer.evaluation.metrics import Normalisation, errors, rate
from text_recognizer.feedback.record import Record

_normalise = Normalisation()


@dataclass(frozen=True, slots=True)
class CorrectedLine:
    """A line as read and as a person corrected it; `index` among the page's lines."""

    record: Record
    index: int
    read: str
    truth: str
    edits: int

    @property
    def rate(self) -> float:
        """Character error rate; 1 if something was read where there is no text."""
        length = len(_normalise(self.truth))
        return self.edits / length if length else float(self.edits > 0)


@dataclass(frozen=True, slots=True)
class CorrectedPage:
    """A corrected page, with the edits and characters of its text."""

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
    """A reading compared with its latest correction; None without a correction or without a stored page."""
    correction = record.correction
    page = record.reading.page
    if correction is None or page is None:
        return None
    read = [str(line["text"]) for line in page["lines"]]
    if correction.lines is None or len(correction.lines) != len(read):
        found = errors(
            correction.text if correction.text is not None else " ".join(correction.lines or ()), " ".join(read)
        )
        return CorrectedPage(record, found.character_edits, found.characters, correction.checked)
    counts = [errors(theirs, ours) for ours, theirs in zip(read, correction.lines, strict=True)]
    lines = tuple(
        CorrectedLine(record, i, ours, theirs, count.character_edits)
        for i, (ours, theirs, count) in enumerate(zip(read, correction.lines, counts, strict=True))
    )
    edits, characters = sum(c.character_edits for c in counts), sum(c.characters for c in counts)
    return CorrectedPage(record, edits, characters, correction.checked, lines)


def corrected_pages(records: Iterable[Record]) -> list[CorrectedPage]:
    """The corrected pages of all records that have a correction."""
    return [page for page in map(corrected_page, records) if page is not None]


def quality(pages: Sequence[CorrectedPage]) -> list[Quality]:
    """The quality of each model; the model with the most pages comes first."""
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
    """The lines with the highest error rate; ties are broken by more edits, then by the later time."""
    wrong = [line for page in pages for line in page.lines if line.edits]
    wrong.sort(key=lambda line: (-min(line.rate, 1.0), -line.edits, -line.record.reading.at.timestamp()))
    return wrong[:most]
