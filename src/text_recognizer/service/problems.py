"""Errors as clients see them: RFC 9457 problem documents, whose type carries the project's error code.

What went wrong inside is for the log; a client gets no stack trace, no path, and the number of its request to ask by.
"""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import Any, ClassVar

from starlette.exceptions import HTTPException
from starlette.responses import Response

from text_recognizer.errors import ImageRejected, TextRecognizerError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:text-recognizer:problem:"


class RequestError(TextRecognizerError):
    """A request that cannot be served; `status` is the HTTP status, `retry_after` in seconds."""

    status: ClassVar[int] = 400
    code = "bad-request"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unauthorized(RequestError):
    """No API key, or one that is not known."""

    status = 401
    code = "unauthorized"


class UnknownRequest(RequestError):
    """Nothing is known of the reading that is spoken of."""

    status = 404
    code = "unknown-request"


class FeedbackOff(RequestError):
    """This service takes no feedback."""

    status = 404
    code = "feedback-off"


class FeedbackRefused(RequestError):
    """Feedback that says nothing, too much, or what does not fit its page."""

    status = 422
    code = "feedback-rejected"


class FeedbackAway(RequestError):
    """The store of feedback cannot be used just now."""

    status = 503
    code = "feedback-unavailable"


class TooSlow(RequestError):
    """The body did not arrive in time."""

    status = 408
    code = "request-timeout"


class TooLarge(RequestError):
    """The body is larger than the service takes."""

    status = 413
    code = "too-large"


class WrongMediaType(RequestError):
    """A body of a kind that the endpoint does not know."""

    status = 415
    code = "unsupported-media-type"


class Overloaded(RequestError):
    """More requests wait than can be read in time."""

    status = 429
    code = "overloaded"


class RateLimited(RequestError):
    """More requests from one client than it may send."""

    status = 429
    code = "rate-limited"


class NotReady(RequestError):
    """The model is not loaded yet, or the service is going down."""

    status = 503
    code = "not-ready"


class DeadlineExceeded(RequestError):
    """The page was not read in time."""

    status = 504
    code = "deadline-exceeded"


class Broken(RequestError):
    """An error in this program."""

    status = 500
    code = "error"


_UNSERVED = {
    404: ("not-found", "there is nothing at this address"),
    405: ("method-not-allowed", "this address takes another method"),
}


def problem(error: TextRecognizerError, request_id: str) -> Response:
    """The answer that tells a client of `error`."""
    if isinstance(error, ImageRejected):
        status, code, detail = 422, error.code, str(error)
    elif isinstance(error, RequestError):
        status, code, detail = error.status, error.code, str(error)
    else:  # of the model, the disk, the arguments: nothing that a client can mend, and its message may name a path
        status, code, detail = 500, Broken.code, "an error in this service; try again, or tell who runs it"
    headers = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooSlow | TooLarge):
        headers["Connection"] = "close"  # the rest of the body is not wanted
    if isinstance(error, RequestError) and error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return document(status, code, detail, request_id, headers)


def unserved(error: HTTPException, request_id: str) -> Response:
    """The answer where no route serves a request, or not by its method."""
    code, detail = _UNSERVED.get(error.status_code, ("bad-request", "the request cannot be understood"))
    return document(error.status_code, code, detail, request_id, dict(error.headers or {}))


def document(status: int, code: str, detail: str, request_id: str, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body(status, code, detail, request_id)), status, headers, MEDIA_TYPE)


def body(status: int, code: str, detail: str, request_id: str) -> dict[str, Any]:
    return {
        "type": TYPE_PREFIX + code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
