"""Export readings for annotation and import the result: JSON for Label Studio, ALTO or PAGE for other programs.

The text that was read is exported as a first draft. An import is a correction of the reading: line by line where the
lines are those that were found, otherwise as a whole page. Its id is a hash of its content, so a file that is imported
twice is stored once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote

import cv2
import numpy as np
from numpy.typing import NDArray

from text_recognizer.errors import (
    DataInvalid,
    FeedbackRejected,
    ImageRejected,
    OutputFailed,
    TextRecognizerError,
    UsageError,
)
from text_recognizer.evaluation.alto_page import WrittenLine, read_page
from text_recognizer.feedback.record import Feedback, Record
from text_recognizer.feedback.statistics import FEATURES
from text_recognizer.feedback.store import Store
from text_recognizer.formats import get_format
from text_recognizer.formats.json_lines import from_dict, to_dict
from text_recognizer.formats.shapes import pixels
from text_recognizer.images import to_picture
from text_recognizer.layout.blocks import arrange
from text_recognizer.page import Line, Page, Polygon, Polyline

Target = Literal["label-studio", "alto", "page"]
TARGETS: tuple[str, ...] = get_args(Target)
TASKS, CONFIG, IMAGES = "tasks.json", "labels.xml", "images"
LOCAL_FILES = "/data/local-files/?d=images/"
"""The address under which Label Studio serves files of a local storage."""
POOL = 5
"""The most different records are chosen from this many times as many of the least certain."""
MAX_TEXT = 20_000  # characters of a page, as over HTTP
SAME = 2.0
"""Pixels by which unmoved corners of an outline may differ: some programs round."""
SIMPLER = 0.04
"""Share of a line's height by which the outlines for Label Studio may be off: fewer corners are easier to drag."""

LABELING = """\
<View>
  <View style="display: flex; gap: 1em">
    <PolygonLabels name="polygon" toName="image" strokeWidth="2" pointSize="small" opacity="0.1">
      <Label value="Line" background="#1f77b4"/>
    </PolygonLabels>
    <RectangleLabels name="rectangle" toName="image" strokeWidth="2" opacity="0.1">
      <Label value="Line as a box" background="#ff7f0e"/>
    </RectangleLabels>
  </View>
  <Image name="image" value="$ocr" zoom="true" zoomControl="true" rotateControl="true"/>
  <TextArea name="transcription" toName="image" perRegion="true" editable="true" required="true" maxSubmissions="1"
            rows="2" displayMode="region-list" placeholder="What this line says"/>
</View>
"""
"""Label Studio's labeling configuration: its OCR template with lines alone, as polygons or rectangles."""


@dataclass
class Annotated:
    """The pages that `annotate` wrote, and the readings that it left out, each with a reason."""

    pages: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Imported:
    """The result of an import: pages stored now, stored before, tasks without annotation, and problems."""

    stored: int = 0
    known: int = 0
    untouched: int = 0
    problems: list[str] = field(default_factory=list)


# ------------------------------------------------------------------------------------------------------------- export


def flagged(records: Iterable[Record]) -> Iterator[Record]:
    """Records that somebody flagged and nobody corrected."""
    return (record for record in records if record.flags and record.correction is None)


def ranked(records: Iterable[Record], most: int | None = None) -> list[Record]:
    """Uncorrected records, the most instructive to correct first: uncertain, and unlike those before.

    The first is the least certain, by the mean confidence of its lines. Of the least certain `POOL * most`, the next
    is the one with the largest product of doubt (1 - confidence) and distance to the nearest record before it: so one
    bad batch of scans does not fill the list. Records without lines come last. Only one
    reading of each image counts. Work: records times `most`.

    References
    - Sener, Savarese, "Active learning for convolutional neural networks: a core-set approach", ICLR 2018
    - Zhdanov, "Diverse mini-batch active learning", arXiv:1901.05954: first by informativeness, then by diversity
    """
    newest: dict[str, Record] = {}
    for record in records:
        if record.correction is None and record.reading.image:
            newest[record.reading.image_sha256] = record
    found = sorted(newest.values(), key=lambda record: (_confidence(record), record.reading.request_id))
    count = len(found) if most is None else min(most, len(found))
    pool = found[: POOL * count]
    if len(pool) < 2:
        return pool[:count]
    doubt = 1 - np.asarray([_confidence(record) for record in pool])
    places = _places(pool)
    chosen = [0]
    nearest = np.full(len(pool), np.inf)
    while len(chosen) < count:
        nearest = np.minimum(nearest, np.sqrt(((places - places[chosen[-1]]) ** 2).sum(1)))
        worth = doubt * (nearest / max(1e-9, float(nearest.max())) + 1e-6)  # equal pages go by their doubt
        worth[chosen] = -np.inf
        chosen.append(int(worth.argmax()))
    return [pool[number] for number in chosen]


def _confidence(record: Record) -> float:
    """Mean of its lines; 1 where nothing was read."""
    lines = record.reading.page["lines"] if record.reading.page else []
    return sum(line["confidence"] for line in lines) / len(lines) if lines else 1.0


def _places(records: Sequence[Record]) -> NDArray[np.float64]:
    """(records, numbers): the numbers of monitoring as ranks 0…1, so that units and outliers do not matter."""
    values = np.asarray(
        [[record.reading.statistics.get(feature.name, np.nan) for feature in FEATURES] for record in records]
    )
    known = np.isfinite(values)
    order = np.argsort(np.argsort(np.where(known, values, -np.inf), axis=0, kind="stable"), axis=0, kind="stable")
    ranks = order / max(1, len(records) - 1)
    for column in range(values.shape[1]):  # equal values share a rank
        _, first, inverse = np.unique(values[:, column], return_index=True, return_inverse=True)
        ranks[:, column] = ranks[first, column][inverse]
    return np.where(known, ranks, 0.5)


def annotate(store: Store, records: Iterable[Record], folder: Path, to: Target, prefix: str | None = None) -> Annotated:
    """Write images and first drafts of `records` to `folder`, which must be new or empty.

    `to` Label Studio: `tasks.json` and `labels.xml`; images are inside the tasks, or with `prefix` in the folder
    `images`, and tasks refer to them by that prefix. ALTO or PAGE: an image and an XML file for each page.
    Raises `DataInvalid` where there is nothing to annotate, `UsageError` where the folder holds something,
    `OutputFailed`, `FeedbackUnavailable`.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty; name a new folder")
    done = Annotated()
    tasks: list[dict[str, Any]] = []
    try:
        for record in records:
            request_id = record.reading.request_id
            try:
                page = _draft(record)
                image = to_picture(store.image(record.reading), upright=True).data
            except (DataInvalid, ImageRejected) as error:
                done.skipped.append((request_id, str(error)))
                continue
            name = request_id + (".jpg" if image.startswith(b"\xff\xd8") else ".png")
            where = folder / IMAGES if to == "label-studio" else folder
            if to != "label-studio":
                document = get_format(to).write(page, name)
                _put(folder / f"{request_id}.xml", document)
            if to != "label-studio" or prefix is not None:
                _put(where / name, image)
            if to == "label-studio":
                kind = "jpeg" if name.endswith(".jpg") else "png"
                embedded = f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
                tasks.append(_task(record, page, embedded if prefix is None else prefix + quote(name)))
            done.pages += 1
        if tasks:
            _put(folder / TASKS, (json.dumps(tasks, ensure_ascii=False, indent=1) + "\n").encode())
            _put(folder / CONFIG, LABELING.encode())
    except OSError as error:
        raise OutputFailed(f"cannot write to {folder} ({error.strerror or error}); name another folder") from None
    if not done.pages:
        reason = f" ({done.skipped[0][1]})" if done.skipped else ""
        raise DataInvalid(f"there is nothing to annotate{reason}; see: text-recognizer feedback list --all")
    return done


def _put(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)


def _draft(record: Record) -> Page:
    """The best known version of the page: as read, or as somebody corrected it."""
    read, correction = record.reading.page, record.correction
    if read is None:
        raise DataInvalid("its page was not stored")
    page = from_dict(correction.page if correction is not None and correction.page is not None else read)
    if correction is not None and correction.lines is not None and len(correction.lines) == len(page.lines):
        lines = zip(page.lines, correction.lines, strict=True)
        page = page.with_lines([_with_text(line, text) if text else None for line, text in lines])
    return page


def _with_text(line: Line, text: str) -> Line:
    """`line` with the text that a person gave it; if that differs, its words are dropped."""
    if text == line.text:
        return line
    return Line(text=text, polygon=line.polygon, baseline=line.baseline, confidence=1.0, words=())


def _task(record: Record, page: Page, image: str) -> dict[str, Any]:
    confidences = [line.confidence for line in page.lines]
    prediction = {
        "model_version": record.reading.model,
        "score": round(sum(confidences) / len(confidences), 4) if confidences else 0.0,
        "result": [result for number, line in enumerate(page.lines, 1) for result in _results(line, number, page)],
    }
    comment = "\n".join(one.comment for one in record.feedback if one.comment)
    data = {
        "ocr": image,
        "request_id": record.reading.request_id,
        "flags": ", ".join(record.flags),
        "comment": comment,
    }
    return {"data": data, "predictions": [prediction]}


def _results(line: Line, number: int, page: Page) -> list[dict[str, Any]]:
    """A line as two results of one region: its outline and its text."""
    points = [[100 * x / page.width, 100 * y / page.height] for x, y in _simpler(line.polygon)]
    common = {
        "id": f"line{number}",
        "to_name": "image",
        "original_width": page.width,
        "original_height": page.height,
        "image_rotation": 0,
        "score": round(line.confidence, 4),
    }
    where = {"points": points, "closed": True}
    return [
        {**common, "from_name": "polygon", "type": "polygonlabels", "value": {**where, "polygonlabels": ["Line"]}},
        {**common, "from_name": "transcription", "type": "textarea", "value": {**where, "text": [line.text]}},
    ]


def _simpler(polygon: Polygon) -> Polygon:
    """`polygon` with few corners, so that people can move them; off by some hundredths of its height at most."""
    corners = np.asarray(polygon, np.float32)
    if len(corners) <= 4:
        return polygon
    _, (width, height), _ = cv2.minAreaRect(corners)
    simple = cv2.approxPolyDP(corners, SIMPLER * min(width, height), closed=True).reshape(-1, 2)
    return tuple((float(x), float(y)) for x, y in simple) if len(simple) > 3 else polygon


# ------------------------------------------------------------------------------------------------------------- import


@dataclass(frozen=True, slots=True)
class AnnotatedLine:
    """A line as a person left it, in pixels of the upright image."""

    text: str
    polygon: Polygon
    baseline: Polyline = ()


@dataclass(frozen=True, slots=True)
class _Annotation:
    """A page as a person left it. `version` distinguishes equal contents; `in_order`: lines are in reading order."""

    request_id: str
    lines: tuple[AnnotatedLine, ...]
    version: str = ""
    in_order: bool = True


def import_annotations(store: Store, path: Path) -> Imported:
    """Store the annotations in a file, or in all `.json` and `.xml` files below a folder, as corrections.

    Unusable annotations are listed in `problems`, the others are stored. Raises `DataInvalid` if there is no file,
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
    """Store what `read` returns: a record and its annotation, or None where nobody annotated."""
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
    # Programs keep the image's name, some with a number before it; the XML file may have another.
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
    """The annotation of a task in Label Studio's JSON or JSON-MIN; None where there is none."""
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
    """JSON-MIN has outlines and texts in separate lists: they match where both are equally long."""
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
    """A polygon, or a rectangle that may be rotated about its top left, from percent to pixels."""
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
    """An annotation as feedback on a reading whose page was stored. Raises DataInvalid for unusable texts."""
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
            else _with_text(page.lines[index], line.text)
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
        index: [pixels(polygon, page) for polygon in (line.polygon, _simpler(line.polygon))]
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
    """Sort lines, since people add lines at the end; on a page that is rotated by 90 degrees the order stays."""
    upright = all(abs(b[-1][1] - b[0][1]) < abs(b[-1][0] - b[0][0]) for b in (line.baseline for line in lines) if b)
    if not upright:
        return list(lines)
    return list(arrange(lines)[0])
