"""Notify a webhook about rules that fired: one JSON object, whose `text` chat services display."""

from __future__ import annotations

import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx

from text_recognizer.errors import OutputFailed
from text_recognizer.feedback.record import Check
from text_recognizer.monitoring.monitor import Findings

FORMAT = 1
"""Version of the JSON; raised when a field changes its meaning or is removed."""
SECONDS = 5.0  # for one attempt
WAITS = (1.0, 3.0)  # seconds before each further attempt


def notify(url: str, found: Findings, fired: Sequence[Check], waits: Sequence[float] = WAITS) -> None:
    """POST the rules that fired. Raises OutputFailed if no attempt succeeds.

    It retries while the server is down or busy. Redirects are not followed. The address may contain a secret, so
    messages only name its host.
    """
    host = urlsplit(url).hostname or "?"
    body = payload(found, fired)
    reason = ""
    with httpx.Client(timeout=SECONDS, headers={"User-Agent": "text-recognizer"}) as client:
        for wait in (*waits, None):
            try:
                answer = client.post(url, json=body)
            except httpx.HTTPError as error:
                reason = type(error).__name__
            except (httpx.InvalidURL, ValueError) as error:
                reason = type(error).__name__
                break
            else:
                if answer.is_success:
                    return
                reason = f"status {answer.status_code}"
                if answer.status_code < 500 and answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                    break
            if wait is not None:
                time.sleep(wait)
    raise OutputFailed(f"the webhook at {host} could not be notified ({reason}); check its address")


def payload(found: Findings, fired: Sequence[Check]) -> dict[str, object]:
    """The JSON that is sent; schema in docs/review/monitoring.md."""
    lines = "\n".join(f"• {check.rule}: {check.message}" for check in fired)
    return {
        "format": FORMAT,
        "text": f"Text Recognizer: {len(fired)} of {len(found.checks)} rules fired\n{lines}",
        "since": found.since.isoformat(timespec="seconds"),
        "until": found.until.isoformat(timespec="seconds"),
        "readings": found.readings,
        "model": found.model,
        "alerts": [
            {"rule": check.rule, "value": check.value, "limit": check.limit, "message": check.message}
            for check in fired
        ],
    }
