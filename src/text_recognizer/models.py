"""Models by name: a folder of bundles that never change, and the aliases `staging` and `production` with their history.

    models/NAME/VERSION/      a bundle as `stage` wrote it
    models/registry.json      which model each alias meant, when, and why: nothing in it is ever taken out

`Reader("production")` finds its bundle here; nothing in this file needs torch.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from text_recognizer.bundle import DESCRIPTION, SHIPPED, Bundle, sha256
from text_recognizer.errors import BundleInvalid, OutputFailed, UsageError

ENVIRONMENT = "TEXT_RECOGNIZER_MODELS"
ALIASES = ("staging", "production")
DEFAULT = "default"  # the model that ships
REGISTRY = "registry.json"
_INCOMING = ".incoming-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Model:
    """A registered bundle. `digest`: sha256 of its description, which holds the sha256 of each file."""

    name: str
    version: str
    path: Path
    digest: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


class Registry:
    """The models in one folder; TEXT_RECOGNIZER_MODELS, else `models` in the working directory, unless one is given."""

    def __init__(self, folder: Path | str | None = None) -> None:
        self.folder = Path(folder or os.environ.get(ENVIRONMENT) or "models")

    # ------------------------------------------------------------------------------------------------- looking

    def models(self) -> list[Model]:
        """All models, by name, the newest version of each first."""
        found = [
            Model(path.parent.parent.name, path.parent.name, path.parent, sha256(path))
            for path in self.folder.glob(f"[!.]*/*/{DESCRIPTION}")
        ]
        found.sort(key=lambda m: (m.path / DESCRIPTION).stat().st_mtime_ns, reverse=True)
        return sorted(found, key=lambda m: m.name)

    def find(self, name: str) -> Model:
        """The model NAME@VERSION, NAME (its newest version) or of an alias. Raises BundleInvalid if there is none."""
        if name in ALIASES:
            entry = self.current(name)
            if entry is None:
                raise BundleInvalid(
                    f"nothing is in {name} in {self.folder.absolute()}: put a model there with 'text-recognizer models "
                    f"promote', or set {ENVIRONMENT} to the folder of your models."
                )
            model = self.find(entry["model"])
            if model.digest != entry["sha256"]:
                raise BundleInvalid(
                    f"{model.path} was changed since {model} was promoted (its sha256 differs): do not use it; get it "
                    "again with 'models pull', or go back with 'models rollback'."
                )
            return model
        wanted, _, version = name.partition("@")
        for model in self.models():
            if model.name == wanted and version in ("", model.version):
                return model
        known = ", ".join(map(str, self.models())) or "none"
        raise BundleInvalid(f"there is no model '{name}' in {self.folder.absolute()} (known: {known}).")

    def history(self, alias: str) -> list[dict[str, Any]]:
        """What `alias` meant, oldest first: promotions (model, sha256, at, reason, gate) and rollbacks."""
        if alias not in ALIASES:
            raise UsageError(f"there is no alias '{alias}'; give one of: {', '.join(ALIASES)}")
        return list(self._read().get(alias, []))

    def current(self, alias: str) -> dict[str, Any] | None:
        """The promotion that `alias` stands on."""
        return next(reversed(_standing(self.history(alias))), None)

    # ------------------------------------------------------------------------------------------------ changing

    def add(self, folder: Path) -> Model:
        """Copy the bundle in `folder` here under the name and version that it gives itself.

        A version never changes: the same bundle again is no error, another one under the same name is. Raises
        BundleInvalid, and OutputFailed where the disk is full; then nothing of it stays.
        """
        with self.incoming() as fresh:
            bundle = Bundle.open(folder, whole=True)
            for name in (DESCRIPTION, *bundle.info["files"]):
                shutil.copyfile(bundle.path / name, fresh / name)
            return self.admit(fresh)

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """An empty folder beside the models, gone afterwards, for what is to be given to `admit`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=_INCOMING, dir=self.folder) as scratch:
                fresh = Path(scratch) / "bundle"
                fresh.mkdir()
                yield fresh
        except OSError as error:
            raise OutputFailed(
                f"cannot write to {self.folder} ({error.strerror}); nothing was added: make room, or name another "
                f"folder by {ENVIRONMENT}"
            ) from error

    def admit(self, fresh: Path) -> Model:
        """Take over the bundle in the folder `fresh` of `incoming`, verified file by file."""
        bundle = Bundle.open(fresh, whole=True)
        for part in (bundle.name, bundle.version):
            if not _NAME.fullmatch(part) or part in (*ALIASES, DEFAULT):
                raise BundleInvalid(f"'{part}' cannot be the name or version of a model: stage it with another --name.")
        target = self.folder / bundle.name / bundle.version
        model = Model(bundle.name, bundle.version, target, sha256(fresh / DESCRIPTION))
        for file in fresh.iterdir():
            _to_disk(file)
            file.chmod(0o444)
        with self._lock():
            if (target / DESCRIPTION).exists():
                if sha256(target / DESCRIPTION) != model.digest:
                    raise UsageError(f"{model} is there already and is another model: stage it with another --version")
                Bundle.open(target, whole=True)
                return model
            target.parent.mkdir(exist_ok=True)
            fresh.rename(target)
        return model

    def promote(
        self, model: Model, alias: str, reason: str | None = None, gate: Mapping[str, Any] | None = None
    ) -> None:
        """Let `alias` mean `model` from now on; `gate` is the report that it was let through by."""
        if alias not in ALIASES:
            raise UsageError(f"there is no alias '{alias}'; give one of: {', '.join(ALIASES)}")
        Bundle.open(model.path, whole=True)
        entry = {"model": str(model), "sha256": model.digest, "at": _now(), "reason": reason, "gate": gate}
        with self._lock():
            content = self._read()
            content.setdefault(alias, []).append(entry)
            self._write(content)

    def rollback(self, alias: str, reason: str | None = None) -> Model:
        """Let `alias` mean again what it meant before its last promotion."""
        with self._lock():
            content = self._read()
            standing = _standing(content.get(alias, []))
            if len(standing) < 2:
                raise UsageError(f"there is nothing before {alias}'s model to go back to")
            model = self.find(standing[-2]["model"])
            if model.digest != standing[-2]["sha256"]:
                raise BundleInvalid(f"{model.path} was changed since it was promoted (its sha256 differs).")
            content[alias].append({"rollback": True, "model": str(model), "at": _now(), "reason": reason})
            self._write(content)
        return model

    def prunable(self, keep: int) -> list[Model]:
        """All but the `keep` newest versions of each name, and what an alias means or would mean after a rollback."""
        needed = {entry["model"] for alias in ALIASES for entry in _standing(self.history(alias))[-2:]}
        seen: dict[str, int] = {}
        out = []
        for model in self.models():
            seen[model.name] = seen.get(model.name, 0) + 1
            if seen[model.name] > keep and str(model) not in needed:
                out.append(model)
        return out

    def prune(self, keep: int) -> list[Model]:
        """Remove what `prunable` names, and what interrupted transfers left."""
        with self._lock():
            gone = self.prunable(keep)
            for model in gone:
                # Out of sight at once: a model is never there in part.
                away = self.folder / f"{_INCOMING}gone-{model.name}-{model.version}"
                model.path.rename(away)
                shutil.rmtree(away)
            for left in self.folder.glob(f"{_INCOMING}*"):
                if datetime.now(UTC).timestamp() - left.stat().st_mtime > 24 * 3600:
                    shutil.rmtree(left, ignore_errors=True)
        return gone

    # ---------------------------------------------------------------------------------------------------- disk

    def _read(self) -> dict[str, list[dict[str, Any]]]:
        file = self.folder / REGISTRY
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise BundleInvalid(f"{file} can't be read ({type(error).__name__}): restore it from a copy.") from error
        if not isinstance(content, dict) or not all(isinstance(v, list) for v in content.values()):
            raise BundleInvalid(f"{file} is no registry of models: restore it from a copy.")
        return content

    def _write(self, content: Mapping[str, Any]) -> None:
        file = self.folder / REGISTRY
        fresh = file.with_suffix(".tmp")
        try:
            fresh.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            _to_disk(fresh)
            fresh.replace(file)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise OutputFailed(f"cannot write {file} ({error.strerror}); nothing was changed: make room") from error

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """One process at a time; the lock ends with its process, so none is left behind."""
        import fcntl

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            stream = (self.folder / ".lock").open("w")
        except OSError as error:
            raise OutputFailed(f"cannot write to {self.folder} ({error.strerror})") from error
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def resolve(model: Path | str | None = None) -> Path:
    """The folder of a bundle: of a path, an alias, NAME or NAME@VERSION; of the shipped one for None or "default".

    A string that names a folder with a bundle means that folder. Raises BundleInvalid.
    """
    if model is None or model == DEFAULT:
        return SHIPPED
    path = Path(model)
    if isinstance(model, Path) or (path / DESCRIPTION).is_file() or len(path.parts) != 1:
        return path
    if not _NAME.fullmatch(model.replace("@", "-")):
        return path
    registry = Registry()
    if not registry.folder.is_dir():
        raise BundleInvalid(
            f"'{model}' is neither the folder of a bundle nor a model in {registry.folder.absolute()}: give a folder, "
            f"or set {ENVIRONMENT} to the folder of your models."
        )
    return registry.find(model).path


def _standing(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The promotions that rollbacks left standing."""
    stack: list[dict[str, Any]] = []
    for entry in history:
        if entry.get("rollback"):
            stack.pop()
        else:
            stack.append(entry)
    return stack


def _to_disk(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
