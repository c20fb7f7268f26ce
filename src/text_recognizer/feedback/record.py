"""The records of a reading and of the feedback on it: plain data, independent of the store."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

Flag = Literal["incorrect", "offensive", "other"]
FLAGS: tuple[str, ...] = get_args(Flag)
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""Ids of readings and of feedback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The result of reading a page.

    `at`: the time in UTC. `model`: name@version. `image_sha256`: SHA-256 of the encoded image as received. `page`: as
    returned by `formats.json_lines.to_dict`, or None if only numbers are stored. `statistics`: see `statistics.py`.
    `timings`: seconds (queued, layout, recognition, total). `image`: name of the image in the store, empty if it was
    not stored. `owner`: identifies the API key of the request; empty without keys.
    """

    request_id: str
    at: datetime
    model: str
    mode: str
    image_sha256: str
    page: dict[str, Any] | None = None
    statistics: Mapping[str, float] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    image: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """A person's feedback on a reading: a flag, a comment, a correction, or several of them.

    `id`: made by the sender, so that feedback sent twice is stored once. `lines`: a text for each line of the page, in
    order; empty if the paper has no such line. `text`: the whole text, if it does not follow those lines. `page`: the
    corrected page, as returned by `formats.json_lines.to_dict`, if somebody added lines or drew new outlines; `text` is
    then its text. `checked`: the person looked at all lines, so unchanged lines are right too.
    """

    id: str
    request_id: str
    at: datetime
    flag: Flag | None = None
    comment: str = ""
    lines: tuple[str, ...] | None = None
    text: str | None = None
    page: dict[str, Any] | None = None
    checked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A reading with all feedback on it, oldest first."""

    reading: Reading
    feedback: tuple[Feedback, ...] = ()

    @property
    def correction(self) -> Feedback | None:
        """The latest feedback that has lines or a text."""
        corrected = (one for one in reversed(self.feedback) if one.lines is not None or one.text is not None)
        return next(corrected, None)

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags, each once."""
        return tuple(dict.fromkeys(one.flag for one in self.feedback if one.flag))


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """The result of a monitoring rule. `fired`: whether it is an alert. `value`: None for too few readings."""

    at: datetime
    rule: str
    value: float | None
    limit: float | None
    fired: bool
    message: str = ""


def to_dict(record: Record) -> dict[str, Any]:
    """The record as plain lists and dicts for JSON; times as ISO 8601 in UTC."""
    reading, feedback = asdict(record.reading), [asdict(one) for one in record.feedback]
    for item in (reading, *feedback):
        item["at"] = item["at"].isoformat()
    return {**reading, "feedback": feedback}
