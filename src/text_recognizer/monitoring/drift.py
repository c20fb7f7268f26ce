"""How far the features of one window of readings are from another window's, and whether that may be chance.

With many readings, every difference is "significant", so its size matters. With few readings, large differences happen
by chance. So drift requires both: a distance above the limit and a p-value below its limit.

References
- Kolmogorov 1933; Smirnov 1948: the largest distance between two distribution functions, its own effect size
- Benjamini, Yekutieli, "The control of the false discovery rate in multiple testing under dependency", 2001: p-values
  of many features that depend on each other
- Population stability index: Lewis, "An introduction to credit scoring", 1994; its noise in small windows: Yurdakul,
  Naranjo, "Statistical properties of the population stability index", 2020
- Vallender 1974: Wasserstein distance on the line
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import false_discovery_control, ks_2samp, wasserstein_distance

from text_recognizer.feedback.statistics import FEATURES, Feature
from text_recognizer.monitoring.reference import Values, Window

LEAST = 30
"""A feature with fewer values on either side is not judged."""
BINS = 10
CERTAIN = 0.01
"""P-value below which a difference does not count as chance."""
LIMIT = 0.3
"""Largest distance between the distribution functions that counts as normal; see docs/review/monitoring.md."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Summary of a feature's values: their number, their median, and the range of the middle 80 %."""

    count: int
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Drift:
    """A feature in a window, compared with the reference.

    `distance`: Kolmogorov–Smirnov, 0 the same … 1 nothing in common. `p`: probability of such a distance by chance,
    corrected for the number of features. `psi`: population stability index over tenths of the reference. `moved`:
    Wasserstein distance in units of the reference's spread (its middle 80 %), with the sign of the change of the
    median. All of these are None if either side has too few values.
    """

    feature: Feature
    window: Summary | None
    reference: Summary | None
    distance: float | None = None
    p: float | None = None
    psi: float | None = None
    moved: float | None = None

    def drifted(self, limit: float = LIMIT, certain: float = CERTAIN) -> bool:
        """Whether the feature is far from the reference, and not by chance."""
        return self.distance is not None and self.p is not None and self.distance > limit and self.p < certain


def compare(window: Window, reference: Window, shares: Mapping[str, float], least: int = LEAST) -> list[Drift]:
    """Compare each feature of `window` with `reference`, whose modes are weighted by `shares`."""
    found = []
    for feature in FEATURES:
        ours, theirs = window.all(feature.name), reference.of(feature.name, shares)
        drift = Drift(feature, _summary(ours), _summary(theirs))
        if min(len(ours), len(theirs)) >= least:
            distance, p, psi, moved = _distances(ours, theirs)
            drift = replace(drift, distance=distance, p=p, psi=psi, moved=moved)
        found.append(drift)
    tested = [i for i, drift in enumerate(found) if drift.p is not None]
    if tested:
        corrected = false_discovery_control([found[i].p for i in tested], method="by")
        for i, p in zip(tested, corrected, strict=True):
            found[i] = replace(found[i], p=float(p))
    return found


def _summary(values: Values) -> Summary | None:
    if not len(values):
        return None
    low, median, high = np.percentile(values, [10, 50, 90])
    return Summary(len(values), float(median), float(low), float(high))


def _distances(ours: Values, theirs: Values) -> tuple[float, float, float, float]:
    """Distance, p-value of this feature alone, stability index, and the move, as in `Drift`."""
    test = ks_2samp(ours, theirs, method="asymp")
    low, median, high = np.percentile(theirs, [10, 50, 90])
    # A feature with the same value on nearly all pages still needs a unit for its move.
    spread = max(float(high - low), float(np.std(theirs)), 1e-3 * max(1.0, abs(float(median))))
    moved = float(wasserstein_distance(ours, theirs)) / spread
    sign = np.sign(np.median(ours) - median) or np.sign(np.mean(ours) - np.mean(theirs))
    return float(test.statistic), float(test.pvalue), stability_index(ours, theirs), float(sign) * moved


def stability_index(ours: Values, theirs: Values, bins: int = BINS) -> float:
    """Population stability index of `ours`, over bins with equal shares of `theirs`; 0 if the shares are equal.

    Two samples of the same kind have about (bins - 1) · (1/n + 1/m) by chance: 0.09 for 200 and 200 values. Empty bins
    count as half a value.
    """
    edges = np.unique(np.quantile(theirs, np.linspace(0, 1, bins + 1)[1:-1]))
    shares = []
    for values in (ours, theirs):
        counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1).astype(float)
        counts = np.maximum(counts, 0.5)
        shares.append(counts / counts.sum())
    return float(((shares[0] - shares[1]) * np.log(shares[0] / shares[1])).sum())
