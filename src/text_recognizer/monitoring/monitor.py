"""Analyse a window of readings: drift, quality, flags and latency.

A random share of readings without feedback is stored (LOG_READINGS), and all readings with feedback are. If that share
is known, comparisons use the same share of the readings with feedback, chosen by id, and the total number of readings
is estimated from it.
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
WORST = 20  # lines in a report


@dataclass(frozen=True, slots=True)
class Day:
    """Counts of a day (UTC): stored readings, flags by kind, and corrections."""

    day: str
    readings: int
    flags: Mapping[str, int]
    corrected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The analysis of a window of readings.

    `logged`: share of readings without feedback that are stored; None if unknown. `compared`: the features of the
    compared readings, which all come from `model`; `shares`: of their modes. `seconds`: for each mode, the sorted
    values of each stage. `flagged` and `corrected`: newest first. `notes`: what a person must know to understand the
    rest.
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
        """Estimated number of readings, stored or not; None if it cannot be known."""
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
    """All findings except the checks, which `rules.check` adds."""
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
    """The record without its page, unless it has feedback; without feedback, only its statistics are needed."""
    if record.feedback or record.reading.page is None:
        return record
    return replace(record, reading=replace(record.reading, page=None))


def is_sampled(record: Record, logged: float | None) -> bool:
    """Whether the reading belongs to a fair sample of all readings.

    All readings without feedback belong to it, and as many of the others as would have been stored without feedback.
    """
    if not record.feedback or logged is None or logged <= 0:
        return True
    digest = hashlib.blake2b(record.reading.request_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 < logged


def _shares(records: Sequence[Record]) -> dict[str, float]:
    modes = Counter(record.reading.mode for record in records)
    return {mode: count / len(records) for mode, count in modes.items()}


def _days(records: Sequence[Record], since: datetime, until: datetime) -> list[Day]:
    """All days of the window, including those without readings; at most the last 92."""
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
    """The percentile at `share` (0 … 100); None without values."""
    return float(np.percentile(np.asarray(values), share)) if len(values) else None


def _notes(found: Findings, sampled: int) -> Iterable[str]:
    if not found.readings:
        return
    if found.logged == 0:
        yield (
            "Only readings with feedback are stored here (LOG_READINGS is 0). People report what is wrong, so "
            "nothing on this page holds for all readings."
        )
    elif found.logged is None and not found.readings - found.with_feedback:
        yield (
            "All readings here have feedback: if the service stores no others (LOG_READINGS), nothing on this page "
            "holds for all readings."
        )
    elif found.logged is not None and found.logged < 1:
        yield (
            f"A share of {found.logged:g} of all readings is stored, and all with feedback; comparisons use both in "
            f"that proportion ({sampled} readings)."
        )
    others = {model: count for model, count in found.models.items() if model != found.model}
    if others:
        listed = ", ".join(f"{count} by {model}" for model, count in others.items())
        yield f"Comparisons use the readings by {found.model}; they leave out {listed}."
    if found.reference is None:
        yield (
            f"There is no reference to compare with: the model {found.model} has none, or is not installed. Give "
            "--reference, an earlier period or a bundle."
        )
    elif found.reference.model and found.reference.model != found.model:
        yield f"The reference is of {found.reference.model}, the readings are by {found.model}: confidences may differ."


def text_of(reading: Reading) -> str:
    """The recognised text; empty if it was not stored."""
    return "\n".join(str(line["text"]) for line in (reading.page or {}).get("lines", ()))
