"""The messages of the clients: requests, answers, feedback, errors, streamed lines."""

from __future__ import annotations

import json
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

import httpx

from text_recognizer.errors import ImageRejected, TextRecognizerError, UsageError
from text_recognizer.feedback.record import REQUEST_ID, Flag
from text_recognizer.formats.json_lines import from_dict, line_from_dict, to_dict
from text_recognizer.page import Line, Mode, Page

T = TypeVar("T")
Source = str | Path | bytes | BinaryIO


class ServiceError(TextRecognizerError):
    """The service refused, or is not reachable. `code`, `status` and `request_id` come from its answer."""

    def __init__(
        self, message: str, status: int | None = None, code: str = "unreachable", request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code  # type: ignore[misc]  # of each answer, not of the class
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Answer:
    """A page with its request id, for feedback, and its `timings` in seconds."""

    page: Page
    request_id: str
    timings: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PageResult:
    """A page of a document: its number from 1, the number of pages, and either the answer or the error."""

    number: int
    count: int
    answer: Answer | None = None
    error: TextRecognizerError | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What the service stored for a piece of feedback. `outside_alphabet`: characters that the model does not know."""

    id: str
    request_id: str
    image_stored: bool
    page_stored: bool
    outside_alphabet: tuple[str, ...]


def read_request(image: Source, **params: str | None) -> dict[str, Any]:
    """A request to read `image`. All attempts share one id, so a service that stores readings stores this one once."""
    given = {name: value for name, value in params.items() if value is not None}
    return {"params": given, "headers": {"X-Request-ID": uuid.uuid4().hex}, **_body(image)}


def _body(image: Source) -> dict[str, Any]:
    """The body of the request, in memory so that it can be sent again."""
    if isinstance(image, str) and image.startswith(("http://", "https://")):
        return {"json": {"image_url": image}}
    if isinstance(image, str) and image.startswith("data:"):
        return {"json": {"image": image}}
    if isinstance(image, bytes | bytearray | memoryview):
        data, name = bytes(image), "image"
    elif isinstance(image, str | Path):
        try:
            data, name = Path(image).read_bytes(), Path(image).name
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ImageRejected(f"{image} cannot be opened ({reason}); check the path") from None
    elif hasattr(image, "read"):
        data, name = image.read(), "image"
    else:
        raise UsageError(f"cannot send a {type(image).__name__}; give a path, a URL, bytes or a binary file")
    return {"files": {"image": (name, data, "application/octet-stream")}}


def document_request(
    document: Source,
    mode: Mode,
    language: str | None,
    pages: str | None,
    password: str | None,
    embedded_text: bool,
) -> dict[str, Any]:
    wanted = "true" if embedded_text else None
    request = read_request(document, mode=mode, language=language, pages=pages, embedded_text=wanted)
    if password:
        request["headers"]["X-Document-Password"] = password
    return request


def answer_from(content: dict[str, Any]) -> Answer:
    timings = {str(name): float(seconds) for name, seconds in dict(content.get("timings", {})).items()}
    return Answer(from_dict(content), str(content.get("request_id", "")), timings)


def request_id_of(reading: Answer | str) -> str:
    request_id = reading if isinstance(reading, str) else reading.request_id
    if not REQUEST_ID.fullmatch(request_id) or not request_id.strip("."):
        raise UsageError(f"{request_id!r} is not a request id; give the result of read_answer, or its request_id")
    return request_id


def feedback_body(
    reading: Answer | str,
    flag: Flag | None,
    comment: str,
    lines: Sequence[str] | None,
    text: str | None,
    checked: bool,
    mode: Mode | None,
    feedback_id: str | None,
) -> dict[str, Any]:
    if isinstance(lines, str):
        raise UsageError("lines must be a text for each line of the page; give the whole text as text")
    return {
        "request_id": request_id_of(reading),
        "id": feedback_id or uuid.uuid4().hex,
        "flag": flag,
        "comment": comment,
        "lines": None if lines is None else list(lines),
        "text": text,
        "checked": checked,
        "mode": mode,
    }


def with_image(
    error: ServiceError, feedback: dict[str, Any], reading: Answer | str, image: Source | None
) -> dict[str, Any]:
    """The body with image and page, if `error` asks for them and they are known; otherwise raises `error`."""
    content = _body(image) if image is not None and error.code == "unknown-request" else {}
    if isinstance(reading, str) or "files" not in content:
        raise error
    return {**content, "data": {"feedback": json.dumps({**feedback, "page": to_dict(reading.page)})}}


def stored_from(content: dict[str, Any]) -> Stored:
    return Stored(
        str(content["id"]),
        str(content["request_id"]),
        bool(content["image_stored"]),
        bool(content["page_stored"]),
        tuple(str(character) for character in content["outside_alphabet"]),
    )


def unreachable(error: httpx.TransportError) -> ServiceError:
    reason = str(error) or type(error).__name__
    return ServiceError(f"the service is not reachable ({reason}); check its address, and whether it runs")


def refusal(answer: httpx.Response) -> TextRecognizerError:
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    return _error({"status": answer.status_code, **problem})


def _error(problem: dict[str, Any]) -> TextRecognizerError:
    """The error that a problem document describes."""
    status = int(problem.get("status", 0))
    detail = str(problem.get("detail") or f"the service answered {status}")
    if problem.get("code") == ImageRejected.code:
        return ImageRejected(detail)
    return ServiceError(detail, status, str(problem.get("code", "error")), str(problem.get("request_id", "")))


class Parser(ABC, Generic[T]):
    """Parses the lines of a streamed answer; once it has `begun`, nothing is retried."""

    begun = False

    @abstractmethod
    def parse(self, text: str) -> T | None:
        """The result in a line of the stream, if there is one. Raises the error that the line describes."""

    def check_end(self) -> None:
        """Raise `ServiceError` if the stream ended early."""


class Events(Parser[Line]):
    """Server-sent events with one line of data each."""

    def __init__(self) -> None:
        self._name = ""
        self._ended = False

    def parse(self, text: str) -> Line | None:
        field, _, value = text.partition(": ")
        if field == "event":
            self._name, self.begun = value, True
        if field != "data":
            return None
        self._ended = self._ended or self._name == "page"
        if self._name == "problem":
            raise _error(json.loads(value))
        return line_from_dict(json.loads(value)) if self._name == "line" else None

    def check_end(self) -> None:
        if not self._ended:
            raise ServiceError("the connection broke before the page was complete; read it again")


class Lines(Parser[PageResult]):
    """The answer to a document, which has a line of JSON for each page; the answer to an image has only its page."""

    def parse(self, text: str) -> PageResult:
        content = json.loads(text)
        number, count = int(content.get("page", 1)), int(content.get("count", 1))
        self.begun = True
        if "problem" in content:
            return PageResult(number, count, error=_error(content["problem"]))
        return PageResult(number, count, answer=answer_from(content))
