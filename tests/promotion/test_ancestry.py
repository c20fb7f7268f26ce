"""The lineage of a fine-tuned model: from the alias to the corrections, the base model, its data and the commits."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from text_recognizer import cli
from text_recognizer.bundle import SHIPPED, Bundle, sha256
from text_recognizer.description import BaseModel, Description, Run
from text_recognizer.evaluation.versions import Versions
from text_recognizer.promotion.ancestry import WEIGHTS, Node, ancestry, svg
from text_recognizer.promotion.registrar import Registrar
from text_recognizer.registry import Model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """What `feedback export` writes beside the lines."""
    folder = tmp_path / "corrections"
    folder.mkdir()
    counts = {"lines": 34, "corrected": 30, "unchanged": 4, "removed": 1, "transcripts": 0}
    manifest = {
        "sha256": "5" * 64,
        **counts,
        "models": {"pen@0.2.1": 4},
        "request_ids": [f"letter-{n}" for n in range(7)],
    }
    (folder / "export.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registrar:
    monkeypatch.setenv("TEXT_RECOGNIZER_MODELS", str(tmp_path / "models"))
    return Registrar()


Tune = Callable[..., Model]


@pytest.fixture
def tune(tmp_path: Path, registry: Registrar, exported: Path) -> Tune:
    """Registers a model tuned from another one: other weights, and a description that names its base."""

    def made(base: Bundle, version: str, weights: bytes) -> Model:
        folder = tmp_path / f"made-{version}"
        folder.mkdir()
        for name in base.description.files:
            (folder / name).write_bytes(weights if name == WEIGHTS else (base.path / name).read_bytes())
        run = Run(
            steps=60, record={"id": f"run-{version}", "git_commit": COMMIT, "data": {"set": "7" * 64}},
            base=BaseModel(name=base.name, version=base.version, weights_sha256=base.description.files[WEIGHTS]),
            corrections_sha256=sha256(exported / "export.json"), lines={"train": 28, "validation": 6},
        )  # fmt: skip
        files = {name: sha256(folder / name) for name in base.description.files}
        data = (*base.description.data, "lines of the user's own")
        replace(base.description, version=version, run=run, files=files, data=data).write(folder)
        return registry.add(folder)

    return made


def found(node: Node, kind: str) -> list[Node]:
    return [one for one in node.walk() if one.kind == kind]


def test_promoted_model_is_traced_to_corrections_base_data_and_commits(
    registry: Registrar, tune: Tune, exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = Bundle.open(SHIPPED)
    second = tune(Bundle.open(tune(base, "0.3", b"second weights").path), "0.4", b"third weights")
    registry.promote(second, "production", "reads the archive's hands")
    assert cli.main(["models", "lineage", "production", "--corrections", str(exported)]) == 0
    said = capsys.readouterr().out
    for fact in (
        "pen@0.4", "pen@0.3", str(base), "without the gate: reads the archive's hands", "fine-tuning", "id: run-0.4",
        "34 corrected lines", "readings by pen@0.2.1: 4", "letter-0", "and 2 more", COMMIT,
        "sha256 of set: " + "7" * 64, base.description.run.record["git_commit"], "sha256 of unipen", "CC-BY-4.0",
    ):  # fmt: skip
        assert fact in said, fact
    assert said.count("data: lines of the user's own\n") == 2  # what a base learned is shown at the base
    assert said.index("pen@0.4") < said.index("pen@0.3") < said.index(str(base))


def test_data_sets_are_called_by_their_versions(registry: Registrar, tune: Tune, tmp_path: Path) -> None:
    (tmp_path / "set").write_text("lines")
    versions = Versions(tmp_path / "versions.json")
    versions.add("letters", tmp_path / "set")
    bundle = Bundle.open(tune(Bundle.open(SHIPPED), "0.3", b"second weights").path)
    record = {**bundle.description.run.record, "data": {"set": sha256(tmp_path / "set")}}
    made = replace(bundle.description, run=replace(bundle.description.run, record=record))
    node = ancestry(Bundle(bundle.path, made), registry, versions=versions)
    assert any(dict(one.facts).get("version of set") == "letters@1" for one in found(node, "data"))


def test_lineage_is_there_for_programs(registry: Registrar, tune: Tune, capsys: pytest.CaptureFixture[str]) -> None:
    tune(Bundle.open(SHIPPED), "0.3", b"second weights")
    assert cli.main(["models", "lineage", "pen@0.3", "--format", "json"]) == 0
    top = json.loads(capsys.readouterr().out)
    (run, *_) = top["sources"]
    assert [source["kind"] for source in run["sources"]] == ["model", "corrections", "data", "code"]
    assert "--corrections" in run["sources"][1]["facts"]["note"]


@pytest.mark.parametrize("form", ["mermaid", "dot"])
def test_picture_as_text_names_every_node_and_edge(
    form: str, registry: Registrar, tune: Tune, capsys: pytest.CaptureFixture[str]
) -> None:
    node = ancestry(Bundle.open(tune(Bundle.open(SHIPPED), "0.3", b"second weights").path), registry)
    assert cli.main(["models", "lineage", "pen", "--format", form]) == 0
    said = capsys.readouterr().out
    count = len(list(node.walk()))
    assert said.count("-->" if form == "mermaid" else "->") == count - 1
    assert f"n{count - 1}" in said
    assert "model: pen@0.3" in said


def test_picture_has_a_box_each_and_none_covers_another(registry: Registrar, tune: Tune, tmp_path: Path) -> None:
    model = tune(Bundle.open(tune(Bundle.open(SHIPPED), "0.3", b"second weights").path), "0.4", b"third weights")
    file = tmp_path / "lineage.svg"
    assert cli.main(["models", "lineage", "pen@0.4", "--format", "svg", "--output", str(file)]) == 0
    drawing = ET.fromstring(file.read_text())
    boxes = [
        tuple(float(one.attrib[k]) for k in ("x", "y", "width", "height"))
        for one in drawing.iter()
        if "rx" in one.attrib
    ]
    assert len(boxes) == len(list(ancestry(Bundle.open(model.path), registry).walk()))
    for n, (x, y, w, h) in enumerate(boxes):
        assert x >= 0 and x + w <= float(drawing.attrib["width"])
        assert y >= 0 and y + h <= float(drawing.attrib["height"])
        for x2, y2, w2, h2 in boxes[n + 1 :]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


def test_titles_cannot_break_out_of_a_picture() -> None:
    drawn = svg(Node("model", "a<script>&", (("note", '"><b>'),)))
    ET.fromstring(drawn)
    assert "<script>" not in drawn


def test_base_that_is_not_there_is_reported_and_a_loop_ends(registry: Registrar, tune: Tune, tmp_path: Path) -> None:
    model = tune(Bundle.open(SHIPPED), "0.3", b"second weights")
    description = Bundle.open(model.path).description
    elsewhere = BaseModel(name="pen", version="9", weights_sha256="9" * 64)
    own = BaseModel(name="pen", version="0.3", weights_sha256=description.files[WEIGHTS])
    for base, note in ((elsewhere, "not in this registry"), (own, "named above already")):
        made = replace(description, run=replace(description.run, base=base))
        node = ancestry(Bundle(model.path, made), registry)
        (_, named) = found(node, "model")
        assert note in dict(named.facts)["note"]


def test_folder_that_is_not_an_export_and_file_that_cannot_be_written_are_named(
    registry: Registrar, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["models", "lineage", "--corrections", str(tmp_path)]) == 7
    assert "feedback export" in capsys.readouterr().err
    assert cli.main(["models", "lineage", "--output", str(tmp_path / "no" / "file")]) == 5
    assert "--output" in capsys.readouterr().err


def test_bundle_that_says_nothing_has_a_lineage(registry: Registrar) -> None:
    description = Description.read(SHIPPED)
    bare = replace(description, run=Run(), git_commit="", data=(), licences=(), metrics={})
    node = ancestry(Bundle(SHIPPED, bare), registry)
    assert [one.title for one in found(node, "code")] == ["commit unknown"]
