"""The ancestry of a bundle, back to the first model: run, code, data and corrections of the bundle and its bases.

`ancestry` follows the chain of fine-tuning through a registry; `text`, `mermaid`, `dot` and `svg` show it.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from text_recognizer.bundle import SHIPPED, Bundle, sha256
from text_recognizer.description import BaseModel, Description
from text_recognizer.errors import BundleInvalid, DataInvalid
from text_recognizer.evaluation.versions import Versions
from text_recognizer.registry import ALIASES, Registry, standing

WEIGHTS = "recognizer.safetensors"
EXPORTED = "export.json"  # written by `feedback export`
SHORT = 12  # characters shown of a digest in pictures
SHOWN_IDS = 5  # most readings of an export to list


@dataclass(frozen=True)
class Node:
    """A model, or something that it was made from.

    Args:
        kind: "model", "run", "code", "data", "corrections" or "weights".
        title: what it is, in a few words.
        facts: (name, value) in full; pictures shorten digests.
        sources: the nodes that it was made from.
    """

    kind: str
    title: str
    facts: tuple[tuple[str, str], ...] = ()
    sources: tuple[Node, ...] = ()

    def walk(self) -> Iterator[Node]:
        yield self
        for source in self.sources:
            yield from source.walk()

    def as_dict(self) -> dict[str, Any]:
        sources = [source.as_dict() for source in self.sources]
        return {"kind": self.kind, "title": self.title, "facts": dict(self.facts), "sources": sources}


@dataclass(frozen=True)
class _Known:
    """Where the sources of models are looked up."""

    registry: Registry
    exports: Mapping[str, Path]
    versions: Versions


def ancestry(
    bundle: Bundle, registry: Registry, exports: Mapping[str, Path] | None = None, versions: Versions | None = None
) -> Node:
    """The model of `bundle` with everything that it was made from; base models are found by the SHA-256 of weights.

    Args:
        registry: where base models are looked up, in addition to the shipped model.
        exports: folders of exported corrections by the SHA-256 of their manifest, as returned by `find_exports`.
        versions: names of data sets by their SHA-256; None: `data/versions.json`.
    """
    return _model(bundle, _Known(registry, exports or {}, versions or Versions()), frozenset())


def find_exports(folders: list[Path]) -> dict[str, Path]:
    """Folders written by `feedback export`, by the SHA-256 of their manifest. Raises DataInvalid for others."""
    found = {}
    for folder in folders:
        manifest = folder / EXPORTED
        if not manifest.is_file():
            raise DataInvalid(
                f"{folder} holds no {EXPORTED}: give a folder that 'text-recognizer feedback export' wrote."
            )
        found[sha256(manifest)] = folder
    return found


def _model(bundle: Bundle, known: _Known, seen: frozenset[str]) -> Node:
    description, run = bundle.description, bundle.description.run
    weights = description.files.get(WEIGHTS, "")
    facts = [("folder", str(bundle.path)), ("weights", weights), ("staged at commit", description.git_commit)]
    facts += _aliases(f"{bundle.name}@{bundle.version}", known.registry)
    facts += [(f"CER on its held-out lines, {when}", f"{100 * cer:.1f} %") for when, cer in _own(description.metrics)]
    sources = [_run(bundle, known, seen | {weights})]
    if run.finder_sha256:
        sources.append(Node("weights", "line finder", (("sha256 of its checkpoint", run.finder_sha256),)))
    return Node("model", str(bundle), _known(facts), tuple(sources))


def _run(bundle: Bundle, known: _Known, seen: frozenset[str]) -> Node:
    description, run = bundle.description, bundle.description.run
    record = run.record
    facts = [("id", record.get("id")), ("started", record.get("started")), ("steps", run.steps or None)]
    facts += [("command", " ".join(record.get("command", []))), ("checkpoint", run.checkpoint_sha256)]
    facts += [(f"lines of {part}", count) for part, count in run.lines.items()]
    facts += [(f"in {kind}", there) for kind, there in record.get("trackers", {}).items()]
    sources = []
    base = None
    if run.base is not None:
        base = _found(run.base.weights_sha256, known, seen)
        sources.append(_base(run.base, base, known, seen))
    if run.corrections_sha256:
        sources.append(_corrections(run.corrections_sha256, known.exports))
    begun = {name: digest for name, digest in record.get("parents", {}).items() if digest not in seen}
    for name, digest in begun.items():
        if run.base is None or digest != run.base.weights_sha256:
            sources.append(Node("weights", f"began with {name}", (("sha256", str(digest)),)))
    sources += _data(description, base.description if base else None, known.versions)
    commit = str(record.get("git_commit") or description.git_commit or "unknown")
    changed = "yes" if record.get("uncommitted_changes") else None
    sources.append(
        Node("code", f"commit {commit[:SHORT]}", _known([("commit", commit), ("uncommitted changes", changed)]))
    )
    kind = "fine-tuning" if run.base is not None else "training"
    return Node("run", kind, _known(facts), tuple(sources))


def _found(weights: str, known: _Known, seen: frozenset[str]) -> Bundle | None:
    """The registered or shipped model with these weights."""
    if weights in seen:  # a bundle cannot be its own ancestor, but a forged one may claim it
        return None
    for folder in (*(model.path for model in known.registry.models()), SHIPPED):
        try:
            if Description.read(folder).files.get(WEIGHTS) == weights:
                return Bundle.open(folder)
        except BundleInvalid:  # a damaged bundle proves nothing
            continue
    return None


def _base(base: BaseModel, bundle: Bundle | None, known: _Known, seen: frozenset[str]) -> Node:
    if bundle is not None:
        return _model(bundle, known, seen)
    missing = "not in this registry: 'text-recognizer models pull' it to see what it was made of"
    note = "named above already" if base.weights_sha256 in seen else missing
    return Node("model", f"{base.name}@{base.version}", (("weights", base.weights_sha256), ("note", note)))


def _corrections(digest: str, exports: Mapping[str, Path]) -> Node:
    facts: list[tuple[str, Any]] = [("sha256 of export.json", digest)]
    folder = exports.get(digest)
    if folder is None:
        facts.append(("note", "give the exported folder with --corrections to see its readings"))
        return Node("corrections", "corrections", _known(facts))
    manifest = json.loads((folder / EXPORTED).read_text(encoding="utf-8"))
    facts += [("folder", folder), ("sha256 of its files", manifest["sha256"])]
    facts += [(name, manifest[name]) for name in ("lines", "corrected", "unchanged", "removed", "transcripts")]
    facts += [(f"readings by {model}", count) for model, count in manifest["models"].items()]
    ids = manifest["request_ids"]
    more = f" and {len(ids) - SHOWN_IDS} more" if len(ids) > SHOWN_IDS else ""
    facts.append(("request ids", ", ".join(ids[:SHOWN_IDS]) + more))
    return Node("corrections", f"{manifest['lines']} corrected lines", _known(facts))


def _data(description: Description, base: Description | None, versions: Versions) -> list[Node]:
    """The data of a run, without its base model's data, which a bundle lists first and the base model shows."""
    names, licences = description.data, description.licences
    if base is not None and names[: len(base.data)] == base.data:
        names = names[len(base.data) :]
    if base is not None and licences[: len(base.licences)] == base.licences:
        licences = licences[len(base.licences) :]
    digests: list[tuple[str, Any]] = []
    for name, digest in description.run.record.get("data", {}).items():
        digests += [(f"sha256 of {name}", digest), (f"version of {name}", versions.named(digest))]
    facts = _known([*digests, *((entry.data, entry.licence) for entry in licences)])
    return [Node("data", "; ".join(names) or "unnamed", facts)] if names or facts else []


def _own(metrics: Mapping[str, Any]) -> list[tuple[str, float]]:
    own = metrics.get("own", {})
    return [(when, own[f"cer_{when}"]) for when in ("before", "after") if f"cer_{when}" in own]


def _aliases(name: str, registry: Registry) -> list[tuple[str, str]]:
    facts = []
    for alias in ALIASES:
        for entry in standing(registry.history(alias))[-1:]:
            if entry["model"] == name:
                gate = "through the gate" if entry.get("gate") else "without the gate"
                reason = f": {entry['reason']}" if entry.get("reason") else ""
                facts.append((alias, f"since {entry['at']}, {gate}{reason}"))
    return facts


def _known(facts: list[tuple[str, Any]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, str(value)) for name, value in facts if value not in (None, ""))


# ------------------------------------------------------------------------------------------------------- showing


def text(node: Node) -> str:
    """A tree of lines."""
    lines = [f"{node.title}"]

    def add(node: Node, indent: str) -> None:
        lines.extend(f"{indent}{'│' if node.sources else ' '}   {name}: {value}" for name, value in node.facts)
        for number, source in enumerate(node.sources, 1):
            last = number == len(node.sources)
            lines.append(f"{indent}{'└─' if last else '├─'} {source.kind}: {source.title}")
            add(source, indent + ("   " if last else "│  "))

    add(node, "")
    return "\n".join(lines) + "\n"


def as_json(node: Node) -> str:
    return json.dumps(node.as_dict(), ensure_ascii=False, indent=1) + "\n"


def mermaid(node: Node) -> str:
    """A Mermaid flow chart, which GitHub, GitLab and Jupyter draw in Markdown."""
    lines = ["flowchart LR"]
    for number, (one, target) in enumerate(_numbered(node)):
        label = "<br>".join(html.escape(part).replace("#", "#35;") for part in _label(one))
        lines.append(f'  n{number}["{label}"]:::{one.kind}')
        if target is not None:
            lines.append(f"  n{number} --> n{target}")
    lines += [f"  classDef {kind} fill:{fill},stroke:#444,color:#000" for kind, fill in _FILLS.items()]
    return "\n".join(lines) + "\n"


def dot(node: Node) -> str:
    """The same for Graphviz."""
    lines = ["digraph lineage {", "  rankdir=LR;", '  node [shape=box, style=filled, fontname="sans-serif"];']
    for number, (one, target) in enumerate(_numbered(node)):
        label = "\\n".join(part.replace("\\", "\\\\").replace('"', '\\"') for part in _label(one))
        lines.append(f'  n{number} [label="{label}", fillcolor="{_FILLS[one.kind]}"];')
        if target is not None:
            lines.append(f"  n{number} -> n{target};")
    return "\n".join([*lines, "}"]) + "\n"


_FILLS = {
    "model": "#cfe3ff", "run": "#ffffff", "code": "#e8e8e8", "data": "#d9f0d3", "corrections": "#ffe2b8",
    "weights": "#eadcf4",
}  # fmt: skip
_WIDTH, _GAP, _LINE = 300, 60, 18  # pixels: width of a box, gap between columns, height of a text line


def svg(node: Node) -> str:
    """A picture with the sources of each node to its left."""
    depth = _depth(node)
    boxes: list[str] = []
    bottom = 10.0

    def place(one: Node, column: int) -> tuple[float, float]:
        """Draw `one` and its sources. Returns where arrows meet its box: x of its left side, y of its middle."""
        nonlocal bottom
        label = _label(one)
        height = _LINE * len(label) + 12
        top = bottom
        met = [place(source, column - 1) for source in one.sources]
        bottom = max(bottom, top + height + 12)
        middle = max(top + height / 2, (met[0][1] + met[-1][1]) / 2) if met else top + height / 2
        bottom = max(bottom, middle + height / 2 + 12)
        x = 10 + column * (_WIDTH + _GAP)
        boxes.append(
            f'<rect x="{x}" y="{middle - height / 2:g}" width="{_WIDTH}" height="{height}" rx="6" '
            f'fill="{_FILLS[one.kind]}" stroke="#444"/>'
        )
        for row, part in enumerate(label):
            weight = ' font-weight="bold"' if row == 0 else ""
            y = middle - height / 2 + 20 + _LINE * row
            boxes.append(f'<text x="{x + 10}" y="{y:g}"{weight}>{html.escape(part)}</text>')
        for _, y in met:
            begin, bend = x - _GAP, x - _GAP / 2
            boxes.append(
                f'<path d="M{begin} {y:g} C{bend} {y:g} {bend} {middle:g} {x - 4} {middle:g}" fill="none" '
                'stroke="#444" marker-end="url(#to)"/>'
            )
        return x, middle

    place(node, depth - 1)
    width = 20 + depth * _WIDTH + (depth - 1) * _GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{bottom:g}" viewBox="0 0 {width} {bottom:g}" '
        'font-family="sans-serif" font-size="13">'
    )
    marker = (
        '<defs><marker id="to" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 L8 4 L0 8 z" fill="#444"/></marker></defs>'
    )
    title = f"<title>Lineage of {html.escape(node.title)}</title>"
    background = f'<rect width="{width}" height="{bottom:g}" fill="#ffffff"/>'
    return "\n".join([head, title, marker, background, *boxes, "</svg>"]) + "\n"


FORMATS: dict[str, Callable[[Node], str]] = {
    "text": text, "json": as_json, "mermaid": mermaid, "dot": dot, "svg": svg,
}  # fmt: skip


def _depth(node: Node) -> int:
    return 1 + max(map(_depth, node.sources), default=0)


def _numbered(node: Node) -> list[tuple[Node, int | None]]:
    """Each node with the number of the node that was made from it."""
    found: list[tuple[Node, int | None]] = []

    def add(one: Node, target: int | None) -> None:
        number = len(found)
        found.append((one, target))
        for source in one.sources:
            add(source, number)

    add(node, None)
    return found


_PICTURED = 5  # most facts in a box
_CHARACTERS = 42  # most in a line in a box


def _label(node: Node) -> list[str]:
    """The text of a box: kind and title, and the first facts, shortened."""
    title = node.title if node.kind == node.title else f"{node.kind}: {node.title}"
    facts = [(name, value) for name, value in node.facts if name not in ("folder", "command")][:_PICTURED]
    return [_cut(part) for part in (title, *(f"{name} {_shortened(value)}" for name, value in facts))]


def _shortened(value: str) -> str:
    return value[:SHORT] + "…" if len(value) in (40, 64) and value.isalnum() else value


def _cut(part: str) -> str:
    return part if len(part) <= _CHARACTERS else part[: _CHARACTERS - 1] + "…"
