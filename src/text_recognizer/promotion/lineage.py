"""The lineage of a bundle: its run, code, data and base."""

from __future__ import annotations

import json
from collections.abc import Mapping

from text_recognizer.bundle import Bundle


def lineage(bundle: Bundle) -> dict[str, list[str]]:
    """Run, code, data, licences, metrics and the commands to reproduce the bundle, as lines under headings."""
    description = bundle.description
    run, record = description.run, description.run.record
    commit = description.git_commit or "unknown"
    trained = str(record.get("git_commit", commit))
    lines = {str(bundle): [f"{bundle.path}", *_digests("files", description.files)]}
    known = {"steps": run.steps, "checkpoint_sha256": run.checkpoint_sha256, "finder_sha256": run.finder_sha256}
    facts = [f"{k} {v}" for k, v in known.items() if v]
    facts += [f"{k} {record[k]}" for k in ("id", "started", "command") if k in record]
    facts += [f"in {kind}: {there}" for kind, there in record.get("trackers", {}).items()]
    if run.base is not None:
        facts.append(f"tuned from {run.base.name}@{run.base.version}, weights {run.base.weights_sha256}")
    if run.corrections_sha256:
        facts.append(f"corrections {run.corrections_sha256}")
    facts += _digests("began with", record.get("parents", {}))
    lines["run"] = facts or ["unknown"]
    changed = " with changes that were not committed" if record.get("uncommitted_changes") else ""
    lines["code"] = [f"staged at {commit}", f"trained at {trained}{changed}"] if record else [f"commit {commit}"]
    lines["data"] = [*description.data, *_digests("sha256 of", record.get("data", {}))] or ["unknown"]
    lines["licences"] = [
        "; ".join(part for part in (entry.data, entry.licence, entry.source, entry.cite) if part)
        for entry in description.licences
    ] or ["unknown"]
    metrics = {**description.metrics, **({"training": record["metrics"]} if "metrics" in record else {})}
    lines["metrics"] = [f"{name}: {json.dumps(value)}" for name, value in metrics.items()] or ["none"]
    lines["make it again"] = [
        f"git checkout {trained}",
        *([" ".join(record["command"])] if "command" in record else ["the commands of docs/learn/training.md"]),
        "text-recognizer train stage CHECKPOINT …    # docs/learn/training.md",
    ]
    return lines


def _digests(head: str, digests: Mapping[str, str]) -> list[str]:
    return [f"{head} {name}: {digest}" for name, digest in digests.items()]
