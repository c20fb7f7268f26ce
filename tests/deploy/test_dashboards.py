"""The Grafana dashboard and the Prometheus alerts ask for figures and labels that /metrics has."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from text_recognizer.service.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "text-recognizer.json").read_text(encoding="utf-8"))
RULES = DEPLOY / "prometheus" / "text-recognizer.rules.yaml"
ALERTS = [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]] + [alert["expr"] for alert in ALERTS]


def figures() -> set[str]:
    """Names of all series of /metrics, those without a value yet too."""
    found = set()
    for name, kind in re.findall(r"^# TYPE (text_recognizer_\w+) (\w+)", Metrics().text().decode(), re.MULTILINE):
        found |= {f"{name}{end}" for end in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    return found


def labels_of_figures() -> dict[str, set[str]]:
    """Labels of each figure; those that a server of Prometheus adds, too."""
    metrics = Metrics()
    found: dict[str, set[str]] = {"text_recognizer_alert": {"rule"}}
    collectors: list[Any] = [*vars(metrics).values(), *metrics.statistics.values()]
    for collector in collectors:
        if hasattr(collector, "_labelnames"):
            found[collector._name] = set(collector._labelnames)  # noqa: SLF001
    return found


@pytest.mark.parametrize("query", QUERIES)
def test_every_figure_and_every_label_exists(query: str) -> None:
    named = re.findall(r"text_recognizer_\w+", query)
    assert named
    assert set(named) <= figures()
    known = {"job", "le"}
    for name in named:
        base = re.sub(r"_(total|bucket|sum|count)$", "", name)
        known |= labels_of_figures()[base]
    asked = set(re.findall(r"(\w+)=~?\"", query))
    for group in re.findall(r"by \(([^)]*)\)", query):
        asked |= set(re.split(r",\s*", group))
    assert asked <= known
    assert query.count("(") == query.count(")")


def test_every_figure_of_reading_and_feedback_is_on_the_dashboard() -> None:
    shown = set(re.findall(r"text_recognizer_\w+", json.dumps(DASHBOARD)))
    missing = {name for name in figures() - shown if not name.endswith(("_bucket", "_sum", "_count", "_created"))}
    assert missing == set()
    histograms = {re.sub(r"_bucket$", "", name) for name in figures() if name.endswith("_bucket")}
    assert {h for h in histograms if not any(name.startswith(h) for name in shown)} == set()


def test_panels_do_not_lie_on_each_other_and_have_names() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert all(panel["title"] for panel in DASHBOARD["panels"])


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    assert len({alert["alert"] for alert in ALERTS}) == len(ALERTS)
    for alert in ALERTS:
        assert set(alert["annotations"]) == {"summary", "action"}
        assert alert["labels"]["severity"] in ("page", "ticket")


@pytest.mark.skipif(not shutil.which("promtool"), reason="no promtool here")
def test_prometheus_accepts_the_rules() -> None:
    subprocess.run(["promtool", "check", "rules", str(RULES)], check=True)
