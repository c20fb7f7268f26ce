"""Models by name: versions never change, aliases move as one, and nothing half is ever there."""

import errno
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from text_recognizer import cli
from text_recognizer.bundle import SHIPPED, Bundle, sha256
from text_recognizer.errors import BundleInvalid, OutputFailed, UsageError
from text_recognizer.promotion.registrar import Registrar
from text_recognizer.reader import Reader
from text_recognizer.registry import resolve


def make_bundle(folder: Path, version: str = "1", name: str = "pen", size: int = 100) -> Path:
    """A bundle as far as `Bundle.open` looks: whole, hashed, and of no use for reading."""
    folder.mkdir(parents=True)
    for graph in ("encoder", "decoder", "line_finder"):
        (folder / f"{graph}.onnx").write_bytes(f"{name} {version} {graph} ".encode() * size)
    files = {p.name: sha256(p) for p in folder.iterdir()}
    sizes = {"width_scale": 0.72, "stride": 4, "cache": [3, 4, 48], "max_tokens": 256}
    info = {"format": 1, "name": name, "version": version, "files": files, "alphabet": "ab", "line_height": 48}
    info["recognizer"] = sizes
    (folder / "bundle.json").write_text(json.dumps(info), encoding="utf-8")
    return folder


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registrar:
    monkeypatch.setenv("TEXT_RECOGNIZER_MODELS", str(tmp_path / "models"))
    registry = Registrar()
    for version in ("1", "2", "3"):
        registry.add(make_bundle(tmp_path / f"made-{version}", version))
    return registry


def test_model_is_found_by_name_version_and_alias(registry: Registrar) -> None:
    assert [str(m) for m in registry.models()] == ["pen@3", "pen@2", "pen@1"]
    assert str(registry.find("pen")) == "pen@3"
    registry.promote(registry.find("pen@1"), "production")
    assert resolve("production") == resolve("pen@1") == registry.folder / "pen" / "1"
    with pytest.raises(BundleInvalid, match="nothing is in staging"):
        resolve("staging")
    with pytest.raises(BundleInvalid, match="known: pen@3, pen@2, pen@1"):
        resolve("pen@9")


def test_folders_and_the_shipped_model_are_found_without_a_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXT_RECOGNIZER_MODELS", str(tmp_path / "none"))
    assert resolve() == resolve("default") == SHIPPED
    assert resolve(tmp_path) == resolve(str(tmp_path)) == tmp_path
    with pytest.raises(BundleInvalid, match="TEXT_RECOGNIZER_MODELS"):
        resolve("production")


def test_reader_takes_the_model_in_production(
    registry: Registrar, bundle_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.promote(registry.add(bundle_dir), "production")
    reader = Reader("production")
    assert reader.bundle.path.is_relative_to(registry.folder)
    assert reader.model == f"{Bundle.open(bundle_dir).name}@{Bundle.open(bundle_dir).version}"


def test_version_never_changes(registry: Registrar, tmp_path: Path) -> None:
    again = registry.add(tmp_path / "made-1")  # the same once more is no error
    assert str(again) == "pen@1"
    other = make_bundle(tmp_path / "other", "1", size=200)
    with pytest.raises(UsageError, match="another --version"):
        registry.add(other)
    assert registry.find("pen@1").digest == again.digest


def test_model_that_was_changed_after_its_promotion_is_refused(registry: Registrar, tmp_path: Path) -> None:
    model = registry.find("pen@2")
    registry.promote(model, "production")
    shutil.rmtree(model.path)
    make_bundle(model.path, "2", size=300)  # whole in itself, but another one
    with pytest.raises(BundleInvalid, match="changed since"):
        resolve("production")


def test_damaged_bundle_is_never_added(registry: Registrar, tmp_path: Path) -> None:
    bad = make_bundle(tmp_path / "bad", "4")
    (bad / "encoder.onnx").write_bytes(b"damaged")
    with pytest.raises(BundleInvalid, match="damaged"):
        registry.add(bad)
    assert len(registry.models()) == 3
    assert not list(registry.folder.glob(".incoming*"))


def test_rollback_goes_back_one_promotion_at_a_time_and_keeps_the_history(registry: Registrar) -> None:
    for version in ("1", "2", "3"):
        registry.promote(registry.find(f"pen@{version}"), "production", reason=f"is {version}")
    assert str(registry.rollback("production", "reads worse")) == "pen@2"
    assert str(registry.rollback("production")) == "pen@1"
    with pytest.raises(UsageError, match="nothing to roll back to"):
        registry.rollback("production")
    assert str(registry.find("production")) == "pen@1"
    assert [e.get("rollback", False) for e in registry.history("production")] == [False] * 3 + [True] * 2
    assert registry.history("production")[3]["reason"] == "reads worse"


def _promote_often(folder: Path, version: str) -> None:
    registry = Registrar(folder)
    for number in range(20):
        registry.promote(registry.find(f"pen@{version}"), "production", reason=f"{version}/{number}")


def test_promotions_at_the_same_time_lose_none(registry: Registrar) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_promote_often, args=(registry.folder, v)) for v in ("1", "2", "3")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0, 0, 0]
    reasons = {entry["reason"] for entry in registry.history("production")}
    assert reasons == {f"{v}/{n}" for v in ("1", "2", "3") for n in range(20)}


def test_pruning_keeps_the_newest_what_is_in_use_and_what_a_rollback_needs(registry: Registrar, tmp_path: Path) -> None:
    for version in ("1", "2"):
        registry.promote(registry.find(f"pen@{version}"), "production")
    registry.add(make_bundle(tmp_path / "made-4", "4"))
    assert [str(m) for m in registry.prunable(1)] == ["pen@3"]  # 4 is the newest; 2 in use; 1 is before it
    assert len(registry.models()) == 4  # asking removes nothing
    registry.prune(1)
    assert [str(m) for m in registry.models()] == ["pen@4", "pen@2", "pen@1"]
    assert not list(registry.folder.glob(".incoming*"))


def test_full_disk_leaves_the_registry_as_it_was(registry: Registrar, tmp_path: Path) -> None:
    large = make_bundle(tmp_path / "large", "9", size=20_000)
    before = sorted(p.name for p in registry.folder.rglob("*"))
    # A process of its own, whose files may not grow beyond 64 KiB.
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from text_recognizer.promotion.registrar import Registrar; from text_recognizer.errors import OutputFailed\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "try: Registrar(Path(sys.argv[1])).add(Path(sys.argv[2]))\n"
        "except OutputFailed as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, str(registry.folder), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "nothing was added" in done.stdout
    assert sorted(p.name for p in registry.folder.rglob("*")) == before


def test_registry_that_cannot_be_written_says_so(registry: Registrar, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *args: object, **kwargs: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputFailed, match="nothing was changed"):
        registry.promote(registry.find("pen@1"), "production")
    monkeypatch.undo()
    assert Registrar(registry.folder).history("production") == []


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"production": {"a": 1}}',
        '{"production": [1]}',
        '{"production": [{"rollback": true, "model": "pen@1", "at": "now"}]}',
        '{"production": [{"model": 3, "sha256": "a", "at": "now"}]}',
        '{"production": [{"model": "pen@1", "at": "now"}]}',
    ],
)
def test_damaged_registry_is_reported_and_left_alone(
    registry: Registrar, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (registry.folder / "registry.json").write_text(content, encoding="utf-8")
    with pytest.raises(BundleInvalid, match="restore it"):
        registry.promote(registry.find("pen@1"), "production")
    for words in (["models", "list"], ["models", "rollback"], ["models", "show", "production"]):
        assert cli.main(words) == BundleInvalid.exit_status
        assert "restore it from a copy, or move it away" in capsys.readouterr().err
    assert (registry.folder / "registry.json").read_text(encoding="utf-8") == content


def deny(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may read `path` or what is below it: the modes of files do not stop root."""
    for name in ("open", "iterdir"):
        real = getattr(Path, name)

        def guarded(self: Path, *args: Any, real: Callable[..., Any] = real, **kwargs: Any) -> Any:
            if path in (self, *self.parents):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
            return real(self, *args, **kwargs)

        monkeypatch.setattr(Path, name, guarded)


@pytest.mark.parametrize("file", ["bundle.json", "encoder.onnx", "."])
def test_model_that_may_not_be_read_is_named_and_hides_no_other(
    registry: Registrar, file: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.promote(registry.find("pen@2"), "production")
    deny(registry.folder / "pen" / "2" / file, monkeypatch)
    with pytest.raises(BundleInvalid, match=r"pen/2/\S+ can't be read \(Permission denied\): get permission"):
        Bundle.open(registry.find("production").path)
    with pytest.raises(BundleInvalid, match="get permission"):
        registry.promote(registry.find("pen@2"), "staging")
    assert cli.main(["models", "list"]) == BundleInvalid.exit_status
    said = capsys.readouterr()
    assert "pen@1" in said.out
    assert "pen@3" in said.out
    assert "get permission" in said.err
    assert cli.main(["models", "list", "--json"]) == BundleInvalid.exit_status
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_folder_of_models_that_may_not_be_read_is_not_called_empty(
    registry: Registrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    deny(registry.folder / "pen", monkeypatch)
    with pytest.raises(BundleInvalid, match=r"models/pen can't be read \(Permission denied\): get permission"):
        registry.models()


def test_model_of_a_newer_format_hides_no_other(registry: Registrar, capsys: pytest.CaptureFixture[str]) -> None:
    newer = make_bundle(registry.folder / "pen" / "4", "4") / "bundle.json"
    newer.write_text(newer.read_text(encoding="utf-8").replace('"format": 1', '"format": 2'), encoding="utf-8")
    assert cli.main(["models", "list"]) == BundleInvalid.exit_status
    said = capsys.readouterr()
    assert [f"pen@{version}" in said.out for version in "1234"] == [True, True, True, False]
    assert "pen/4/bundle.json is not of bundle format 1" in said.err


def test_pruning_without_permission_says_so(registry: Registrar, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(self: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "rename", denied)
    with pytest.raises(OutputFailed, match=r"cannot remove .*pen/2 \(Permission denied\): .*permission"):
        registry.prune(1)


def test_a_file_in_place_of_the_folder_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a list of models")
    with pytest.raises(BundleInvalid, match="is a file: give the folder of your models"):
        Registrar(tmp_path / "models").current("production")


def test_name_that_would_leave_the_folder_is_refused(registry: Registrar, tmp_path: Path) -> None:
    for number, name in enumerate(("../evil", "production", ".hidden")):
        with pytest.raises(BundleInvalid, match="cannot be the name"):
            registry.add(make_bundle(tmp_path / f"evil{number}", "1", name))


def test_finding_a_model_needs_neither_torch_nor_training() -> None:
    program = (
        "import sys; from text_recognizer.registry import resolve; resolve()\n"
        "assert not {'torch', 'lightning', 'text_recognizer.training'} & set(sys.modules)"
    )
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", program], check=True, cwd=folder)
