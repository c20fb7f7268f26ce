"""Rules that decide when somebody must look. They are read from a file and applied to the findings of a window.

References
- Wilson 1927: interval of a share
- Welch 1947: interval of a difference of means
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.stats import binomtest, norm

from text_recognizer.errors import UsageError
from text_recognizer.feedback.record import FLAGS, Check
from text_recognizer.feedback.statistics import FEATURES
from text_recognizer.monitoring.drift import CERTAIN
from text_recognizer.monitoring.monitor import STAGES, Findings, percentile

DEFAULT = "rules.toml"  # next to this file
_TITLES = {feature.name: feature.title for feature in FEATURES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One table of the file. `do`: what a person should do when it fires."""

    kind: ClassVar[str]
    name: str
    limit: float
    least: int = 50
    do: str = ""

    def look(self, found: Findings) -> tuple[float | None, bool, str]:
        """(value, whether it fires, an explanation); the value is None if there are too few readings."""
        raise NotImplementedError

    def _too_few(self, count: int, what: str = "readings") -> tuple[None, bool, str]:
        return None, False, f"too few to judge: {count} {what}, {self.least} are needed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRule(Rule):
    """A feature's distribution is further from the reference than the limit, and not by chance."""

    kind = "drift"
    features: tuple[str, ...]
    certain: float = CERTAIN

    def look(self, found: Findings) -> tuple[float | None, bool, str]:
        if found.reference is None:
            return None, False, "no reference to compare with: give --reference, an earlier period or a bundle"
        drifts = [drift for drift in found.drifts if drift.feature.name in self.features and drift.distance is not None]
        counts = [drift.window.count if drift.window else 0 for drift in drifts]
        drifts = [drift for drift, count in zip(drifts, counts, strict=True) if count >= self.least]
        if not drifts:
            return self._too_few(max(counts, default=found.compared.pages))
        far = [drift for drift in drifts if drift.drifted(self.limit, self.certain)]
        shown = max(far or drifts, key=lambda drift: drift.distance or 0.0)
        assert shown.window is not None and shown.reference is not None and shown.distance is not None
        medians = f"{shown.window.median:.3g}, in the reference {shown.reference.median:.3g} (medians)"
        words = f"{shown.feature.title} {medians}, distance {shown.distance:.2f}"
        return shown.distance, bool(far), words


@dataclass(frozen=True, slots=True, kw_only=True)
class FallRule(Rule):
    """A feature's mean is lower than the reference's by more than the limit."""

    kind = "fall"
    feature: str

    def look(self, found: Findings) -> tuple[float | None, bool, str]:
        if found.reference is None:
            return None, False, "no reference to compare with: give --reference, an earlier period or a bundle"
        ours, theirs = found.compared.all(self.feature), found.reference.of(self.feature, found.shares)
        if min(len(ours), len(theirs)) < max(2, self.least):
            return self._too_few(min(len(ours), len(theirs)))
        fall = float(theirs.mean() - ours.mean())
        error = float(np.sqrt(ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs)))
        title = _TITLES[self.feature]
        words = f"{title} {ours.mean():.3g}, in the reference {theirs.mean():.3g} (means)"
        return fall, fall - float(norm.ppf(0.975)) * error > self.limit, words


@dataclass(frozen=True, slots=True, kw_only=True)
class FlaggedRule(Rule):
    """The share of readings that were flagged, with `flag` or with any flag, is over the limit."""

    kind = "flagged"
    flag: str = ""

    def look(self, found: Findings) -> tuple[float | None, bool, str]:
        count = found.flags[self.flag] if self.flag else len(found.flagged)
        readings = found.all_readings
        if readings is None:
            return None, False, "the number of all readings is unknown: only those with feedback are stored"
        if readings < self.least:
            return self._too_few(readings)
        count = min(count, readings)
        low = float(binomtest(count, readings).proportion_ci(method="wilson").low)
        about = "" if found.logged in (None, 1) else "about "
        words = f"{count} of {about}{readings} readings flagged{f' as {self.flag}' if self.flag else ''}"
        return count / readings, low > self.limit, words


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRule(Rule):
    """The character error rate on corrected pages of the model that read most is over the limit."""

    kind = "cer"
    least: int = 10

    def look(self, found: Findings) -> tuple[float | None, bool, str]:
        of_model = next((quality for quality in found.quality if quality.model == found.model), None)
        if of_model is None or of_model.pages < self.least:
            return self._too_few(of_model.pages if of_model else 0, "corrected pages")
        words = (
            f"{100 * of_model.rate:.1f} % of characters wrong on {of_model.pages} corrected pages "
            f"({100 * of_model.low:.1f}–{100 * of_model.high:.1f} %)"
        )
        return of_model.rate, of_model.low > self.limit, words


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRule(Rule):
    """Seconds at a percentile are over the limit."""

    kind = "latency"
    stage: str = "total"
    percentile: float = 95

    def look(self, found: Findings) -> tuple[float | None, bool, str]:
        seconds = [value for stages in found.seconds.values() for value in stages[self.stage]]
        if len(seconds) < self.least:
            return self._too_few(len(seconds))
        value = percentile(seconds, self.percentile) or 0.0
        # How many values may lie above the percentile by chance (binomial, 95 %).
        over = sum(second > self.limit for second in seconds)
        beyond = binomtest(over, len(seconds), 1 - self.percentile / 100, alternative="greater").pvalue < 0.025
        return value, beyond, f"{value:.2f} s {self.stage} at percentile {self.percentile:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeRule(Rule):
    """Fewer readings than the limit."""

    kind = "volume"

    def look(self, found: Findings) -> tuple[float | None, bool, str]:
        readings = found.all_readings
        if found.logged == 0:
            return None, False, "the number of all readings is unknown: only those with feedback are stored"
        if readings is None:
            readings = found.readings
        return float(readings), readings < self.limit, f"{readings} readings"


_KINDS: dict[str, type[Rule]] = {
    kind.kind: kind for kind in (DriftRule, FallRule, FlaggedRule, ErrorRule, LatencyRule, VolumeRule)
}


def read_rules(path: Path | None = None) -> list[Rule]:
    """Read the rules of a file; default: those of the package. Raises UsageError, naming the line or the rule."""
    name = str(path) if path else DEFAULT
    try:
        text = path.read_text("utf-8") if path else (files(__package__) / DEFAULT).read_text("utf-8")
        tables = tomllib.loads(text)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"the rules {name} can't be read ({type(error).__name__}): give a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the rules {name} are not TOML: {error}") from None
    rules = [_rule(name, rule, table) for rule, table in tables.items()]
    if not rules:
        raise UsageError(f"the rules {name} contain no rule: write a table for each, as in docs/review/monitoring.md")
    return rules


def _rule(file: str, name: str, table: Any) -> Rule:
    where = f"the rule '{name}' in {file}"
    if not isinstance(table, dict):
        raise UsageError(f"'{name}' in {file} is outside a rule: write it under a [name]")
    kind = _KINDS.get(str(table.get("kind")))
    if kind is None:
        raise UsageError(f"{where} has the kind {table.get('kind')!r}; give one of {', '.join(_KINDS)}")
    known = {option.name: option for option in fields(kind) if option.name != "name"}
    given = {key: value for key, value in table.items() if key != "kind"}
    if unknown := sorted(set(given) - set(known)):
        raise UsageError(f"{where} has '{unknown[0]}', which a {kind.kind} rule does not know; it knows {_and(known)}")
    if missing := [n for n, option in known.items() if option.default is MISSING and n not in given]:
        raise UsageError(f"{where} lacks '{missing[0]}'")
    for option, value in given.items():
        allowed, words = _VALUES[option]
        if not allowed(value):
            raise UsageError(f"{where} has {option} = {value!r}; give {words}")
    if isinstance(given.get("features"), list):
        given["features"] = tuple(given["features"])
    return kind(name=name, **given)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9


def _feature(value: Any) -> bool:
    return isinstance(value, str) and value in _TITLES


_A_FEATURE = f"one of {', '.join(_TITLES)}"
# The check of a value, and how messages describe it.
_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "limit": (_number, "a number, 0 or more"),
    "least": (lambda v: isinstance(v, int) and _number(v) and v >= 1, "a whole number, 1 or more"),
    "certain": (lambda v: _number(v) and 0 < v < 1, "a number between 0 and 1"),
    "percentile": (lambda v: _number(v) and 0 < v < 100, "a number between 0 and 100"),
    "features": (lambda v: isinstance(v, list) and bool(v) and all(map(_feature, v)), f"a list of {_A_FEATURE[7:]}"),
    "feature": (_feature, _A_FEATURE),
    "flag": (lambda v: v in FLAGS, f"one of {', '.join(FLAGS)}"),
    "stage": (lambda v: v in STAGES, f"one of {', '.join(STAGES)}"),
    "do": (lambda v: isinstance(v, str), "a text"),
}


def _and(names: Mapping[str, Any]) -> str:
    return ", ".join(names)


def check(rules: list[Rule], found: Findings) -> list[Check]:
    """The result of each rule, in order."""
    checks = []
    for rule in rules:
        value, fired, words = rule.look(found)
        value, fired = None if value is None else float(value), bool(fired)  # plain Python values instead of NumPy's
        message = f"{words}. {rule.do}" if fired and rule.do else words
        checks.append(
            Check(at=found.until, rule=rule.name, value=value, limit=rule.limit, fired=fired, message=message)
        )
    return checks
