"""The images of a store: files named by the SHA-256 of their bytes, in a folder or at any fsspec address."""

from __future__ import annotations

import os
import threading
import time
import uuid
from contextlib import AbstractContextManager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fsspec
from fsspec.core import split_protocol, url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import known_implementations

from text_recognizer.errors import ExtraMissing, UsageError
from text_recognizer.feedback.failures import unavailable

# Feedback waits for its image, so fail after some seconds instead of botocore's minutes.
_S3 = {"config_kwargs": {"connect_timeout": 3, "read_timeout": 10, "retries": {"max_attempts": 1}}}
_PART = ".part"
_PART_SECONDS = 3600.0  # writing an image never takes that long


class Images:
    """Images at `address`: a folder, `s3://bucket/prefix` or the like. Nothing is created before the first use.

    Raises `UsageError` for an unknown kind of address, `ExtraMissing` if its package is not installed. The methods
    raise
    `FeedbackUnavailable`.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        protocol = split_protocol(address)[0] or "file"
        if protocol not in fsspec.available_protocols():
            raise UsageError(
                f"images cannot be stored at {address}: fsspec does not know {protocol}://; give a folder or s3://…"
            )
        known = known_implementations.get(protocol, {}).get("class", "")
        package = known.partition(".")[0]
        if package and find_spec(package) is None:
            raise ExtraMissing(f"images at {protocol}:// need the package '{package}'; run: pip install {package}")
        self._options: dict[str, Any] = {"use_listings_cache": False, **(_S3 if protocol in ("s3", "s3a") else {})}
        self._lock = threading.Lock()
        self._found: tuple[Any, str] | None = None

    def put(self, name: str, data: bytes) -> None:
        """Store all of `data` or nothing."""
        with self._errors():
            fs, path = self._place(name)
            if not isinstance(fs, LocalFileSystem):
                fs.pipe_file(path, data)  # an object only appears in the store when it is complete
                return
            target = Path(path)
            # Handwriting is private: no other user of the machine may read it.
            for folder in reversed(target.parents):
                folder.mkdir(mode=0o700, exist_ok=True)
            part = target.with_name(f"{target.name}.{uuid.uuid4().hex}{_PART}")
            try:
                with open(part, "xb", opener=_private) as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
                part.replace(target)
            except BaseException:
                with suppress(OSError):
                    part.unlink()
                raise

    def get(self, name: str) -> bytes | None:
        """The bytes of an image; None if there is no such image."""
        with self._errors():
            fs, path = self._place(name)
            try:
                return bytes(fs.cat_file(path))
            except FileNotFoundError:
                return None

    def size(self, name: str) -> int | None:
        """The size of an image in bytes; None if there is no such image."""
        with self._errors():
            fs, path = self._place(name)
            try:
                return int(fs.info(path)["size"])
            except FileNotFoundError:
                return None

    def remove(self, name: str) -> None:
        """Remove an image if there is one."""
        with self._errors():
            fs, path = self._place(name)
            with suppress(FileNotFoundError):
                fs.rm_file(path)

    def names(self) -> list[str]:
        """The names of all images, sorted. Removes incomplete files of killed writers."""
        with self._errors():
            fs, root = self._root()
            prefix = root.rstrip("/") + "/"
            found = [str(path).removeprefix(prefix) for path in fs.find(root)]
            for name in (name for name in found if name.endswith(_PART)):
                with suppress(FileNotFoundError):
                    if time.time() - Path(prefix + name).stat().st_mtime > _PART_SECONDS:
                        Path(prefix + name).unlink()
            return sorted(name for name in found if not name.endswith(_PART))

    def total(self) -> int:
        """The size of all images together, in bytes."""
        with self._errors():
            fs, root = self._root()
            return sum(int(info["size"]) for info in fs.find(root, detail=True).values())

    def _place(self, name: str) -> tuple[Any, str]:
        fs, root = self._root()
        return fs, f"{root.rstrip('/')}/{name}"

    def _root(self) -> tuple[Any, str]:
        with self._lock:
            if self._found is None:
                fs, root = url_to_fs(self.address, **self._options)
                if hasattr(fs, "retries"):
                    fs.retries = 2
                self._found = fs, str(root)
            return self._found

    def _errors(self) -> AbstractContextManager[None]:
        # Each file system raises its own errors.
        return unavailable(f"images cannot be stored at or read from {self.address}", Exception)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
