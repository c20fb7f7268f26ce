"""A client of the service: `Client("http://127.0.0.1:8000").read("page.jpg").text`.

Needs httpx, but neither a model nor ONNX Runtime.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
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

RETRIED = (429, 502, 503, 504)
LONGEST_PAUSE = 60.0


class ServiceError(TextRecognizerError):
    """The service refused, or is not reachable. `code`, `status` and `request_id` are those of its answer."""

    def __init__(
        self, message: str, status: int | None = None, code: str = "unreachable", request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code  # type: ignore[misc]  # of each answer, not of the class
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Answer:
    """A page with the id of its request, which feedback refers to, and `timings` in seconds."""

    page: Page
    request_id: str
    timings: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PageResult:
    """A page of a document: its number from 1 and how many there are, and the answer, or the error in its place."""

    number: int
    count: int
    answer: Answer | None = None
    error: TextRecognizerError | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """What the service stored of feedback. `outside_alphabet`: characters that are not in the model's alphabet."""

    id: str
    request_id: str
    image_stored: bool
    page_stored: bool
    outside_alphabet: tuple[str, ...]


Flow = Generator[httpx.Request | float, httpx.Response, T]
"""Requests to send and seconds to pause, one after the other; receives the answers to the requests."""


class _Flows:
    """What both clients do, as flows that do no input or output: `Client` and `AsyncClient` run them."""

    _http: httpx.Client | httpx.AsyncClient

    def __init__(self, address: str, api_key: str | None, timeout: float, retries: int) -> None:
        self._retries = retries
        headers = {"User-Agent": "text-recognizer-client"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._options: dict[str, Any] = {
            "base_url": address.rstrip("/"),
            "headers": headers,
            "timeout": httpx.Timeout(timeout, connect=min(timeout, 10.0)),
        }

    def _answer_flow(self, method: str, path: str, **options: Any) -> Flow[httpx.Response]:
        """The first answer of success. Raises the error of the last attempt."""
        attempt = 0
        while True:
            try:
                answer = yield self._http.build_request(method, path, **options)
                if answer.is_success:
                    return answer
                pause = self._pause(attempt, answer)
            except httpx.TransportError as error:
                pause = self._pause(attempt, error)
            yield pause
            attempt += 1

    def _page_flow(self, image: Source, **params: str | None) -> Flow[httpx.Response]:
        return (yield from self._answer_flow("POST", "/v1/read", **_request(image, **params)))

    def _read_flow(self, image: Source, mode: Mode, language: str | None) -> Flow[Answer]:
        return _answer((yield from self._page_flow(image, mode=mode, language=language)).json())

    def _feedback_flow(self, feedback: dict[str, Any], reading: Answer | str, image: Source | None) -> Flow[Stored]:
        try:
            return _stored((yield from self._answer_flow("POST", "/v1/feedback", json=feedback)).json())
        except ServiceError as error:
            content = _with_image(error, feedback, reading, image)
        return _stored((yield from self._answer_flow("POST", "/v1/feedback", **content)).json())

    def _models_flow(self) -> Flow[dict[str, Any]]:
        models: dict[str, Any] = (yield from self._answer_flow("GET", "/v1/models")).json()
        return models

    def _pause(self, attempt: int, result: httpx.Response | httpx.TransportError) -> float:
        """Seconds until the next attempt. Raises the error of `result` where there is none."""
        answer = result if isinstance(result, httpx.Response) else None
        if attempt >= self._retries or (answer is not None and answer.status_code not in RETRIED):
            raise _unreachable(result) if isinstance(result, httpx.TransportError) else _refusal(result)
        after = answer.headers.get("retry-after", "") if answer is not None else ""
        seconds = float(after) if after.isdigit() else 0.5 * 2**attempt
        # Clients that were refused at the same time should not all return at the same time.
        return min(LONGEST_PAUSE, seconds) * random.uniform(1.0, 1.25)


class Client(_Flows):
    """Sends requests to a service. Safe to share between threads; `close` it, or use it in `with`.

    `timeout`: seconds without any byte of an answer. `retries`: further attempts where the service is overloaded, not
    ready or not reachable, each after as long as its `Retry-After` says.
    """

    _http: httpx.Client

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 4,
    ) -> None:
        super().__init__(address, api_key, timeout, retries)
        self._http = httpx.Client(**self._options)

    def read(self, image: Source, mode: Mode = "accurate", language: str | None = None) -> Page:
        """The page in `image`: a path, an http(s) URL that the service fetches, bytes, or a binary file.

        Raises `ImageRejected` where the image cannot be read, `ServiceError` where the service does not answer.
        """
        return self.read_answer(image, mode, language).page

    def read_answer(self, image: Source, mode: Mode = "accurate", language: str | None = None) -> Answer:
        """The page with what feedback on it needs. Raises as `read` does."""
        return self._run(self._read_flow(image, mode, language))

    def read_as(self, image: Source, format: str, mode: Mode = "accurate", language: str | None = None) -> bytes:  # noqa: A002
        """The page in one of the service's formats. Raises as `read` does."""
        return self._run(self._page_flow(image, mode=mode, format=format, language=language)).content

    def stream(self, image: Source, mode: Mode = "accurate", language: str | None = None) -> Iterator[Line]:
        """The lines of the page as they are read. Raises as `read` does; after the first line nothing is retried."""
        return self._parsed(_request(image, mode=mode, stream="true", language=language), _Events)

    def read_pages(
        self,
        document: Source,
        mode: Mode = "accurate",
        language: str | None = None,
        *,
        pages: str | None = None,
        password: str | None = None,
        embedded_text: bool = False,
    ) -> Iterator[PageResult]:
        """The pages of a PDF, TIFF or ZIP, each as soon as it is read; `pages`: such as "1-3,7,10-".

        `embedded_text`: take the text that a page of a PDF holds already, instead of reading its picture.
        A page that cannot be read comes with its `error`, and the others are still read. After the first page nothing
        is retried. Raises as `read` does where the document cannot be read, or the connection breaks.
        """
        return self._parsed(_document_content(document, mode, language, pages, password, embedded_text), _Lines)

    def feedback(
        self,
        reading: Answer | str,
        *,
        flag: Flag | None = None,
        comment: str = "",
        lines: Sequence[str] | None = None,
        text: str | None = None,
        checked: bool = False,
        image: Source | None = None,
        mode: Mode | None = None,
        id: str | None = None,  # noqa: A002
    ) -> Stored:
        """Submit feedback on a reading; `reading`: the result of `read_answer`, or its request id.

        `lines`: a text for each line of the page, in order, empty where the paper has no line. `text`: the whole text,
        where it does not follow those lines. `checked`: a person checked all lines. `image`: the image that was read;
        it is sent, with the page, where the service has forgotten the request, as it does after some minutes. `id`:
        feedback sent twice under one id is stored once; by default one is made for all attempts of this call.
        Raises `ServiceError`: `unknown-request`, `feedback-rejected`, `feedback-off`, `feedback-unavailable`.
        """
        feedback = _feedback(reading, flag, comment, lines, text, checked, mode, id)
        return self._run(self._feedback_flow(feedback, reading, image))

    def delete_feedback(self, reading: Answer | str) -> None:
        """Delete all that the service stores of a reading. Raises `ServiceError`: `unknown-request` and others."""
        self._run(self._answer_flow("DELETE", f"/v1/feedback/{_request_id(reading)}"))

    def models(self) -> dict[str, Any]:
        """The model that reads, and the formats that the service writes."""
        return self._run(self._models_flow())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _parsed(self, content: dict[str, Any], kind: type[_Parser[T]]) -> Iterator[T]:
        attempt = 0
        while True:
            parser = kind()
            try:
                with self._http.stream("POST", "/v1/read", **content) as answer:
                    if answer.is_success:
                        for text in answer.iter_lines():
                            if (parsed := parser.parse(text)) is not None:
                                yield parsed
                        parser.check_end()
                        return
                    answer.read()
                    pause = self._pause(attempt, answer)
            except httpx.TransportError as error:
                pause = self._pause(self._retries if parser.begun else attempt, error)
            time.sleep(pause)
            attempt += 1

    def _run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                if not isinstance(step, httpx.Request):
                    time.sleep(step)
                    step = next(flow)
                    continue
                try:
                    answer = self._http.send(step)
                except httpx.TransportError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result


class AsyncClient(_Flows):
    """`Client` with `await`."""

    _http: httpx.AsyncClient

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 4,
    ) -> None:
        super().__init__(address, api_key, timeout, retries)
        self._http = httpx.AsyncClient(**self._options)

    async def read(self, image: Source, mode: Mode = "accurate", language: str | None = None) -> Page:
        """See `Client.read`."""
        return (await self.read_answer(image, mode, language)).page

    async def read_answer(self, image: Source, mode: Mode = "accurate", language: str | None = None) -> Answer:
        """See `Client.read_answer`."""
        return await self._run(self._read_flow(image, mode, language))

    async def read_as(self, image: Source, format: str, mode: Mode = "accurate", language: str | None = None) -> bytes:  # noqa: A002
        """See `Client.read_as`."""
        return (await self._run(self._page_flow(image, mode=mode, format=format, language=language))).content

    def stream(self, image: Source, mode: Mode = "accurate", language: str | None = None) -> AsyncIterator[Line]:
        """See `Client.stream`."""
        return self._parsed(_request(image, mode=mode, stream="true", language=language), _Events)

    def read_pages(
        self,
        document: Source,
        mode: Mode = "accurate",
        language: str | None = None,
        *,
        pages: str | None = None,
        password: str | None = None,
        embedded_text: bool = False,
    ) -> AsyncIterator[PageResult]:
        """See `Client.read_pages`."""
        return self._parsed(_document_content(document, mode, language, pages, password, embedded_text), _Lines)

    async def feedback(
        self,
        reading: Answer | str,
        *,
        flag: Flag | None = None,
        comment: str = "",
        lines: Sequence[str] | None = None,
        text: str | None = None,
        checked: bool = False,
        image: Source | None = None,
        mode: Mode | None = None,
        id: str | None = None,  # noqa: A002
    ) -> Stored:
        """See `Client.feedback`."""
        feedback = _feedback(reading, flag, comment, lines, text, checked, mode, id)
        return await self._run(self._feedback_flow(feedback, reading, image))

    async def delete_feedback(self, reading: Answer | str) -> None:
        """See `Client.delete_feedback`."""
        await self._run(self._answer_flow("DELETE", f"/v1/feedback/{_request_id(reading)}"))

    async def models(self) -> dict[str, Any]:
        """See `Client.models`."""
        return await self._run(self._models_flow())

    async def close(self) -> None:
        """See `Client.close`."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _parsed(self, content: dict[str, Any], kind: type[_Parser[T]]) -> AsyncIterator[T]:
        attempt = 0
        while True:
            parser = kind()
            try:
                async with self._http.stream("POST", "/v1/read", **content) as answer:
                    if answer.is_success:
                        async for text in answer.aiter_lines():
                            if (parsed := parser.parse(text)) is not None:
                                yield parsed
                        parser.check_end()
                        return
                    await answer.aread()
                    pause = self._pause(attempt, answer)
            except httpx.TransportError as error:
                pause = self._pause(self._retries if parser.begun else attempt, error)
            await asyncio.sleep(pause)
            attempt += 1

    async def _run(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                if not isinstance(step, httpx.Request):
                    await asyncio.sleep(step)
                    step = next(flow)
                    continue
                try:
                    answer = await self._http.send(step)
                except httpx.TransportError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result


# ---------------------------------------------------------------------------------------------- requests and answers


def _request(image: Source, **params: str | None) -> dict[str, Any]:
    """A request to read `image`. All attempts have one id: a service that stores readings stores this one once."""
    given = {name: value for name, value in params.items() if value is not None}
    return {"params": given, "headers": {"X-Request-ID": uuid.uuid4().hex}, **_content(image)}


def _content(image: Source) -> dict[str, Any]:
    """The body, in memory so that it can be sent again."""
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


def _document_content(
    document: Source,
    mode: Mode,
    language: str | None,
    pages: str | None,
    password: str | None,
    embedded_text: bool,
) -> dict[str, Any]:
    wanted = "true" if embedded_text else None
    request = _request(document, mode=mode, language=language, pages=pages, embedded_text=wanted)
    if password:
        request["headers"]["X-Document-Password"] = password
    return request


def _answer(content: dict[str, Any]) -> Answer:
    timings = {str(name): float(seconds) for name, seconds in dict(content.get("timings", {})).items()}
    return Answer(from_dict(content), str(content.get("request_id", "")), timings)


def _request_id(reading: Answer | str) -> str:
    request_id = reading if isinstance(reading, str) else reading.request_id
    if not REQUEST_ID.fullmatch(request_id) or not request_id.strip("."):
        raise UsageError(f"{request_id!r} is not a request id; give the result of read_answer, or its request_id")
    return request_id


def _feedback(
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
        "request_id": _request_id(reading),
        "id": feedback_id or uuid.uuid4().hex,
        "flag": flag,
        "comment": comment,
        "lines": None if lines is None else list(lines),
        "text": text,
        "checked": checked,
        "mode": mode,
    }


def _with_image(
    error: ServiceError, feedback: dict[str, Any], reading: Answer | str, image: Source | None
) -> dict[str, Any]:
    """The body with image and page, where `error` asks for them and they are known; raises `error` otherwise."""
    content = _content(image) if image is not None and error.code == "unknown-request" else {}
    if isinstance(reading, str) or "files" not in content:
        raise error
    return {**content, "data": {"feedback": json.dumps({**feedback, "page": to_dict(reading.page)})}}


def _stored(content: dict[str, Any]) -> Stored:
    return Stored(
        str(content["id"]),
        str(content["request_id"]),
        bool(content["image_stored"]),
        bool(content["page_stored"]),
        tuple(str(character) for character in content["outside_alphabet"]),
    )


def _unreachable(error: httpx.TransportError) -> ServiceError:
    reason = str(error) or type(error).__name__
    return ServiceError(f"the service is not reachable ({reason}); check its address, and whether it runs")


def _refusal(answer: httpx.Response) -> TextRecognizerError:
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


class _Parser(ABC, Generic[T]):
    """Reads the lines of a streamed answer; once it has `begun`, nothing is retried."""

    begun = False

    @abstractmethod
    def parse(self, text: str) -> T | None:
        """What a line of the stream brings, if it brings anything. Raises the error that it describes."""

    def check_end(self) -> None:
        """Raise `ServiceError` where the stream broke off."""


class _Events(_Parser[Line]):
    """Server-sent events of one line of data each."""

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


class _Lines(_Parser[PageResult]):
    """The answer to a document, a line of JSON for each page; to an image, its page alone."""

    def parse(self, text: str) -> PageResult:
        content = json.loads(text)
        number, count = int(content.get("page", 1)), int(content.get("count", 1))
        self.begun = True
        if "problem" in content:
            return PageResult(number, count, error=_error(content["problem"]))
        return PageResult(number, count, answer=_answer(content))
