"""Findings for people (one self-contained HTML file) and for programs (JSON).

Texts and comments are untrusted: the template escapes them all, and the page forbids scripts and requests.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from text_recognizer.errors import TextRecognizerError
from text_recognizer.feedback.record import FLAGS, Reading, Record
from text_recognizer.images import load_image
from text_recognizer.layout.crops import crop_line
from text_recognizer.monitoring.drift import Drift, Summary
from text_recognizer.monitoring.monitor import PERCENTILES, STAGES, Findings, percentile, text_of
from text_recognizer.monitoring.quality import CorrectedLine

FORMAT = 1
"""Version of the JSON; raised when a field changes its meaning or is removed. Fields may be added at any time."""
SIDE = 420  # pixels: longer side of a page image in the gallery
CROP = (56, 900)  # pixels: height and maximum width of a line's crop
GALLERY = 300  # most flagged readings in a report
QUOTED = 600  # characters of a text in the gallery
BINS = 24

Pictures = Callable[[Reading], bytes]
"""Returns the encoded image of a reading; raises `TextRecognizerError` if there is none."""


def verdict(found: Findings) -> tuple[str, str]:
    """(`alert`, `quiet` or `unknown`, and a sentence that explains it)."""
    fired = [check for check in found.checks if check.fired]
    judged = [check for check in found.checks if check.value is not None]
    if fired:
        names = ", ".join(check.rule for check in fired)
        return "alert", f"{len(fired)} of {len(found.checks)} rules fired: {names}"
    if not judged or (found.readings and len(judged) <= 1 < len(found.checks)):
        return "unknown", "Too few readings to tell whether anything is unusual"
    silent = len(found.checks) - len(judged)
    of_all = f"; {silent} of {len(found.checks)} rules could not be judged" if silent else ""
    return "quiet", f"Nothing unusual{of_all}"


def to_dict(found: Findings) -> dict[str, Any]:
    """The findings as plain lists and dicts; schema in docs/review/monitoring.md."""
    level, words = verdict(found)
    return {
        "format": FORMAT,
        "window": {
            "since": _time(found.since),
            "until": _time(found.until),
            "readings": found.readings,
            "with_feedback": found.with_feedback,
            "all_readings": found.all_readings,
            "logged": found.logged,
            "models": dict(found.models),
            "modes": dict(found.modes),
        },
        "verdict": {"level": level, "text": words},
        "notes": list(found.notes),
        "checks": [
            {"rule": c.rule, "value": _number(c.value), "limit": c.limit, "fired": c.fired, "message": c.message}
            for c in found.checks
        ],
        "reference": {"name": found.reference.name, "model": found.reference.model} if found.reference else None,
        "drift": [_drift(drift) for drift in found.drifts],
        "quality": [
            {
                "model": q.model,
                "pages": q.pages,
                "checked": q.checked,
                "characters": q.characters,
                "cer": [_number(q.rate), _number(q.low), _number(q.high)],
            }
            for q in found.quality
        ],
        "flags": dict(found.flags),
        "days": [
            {"day": day.day, "readings": day.readings, "corrected": day.corrected, "flags": dict(day.flags)}
            for day in found.days
        ],
        "latency": {
            mode: {
                stage: {f"p{p}": _number(percentile(seconds, p)) for p in PERCENTILES}
                for stage, seconds in stages.items()
                if seconds
            }
            for mode, stages in found.seconds.items()
        },
        "flagged": [
            {
                "request_id": record.reading.request_id,
                "at": _time(record.reading.at),
                "model": record.reading.model,
                "flags": list(record.flags),
                "comments": _comments(record),
            }
            for record in found.flagged
        ],
        "worst_lines": [
            {
                "request_id": line.record.reading.request_id,
                "line": line.index,
                "read": line.read,
                "corrected": line.truth,
                "cer": _number(line.rate),
            }
            for line in found.worst
        ],
    }


def _drift(drift: Drift) -> dict[str, Any]:
    return {
        "feature": drift.feature.name,
        "title": drift.feature.title,
        "unit": drift.feature.unit,
        "window": _summary(drift.window),
        "reference": _summary(drift.reference),
        "distance": _number(drift.distance),
        "p": _number(drift.p),
        "psi": _number(drift.psi),
        "moved": _number(drift.moved),
        "drifted": drift.drifted(),
    }


def _summary(summary: Summary | None) -> dict[str, float] | None:
    if summary is None:
        return None
    return {"values": summary.count, "median": summary.median, "p10": summary.low, "p90": summary.high}


def _number(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")


def _time(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


def _comments(record: Record) -> list[str]:
    return [one.comment for one in record.feedback if one.comment]


# ----------------------------------------------------------------------------------------------------------- for people


def to_html(found: Findings, pictures: Pictures, made: datetime, gallery: int = GALLERY) -> str:
    """The report as one HTML page. It shows the newest `gallery` flagged readings."""
    environment = Environment(
        loader=PackageLoader("text_recognizer.monitoring"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": _figure,
        "hundredth": _hundredth,
        "signed": _signed,
        "percent": _percent,
        "when": _when,
    }
    with ThreadPoolExecutor(4) as pool:
        crops = list(pool.map(lambda line: _crop(line, pictures), found.worst))
        shown = list(pool.map(lambda record: _shown(record, pictures), found.flagged[:gallery]))
    level, words = verdict(found)
    return environment.get_template("report.html").render(
        found=found,
        made=made,
        level=level,
        verdict=words,
        fired=[check for check in found.checks if check.fired],
        histograms={drift.feature.name: histogram(found, drift) for drift in found.drifts},
        days=_columns(found),
        most=max((day.readings for day in found.days), default=0),
        flags=FLAGS,
        stages=STAGES,
        latency={
            mode: [
                (stage, [percentile(seconds, p) for p in PERCENTILES]) for stage, seconds in stages.items() if seconds
            ]
            for mode, stages in found.seconds.items()
        },
        percentiles=PERCENTILES,
        worst=list(zip(found.worst, crops, strict=True)),
        gallery=shown,
    )


def _figure(value: float | None) -> str:
    """Three significant digits, no decimals from 100 on, an en dash for None."""
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) >= 0.001 or not value else "< 0.001"


def _hundredth(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.2f}".replace("-", "−")


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _when(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M")


def histogram(found: Findings, drift: Drift) -> dict[str, Any] | None:
    """Points of two outlines in a box of 100 × 30, and the range of the axis; None unless there are both."""
    if drift.distance is None or found.reference is None:
        return None
    ours = found.compared.all(drift.feature.name)
    theirs = found.reference.of(drift.feature.name, found.shares)
    both = np.concatenate([np.percentile(ours, [1, 99]), np.percentile(theirs, [1, 99])])
    low, high = float(both.min()), float(both.max())
    if high <= low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    heights = [np.histogram(np.clip(values, low, high), edges)[0] / len(values) for values in (theirs, ours)]
    top = max(float(h.max()) for h in heights)
    return {
        "reference": _outline(heights[0] / top),
        "window": _outline(heights[1] / top),
        "low": low,
        "high": high,
    }


def _outline(heights: NDArray[np.float64]) -> str:
    width = 100 / len(heights)
    points = [(0.0, 30.0)]
    for i, height in enumerate(heights.tolist()):
        points += [(i * width, 30 - 28 * height), ((i + 1) * width, 30 - 28 * height)]
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in [*points, (100.0, 30.0)])


def _columns(found: Findings) -> list[dict[str, Any]]:
    """The bars of each day in a box of 100 × 40: x and width, and y and height for the readings and for each flag."""
    most = max((day.readings for day in found.days), default=0) or 1
    width = 100 / max(7, len(found.days))
    columns = []
    for i, day in enumerate(found.days):
        y = 40.0
        bars = []
        for flag in FLAGS:
            height = 38 * min(day.flags[flag], day.readings) / most
            y -= height
            bars.append({"flag": flag, "y": y, "height": height})
        columns.append(
            {
                "day": day,
                "x": i * width + 0.1 * width,
                "width": 0.8 * width,
                "y": 40 - 38 * day.readings / most,
                "height": 38 * day.readings / most,
                "bars": bars,
            }
        )
    return columns


def _shown(record: Record, pictures: Pictures) -> dict[str, Any]:
    text = text_of(record.reading)
    return {
        "record": record,
        "picture": _thumbnail(record.reading, pictures),
        "text": text[:QUOTED] + ("…" if len(text) > QUOTED else ""),
        "comments": _comments(record),
    }


def _thumbnail(reading: Reading, pictures: Pictures) -> str | None:
    """The page as a small JPEG in a data URL; None if its image was not stored."""
    try:
        rgb = load_image(pictures(reading)).rgb
    except TextRecognizerError:
        return None
    height, width = rgb.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    return _data_url(np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2BGR), np.uint8), 72)


def _crop(line: CorrectedLine, pictures: Pictures) -> str | None:
    place: Mapping[str, Any] = (line.record.reading.page or {})["lines"][line.index]
    try:
        gray = load_image(pictures(line.record.reading)).gray
    except TextRecognizerError:
        return None
    crop = crop_line(gray, _points(place["polygon"]), _points(place["baseline"]) or None, CROP[0])
    if crop.shape[1] > CROP[1]:
        height = max(1, round(crop.shape[0] * CROP[1] / crop.shape[1]))
        crop = np.asarray(cv2.resize(crop, (CROP[1], height), interpolation=cv2.INTER_AREA), np.uint8)
    return _data_url(crop, 80)


def _points(points: Iterable[Sequence[float]]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


def _data_url(image: NDArray[np.uint8], quality: int) -> str:
    _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
