"""Errors as clients see them: RFC 9457 problem documents, whose type contains the project's error code.

The details of a failure go to the log. A client gets the id of its request, but no stack trace and no path.
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
    """A request that cannot be served. `status` is the HTTP status; `retry_after` is in seconds."""

    status: ClassVar[int] = 400
    code = "bad-request"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TwoLengths(RequestError):
    """The body has two lengths, so a proxy may see the request end elsewhere than this service does."""


class Unauthorized(RequestError):
    """No API key, or an unknown one."""

    status = 401
    code = "unauthorized"


class ForeignPage(RequestError):
    """A web page of another site made a browser send the request."""

    status = 403
    code = "foreign-page"


class UnknownRequest(RequestError):
    """The reading is unknown."""

    status = 404
    code = "unknown-request"


class FeedbackOff(RequestError):
    """This service accepts no feedback."""

    status = 404
    code = "feedback-off"


class FeedbackRefused(RequestError):
    """Feedback that is empty, too long, or does not fit its page."""

    status = 422
    code = "feedback-rejected"


class LanguageUnknown(RequestError):
    """A language that the model does not read."""

    status = 422
    code = "language-unknown"


class FeedbackAway(RequestError):
    """The store of feedback is currently unavailable."""

    status = 503
    code = "feedback-unavailable"


class FeedbackFull(RequestError):
    """The store of feedback is full."""

    status = 507
    code = "feedback-full"


class TooSlow(RequestError):
    """The body did not arrive in time."""

    status = 408
    code = "request-timeout"


class TooLarge(RequestError):
    """The body is larger than the service accepts."""

    status = 413
    code = "too-large"


class WrongMediaType(RequestError):
    """The endpoint does not know this media type."""

    status = 415
    code = "unsupported-media-type"


class Overloaded(RequestError):
    """The page could not be read in time, because too many pages wait."""

    status = 429
    code = "overloaded"


class RateLimited(RequestError):
    """A client exceeds its request rate."""

    status = 429
    code = "rate-limited"


class NotReady(RequestError):
    """The model is not loaded yet, or the service is stopping."""

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

    def __init__(self) -> None:
        super().__init__("an error in this service; try again, or report it to the operator with the request id")


_UNSERVED = {
    404: ("not-found", "there is nothing at this address; see /openapi.json for the addresses"),
    405: ("method-not-allowed", "this address does not accept this method; see the header Allow"),
}


def problem(error: TextRecognizerError, request_id: str) -> Response:
    """The answer that reports `error` to a client."""
    document = described(error, request_id)
    headers = {}
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooSlow | TooLarge | TwoLengths):
        headers["Connection"] = "close"  # the rest of the body is not read
    if isinstance(error, RequestError) and error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    return Response(json.dumps(document), document["status"], headers, MEDIA_TYPE)


def described(error: TextRecognizerError, request_id: str) -> dict[str, Any]:
    """The problem document of `error`."""
    if isinstance(error, ImageRejected):
        return body(422, error.code, str(error), request_id)
    # A client cannot fix the model, the disk or the arguments, and the message may contain a path.
    known = error if isinstance(error, RequestError) else Broken()
    return body(known.status, known.code, str(known), request_id)


def unserved(error: HTTPException, request_id: str) -> Response:
    """The answer to a request that no route, or no method of it, serves."""
    code, detail = _UNSERVED.get(error.status_code, ("bad-request", "the request cannot be understood"))
    return document(error.status_code, code, detail, request_id, dict(error.headers or {}))


def document(status: int, code: str, detail: str, request_id: str, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body(status, code, detail, request_id)), status, headers, MEDIA_TYPE)


def body(status: int, code: str, detail: str, request_id: str) -> dict[str, Any]:
    return {
        "type": TYPE_PREFIX + code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        # The detail may quote what a client sent. Line breaks and direction marks must not get into anybody's log.
        "detail": "".join(c if c.isprintable() else ascii(c)[1:-1] for c in detail),
        "code": code,
        "request_id": request_id,
    }
