"""The journal of a batch: a JSON object for each finished page, appended line by line, which survives a kill.

A page is recorded after its files are in place, so a killed batch repeats at most the pages in progress. An incomplete
last line is dropped when the journal is opened again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from text_recognizer.documents import PageReference
from text_recognizer.errors import OutputFailed, TextRecognizerError, UsageError

try:
    import fcntl
except ModuleNotFoundError:  # Windows: there, two batches into one folder go unnoticed
    fcntl = None  # type: ignore[assignment]

JOURNAL = "batch.jsonl"
ERRORS = "errors.jsonl"


class Journal:
    """The records of the batch in `folder`, by page key.

    Args:
        folder: of the output; it is created.
        resume: continue an existing journal. Otherwise a folder with a journal is refused, since two batches would mix.

    `files` has the names of all results, relative to `folder`.
    Raises `UsageError`, also if another batch is writing to `folder`, and `OutputFailed`.
    """

    def __init__(self, folder: Path, resume: bool) -> None:
        self.path = folder / JOURNAL
        self.done: dict[str, dict[str, Any]] = {}
        self.files: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and not resume:
                raise UsageError(f"{folder} holds the results of a batch: give --resume to go on, or another --output")
            self._stream = self.path.open("ab")
            self._lock()
            self._load()
        except OSError as error:
            raise OutputFailed(f"cannot write to {folder} ({error.strerror}); choose another --output") from None

    def _load(self) -> None:
        whole = 0
        with self.path.open("rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                try:
                    record = json.loads(line)
                    self._note({**record, "key": str(record["key"]), "files": [*map(str, record["files"])]})
                except (ValueError, KeyError, TypeError, RecursionError):
                    continue  # a damaged line, or one from another program: read the page again
        os.truncate(self.path, whole)

    def _lock(self) -> None:
        # The lock is held until the stream is closed or this process ends, however it ends.
        if fcntl is not None:
            try:
                fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._stream.close()
                raise UsageError(
                    f"another batch is writing to {self.path.parent}: wait for it, or choose another --output"
                ) from None
            except OSError:  # a file system without locks
                pass

    def _note(self, record: dict[str, Any]) -> None:
        self.done[record["key"]] = record
        self.files.update(record["files"])

    def add(self, record: dict[str, Any]) -> None:
        """Append a finished page; it is on disk when this returns. Raises `OutputFailed`."""
        try:
            self._stream.write(as_line(record))
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise OutputFailed(f"cannot write {self.path} ({error.strerror}); make room and give --resume") from None
        self._note(record)

    def has(self, key: str) -> bool:
        """Whether the page was read without an error and its files still exist."""
        record = self.done.get(key)
        if record is None or record.get("error"):
            return False
        return all((self.path.parent / name).is_file() for name in record["files"])

    def failures(self) -> Iterator[dict[str, Any]]:
        """The records of pages that could not be read."""
        return (record for record in self.done.values() if record.get("error"))

    def close(self) -> None:
        """Write the failures, if any, to `errors.jsonl` next to the journal, and close it."""
        lines = b"".join(as_line(record) for record in self.failures())
        errors = self.path.with_name(ERRORS)
        try:
            if lines:
                errors.write_bytes(lines)
            else:
                errors.unlink(missing_ok=True)
        except OSError as error:
            raise OutputFailed(f"cannot write {errors} ({error.strerror}); make room and give --resume") from None
        finally:
            with suppress(OSError):  # what `add` could not write
                self._stream.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def as_line(record: dict[str, Any]) -> bytes:
    """A record as a line of JSON. Bytes of file names that are not UTF-8 are escaped."""
    return json.dumps(record, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def about_page(key: str, page: PageReference) -> dict[str, Any]:
    """The part of a record that identifies its page."""
    return {"key": key, "source": page.name, "page": page.number, "stem": page.stem.as_posix()}


def failure(key: str, page: PageReference, error: Exception) -> dict[str, Any]:
    """The record of a page that was not read."""
    if not isinstance(error, TextRecognizerError):
        meaning, advice = TextRecognizerError.meaning, TextRecognizerError.advice
        error = TextRecognizerError(f"{meaning} ({type(error).__name__}: {error}); {advice}")
    about = about_page(key, page)
    return {**about, "files": [], "error": error.code, "message": str(error), "status": error.exit_status}
