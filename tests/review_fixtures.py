"""Stores of both kinds, and readings to keep in them."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from text_recognizer.feedback.record import Feedback, Reading
from text_recognizer.feedback.store import Store

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="session")
def databases(request):
    """Makes a new place for a store of that kind: SQLite in a folder, or a database of PostgreSQL."""
    made = [0]

    def make(kind: str, folder: Path) -> tuple[str, str]:
        made[0] += 1
        if kind == "sqlite":
            return str(folder / "feedback"), str(folder / "feedback" / "images")
        return request.getfixturevalue("postgres").database(f"store{made[0]}"), str(folder / "images")

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, databases, tmp_path):
    """Where a store is, and its images."""
    return databases(request.param, tmp_path)


@pytest.fixture
def store(place):
    opened = Store.open(*place)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def page():
    """A page of these lines as JSON."""

    def make(*texts):
        lines = [
            {
                "text": text,
                "confidence": 0.9,
                "polygon": [[10.0, 20.0 + 40 * row], [290.0, 20.0 + 40 * row], [290.0, 55.0 + 40 * row]],
                "baseline": [[10.0, 50.0 + 40 * row], [290.0, 50.0 + 40 * row]],
                "alternatives": [],
                "words": [],
            }
            for row, text in enumerate(texts)
        ]
        return {
            "format": 1,
            "source": "",
            "model": "pen@0.2",
            "width": 300,
            "height": 200,
            "text": "\n".join(texts),
            "lines": lines,
        }

    return make


@pytest.fixture(scope="session")
def reading(page):
    """A reading of that request."""

    def make(request_id, image=b"an image", minutes=0.0, lines=("one", "two"), **changed):
        known = {
            "request_id": request_id,
            "at": NOW + timedelta(minutes=minutes),
            "model": "pen@0.2",
            "mode": "fast",
            "image_sha256": hashlib.sha256(image).hexdigest(),
            "page": page(*lines),
            "statistics": {"lines": float(len(lines)), "width": 300.0},
            "timings": {"total": 0.25},
        }
        return Reading(**{**known, **changed})

    return make


@pytest.fixture(scope="session")
def said():
    """Feedback on that request."""

    def make(feedback_id, request_id, **what):
        return Feedback(id=feedback_id, request_id=request_id, at=NOW, **what)

    return make


@pytest.fixture(scope="session")
def files():
    """All files below a folder."""

    def look(folder):
        return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())

    return look
