"""Versions of data sets: a name and a number for each content, by its sha256.

A file of versions, `data/versions.json`, belongs into version control; the data need not. It tells whether a folder
holds what a model was trained or measured on, and which files differ where it does not.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from text_recognizer.bundle import sha256
from text_recognizer.errors import DataInvalid, OutputFailed, UsageError

VERSIONS = Path("data/versions.json")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def files_of(path: Path) -> Iterator[tuple[str, str]]:
    """(name, sha256) of each file of a folder, by name; of a file itself. Raises DataInvalid if there is nothing."""
    if path.is_file():
        yield path.name, sha256(path)
        return
    if not path.is_dir():
        raise DataInvalid(f"{path} does not exist: give a data set, a file or a folder.")
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        yield file.relative_to(path).as_posix(), sha256(file)


def fingerprint(path: Path) -> str:
    """sha256 of a file; of a folder that of its files' names and digests. Times and owners do not count."""
    return sha256(path) if path.is_file() else _together(dict(files_of(path)))


def _together(files: Mapping[str, str]) -> str:
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in files.items()).encode()).hexdigest()


@dataclass(frozen=True)
class Version:
    """One content of a data set. `files`: name and sha256 of each."""

    name: str
    number: int
    sha256: str
    at: str
    files: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


@dataclass(frozen=True)
class Difference:
    """What a folder has beside a version, lacks, and has changed."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        parts = [(kind, names) for kind, names in asdict(self).items() if names]
        return "; ".join(
            f"{kind}: {', '.join(n[:5])}{f' and {len(n) - 5} more' if len(n) > 5 else ''}" for kind, n in parts
        )


class Versions:
    """The versions in a file; a missing file holds none. Raises DataInvalid for a damaged one."""

    def __init__(self, file: Path = VERSIONS) -> None:
        self.file = file
        try:
            entries = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
            self.entries = [Version(**entry) for entry in entries]
        except (OSError, ValueError, TypeError) as error:
            raise DataInvalid(f"{file} is not a file of versions ({type(error).__name__}): restore it.") from error

    def add(self, name: str, path: Path) -> Version:
        """The version of `name` that holds the content of `path`; a new one if no version does."""
        if not _NAME.fullmatch(name):
            raise UsageError(f"'{name}' cannot be the name of a data set: use letters, digits, '.', '_' and '-'")
        files = dict(files_of(path))
        digest = sha256(path) if path.is_file() else _together(files)
        mine = [version for version in self.entries if version.name == name]
        for version in mine:
            if version.sha256 == digest:
                return version
        added = Version(name, len(mine) + 1, digest, datetime.now(UTC).isoformat(timespec="seconds"), files)
        self.entries.append(added)
        self._write()
        return added

    def find(self, name: str) -> Version:
        """The version NAME@NUMBER, or the newest of NAME. Raises DataInvalid."""
        wanted, _, number = name.partition("@")
        for version in reversed(self.entries):
            if version.name == wanted and number in ("", str(version.number)):
                return version
        known = ", ".join(map(str, self.entries)) or "none"
        raise DataInvalid(f"there is no data set '{name}' in {self.file} (known: {known}).")

    def named(self, digest: str) -> str:
        """The versions with that sha256, as "letters@2"; empty where there is none."""
        return ", ".join(str(version) for version in self.entries if version.sha256 == digest)

    def _write(self) -> None:
        fresh = self.file.with_suffix(".tmp")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            content = [asdict(version) for version in self.entries]
            fresh.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
            fresh.replace(self.file)
        except OSError as error:
            raise OutputFailed(f"cannot write {self.file} ({error.strerror}); give another --versions") from None


def difference(version: Version, path: Path) -> Difference:
    """How the content of `path` differs from `version`."""
    here, there = dict(files_of(path)), version.files
    if path.is_file() and len(there) == 1:  # a file may have another name
        here = dict(zip(there, here.values(), strict=True))
    return Difference(
        tuple(sorted(here.keys() - there.keys())),
        tuple(sorted(there.keys() - here.keys())),
        tuple(sorted(name for name in here.keys() & there.keys() if here[name] != there[name])),
    )
