"""The reference of a comparison: the window in a bundle, or an earlier window of the same store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from text_recognizer.bundle import Bundle
from text_recognizer.errors import BundleInvalid
from text_recognizer.feedback.record import Record
from text_recognizer.feedback.statistics import FEATURES, named

REFERENCE = "reference.json"  # in a bundle, written by training/reference.py
FORMAT = 1

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Window:
    """Statistics of readings: the unordered values of each of `FEATURES` in each mode.

    `name`: for people. `model`: name@version if all readings come from one model. `pages`: number of pages.
    """

    name: str
    model: str
    pages: int
    modes: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)

    def all(self, feature: str) -> Values:
        """Values of a feature in all modes."""
        parts = [features[feature] for features in self.modes.values() if feature in features]
        return np.concatenate(parts) if parts else _NONE

    def of(self, feature: str, shares: Mapping[str, float]) -> Values:
        """Values of a feature, with the modes in these shares, which come from the window to compare with.

        A mode that this window lacks is left out. A mode with more values than its share is represented by evenly
        spaced quantiles.
        """
        there = {mode: self.modes.get(mode, {}).get(feature, _NONE) for mode, share in shares.items() if share > 0}
        there = {mode: np.sort(values) for mode, values in there.items() if len(values)}
        if not there:
            return _NONE
        total = sum(shares[mode] for mode in there)
        most = min(len(values) * total / shares[mode] for mode, values in there.items())
        parts = [_thinned(values, max(1, round(most * shares[mode] / total))) for mode, values in there.items()]
        return np.concatenate(parts)


_NONE: Values = np.zeros(0)


def _thinned(values: Values, count: int) -> Values:
    """`count` of the sorted values, evenly spaced."""
    if count >= len(values):
        return values
    return np.asarray(values[((np.arange(count) + 0.5) * len(values) / count).astype(int)])


def bundle_reference(bundle: Bundle) -> Window | None:
    """The window in a bundle; None if it has none. Raises BundleInvalid if it is damaged."""
    if REFERENCE not in bundle.description.files:
        return None
    try:
        held = json.loads((bundle.path / REFERENCE).read_text(encoding="utf-8"))
        if held["format"] != FORMAT:
            raise ValueError(f"format {held['format']}")
        modes = {
            str(mode): {str(name): np.asarray(values, np.float64) for name, values in features.items()}
            for mode, features in held["modes"].items()
        }
        made = held["made"]
        pages = int(made["pages"])
        name = f"{pages} rendered pages in {made['writers'] + made['fonts']} hands"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleInvalid(
            f"{bundle.path / REFERENCE} can't be read ({type(error).__name__}): get the bundle again."
        ) from None
    model = f"{bundle.name}@{bundle.version}"
    return Window(f"{name}, in the bundle {model}", model, pages, modes)


def window_of(records: Iterable[Record], name: str) -> Window:
    """The statistics of records."""
    found: dict[str, dict[str, list[float]]] = {}
    models: Counter[str] = Counter()
    for record in records:
        models[record.reading.model] += 1
        features = found.setdefault(record.reading.mode, {feature.name: [] for feature in FEATURES})
        for feature, value in named(record.reading.statistics).items():
            features[feature].append(value)
    modes = {mode: {f: np.asarray(v, np.float64) for f, v in features.items()} for mode, features in found.items()}
    return Window(name, next(iter(models)) if len(models) == 1 else "", models.total(), modes)
