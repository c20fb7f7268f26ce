"""Which readings people should correct first: those that somebody flagged, or the most instructive ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from text_recognizer.feedback.record import Record
from text_recognizer.feedback.statistics import FEATURES

POOL = 5
"""Diverse records are chosen from a pool of the least certain ones, which is this many times as large."""


def flagged(records: Iterable[Record]) -> Iterator[Record]:
    """Records that somebody flagged and nobody has corrected."""
    return (record for record in records if record.flags and record.correction is None)


def ranked(records: Iterable[Record], most: int | None = None) -> list[Record]:
    """Uncorrected records, the most instructive first: uncertain, and unlike those before.

    The first record is the least certain, by the mean confidence of its lines. Each further record is chosen from the
    `POOL * most` least certain ones: the one with the largest product of doubt (1 - confidence) and distance to the
    nearest record before it. So one bad batch of scans does not fill the list. Records without lines come last. Only
    one reading of each image counts. Work: records times `most`.

    References
    - Sener, Savarese, "Active learning for convolutional neural networks: a core-set approach", ICLR 2018
    - Zhdanov, "Diverse mini-batch active learning", arXiv:1901.05954: first by informativeness, then by diversity
    """
    newest: dict[str, Record] = {}
    for record in records:
        if record.correction is None and record.reading.image:
            newest[record.reading.image_sha256] = record
    found = sorted(newest.values(), key=lambda record: (_confidence(record), record.reading.request_id))
    count = len(found) if most is None else min(most, len(found))
    pool = found[: POOL * count]
    if len(pool) < 2:
        return pool[:count]
    doubt = 1 - np.asarray([_confidence(record) for record in pool])
    places = _places(pool)
    chosen = [0]
    nearest = np.full(len(pool), np.inf)
    while len(chosen) < count:
        nearest = np.minimum(nearest, np.sqrt(((places - places[chosen[-1]]) ** 2).sum(1)))
        worth = doubt * (nearest / max(1e-9, float(nearest.max())) + 1e-6)  # equal pages are ordered by doubt
        worth[chosen] = -np.inf
        chosen.append(int(worth.argmax()))
    return [pool[number] for number in chosen]


def _confidence(record: Record) -> float:
    """Mean confidence of the lines; 1 if nothing was read."""
    lines = record.reading.page["lines"] if record.reading.page else []
    return sum(line["confidence"] for line in lines) / len(lines) if lines else 1.0


def _places(records: Sequence[Record]) -> NDArray[np.float64]:
    """(records, numbers): the monitoring statistics as ranks 0…1, so that units and outliers do not matter."""
    values = np.asarray(
        [[record.reading.statistics.get(feature.name, np.nan) for feature in FEATURES] for record in records]
    )
    known = np.isfinite(values)
    order = np.argsort(np.argsort(np.where(known, values, -np.inf), axis=0, kind="stable"), axis=0, kind="stable")
    ranks = order / max(1, len(records) - 1)
    for column in range(values.shape[1]):  # equal values share a rank
        _, first, inverse = np.unique(values[:, column], return_index=True, return_inverse=True)
        ranks[:, column] = ranks[first, column][inverse]
    return np.where(known, ranks, 0.5)
