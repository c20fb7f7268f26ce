"""Times as people write them on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from text_recognizer.errors import UsageError

TIMES = (
    "Times are a day (2026-11-24), a moment (2026-11-24T13:30, in UTC unless a zone follows), or an age: 90m, "
    "24h, 7d, 4w."
)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, now: datetime) -> datetime:
    """Parse a time, as described in `TIMES`. Raises `UsageError`."""
    if found := re.fullmatch(r"(\d{1,4})([mhdw])", text.strip()):
        return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        at = datetime.fromisoformat(text.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is not a valid time: give 7d, 24h, 2026-11-24 or 2026-11-24T13:30") from None
