"""Fetch the packages in a lock file with the package registries' own clients, and check each SHA-256."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SECONDS = 180  # for one package


@dataclass(frozen=True)
class Package:
    """One entry of a lock file."""

    registry: Literal["npm", "pypi", "debian"]
    package: str
    version: str
    sha256: str  # of the archive as served by the registry
    licence: str
    about: dict[str, str]  # further facts for the source that fetches it


def read_lock(path: Path) -> list[Package]:
    """The entries of a lock file; keys without a field in `Package` go to `about`."""
    fields = ("registry", "package", "version", "sha256", "licence")
    entries = json.loads(path.read_text(encoding="utf-8"))
    return [
        Package(**{f: e[f] for f in fields}, about={k: str(v) for k, v in e.items() if k not in fields})
        for e in entries
    ]


def unpack(package: Package, folder: Path) -> Path:
    """Fetch `package` and unpack it into the empty `folder`. Raises ValueError with the reason for a failure."""
    with tempfile.TemporaryDirectory() as scratch:
        archive = _fetch(package, Path(scratch))
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != package.sha256:
            raise ValueError(
                f"{package.package} {package.version} has sha256 {digest}, not the {package.sha256} of the lock file"
            )
        if archive.suffix == ".deb":
            _call(["dpkg-deb", "--extract", str(archive), str(folder)], folder, package)
        else:
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
    return folder


def _fetch(package: Package, scratch: Path) -> Path:
    name, version = package.package, package.version
    command = {
        "npm": ["npm", "pack", "--silent", f"{name}@{version}"],
        "pypi": ["pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", f"{name}=={version}"],
        "debian": ["apt-get", "download", "--quiet", f"{name}={version}"],
    }[package.registry]
    _call(command, scratch, package)
    archives = [p for p in scratch.iterdir() if p.suffix in (".tgz", ".gz", ".deb")]
    if len(archives) != 1:
        raise ValueError(f"{name} {version}: {command[0]} downloaded no archive; is this version still published?")
    return archives[0]


def _call(command: list[str], folder: Path, package: Package) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    except FileNotFoundError:
        raise ValueError(
            f"{package.package} needs the program {command[0]}; install it or leave this source out"
        ) from None
    except subprocess.TimeoutExpired:
        raise ValueError(f"{package.package} did not arrive within {SECONDS} s") from None
    if done.returncode:
        output = (done.stderr or done.stdout).strip().splitlines()
        raise ValueError(
            f"{package.package} {package.version}: {command[0]} failed: {output[-1] if output else 'no message'}"
        )
