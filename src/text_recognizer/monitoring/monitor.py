"""Look at a window of readings: what drifted, how well it was read, what people flagged, how long it took.

Readings on which nobody said anything are kept only by chance (LOG_READINGS), those with feedback always. So where that
share is known, all comparisons take of the readings with feedback the same share, picked by their number, and the
number of all readings is estimated from it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from text_recognizer.feedback.record import FLAGS, Check, Reading, Record
from text_recognizer.monitoring.drift import Drift, compare
from text_recognizer.monitoring.quality import (
    CorrectedLine,
    CorrectedPage,
    Quality,
    corrected_pages,
    quality,
    worst_lines,
)
from text_recognizer.monitoring.reference import Window, window_of

STAGES = ("total", "queued", "layout", "recognition")
PERCENTILES = (50, 95, 99)
WORST = 20  # lines that a report shows


@dataclass(frozen=True, slots=True)
class Day:
    """How much there was on a day (UTC): readings that were kept, flags by kind, and corrections."""

    day: str
    readings: int
    flags: Mapping[str, int]
    corrected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What there is to say of a window of readings.

    `logged`: share of readings that are kept without feedback, None where it is not known. `compared`: the numbers of
    those that are compared, of `model` alone; `shares` of their modes. `seconds`: of each mode, each stage's sorted
    values. `flagged` and `corrected`: the newest first. `notes`: what a person must know to read the rest.
    """

    since: datetime
    until: datetime
    readings: int
    with_feedback: int
    logged: float | None
    models: Mapping[str, int]
    modes: Mapping[str, int]
    days: Sequence[Day]
    model: str
    compared: Window
    shares: Mapping[str, float]
    reference: Window | None
    drifts: Sequence[Drift]
    flags: Mapping[str, int]
    flagged: Sequence[Record]
    corrected: Sequence[CorrectedPage]
    quality: Sequence[Quality]
    worst: Sequence[CorrectedLine]
    seconds: Mapping[str, Mapping[str, Sequence[float]]]
    notes: Sequence[str] = ()
    checks: Sequence[Check] = field(default_factory=tuple)

    @property
    def all_readings(self) -> int | None:
        """How many there were, kept or not, as far as it can be known."""
        without = self.readings - self.with_feedback
        if self.logged is None:
            return self.readings if without else None
        if self.logged <= 0:
            return None
        return round(without / self.logged) + self.with_feedback


def look(
    records: Iterable[Record],
    since: datetime,
    until: datetime,
    reference: Window | None = None,
    logged: float | None = None,
) -> Findings:
    """Everything but the checks, which `rules.check` makes of it."""
    held = [light(record) for record in records]
    models = Counter(record.reading.model for record in held)
    modes = Counter(record.reading.mode for record in held)
    model = models.most_common(1)[0][0] if models else ""
    sampled = [record for record in held if record.reading.model == model and is_sampled(record, logged)]
    shares = _shares(sampled)
    compared = window_of(sampled, f"readings by {model}" if model else "no readings")
    flagged = sorted((r for r in held if r.flags), key=lambda r: r.reading.at, reverse=True)
    corrected = sorted(corrected_pages(held), key=lambda page: page.record.reading.at, reverse=True)
    with_feedback = sum(bool(record.feedback) for record in held)
    found = Findings(
        since=since,
        until=until,
        readings=len(held),
        with_feedback=with_feedback,
        logged=logged,
        models=dict(models.most_common()),
        modes=dict(modes.most_common()),
        days=_days(held, since, until),
        model=model,
        compared=compared,
        shares=shares,
        reference=reference,
        drifts=compare(compared, reference, shares) if reference is not None and sampled else (),
        flags={flag: sum(flag in record.flags for record in held) for flag in FLAGS},
        flagged=flagged,
        corrected=corrected,
        quality=quality(corrected),
        worst=worst_lines(corrected, WORST),
        seconds=_seconds(held),
    )
    return replace(found, notes=tuple(_notes(found, len(sampled))))


def light(record: Record) -> Record:
    """The record without the page of a reading that nobody said anything of: only its numbers are looked at."""
    if record.feedback or record.reading.page is None:
        return record
    return replace(record, reading=replace(record.reading, page=None))


def is_sampled(record: Record, logged: float | None) -> bool:
    """Whether the reading belongs to a fair sample of all readings.

    All of those without feedback, of the others as many as would have been kept without it.
    """
    if not record.feedback or logged is None or logged <= 0:
        return True
    digest = hashlib.blake2b(record.reading.request_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 < logged


def _shares(records: Sequence[Record]) -> dict[str, float]:
    modes = Counter(record.reading.mode for record in records)
    return {mode: count / len(records) for mode, count in modes.items()}


def _days(records: Sequence[Record], since: datetime, until: datetime) -> list[Day]:
    """All days of the window, those on which nothing was read too; at most the last 92."""
    by_day: dict[str, list[Record]] = {}
    for record in records:
        by_day.setdefault(_day(record.reading.at), []).append(record)
    last = (until - timedelta(microseconds=1)).astimezone(UTC).date()
    count = min(92, (last - since.astimezone(UTC).date()).days + 1)
    found = []
    for back in range(count - 1, -1, -1):
        day = (last - timedelta(days=back)).isoformat()
        there = by_day.get(day, [])
        flags = {flag: sum(flag in record.flags for record in there) for flag in FLAGS}
        found.append(Day(day, len(there), flags, sum(record.correction is not None for record in there)))
    return found


def _day(at: datetime) -> str:
    return at.astimezone(UTC).date().isoformat()


def _seconds(records: Sequence[Record]) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {}
    for record in records:
        stages = found.setdefault(record.reading.mode, {stage: [] for stage in STAGES})
        for stage in STAGES:
            if stage in record.reading.timings:
                stages[stage].append(float(record.reading.timings[stage]))
    return {mode: {stage: sorted(values) for stage, values in stages.items()} for mode, stages in found.items()}


def percentile(values: Sequence[float], share: float) -> float | None:
    """The percentile `share` (0 … 100), None of nothing."""
    return float(np.percentile(np.asarray(values), share)) if len(values) else None


def _notes(found: Findings, sampled: int) -> Iterable[str]:
    if not found.readings:
        return
    if found.logged == 0:
        yield (
            "Only readings with feedback are kept here (LOG_READINGS is 0): people give feedback on what is wrong, so "
            "nothing of this page holds for all readings."
        )
    elif found.logged is None and not found.readings - found.with_feedback:
        yield (
            "All readings here have feedback: if the service keeps no others (LOG_READINGS), nothing of this page "
            "holds for all readings."
        )
    elif found.logged is not None and found.logged < 1:
        yield (
            f"A share of {found.logged:g} of all readings is kept, and all with feedback; comparisons count both in "
            f"that proportion ({sampled} readings)."
        )
    others = {model: count for model, count in found.models.items() if model != found.model}
    if others:
        listed = ", ".join(f"{count} by {model}" for model, count in others.items())
        yield f"Compared are the readings by {found.model}; left out of that are {listed}."
    if found.reference is None:
        yield (
            f"There is no reference to compare with: the model {found.model} carries none, or is not here. Give "
            "--reference, an earlier window or a bundle."
        )
    elif found.reference.model and found.reference.model != found.model:
        yield f"The reference is of {found.reference.model}, the readings are by {found.model}: confidences may differ."


def text_of(reading: Reading) -> str:
    """What was read, where it was kept."""
    return "\n".join(str(line["text"]) for line in (reading.page or {}).get("lines", ()))
