"""The service as an AWS Lambda function: `handler` answers function URLs, API Gateway (REST, HTTP) and direct calls.

The first access to `handler` starts the application and loads the model. The runtime does that while Lambda starts an
instance, before the first request is timed. An instance handles one request at a time: the application's event loop
runs during a request and is frozen between requests, like the whole process.

A direct call, as `aws lambda invoke` makes it, sends the body of the original contract, `{"image_url": …}` or
`{"image": "data:…"}`, with `"mode"` and `"api_key"` where needed, and returns the application's answer: `{"pred": …}`
or a problem document.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from mangum import Mangum
from mangum.adapter import DEFAULT_TEXT_MIME_TYPES
from mangum.protocols import LifespanCycle

from text_recognizer.service.app import create_app
from text_recognizer.service.problems import MEDIA_TYPE, RequestError, TooLarge, problem
from text_recognizer.service.settings import FEEDBACK_OFF, PREFIX, Settings

log = logging.getLogger(__name__)

LIMIT = 6 * 2**20
"""The largest event and the largest answer that Lambda accepts, in bytes of JSON."""
_START_SECONDS = 9.0  # Lambda stops an instance that has not started within ten, and starts another
_ORIGINAL = ("image_url", "image")
_SEND = 'send {"image_url": …} or {"image": "data:…"}'


class Function:
    """The started application with its model loaded; called with each event and its context."""

    def __init__(self, settings: Settings | None = None) -> None:
        # An instance takes the files written on it with it, so feedback is off unless a store is configured.
        known = settings is not None or os.environ.get(f"{PREFIX}FEEDBACK", "").strip()
        app = create_app(settings if known else Settings.from_environment(feedback=FEEDBACK_OFF))
        # Mangum would start and stop the application for every event; this starts it once.
        self._mangum = Mangum(app, lifespan="off", text_mime_types=[*DEFAULT_TEXT_MIME_TYPES, MEDIA_TYPE])
        self._lifespan = LifespanCycle(app, "on")
        self._lifespan.__enter__()
        until = time.monotonic() + _START_SECONDS
        while not app.state.context.engine.ready and time.monotonic() < until:
            asyncio.get_event_loop().run_until_complete(asyncio.sleep(0.005))

    def stop(self) -> None:
        """End the application, for tests: Lambda only freezes an instance and later kills it."""
        self._lifespan.__exit__(None, None, None)

    def __call__(self, event: Any, context: Any = None) -> dict[str, Any]:
        """Answer `event` in the form that its sender expects."""
        if not isinstance(event, dict):
            return _problem(RequestError(f"the event is not an object; {_SEND}"))
        if "requestContext" not in event:
            return self._direct(event, context)
        try:
            _check_size(event.get("body"))
            answer: dict[str, Any] = self._mangum(_without_stage(event), context)
            if len(json.dumps(answer)) > LIMIT:
                raise TooLarge("the answer is larger than Lambda's limit of 6 MB; request format=text")
        except RequestError as error:
            return _as_answer(_problem(error))
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            # AWS sends no such event; mistakes of clients never raise here.
            log.warning("unknown event: %s: %s", type(error).__name__, error)
            return _as_answer(
                _problem(RequestError("the event is of an unknown kind; send one of a function URL or of API Gateway"))
            )
        return answer

    def _direct(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """`event` as the body of a request to `/`."""
        if not any(name in event for name in _ORIGINAL):
            return _problem(RequestError(f"the event has no image; {_SEND}"))
        headers = {"content-type": "application/json"}
        if "api_key" in event:
            headers["authorization"] = f"Bearer {event['api_key']}"
        body = json.dumps({name: event[name] for name in _ORIGINAL if name in event})
        request = {
            "version": "2.0",
            "rawQueryString": urlencode({"mode": event["mode"]}) if "mode" in event else "",
            "headers": headers,
            "requestContext": {"http": {"method": "POST", "path": "/", "sourceIp": "direct"}},
            "body": body,
            "isBase64Encoded": False,
        }
        try:
            _check_size(body)
        except RequestError as error:
            return _problem(error)
        answered: dict[str, Any] = json.loads(self._mangum(request, context)["body"])
        return answered


def _check_size(body: str | None) -> None:
    """Raises `TooLarge`. Lambda's own refusal does not mention images, and emulators accept such events."""
    if body is not None and len(body) > LIMIT:
        raise TooLarge(
            "the request is larger than Lambda's limit of 6 MB, which is 4.5 MB of image; scale the image down, "
            "save it as JPEG, or send its address as image_url"
        )


def _without_stage(event: dict[str, Any]) -> dict[str, Any]:
    """The event without the stage that HTTP APIs put before the path: /prod/v1/read."""
    context = event["requestContext"]
    stage, http = context.get("stage"), context.get("http")
    if stage in (None, "", "$default") or not isinstance(http, Mapping):
        return event
    path = str(http["path"])
    if path != f"/{stage}" and not path.startswith(f"/{stage}/"):
        return event
    shorter = {**http, "path": path.removeprefix(f"/{stage}") or "/"}
    return {**event, "requestContext": {**context, "http": shorter}}


def _problem(error: RequestError) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(bytes(problem(error, uuid.uuid4().hex).body))
    return document


def _as_answer(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": document["status"],
        "headers": {"content-type": MEDIA_TYPE, "x-request-id": document["request_id"]},
        "body": json.dumps(document),
        "isBase64Encoded": False,
    }


def __getattr__(name: str) -> Function:
    """Create `handler` when the runtime first accesses it, while Lambda starts an instance."""
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = made = Function()
    return made
