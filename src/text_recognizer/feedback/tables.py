"""The tables of a store of feedback, and the conversion of rows to records; the same for SQLite and PostgreSQL."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import sqlalchemy as sa

from text_recognizer.feedback.record import Check, Feedback, Flag, Reading

VERSION = 2
"""Version of the tables."""


class _Utc(sa.TypeDecorator[datetime]):
    """Times in UTC; SQLite stores them as text without a zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone; give one in UTC")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_JSON = sa.JSON(none_as_null=True)
# Their names share a prefix, so that they can live in a database with others.
METADATA = sa.MetaData()
SCHEMA = sa.Table("text_recognizer_schema", METADATA, sa.Column("version", sa.Integer, primary_key=True))
READINGS = sa.Table(
    "text_recognizer_readings",
    METADATA,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("request_id", sa.String, nullable=False, unique=True),
    sa.Column("at", _Utc, nullable=False),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("mode", sa.String, nullable=False),
    sa.Column("image_sha256", sa.String, nullable=False),
    sa.Column("page", sa.Text),  # JSON, parsed page by page: hundreds at once keep the garbage collector busy
    sa.Column("statistics", _JSON, nullable=False),
    sa.Column("timings", _JSON, nullable=False),
    sa.Column("image", sa.String, nullable=False, index=True),
    sa.Column("owner", sa.String, nullable=False),
    sa.Index("text_recognizer_readings_by_time", "at", "number"),
)
FEEDBACK = sa.Table(
    "text_recognizer_feedback",
    METADATA,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String, nullable=False, unique=True),
    sa.Column("request_id", sa.String, sa.ForeignKey(READINGS.c.request_id), nullable=False, index=True),
    sa.Column("at", _Utc, nullable=False),
    sa.Column("flag", sa.String),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("lines", _JSON),
    sa.Column("text", sa.Text),
    sa.Column("page", sa.Text),
    sa.Column("checked", sa.Boolean, nullable=False),
)
CHECKS = sa.Table(
    "text_recognizer_checks",
    METADATA,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("run", sa.String, nullable=False, index=True),
    sa.Column("at", _Utc, nullable=False),
    sa.Column("rule", sa.String, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("limit", sa.Float),
    sa.Column("fired", sa.Boolean, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
)


def image_name(reading: Reading) -> str:
    """The name of the image of `reading` in the store of images."""
    return f"{reading.image_sha256[:2]}/{reading.image_sha256}"


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def reading_row(reading: Reading, image: bytes | None) -> dict[str, Any]:
    """The row of `reading`, with or without an image."""
    return {
        "request_id": reading.request_id,
        "at": reading.at,
        "model": reading.model,
        "mode": reading.mode,
        "image_sha256": reading.image_sha256,
        "page": None if reading.page is None else json.dumps(reading.page),
        "statistics": {name: float(value) for name, value in reading.statistics.items() if math.isfinite(value)},
        "timings": {name: float(value) for name, value in reading.timings.items() if math.isfinite(value)},
        "image": "" if image is None else image_name(reading),
        "owner": reading.owner,
    }


def reading_from(row: Mapping[Any, Any]) -> Reading:
    """The reading in a row."""
    return Reading(
        request_id=row["request_id"],
        at=row["at"],
        model=row["model"],
        mode=row["mode"],
        image_sha256=row["image_sha256"],
        page=None if row["page"] is None else json.loads(row["page"]),
        statistics=row["statistics"],
        timings=row["timings"],
        image=row["image"],
        owner=row["owner"],
    )


def feedback_row(feedback: Feedback) -> dict[str, Any]:
    """The row of `feedback`."""
    return {
        "id": feedback.id,
        "request_id": feedback.request_id,
        "at": feedback.at,
        "flag": feedback.flag,
        "comment": feedback.comment,
        "lines": None if feedback.lines is None else list(feedback.lines),
        "text": feedback.text,
        "page": None if feedback.page is None else json.dumps(feedback.page),
        "checked": feedback.checked,
    }


def feedback_from(row: Mapping[Any, Any]) -> Feedback:
    """The feedback in a row."""
    return Feedback(
        id=row["id"],
        request_id=row["request_id"],
        at=row["at"],
        flag=cast("Flag | None", row["flag"]),
        comment=row["comment"],
        lines=None if row["lines"] is None else tuple(row["lines"]),
        text=row["text"],
        page=None if row["page"] is None else json.loads(row["page"]),
        checked=row["checked"],
    )


def check_row(check: Check, run: str) -> dict[str, Any]:
    """The row of `check`, which belongs to `run`."""
    return {
        "run": run,
        "at": check.at,
        "rule": check.rule,
        "value": _finite(check.value),
        "limit": _finite(check.limit),
        "fired": check.fired,
        "message": check.message,
    }


def check_from(row: Mapping[Any, Any]) -> Check:
    """The check in a row."""
    return Check(**{name: row[name] for name in ("at", "rule", "value", "limit", "fired", "message")})
