"""Corrections as training data: a folder that `finetune` and `evaluate` read, with a manifest of its sources.

`lines.jsonl` has one record for each text line, with its position on the image. `pages/` has transcripts of pages whose
text does not follow the found lines. The same store always yields the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from text_recognizer.errors import DataInvalid, ImageRejected, OutputFailed, UsageError
from text_recognizer.feedback.record import Feedback, Record
from text_recognizer.feedback.store import Store
from text_recognizer.images import FORMATS, load_image

MANIFEST, LINES, TRANSCRIPTS = "export.json", "lines.jsonl", "transcripts.json"
IMAGES, PAGES = "images", "pages"
# Formats that evaluation sets support; other images become PNG.
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "WEBP": ".webp", "BMP": ".bmp"}


@dataclass(frozen=True)
class Selection:
    """Which corrections to export. `model`: only readings by this NAME or NAME@VERSION; `writer`: set for all lines."""

    since: datetime | None = None
    model: str | None = None
    offensive: bool = False
    writer: str | None = None


@dataclass
class Exported:
    """The result of an export; `skipped` has request ids and reasons."""

    request_ids: list[str] = field(default_factory=list)
    corrected: int = 0
    unchanged: int = 0
    removed: int = 0
    transcripts: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    models: Counter[str] = field(default_factory=Counter)
    files: dict[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> int:
        return self.corrected + self.unchanged


class _Skipped(Exception):
    pass


def export(store: Store, folder: Path, selection: Selection) -> Exported:
    """Write all corrections in `store` to `folder`, or nothing. An earlier export there is replaced.

    From a page corrected line by line, the changed lines are exported; the others are too if somebody checked them all.
    Lines that are not on the paper are left out. If an image has several corrections, the latest one counts.
    Raises `DataInvalid` if there is nothing to export, `UsageError` if the folder contains anything else,
    `OutputFailed`, `FeedbackUnavailable`.
    """
    if folder.exists() and not (folder.is_dir() and ((folder / MANIFEST).is_file() or not any(folder.iterdir()))):
        raise UsageError(f"{folder} holds something other than an earlier export; choose a new folder")
    incoming = folder.absolute().parent / f".{folder.absolute().name}.{uuid.uuid4().hex}"
    try:
        incoming.mkdir(parents=True)
        try:
            exported = _write(store, incoming, selection)
            _replace(folder, incoming)
        finally:
            shutil.rmtree(incoming, ignore_errors=True)
    except OSError as error:
        raise OutputFailed(
            f"cannot write to {folder} ({error.strerror or error}); nothing was exported, choose another folder"
        ) from None
    return exported


def _write(store: Store, folder: Path, selection: Selection) -> Exported:
    exported = Exported()
    lines: list[str] = []
    transcripts: dict[str, str] = {}
    for record in _latest(store, selection, exported):
        reading = record.reading
        try:
            texts, text = _corrected(record)
            name, data = _image(store, record)
            if texts:
                place = f"{IMAGES}/{name}"
                rows = _rows(record, texts, place, selection, exported)
                if not rows:
                    raise _Skipped("no line of it was changed, and nobody checked them all")
                lines += rows
            else:
                assert text is not None
                place = f"{PAGES}/{name}"
                transcripts[Path(name).stem] = text
                exported.transcripts += 1
        except (_Skipped, DataInvalid, ImageRejected) as error:
            exported.skipped.append((reading.request_id, str(error)))
            continue
        _put(folder, place, data, exported)
        exported.request_ids.append(reading.request_id)
        exported.models[reading.model] += 1
    if not exported.request_ids:
        reason = f" ({exported.skipped[0][1]})" if exported.skipped else ""
        raise DataInvalid(f"there are no corrections to export{reason}; see: text-recognizer feedback list")
    if lines:
        _put(folder, LINES, "".join(lines).encode(), exported)
    if transcripts:
        _put(folder, f"{PAGES}/{TRANSCRIPTS}", _json(transcripts), exported)
    (folder / MANIFEST).write_bytes(_json(_manifest(exported, selection)))
    return exported


def _latest(store: Store, selection: Selection, exported: Exported) -> list[Record]:
    """The records to export, one for each image, in the order of their readings."""
    latest: dict[str, tuple[datetime, str, Record]] = {}
    for record in store.records(since=selection.since, with_feedback=True):
        reading, verdict = record.reading, _verdict(record)
        if verdict is None or (
            selection.model and selection.model not in (reading.model, reading.model.partition("@")[0])
        ):
            continue
        if "offensive" in record.flags and not selection.offensive:
            exported.skipped.append((reading.request_id, "flagged as offensive"))
            continue
        mine = verdict.at, reading.request_id, record
        other = latest.get(reading.image_sha256)
        latest[reading.image_sha256] = mine if other is None else max(mine, other, key=lambda item: item[:2])
        if other is not None:
            older = min(mine, other, key=lambda item: item[:2])
            exported.skipped.append((older[1], "its image was corrected again later"))
    return sorted((item[2] for item in latest.values()), key=lambda r: (r.reading.at, r.reading.request_id))


def _verdict(record: Record) -> Feedback | None:
    """The feedback that counts: the latest correction, or else the latest that confirmed the page as it was read."""
    right = (one for one in reversed(record.feedback) if one.checked)
    return record.correction or next(right, None)


def _corrected(record: Record) -> tuple[list[tuple[dict[str, Any], str]], str | None]:
    """The lines of the page with their texts, or a text that does not follow the lines."""
    verdict, page = _verdict(record), record.reading.page
    assert verdict is not None
    if verdict.page is not None:
        return _annotated(verdict.page, page), None
    read: list[dict[str, Any]] = [] if page is None else page["lines"]
    if verdict.lines is None and verdict.text is not None:
        written = [" ".join(line.split()) for line in verdict.text.splitlines() if line.strip()]
        if not written:
            raise _Skipped("the correction says that there is no text")
        if len(written) != len(read):
            return [], "\n".join(written)
    elif page is None:
        raise _Skipped("its page was not stored")
    else:
        written = (
            [line["text"] for line in read] if verdict.lines is None else [" ".join(s.split()) for s in verdict.lines]
        )
    if len(written) != len(read):
        raise _Skipped(f"{len(written)} lines for a page of {len(read)}")
    if not read:
        raise _Skipped("no lines were found on it")
    return list(zip(read, written, strict=True)), None


def _annotated(page: dict[str, Any], read: dict[str, Any] | None) -> list[tuple[dict[str, Any], str]]:
    """Lines that somebody outlined, with their texts: the line as it was read if it exists, otherwise a new line."""
    texts = {_key(line): line["text"] for line in (read or {"lines": []})["lines"]}
    return [({**line, "text": texts.get(_key(line), "")}, " ".join(line["text"].split())) for line in page["lines"]]


def _key(line: dict[str, Any]) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(point) for point in line["polygon"])


def _rows(
    record: Record, texts: list[tuple[dict[str, Any], str]], image: str, selection: Selection, exported: Exported
) -> list[str]:
    verdict = _verdict(record)
    # Somebody who first corrects and later confirms the rest means the corrected lines.
    checked = any(one.checked for one in record.feedback if verdict is not None and one.at >= verdict.at)
    rows = []
    counts: Counter[str] = Counter()
    for line, text in texts:
        same = text == " ".join(str(line["text"]).split())
        if not text:
            counts["removed"] += not same
            continue
        if same and not checked:
            continue
        if len(line["polygon"]) < 3:
            exported.skipped.append((record.reading.request_id, f"the line {text!r} has no position on the page"))
            continue
        counts["unchanged" if same else "corrected"] += 1
        row: dict[str, Any] = {"image": image, "text": text, "polygon": line["polygon"]}
        if len(line["baseline"]) > 1:
            row["baseline"] = line["baseline"]
        if selection.writer:
            row["writer"] = selection.writer
        row |= {"source": "feedback", "request_id": record.reading.request_id}
        rows.append(json.dumps(row, ensure_ascii=False) + "\n")
    if rows:
        exported.corrected += counts["corrected"]
        exported.unchanged += counts["unchanged"]
        exported.removed += counts["removed"]
    return rows


def _image(store: Store, record: Record) -> tuple[str, bytes]:
    """A name for the record's image, and its bytes in a format that evaluation sets support."""
    data = store.image(record.reading)
    name = record.reading.image_sha256[:16]
    with Image.open(BytesIO(data), formats=FORMATS) as image:
        suffix = _SUFFIXES.get(image.format or "")
    if suffix is None:
        out = BytesIO()
        Image.fromarray(load_image(data).rgb).save(out, "PNG")
        return f"{name}.png", out.getvalue()
    return name + suffix, data


def _put(folder: Path, place: str, data: bytes, exported: Exported) -> None:
    target = folder / place
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(data)
    exported.files[place] = hashlib.sha256(data).hexdigest()


def _manifest(exported: Exported, selection: Selection) -> dict[str, Any]:
    files = dict(sorted(exported.files.items()))
    return {
        "format": 1,
        "source": "feedback",
        "sha256": hashlib.sha256(_json(files)).hexdigest(),
        "lines": exported.lines,
        "corrected": exported.corrected,
        "unchanged": exported.unchanged,
        "removed": exported.removed,
        "transcripts": exported.transcripts,
        "models": dict(sorted(exported.models.items())),
        "chosen": {
            "since": selection.since.isoformat() if selection.since else None,
            "model": selection.model,
            "offensive": selection.offensive,
            "writer": selection.writer,
        },
        "request_ids": exported.request_ids,
        "skipped": [{"request_id": request_id, "reason": reason} for request_id, reason in sorted(exported.skipped)],
        "files": files,
    }


def _json(content: Any) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def _replace(folder: Path, incoming: Path) -> None:
    if not folder.exists():
        incoming.rename(folder)
        return
    earlier = incoming.with_name(incoming.name + ".earlier")
    folder.rename(earlier)
    try:
        incoming.rename(folder)
    except OSError:
        earlier.rename(folder)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def reasons(skipped: Iterable[tuple[str, str]]) -> dict[str, int]:
    """The number skipped for each reason."""
    return dict(Counter(reason for _, reason in skipped))
