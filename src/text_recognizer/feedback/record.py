"""What is kept of a reading and of what people said of it: plain data, whatever stores it."""

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
    """A page that was read.

    `at`: when, in UTC. `model`: name@version. `image_sha256`: of the encoded image as it came. `page`: as
    `formats.json_lines.to_dict` gives it, or None where only numbers are kept. `statistics`: see `statistics.py`.
    `timings`: seconds (queued, layout, recognition, total). `image`: name of the image in the store, empty where it was
    not stored. `owner`: names the API key that it was read with, empty without keys.
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
    """What a person said of a reading: a flag, a comment, a correction, or several of them.

    `id`: made by who sends it, so that sending it twice keeps it once. `lines`: a text for each line of the page, in
    its order, empty where there is no such line on the paper. `text`: the whole text, where it does not go by those
    lines. `page`: the page as it should be, as `formats.json_lines.to_dict` gives it, where somebody added lines or
    outlined them anew; `text` is its text then. `checked`: the person looked at all lines, so that those that stayed as
    they were are right too.
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
        """The latest feedback that says what is written there."""
        corrected = (said for said in reversed(self.feedback) if said.lines is not None or said.text is not None)
        return next(corrected, None)

    @property
    def flags(self) -> tuple[str, ...]:
        """What it was flagged as, each once."""
        return tuple(dict.fromkeys(said.flag for said in self.feedback if said.flag))


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What a rule of monitoring came to: `fired` where it is an alert. `value`: None where too little is there."""

    at: datetime
    rule: str
    value: float | None
    limit: float | None
    fired: bool
    message: str = ""


def to_dict(record: Record) -> dict[str, Any]:
    """The record as plain lists and dicts, fit for JSON; times as ISO 8601 in UTC."""
    reading, said = asdict(record.reading), [asdict(one) for one in record.feedback]
    for item in (reading, *said):
        item["at"] = item["at"].isoformat()
    return {**reading, "feedback": said}
