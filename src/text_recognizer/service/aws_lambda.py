"""The service as an AWS Lambda function: `handler` answers function URLs, API Gateway (REST, HTTP) and direct calls.

Looking `handler` up starts the application and loads the model: the runtime does that while Lambda starts an instance,
before the clock of the first request runs. An instance has one request at a time, so the application's event loop runs
while there is one, and stands still between them as the whole process does.

A direct call, as `aws lambda invoke` makes it, sends the body of the original contract, `{"image_url": …}` or
`{"image": "data:…"}`, with `"mode"` and `"api_key"` where needed, and gets what the application answers: `{"pred": …}`,
or the problem document.
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
"""Bytes of an event and of an answer, as JSON, that Lambda carries."""
_START_SECONDS = 9.0  # Lambda ends what has not started in ten, and begins again
_ORIGINAL = ("image_url", "image")
_SEND = 'send {"image_url": …} or {"image": "data:…"}'


class Function:
    """The application with `settings`, started and with its model loaded; called with each event and its context."""

    def __init__(self, settings: Settings | None = None) -> None:
        # Nothing can be written there but what is gone with the instance.
        known = settings is not None or os.environ.get(f"{PREFIX}FEEDBACK", "").strip()
        app = create_app(settings if known else Settings.from_environment(feedback=FEEDBACK_OFF))
        # Mangum would start and stop the application with every event; this starts it once and for good.
        self._mangum = Mangum(app, lifespan="off", text_mime_types=[*DEFAULT_TEXT_MIME_TYPES, MEDIA_TYPE])
        self._lifespan = LifespanCycle(app, "on")
        self._lifespan.__enter__()
        until = time.monotonic() + _START_SECONDS
        while not app.state.context.engine.ready and time.monotonic() < until:
            asyncio.get_event_loop().run_until_complete(asyncio.sleep(0.005))

    def stop(self) -> None:
        """End the application; Lambda never asks for it, it freezes an instance and later ends it."""
        self._lifespan.__exit__(None, None, None)

    def __call__(self, event: Any, context: Any = None) -> dict[str, Any]:
        """The answer to `event`, in the shape that its sender expects."""
        if not isinstance(event, dict):
            return _problem(RequestError(f"the event is no object; {_SEND}"))
        if "requestContext" not in event:
            return self._direct(event, context)
        try:
            _check_size(event.get("body"))
            answer: dict[str, Any] = self._mangum(_without_stage(event), context)
            if len(json.dumps(answer)) > LIMIT:
                raise TooLarge("the answer is larger than the 6 MB that Lambda carries; ask for format=text")
        except RequestError as error:
            return _as_answer(_problem(error))
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            # Nothing that AWS sends; a client's mistake never gets here as an exception.
            log.warning("event not understood: %s: %s", type(error).__name__, error)
            return _as_answer(
                _problem(RequestError("the event is of no known kind; send one of a function URL or of API Gateway"))
            )
        return answer

    def _direct(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        """`event` as the body of a request to `/`."""
        if not any(name in event for name in _ORIGINAL):
            return _problem(RequestError(f"the event holds no image; {_SEND}"))
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
    """Raises `TooLarge`. Lambda refuses such an event itself, in words that say nothing of images; emulators do not."""
    if body is not None and len(body) > LIMIT:
        raise TooLarge(
            "the request is larger than the 6 MB that Lambda carries, which is 4.5 MB of image; scale the image down, "
            "save it as JPEG, or send its address as image_url"
        )


def _without_stage(event: dict[str, Any]) -> dict[str, Any]:
    """An HTTP API with a named stage puts it before the path: /prod/v1/read."""
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
    """`handler` is made when the runtime first asks for it, which is while Lambda starts an instance."""
    if name != "handler":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = made = Function()
    return made
