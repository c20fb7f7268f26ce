"""Export readings for annotation: JSON for Label Studio, ALTO or PAGE for other programs.

The recognised text is exported as a first draft. `annotation_import` stores the result of people's work on it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote

import cv2
import numpy as np

from text_recognizer.errors import DataInvalid, ImageRejected, OutputFailed, UsageError
from text_recognizer.feedback.record import Record
from text_recognizer.feedback.store import Store
from text_recognizer.formats import get_format
from text_recognizer.formats.json_lines import from_dict
from text_recognizer.images import to_picture
from text_recognizer.page import Line, Page, Polygon

Target = Literal["label-studio", "alto", "page"]
TARGETS: tuple[str, ...] = get_args(Target)
TASKS, CONFIG, IMAGES = "tasks.json", "labels.xml", "images"
LOCAL_FILES = "/data/local-files/?d=images/"
"""The address at which Label Studio serves the files of a local storage."""
SIMPLER = 0.04
"""Tolerance of the outlines for Label Studio, as a share of the line height: fewer corners are easier to drag."""

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
"""Label Studio's labeling configuration: its OCR template with only lines, as polygons or rectangles."""


@dataclass
class Annotated:
    """The pages that `annotate` wrote, and the readings that it left out, each with a reason."""

    pages: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)


def annotate(store: Store, records: Iterable[Record], folder: Path, to: Target, prefix: str | None = None) -> Annotated:
    """Write images and first drafts of `records` to `folder`, which must be new or empty.

    For Label Studio, it writes `tasks.json` and `labels.xml`. Images are inside the tasks; with `prefix` they are in
    the folder `images`, and tasks refer to them by that prefix. For ALTO or PAGE, each page gets an image and an XML
    file. Raises `DataInvalid` if there is nothing to annotate, `UsageError` if the folder is not empty,
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
    """The best known version of the page: the correction if there is one, otherwise the reading."""
    read, correction = record.reading.page, record.correction
    if read is None:
        raise DataInvalid("its page was not stored")
    page = from_dict(correction.page if correction is not None and correction.page is not None else read)
    if correction is not None and correction.lines is not None and len(correction.lines) == len(page.lines):
        lines = zip(page.lines, correction.lines, strict=True)
        page = page.with_lines([with_text(line, text) if text else None for line, text in lines])
    return page


def with_text(line: Line, text: str) -> Line:
    """`line` with a person's text; if the text differs, the words are dropped."""
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
    """A line as two results for one region: its outline and its text."""
    points = [[100 * x / page.width, 100 * y / page.height] for x, y in simpler(line.polygon)]
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


def simpler(polygon: Polygon) -> Polygon:
    """`polygon` with few corners, so that people can move them; off by at most a few hundredths of its height."""
    corners = np.asarray(polygon, np.float32)
    if len(corners) <= 4:
        return polygon
    _, (width, height), _ = cv2.minAreaRect(corners)
    simple = cv2.approxPolyDP(corners, SIMPLER * min(width, height), closed=True).reshape(-1, 2)
    return tuple((float(x), float(y)) for x, y in simple) if len(simple) > 3 else polygon
