"""Import annotations from Label Studio's JSON, ALTO or PAGE.

An import is a correction of the reading: line by line if its lines match the found lines, otherwise as a whole page.
Its id is a hash of its content, so a file imported twice is stored once.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from text_recognizer.errors import DataInvalid, FeedbackRejected, TextRecognizerError
from text_recognizer.evaluation.alto_page import WrittenLine, read_page
from text_recognizer.feedback.annotation import CONFIG, simpler, with_text
from text_recognizer.feedback.record import Feedback, Record
from text_recognizer.feedback.store import Store
from text_recognizer.formats.json_lines import from_dict, to_dict
from text_recognizer.formats.shapes import pixels
from text_recognizer.layout.blocks import arrange
from text_recognizer.page import Line, Page, Polygon, Polyline

MAX_TEXT = 20_000  # characters of a page, as over HTTP
SAME = 2.0
"""Pixels by which unmoved corners of an outline may differ, because some programs round them."""


@dataclass
class Imported:
    """The result of an import: newly stored pages, pages stored before, tasks without annotation, and problems."""

    stored: int = 0
    known: int = 0
    untouched: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AnnotatedLine:
    """A line as a person left it, in pixels of the upright image."""

    text: str
    polygon: Polygon
    baseline: Polyline = ()


@dataclass(frozen=True, slots=True)
class _Annotation:
    """A page as a person left it. `version` tells equal contents apart; `in_order`: lines are in reading order."""

    request_id: str
    lines: tuple[AnnotatedLine, ...]
    version: str = ""
    in_order: bool = True


def import_annotations(store: Store, path: Path) -> Imported:
    """Store the annotations in a file, or in all `.json` and `.xml` files below a folder, as corrections.

    Unusable annotations are listed in `problems`; the others are stored. Raises `DataInvalid` if there is no file,
    `FeedbackUnavailable`.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in (".json", ".xml") and file.is_file())
    else:
        files = [path] if path.is_file() else []
    if not files:
        raise DataInvalid(f"{path} holds no .json or .xml file; give Label Studio's JSON, or ALTO or PAGE files")
    done = Imported()
    for file in files:
        try:
            data = file.read_bytes()
        except OSError as error:
            done.problems.append(f"{file}: cannot be read ({error.strerror})")
            continue
        if file.suffix.lower() == ".xml":
            if file.name not in (CONFIG, "mets.xml", "METS.xml", "metadata.xml"):
                _store(store, done, str(file), lambda file=file, data=data: _of_xml(store, file, data))
            continue
        try:
            tasks = json.loads(data)
        except (ValueError, RecursionError) as error:
            done.problems.append(f"{file}: not JSON ({error})")
            continue
        tasks = [tasks] if isinstance(tasks, dict) else tasks
        if not isinstance(tasks, list):
            done.problems.append(f"{file}: neither a task nor a list of them; export as JSON")
            continue
        for number, task in enumerate(tasks, 1):
            _store(store, done, f"{file}: task {number}", lambda task=task: _of_task(store, task))
    return done


def _store(store: Store, done: Imported, name: str, read: Any) -> None:
    """Store what `read` returns: a record and its annotation, or None if there is no annotation."""
    try:
        found = read()
        if found is None:
            done.untouched += 1
            return
        stored = store.flag(correction(*found))
    except (DataInvalid, FeedbackRejected) as error:
        done.problems.append(f"{name}: {error}")
        return
    except TextRecognizerError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        done.problems.append(f"{name}: not as Label Studio writes it ({reason}); export as JSON")
        return
    if stored is None:
        done.problems.append(f"{name}: its reading was deleted in the meantime")
    elif stored.new:
        done.stored += 1
    else:
        done.known += 1


def _record(store: Store, request_id: str) -> Record:
    record = store.get(request_id)
    if record is None:
        raise DataInvalid(f"the store has no reading {request_id!r}; import into the store that it was exported from")
    if record.reading.page is None:
        raise DataInvalid(f"the page of the reading {request_id} was not stored: there is nothing to compare with")
    return record


def _of_xml(store: Store, file: Path, data: bytes) -> tuple[Record, _Annotation]:
    written = read_page(data)
    # Programs keep the image's name, some with a number in front; the XML file may have another name.
    stems = [Path(written.image).stem, file.stem]
    names = [*stems, *(re.sub(r"^\d+[_-]", "", stem) for stem in stems)]
    known = next((name for name in names if name and store.get(name) is not None), stems[0] or file.stem)
    record = _record(store, known)
    assert record.reading.page is not None
    page = from_dict(record.reading.page)
    for ours, theirs in ((page.width, written.width), (page.height, written.height)):
        if theirs is not None and abs(ours - theirs) > 1:
            size = f"{written.width:g} × {written.height:g}" if written.width and written.height else f"{theirs:g}"
            raise DataInvalid(
                f"it is for an image of {size}, but the image that was read has {page.width} × {page.height} pixels"
            )
    for line in written.lines:
        if line.problem:
            raise DataInvalid(f"line {line.name}: {line.problem}")
    return record, _Annotation(known, tuple(map(_of_written, written.lines)))


def _of_written(line: WrittenLine) -> AnnotatedLine:
    return AnnotatedLine(line.text, line.polygon, line.baseline or ())


def _of_task(store: Store, task: Any) -> tuple[Record, _Annotation] | None:
    """The annotation of a task in Label Studio's JSON or JSON-MIN; None if there is none."""
    if not isinstance(task, dict):
        raise DataInvalid("not a task")
    minimal = "data" not in task
    data = task if minimal else task["data"]
    request_id = data.get("request_id")
    if not isinstance(request_id, str) or not request_id:
        raise DataInvalid("no request_id in its data: it was not exported from here")
    if minimal:
        results, version = _minimal_results(task), str(task.get("updated_at", ""))
    else:
        done = [a for a in task.get("annotations") or [] if not a.get("was_cancelled")]
        if not done:
            return None
        chosen = max(done, key=lambda a: (bool(a.get("ground_truth")), str(a.get("updated_at", "")), a.get("id") or 0))
        results, version = chosen["result"], str(chosen.get("updated_at", ""))
    record = _record(store, request_id)
    assert record.reading.page is not None
    page = from_dict(record.reading.page)
    return record, _Annotation(request_id, tuple(_regions(results, page)), version, in_order=False)


def _minimal_results(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The results of a JSON-MIN task. Its outlines and texts are in separate lists, which match if equally long."""
    shapes = [shape for value in task.values() if isinstance(value, list) for shape in value if isinstance(shape, dict)]
    texts = task.get("transcription", [])
    texts = [texts] if isinstance(texts, str) else texts
    if len(shapes) != len(texts):
        raise DataInvalid(f"{len(shapes)} outlines and {len(texts)} texts do not match; export as JSON")
    return [
        {"id": str(number), "type": "textarea", "value": {**shape, "text": [text]}}
        for number, (shape, text) in enumerate(zip(shapes, texts, strict=True))
    ]


def _regions(results: Iterable[Mapping[str, Any]], page: Page) -> list[AnnotatedLine]:
    shapes: dict[str, Polygon] = {}
    texts: dict[str, str] = {}
    for result in results:
        value = result["value"]
        if "points" in value or "width" in value:
            shapes[str(result["id"])] = _outline(value, page)
        if result["type"] == "textarea":
            text = value["text"]
            texts[str(result["id"])] = text if isinstance(text, str) else " ".join(text)
    return [AnnotatedLine(texts.get(name, ""), polygon) for name, polygon in shapes.items()]


def _outline(value: Mapping[str, Any], page: Page) -> Polygon:
    """Convert a polygon, or a rectangle that may be rotated about its top left, from percent to pixels."""
    if "points" in value:
        points = [(float(x) * page.width / 100, float(y) * page.height / 100) for x, y in value["points"]]
    else:
        x, y = float(value["x"]) * page.width / 100, float(value["y"]) * page.height / 100
        w, h = float(value["width"]) * page.width / 100, float(value["height"]) * page.height / 100
        angle = math.radians(float(value.get("rotation") or 0))
        cos, sin = math.cos(angle), math.sin(angle)
        corners = ((0.0, 0.0), (w, 0.0), (w, h), (0.0, h))
        points = [(x + cos * across - sin * down, y + sin * across + cos * down) for across, down in corners]
    if len(points) < 3 or not all(math.isfinite(n) for point in points for n in point):
        raise DataInvalid("the outline of a line has fewer than three points")
    return tuple(points)


def correction(record: Record, annotation: _Annotation) -> Feedback:
    """An annotation as feedback on a reading with a stored page. Raises DataInvalid for unusable texts."""
    assert record.reading.page is not None
    page = from_dict(record.reading.page)
    lines = [replace(line, text=_clean(line.text)) for line in annotation.lines]
    if sum(len(line.text) for line in lines) > MAX_TEXT:
        raise DataInvalid(f"more than {MAX_TEXT:,} characters on a page")
    feedback = Feedback(id="", request_id=record.reading.request_id, at=datetime.now(UTC), checked=True)
    found = _matched(lines, page)
    if None not in found:
        texts = [""] * len(page.lines)
        for line, index in zip(lines, found, strict=True):
            assert index is not None
            texts[index] = line.text
        feedback = replace(feedback, lines=tuple(texts))
    else:
        written = [
            Line(text=line.text, polygon=line.polygon, baseline=line.baseline, confidence=1.0, words=())
            if index is None
            else with_text(page.lines[index], line.text)
            for line, index in zip(lines, found, strict=True)
        ]
        if not annotation.in_order:
            written = _in_reading_order(written)
        corrected = replace(page, lines=tuple(line for line in written if line.text), blocks=())
        feedback = replace(
            feedback, page=to_dict(corrected, str(record.reading.page.get("source", ""))), text=corrected.text
        )
    content = json.dumps([feedback.request_id, feedback.lines, feedback.page, annotation.version], sort_keys=True)
    return replace(feedback, id=f"annotation-{hashlib.sha256(content.encode()).hexdigest()[:40]}")


def _clean(text: str) -> str:
    """`text` on one line, in composed characters. Raises DataInvalid for control characters."""
    plain = unicodedata.normalize("NFC", " ".join(text.split()))
    if bad := next((char for char in plain if unicodedata.category(char) in ("Cc", "Cs")), ""):
        raise DataInvalid(f"a control character, U+{ord(bad):04X}, in {plain[:40]!r}")
    return plain


def _matched(lines: Sequence[AnnotatedLine], page: Page) -> list[int | None]:
    """For each line, the index of the page's line with the same outline, or None."""
    left = {
        index: [pixels(polygon, page) for polygon in (line.polygon, simpler(line.polygon))]
        for index, line in enumerate(page.lines)
    }
    found: list[int | None] = []
    for line in lines:
        shape = pixels(line.polygon, page)
        index = next((i for i, known in left.items() if any(_same(shape, one) for one in known)), None)
        if index is not None:
            del left[index]
        found.append(index)
    return found


def _same(ours: Sequence[tuple[int, int]], theirs: Sequence[tuple[int, int]]) -> bool:
    return len(ours) == len(theirs) and all(math.dist(a, b) <= SAME for a, b in zip(ours, theirs, strict=True))


def _in_reading_order(lines: Sequence[Line]) -> list[Line]:
    """Sort lines, since people add lines at the end. On a page rotated by 90 degrees the order stays as it is."""
    upright = all(abs(b[-1][1] - b[0][1]) < abs(b[-1][0] - b[0][0]) for b in (line.baseline for line in lines) if b)
    if not upright:
        return list(lines)
    return list(arrange(lines)[0])
