"""Change a registry: add, promote, roll back and prune models. Needs no torch."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from text_recognizer.bundle import Bundle, sha256
from text_recognizer.description import DESCRIPTION
from text_recognizer.errors import BundleInvalid, OutputFailed, UsageError
from text_recognizer.registry import ALIASES, DEFAULT, NAME, REGISTRY, Model, Registry, standing

_INCOMING = ".incoming-"
_WRITABLE = "make room, or get permission to write there"


class Registrar(Registry):
    """A registry that can be changed, by one process at a time. It contains a model completely or not at all."""

    def add(self, folder: Path) -> Model:
        """Copy the bundle in `folder` into the registry under its own name and version.

        A version never changes: the same bundle may be added again, but another one with the same name is refused.
        Raises UsageError, BundleInvalid, and OutputFailed if the disk is full; nothing stays behind then.
        """
        with self.incoming() as fresh:
            bundle = Bundle.open(folder, whole=True)
            for name in (DESCRIPTION, *bundle.description.files):
                shutil.copyfile(bundle.path / name, fresh / name)
            return self.admit(fresh)

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """A temporary empty folder next to the models, for a bundle to pass to `admit`."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=_INCOMING, dir=self.folder) as scratch:
                fresh = Path(scratch) / "bundle"
                fresh.mkdir()
                yield fresh
        except OSError as error:
            raise OutputFailed(
                f"cannot write to {self.folder} ({error.strerror}); nothing was added: {_WRITABLE}, or give another "
                "folder"
            ) from error

    def admit(self, fresh: Path) -> Model:
        """Verify the bundle in the folder `fresh` of `incoming` file by file, and register it."""
        bundle = Bundle.open(fresh, whole=True)
        for part in (bundle.name, bundle.version):
            if not NAME.fullmatch(part) or part in (*ALIASES, DEFAULT):
                raise BundleInvalid(f"'{part}' cannot be the name or version of a model: stage it with another --name.")
        target = self.folder / bundle.name / bundle.version
        model = Model(bundle.name, bundle.version, target, sha256(fresh / DESCRIPTION))
        for file in fresh.iterdir():
            _to_disk(file)
            file.chmod(0o444)
        with self._lock():
            if (target / DESCRIPTION).exists():
                if sha256(target / DESCRIPTION) != model.digest:
                    raise UsageError(f"{model} exists already and is another model: stage it with another --version")
                Bundle.open(target, whole=True)
                return model
            target.parent.mkdir(exist_ok=True)
            fresh.rename(target)
        return model

    def promote(
        self, model: Model, alias: str, reason: str | None = None, gate: Mapping[str, Any] | None = None
    ) -> None:
        """Point `alias` to `model`. `gate` is the report of the gate that let it pass."""
        if alias not in ALIASES:
            raise UsageError(f"there is no alias '{alias}'; give one of: {', '.join(ALIASES)}")
        Bundle.open(model.path, whole=True)
        entry = {"model": str(model), "sha256": model.digest, "at": _now(), "reason": reason, "gate": gate}
        with self._lock():
            content = self._read()
            content.setdefault(alias, []).append(entry)
            self._write(content)

    def rollback(self, alias: str, reason: str | None = None) -> Model:
        """Point `alias` to its model before the last promotion."""
        with self._lock():
            content = self._read()
            stack = standing(content.get(alias, []))
            if len(stack) < 2:
                raise UsageError(f"{alias} had no other model before: there is nothing to roll back to")
            model = self.find(stack[-2]["model"])
            if model.digest != stack[-2]["sha256"]:
                raise BundleInvalid(f"{model.path} was changed since it was promoted, or can't be read.")
            content[alias].append({"rollback": True, "model": str(model), "at": _now(), "reason": reason})
            self._write(content)
        return model

    def prunable(self, keep: int) -> list[Model]:
        """All models except the `keep` newest versions of each name, and those of an alias now or after a rollback."""
        needed = {entry["model"] for alias in ALIASES for entry in standing(self.history(alias))[-2:]}
        seen: dict[str, int] = {}
        out = []
        for model in self.models():
            seen[model.name] = seen.get(model.name, 0) + 1
            if seen[model.name] > keep and str(model) not in needed:
                out.append(model)
        return out

    def prune(self, keep: int) -> list[Model]:
        """Remove the `prunable` models, and the remains of interrupted transfers."""
        with self._lock():
            gone = self.prunable(keep)
            for model in gone:
                # Rename first, so that a model never exists in part.
                away = self.folder / f"{_INCOMING}gone-{model.name}-{model.version}"
                try:
                    model.path.rename(away)
                    shutil.rmtree(away)
                except OSError as error:
                    raise OutputFailed(f"cannot remove {model.path} ({error.strerror}): {_WRITABLE}") from error
            for left in self.folder.glob(f"{_INCOMING}*"):
                if datetime.now(UTC).timestamp() - left.stat().st_mtime > 24 * 3600:
                    shutil.rmtree(left, ignore_errors=True)
        return gone

    def _write(self, content: Mapping[str, Any]) -> None:
        file = self.folder / REGISTRY
        fresh = file.with_suffix(".tmp")
        try:
            fresh.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            _to_disk(fresh)
            fresh.replace(file)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise OutputFailed(f"cannot write {file} ({error.strerror}); nothing was changed: {_WRITABLE}") from error

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Let one process in at a time; the system releases the lock when the process ends."""
        import fcntl

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            stream = (self.folder / ".lock").open("w")
        except OSError as error:
            raise OutputFailed(f"cannot write to {self.folder} ({error.strerror}): {_WRITABLE}") from error
        with stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield


def _to_disk(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
