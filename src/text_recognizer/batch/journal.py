"""The journal of a batch: a JSON object for each finished page, appended line by line and safe against kills.

A page is recorded after its files are in place, so a batch that was killed repeats at most the pages in progress.
An incomplete last line is dropped when the journal is opened again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from text_recognizer.documents import PageReference
from text_recognizer.errors import OutputFailed, TextRecognizerError, UsageError

JOURNAL = "batch.jsonl"
ERRORS = "errors.jsonl"


class Journal:
    """The records of the batch in `folder`, by page key.

    Args:
        folder: of the output; it is created.
        resume: continue an existing journal. Otherwise a folder with one is refused, since two batches would mix.

    Raises `UsageError` and `OutputFailed`.
    """

    def __init__(self, folder: Path, resume: bool) -> None:
        self.path = folder / JOURNAL
        self.done: dict[str, dict[str, Any]] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                if not resume:
                    raise UsageError(
                        f"{folder} holds the results of a batch: give --resume to go on, or another --output"
                    )
                self._load()
            self._stream = self.path.open("ab")
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
                    self.done[record["key"]] = record
                except (ValueError, KeyError, TypeError):
                    continue  # a line that was damaged: its page is read again
        os.truncate(self.path, whole)

    def add(self, record: dict[str, Any]) -> None:
        """Append a finished page; on disk when this returns. Raises `OutputFailed`."""
        try:
            self._stream.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise OutputFailed(f"cannot write {self.path} ({error.strerror}); make room and give --resume") from None
        self.done[record["key"]] = record

    def has(self, key: str) -> bool:
        """Whether that was done without an error, and its files are still there."""
        record = self.done.get(key)
        if record is None or record.get("error"):
            return False
        return all((self.path.parent / name).is_file() for name in record["files"])

    def failures(self) -> Iterator[dict[str, Any]]:
        """The records of pages that could not be read."""
        return (record for record in self.done.values() if record.get("error"))

    def close(self) -> None:
        """Write the failures to `errors.jsonl` beside the journal (no file where there are none), and close."""
        self._stream.close()
        lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in self.failures()]
        errors = self.path.with_name(ERRORS)
        if lines:
            errors.write_text("".join(lines), encoding="utf-8")
        else:
            errors.unlink(missing_ok=True)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def about_page(key: str, page: PageReference) -> dict[str, Any]:
    """What a record says of the page that it is about."""
    return {"key": key, "source": page.name, "page": page.number, "stem": page.stem.as_posix()}


def failure(key: str, page: PageReference, error: Exception) -> dict[str, Any]:
    """The record of a page that was not read."""
    if not isinstance(error, TextRecognizerError):
        meaning, advice = TextRecognizerError.meaning, TextRecognizerError.advice
        error = TextRecognizerError(f"{meaning} ({type(error).__name__}: {error}); {advice}")
    about = about_page(key, page)
    return {**about, "files": [], "error": error.code, "message": str(error), "status": error.exit_status}
