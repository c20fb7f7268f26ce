"""The metrics for Prometheus, in a separate registry for each application."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from text_recognizer.feedback.record import Check
from text_recognizer.feedback.statistics import FEATURES

SECONDS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2, 3, 5, 7.5, 10, 15, 20, 30, 60)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
# With several processes, prometheus_client stores the numbers in files in this folder, and one answer covers them all.
SHARED = "PROMETHEUS_MULTIPROC_DIR"

# The reading statistics in the metrics, with the upper bounds of their buckets.
STATISTICS: dict[str, tuple[float, ...]] = {
    "brightness": SHARES,
    "contrast": (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
    "sharpness": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2),
    "line_height": (10, 20, 30, 40, 50, 60, 80, 100, 150, 200),
    "confidence": SHARES,
    "doubtful_words": SHARES,
    "dictionary_words": SHARES,
    "bits_per_character": (1.5, 2, 2.25, 2.5, 2.75, 3, 3.25, 3.5, 4, 4.5, 5, 6),
    "repetition": (0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
}


class Alerts(Collector):
    """A gauge for each monitoring rule, with the result of its latest check."""

    def __init__(self) -> None:
        self.checks: Sequence[Check] = ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "text_recognizer_alert", "1 where a rule of monitoring found something amiss", labels=["rule"]
        )
        for rule, fired in {check.rule: check.fired for check in self.checks}.items():
            family.add_metric([rule], float(fired))
        yield family


class Metrics:
    """All metrics of a service; docs/serve/service.md lists their names."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        titles = {feature.name: feature for feature in FEATURES}
        if SHARED not in os.environ:
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
            GCCollector(registry=self.registry)
        self.requests = self._counter("requests", "Requests answered", "route", "status")
        self.latency = self._histogram("request_seconds", "From headers to the end of the answer", SECONDS, "route")
        self.refused = self._counter("refused", "Requests not served, by the code of the problem", "code")
        self.stages = self._histogram(
            "stage_seconds", "A page's time waiting, being laid out, and having its lines read", SECONDS, "stage"
        )
        self.pages = self._counter("pages", "Pages read", "mode")
        self.lines = self._counter("lines", "Lines read")
        self.characters = self._counter("characters", "Characters read")
        self.confidence = self._histogram("line_confidence", "Confidence of the lines read", SHARES)
        self.statistics = {
            name: self._histogram(f"page_{name}", f"{titles[name].title} of the pages read: {titles[name].unit}", ends)
            for name, ends in STATISTICS.items()
        }
        self.batch = self._histogram("batch_lines", "Lines read at once", (1, 2, 4, 8, 16, 32))
        self.batch_pages = self._histogram("batch_pages", "Pages whose lines were read at once", (1, 2, 4, 8, 16))
        self.dropped = self._counter("dropped", "Pages given up because the client disconnected or the deadline passed")
        self.waiting = self._gauge("queue_pages", "Pages that wait for a thread")
        self.working = self._gauge("working_pages", "Pages being laid out or read")
        self.buffered = self._gauge("buffered_bytes", "Bytes of bodies held")
        self.model = self._gauge("model_info", "1 for the model that reads", "name", "version", how="liveall")
        self.reloads = self._counter("model_reloads", "Changes of the model while running", "outcome")
        self.feedback = self._counter("feedback", "Feedback stored, by its flag, or correction or comment", "flag")
        self.feedback_failures = self._counter(
            "feedback_failures", "Operations of the store of feedback that failed or took too long", "operation"
        )
        self.remembered = self._gauge("remembered_bytes", "Bytes of readings in memory, for feedback on them")
        self.alerts = Alerts()
        self.registry.register(self.alerts)

    def observe(self, statistics: Mapping[str, float]) -> None:
        """Count the statistics of a page (`feedback.statistics`)."""
        for name, histogram in self.statistics.items():
            if name in statistics:
                histogram.observe(statistics[name])

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"text_recognizer_{name}", words, labels, registry=self.registry)

    def _histogram(self, name: str, words: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"text_recognizer_{name}", words, labels, buckets=buckets, registry=self.registry)

    def _gauge(self, name: str, words: str, *labels: str, how: str = "livesum") -> Gauge:
        return Gauge(
            f"text_recognizer_{name}",
            words,
            labels,
            registry=self.registry,
            multiprocess_mode=how,  # type: ignore[arg-type]
        )

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        registry = self.registry
        if SHARED in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            registry.register(self.alerts)
        return generate_latest(registry)
