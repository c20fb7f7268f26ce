"""Versions of data sets: each content, identified by its SHA-256, has a name and a number.

The file of versions, `data/versions.json`, belongs in version control; the data need not. It shows whether a folder has
the content that a model was trained or evaluated on, and which files differ if not.
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
    """(name, SHA-256) of each file in a folder, by name, or of a single file. Raises DataInvalid if there is none."""
    if path.is_file():
        yield path.name, sha256(path)
        return
    if not path.is_dir():
        raise DataInvalid(f"{path} does not exist: give a data set, a file or a folder.")
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        yield file.relative_to(path).as_posix(), sha256(file)


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, or of a folder's file names and digests. Times and owners do not count."""
    return sha256(path) if path.is_file() else _together(dict(files_of(path)))


def _together(files: Mapping[str, str]) -> str:
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in files.items()).encode()).hexdigest()


@dataclass(frozen=True)
class Version:
    """One content of a data set. `files`: the name and SHA-256 of each file."""

    name: str
    number: int
    sha256: str
    at: str
    files: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"


@dataclass(frozen=True)
class Difference:
    """The files that a folder has in addition to a version, lacks, and has changed."""

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
    """The versions in a file; a missing file has none. Raises DataInvalid if it is damaged."""

    def __init__(self, file: Path = VERSIONS) -> None:
        self.file = file
        try:
            entries = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
            self.entries = [Version(**entry) for entry in entries]
        except (OSError, ValueError, TypeError) as error:
            raise DataInvalid(f"{file} is not a file of versions ({type(error).__name__}): restore it.") from error

    def add(self, name: str, path: Path) -> Version:
        """Return the version of `name` with the content of `path`; if there is none, add one."""
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
        """The version NAME@NUMBER, or the newest version of NAME. Raises DataInvalid."""
        wanted, _, number = name.partition("@")
        for version in reversed(self.entries):
            if version.name == wanted and number in ("", str(version.number)):
                return version
        known = ", ".join(map(str, self.entries)) or "none"
        raise DataInvalid(f"there is no data set '{name}' in {self.file} (known: {known}).")

    def named(self, digest: str) -> str:
        """The versions with this SHA-256, such as "letters@2"; empty if there is none."""
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
