"""Models to and from a folder, an S3 server on loopback, another file system, and W&B as far as it works offline."""

import importlib.util
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from text_recognizer.bundle import Bundle
from text_recognizer.description import BaseModel, Description, Run
from text_recognizer.errors import BundleInvalid, OutputFailed, UsageError
from text_recognizer.promotion.registrar import Registrar
from text_recognizer.promotion.transfer import pull, push

boto3 = pytest.importorskip("boto3")
pytest.importorskip("moto.server")


def _test_registry() -> Any:
    spec = importlib.util.spec_from_file_location("made_models", Path(__file__).parents[1] / "test_registry.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["made_models"] = module
    spec.loader.exec_module(module)
    return module


make_bundle = _test_registry().make_bundle
S3 = "s3://models/some/prefix"


@pytest.fixture
def registry(tmp_path: Path) -> Registrar:
    registry = Registrar(tmp_path / "models")
    registry.add(make_bundle(tmp_path / "made", "1"))
    return registry


@pytest.fixture
def client(s3: str) -> Iterator[Any]:
    """A client of an S3 server that listens on loopback, with an empty bucket `models`."""
    client = boto3.client("s3")
    client.create_bucket(Bucket="models")
    yield client
    for key in keys(client):
        client.delete_object(Bucket="models", Key=key)
    client.delete_bucket(Bucket="models")


def keys(client: Any) -> list[str]:
    return [item["Key"] for item in client.list_objects_v2(Bucket="models").get("Contents", [])]


def test_model_goes_to_s3_and_comes_back_the_same(registry: Registrar, client: Any, tmp_path: Path) -> None:
    model = registry.find("pen@1")
    assert push(model, S3) == "s3://models/some/prefix/pen/1/"
    assert push(model, S3) == "s3://models/some/prefix/pen/1/"  # once more is no error
    for name in ("pen", "pen@1"):
        other = Registrar(tmp_path / f"other-{name}")
        assert pull(S3, name, other).digest == model.digest
        assert Bundle.open(other.find("pen").path).description == Bundle.open(model.path).description


def test_another_model_of_the_same_name_is_not_replaced_on_s3(registry: Registrar, client: Any, tmp_path: Path) -> None:
    push(registry.find("pen@1"), S3)
    other = Registrar(tmp_path / "other")
    other.add(make_bundle(tmp_path / "again", "1", size=50))
    with pytest.raises(UsageError, match="another --version"):
        push(other.find("pen@1"), S3)


def test_what_was_changed_on_s3_does_not_arrive(registry: Registrar, client: Any, tmp_path: Path) -> None:
    push(registry.find("pen@1"), S3)
    client.put_object(Bucket="models", Key="some/prefix/pen/1/encoder.onnx", Body=b"something else")
    other = Registrar(tmp_path / "other")
    with pytest.raises(BundleInvalid, match="sha256"):
        pull(S3, "pen@1", other)
    assert other.models() == []
    assert not list(other.folder.glob(".incoming*"))


# Pushes, and stands still before the third file.
STALLING = """
import sys, time
from text_recognizer.promotion.registrar import Registrar
from text_recognizer.promotion import transfer

fs, root = transfer.open_store(sys.argv[2])
put_file, count = fs.put_file, iter(range(99))

def slow(*arguments):
    if next(count) == 2:
        print("stalled", flush=True)
        time.sleep(600)
    put_file(*arguments)

fs.put_file = slow
transfer.open_store = lambda address: (fs, root)
transfer.push(Registrar(sys.argv[1]).find("pen@1"), sys.argv[2])
"""


def test_push_killed_half_way_leaves_nothing_that_can_be_pulled(
    registry: Registrar, client: Any, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", STALLING, str(registry.folder), S3]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stalled\n"
        process.kill()
    assert len(keys(client)) == 2
    other = Registrar(tmp_path / "other")
    with pytest.raises(BundleInvalid, match="complete models there: none"):
        pull(S3, "pen@1", other)
    push(registry.find("pen@1"), S3)  # the same push again completes it
    assert str(pull(S3, "pen@1", other)) == "pen@1"


def test_unreachable_and_missing_places_are_one_line(
    registry: Registrar, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputFailed, match="bucket does not exist"):
        push(registry.find("pen@1"), "s3://no-such-bucket/x")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(OutputFailed, match="AWS_ENDPOINT_URL"):
        push(registry.find("pen@1"), S3)
    with pytest.raises(UsageError, match="not a place for models"):
        push(registry.find("pen@1"), "nowhere://models")


def test_any_file_system_of_fsspec_will_do(registry: Registrar, tmp_path: Path) -> None:
    assert push(registry.find("pen@1"), "memory://bucket/models/") == "memory://bucket/models/pen/1/"
    other = Registrar(tmp_path / "other")
    assert pull("memory://bucket/models", "pen", other).digest == registry.find("pen@1").digest
    with pytest.raises(UsageError, match="names no bucket"):
        push(registry.find("pen@1"), "s3://")


def test_model_goes_to_a_folder_and_comes_back(registry: Registrar, tmp_path: Path) -> None:
    push(registry.find("pen@1"), str(tmp_path / "shelf"))
    other = Registrar(tmp_path / "other")
    assert pull(str(tmp_path / "shelf"), "pen@1", other).digest == registry.find("pen@1").digest
    with pytest.raises(UsageError, match="name the model"):
        pull(str(tmp_path / "shelf"), None, other)


def wandb_records(file: Path) -> Iterator[Any]:
    """The records of an offline run: seven bytes of header, then LevelDB's log format in blocks of 32 KiB."""
    from wandb.proto import wandb_internal_pb2

    data, at, parts = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:  # the rest of a block is padding
            at += left
            continue
        length, kind = struct.unpack_from("<HB", data, at + 4)  # after the checksum
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


@pytest.fixture
def wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B writes into the folder of this test."""
    pytest.importorskip("wandb").teardown()  # it remembers the folder of an earlier test
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staged"))


@pytest.mark.usefixtures("wandb_offline")
def test_lineage_can_be_read_back_from_the_files_of_an_offline_run(
    tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    made = make_bundle(tmp_path / "made", "1")
    base = BaseModel(name="pen", version="0", weights_sha256="7" * 64)
    run = Run(steps=60, base=base, corrections_sha256="8" * 64, record={"data": {"set": "9" * 64}})
    replace(Description.read(made), run=run, git_commit="c0ffee", data=("letters",)).write(made)
    registry = Registrar(tmp_path / "models")
    push(registry.add(made), "wandb:someone/letters/pen:production")
    (file,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")

    def logged() -> list[Any]:
        return [one.artifact for one in wandb_records(file) if one.WhichOneof("record_type") == "artifact"]

    wait_until(logged)  # a process of its own writes the file
    (found,) = logged()
    held = json.loads(found.metadata)
    assert held["git_commit"] == "c0ffee"
    assert held["run"]["base"] == {"name": "pen", "version": "0", "weights_sha256": "7" * 64}
    assert (held["run"]["corrections_sha256"], held["run"]["record"]["data"]["set"]) == ("8" * 64, "9" * 64)
    assert held["files"] == Bundle.open(made).description.files
    assert {"latest", "1", "production"} <= set(found.aliases)
    assert {entry.path for entry in found.manifest.contents} >= {"bundle.json", "encoder.onnx"}


@pytest.mark.usefixtures("wandb_offline")
def test_wandb_artifact_waits_offline_and_cannot_be_pulled_without_an_account(
    registry: Registrar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(registry.find("pen@1"), "wandb:someone/letters/pen:production")
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))
    staged = {p.read_bytes() for p in (tmp_path / "staged").rglob("*") if p.is_file()}
    assert (registry.find("pen@1").path / "encoder.onnx").read_bytes() in staged
    with pytest.raises(UsageError, match="ENTITY/PROJECT/NAME"):
        push(registry.find("pen@1"), "wandb:pen")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(BundleInvalid, match="WANDB_API_KEY"):
        pull("wandb:someone/letters/pen:production", None, Registrar(tmp_path / "other"))
    assert Registrar(tmp_path / "other").models() == []
