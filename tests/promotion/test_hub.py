"""Models to and from a repository of Hugging Face: the real client against a server that stands in for theirs."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from text_recognizer import cli
from text_recognizer.bundle import SHIPPED, Bundle
from text_recognizer.errors import BundleInvalid, OutputFailed, UsageError
from text_recognizer.promotion.hub import model_card
from text_recognizer.promotion.registrar import Registrar
from text_recognizer.promotion.transfer import pull, push

constants = pytest.importorskip("huggingface_hub.constants")

TOKEN = "hf_stand_in"
PLACE = "hf://ann/letters"


@dataclass
class Hub:
    """What the server holds: commits as file name → bytes, tags, and large files by their sha256."""

    url: str = ""
    commits: list[dict[str, bytes]] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    private: bool | None = None
    uploads: list[str] = field(default_factory=list)

    def files(self, revision: str) -> dict[str, bytes] | None:
        name = self.tags.get(revision, revision)
        number = (
            len(self.commits)
            if name in ("main", "None")
            else int(name, 16)
            if set(name) <= set("0123456789abcdef")
            else 0
        )
        return self.commits[number - 1] if 0 < number <= len(self.commits) else None


def oid(number: int) -> str:
    return f"{number:040x}"


class Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    held: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, content: Any, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refused(self, status: int, code: str, message: str) -> None:
        self.answer({"error": message}, status, X_Error_Code=code, X_Error_Message=message)

    def allowed(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_PUT(self) -> None:
        data = self.body()
        self.held.large[hashlib.sha256(data).hexdigest()] = data
        self.held.uploads.append(self.path)
        self.answer({})

    def do_POST(self) -> None:
        body, path = self.body(), urlsplit(self.path).path
        if not self.allowed():
            self.refused(401, "", "Invalid username or password.")
        elif path == "/api/repos/create":
            made = json.loads(body)
            if self.held.private is None:
                self.held.private = made.get("visibility") == "private" or made.get("private") is True
                self.answer({"url": f"{self.held.url}/ann/letters"})
            else:
                self.answer({"error": "exists", "url": f"{self.held.url}/ann/letters"}, 409)
        elif path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        elif path.endswith("/preupload/main"):
            asked = [entry["path"] for entry in json.loads(body)["files"]]
            modes = [("lfs" if name.endswith((".onnx", ".safetensors", ".npz")) else "regular") for name in asked]
            found = zip(asked, modes, strict=True)
            self.answer({"files": [{"path": p, "uploadMode": m, "shouldIgnore": False, "oid": None} for p, m in found]})
        elif path.endswith("/objects/batch"):
            wanted = json.loads(body)["objects"]
            actions = [{**one, "actions": {"upload": {"href": f"{self.held.url}/lfs/{one['oid']}"}}} for one in wanted]
            self.answer({"objects": actions, "transfer": "basic"})
        elif path.endswith("/commit/main"):
            self.commit([json.loads(line) for line in body.splitlines()])
        elif "/tag/" in path:
            self.held.tags[json.loads(body)["tag"]] = unquote(path.rpartition("/")[2])
            self.answer({})
        else:
            self.refused(404, "", path)

    def commit(self, entries: list[dict[str, Any]]) -> None:
        files = dict(self.held.commits[-1]) if self.held.commits else {".gitattributes": b""}
        for entry in entries:
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.held.large[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        self.held.commits.append(files)
        made = oid(len(self.held.commits))
        self.answer({"success": True, "commitOid": made, "commitUrl": f"{self.held.url}/ann/letters/commit/{made}"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if not self.allowed() or self.held.private is None or "/ann/letters" not in path:
            self.refused(401, "RepoNotFound", "Repository Not Found")
            return
        parts = path.split("/")
        if path.endswith("/refs"):
            branch = {"name": "main", "ref": "refs/heads/main", "targetCommit": oid(len(self.held.commits))}
            tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": c} for n, c in self.held.tags.items()]
            self.answer({"branches": [branch], "tags": tags, "converts": []})
            return
        if "/tree/" in path or "/resolve/" in path:
            revision = parts[6] if "/tree/" in path else parts[4]
        else:
            revision = parts[6] if "/revision/" in path else "main"
        files = self.held.files(revision) if self.held.commits else {}
        if files is None:
            self.refused(404, "RevisionNotFound", f"no revision {revision}")
        elif "/tree/" in path:
            listed = [
                {"type": "file", "path": n, "size": len(b), "oid": hashlib.sha1(b).hexdigest()}
                for n, b in files.items()
            ]
            self.answer(listed)
        elif "/resolve/" in path:
            data = files.get("/".join(parts[5:]))
            if data is None:
                self.refused(404, "EntryNotFound", path)
                return
            number = next(n for n, c in enumerate(self.held.commits, 1) if c is files)
            self.answer(data, X_Repo_Commit=oid(number), ETag=f'"{hashlib.sha256(data).hexdigest()}"')
        else:
            number = next((n for n, c in enumerate(self.held.commits, 1) if c is files), 0)
            siblings = [{"rfilename": name} for name in files]
            self.answer({"_id": "1", "id": "ann/letters", "modelId": "ann/letters", "sha": oid(number), "private": True,
                         "tags": [], "downloads": 0, "likes": 0, "siblings": siblings})  # fmt: skip


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    held = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Requests,), {"held": held}))
    held.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", held.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its storage has a protocol of its own
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    yield held
    server.shutdown()
    server.server_close()


def made(folder: Path, version: str, extra: str = "") -> Path:
    """A small bundle: whole and hashed."""
    folder.mkdir()
    names = ["encoder.onnx", "decoder.onnx", "line_finder.onnx", "recognizer.safetensors", *([extra] if extra else [])]
    for name in names:
        (folder / name).write_bytes(f"{name} {version}".encode() * 50)
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    shipped = Bundle.open(SHIPPED).description
    described = replace(shipped, version=version, files=files, reference=None, language_models={})
    described.write(folder)
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> Registrar:
    return Registrar(tmp_path / "models")


def test_model_goes_to_the_hub_with_a_card_and_comes_back_the_same(
    server: Hub, registry: Registrar, tmp_path: Path
) -> None:
    first = registry.add(made(tmp_path / "one", "1", extra="words.txt"))
    assert push(first, PLACE, registry) == f"{PLACE}@1"
    assert push(first, PLACE, registry) == f"{PLACE}@1"  # once more is no error
    second = registry.add(made(tmp_path / "two", "2"))
    assert push(second, PLACE, registry) == f"{PLACE}@2"
    assert server.private is True  # nothing is published unasked
    assert len(server.commits) == 2
    assert server.uploads  # large files go to the storage of large files
    assert "words.txt" not in server.commits[-1]  # of the version before
    other = Registrar(tmp_path / "other")
    assert pull(PLACE, None, other).digest == second.digest
    assert pull(f"{PLACE}@1", None, other).digest == first.digest
    assert pull(PLACE, "pen@1", Registrar(tmp_path / "third")).digest == first.digest
    assert sorted(p.name for p in other.find("pen@2").path.iterdir()) == sorted(p.name for p in second.path.iterdir())
    head, _, body = server.commits[-1]["README.md"].decode().removeprefix("---\n").partition("\n---\n")
    about = yaml.safe_load(head)
    assert (about["pipeline_tag"], about["library_name"], about["license"]) == (
        "image-to-text",
        "text-recognizer",
        "apache-2.0",
    )
    assert "models pull hf://ann/letters@2" in body
    assert "sha256 of unipen" in body


def test_version_that_is_another_model_and_other_names_are_refused(
    server: Hub, registry: Registrar, tmp_path: Path
) -> None:
    push(registry.add(made(tmp_path / "one", "1")), PLACE, registry)
    elsewhere = Registrar(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="holds another pen@1"):
        push(elsewhere.add(made(tmp_path / "two", "1", extra="words.txt")), PLACE, elsewhere)
    with pytest.raises(BundleInvalid, match=r"holds pen@1, not quill"):
        pull(PLACE, "quill", elsewhere)
    with pytest.raises(BundleInvalid, match="HF_TOKEN"):
        pull(f"{PLACE}@9", None, elsewhere)
    # Of what the client says, whole sentences.
    with pytest.raises(BundleInvalid, match=r"Not Found.*\w; check the name, HF_TOKEN and HF_ENDPOINT$") as refused:
        pull("hf://ann/nothing", None, elsewhere)
    assert "For m" not in str(refused.value)
    for wrong in ("hf://letters", "hf://a/b/c", "hf://ann/let ters"):
        with pytest.raises(UsageError, match="hf://OWNER/NAME"):
            pull(wrong, None, elsewhere)
    with pytest.raises(UsageError, match="version is that of the model"):
        push(registry.find("pen@1"), f"{PLACE}@7", registry)


def test_file_that_was_changed_on_the_hub_is_not_registered(server: Hub, registry: Registrar, tmp_path: Path) -> None:
    push(registry.add(made(tmp_path / "one", "1")), PLACE, registry)
    server.commits[-1]["encoder.onnx"] = b"another graph"
    other = Registrar(tmp_path / "other")
    with pytest.raises(BundleInvalid, match="sha256 differs"):
        pull(PLACE, None, other)
    assert other.models() == []


def test_push_without_a_token_says_what_to_do(
    server: Hub, registry: Registrar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(OutputFailed, match="HF_TOKEN"):
        push(registry.add(made(tmp_path / "one", "1")), PLACE, registry)
    assert server.commits == []


def test_commands_push_and_pull(
    server: Hub, registry: Registrar, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.add(made(tmp_path / "one", "1"))
    assert cli.main(["models", "--folder", str(registry.folder), "push", "pen@1", PLACE]) == 0
    assert cli.main(["models", "--folder", str(tmp_path / "other"), "pull", PLACE]) == 0
    assert capsys.readouterr().out.split() == [f"{PLACE}@1", "pen@1"]


def test_card_of_a_tuned_model_does_not_promise_a_licence(registry: Registrar) -> None:
    from text_recognizer.description import BaseModel

    bundle = Bundle.open(SHIPPED)
    base = BaseModel(name="pen", version="0", weights_sha256="0" * 64)
    tuned = Bundle(bundle.path, replace(bundle.description, run=replace(bundle.description.run, base=base)))
    card = model_card(tuned, registry, "ann/letters")
    assert yaml.safe_load(card.split("---")[1])["license"] == "other"
    assert "sha256 of unipen" in card
    assert "folder" not in card and str(SHIPPED) not in card  # a public page tells nothing of the machine
