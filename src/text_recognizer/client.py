"""Ask a text-recognizer service: `Client("http://127.0.0.1:8000").read("page.jpg").text`.

Needs the extra `client` (httpx) and nothing of what reading needs: no model, no ONNX Runtime.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import httpx

from text_recognizer.errors import ImageRejected, TextRecognizerError, UsageError
from text_recognizer.formats.json_lines import from_dict, line_from_dict, to_dict
from text_recognizer.page import Line, Mode, Page

Flag = Literal["incorrect", "offensive", "other"]
Source = str | Path | bytes | BinaryIO

RETRIED = (429, 502, 503, 504)
LONGEST_PAUSE = 60.0


class ServiceError(TextRecognizerError):
    """The service refused, or could not be reached. `code`, `status` and `request_id` are those of its answer."""

    def __init__(
        self, message: str, status: int | None = None, code: str = "unreachable", request_id: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code  # type: ignore[misc]  # of each answer, not of the class
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Answer:
    """A page with the number of the request that read it, by which feedback speaks of it, and `timings` in seconds."""

    page: Page
    request_id: str
    timings: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Kept:
    """What the service kept of feedback. `outside_alphabet`: characters in it that the model cannot write."""

    id: str
    request_id: str
    image_kept: bool
    page_kept: bool
    outside_alphabet: tuple[str, ...]


class _Asking:
    """What asking has in common, with and without `await`."""

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

    def _pause(self, attempt: int, what: httpx.Response | httpx.TransportError) -> float:
        """Seconds until the next attempt. Raises what there is to tell where there is none."""
        answer = what if isinstance(what, httpx.Response) else None
        if attempt >= self._retries or (answer is not None and answer.status_code not in RETRIED):
            raise _unreachable(what) if isinstance(what, httpx.TransportError) else _refusal(what)
        told = answer.headers.get("retry-after", "") if answer is not None else ""
        seconds = float(told) if told.isdigit() else 0.5 * 2**attempt
        # Clients that were all refused at once should not all come back at once.
        return min(LONGEST_PAUSE, seconds) * random.uniform(1.0, 1.25)


class Client(_Asking):
    """Asks a service and waits. Safe to share between threads; `close` it, or use it in `with`.

    `timeout`: seconds without any byte of an answer. `retries`: further attempts where the service is overloaded, not
    ready or not reachable, each after as long as its `Retry-After` says.
    """

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

    def read(self, image: Source, mode: Mode = "accurate") -> Page:
        """The page that `image` shows: a path, an http(s) URL that the service fetches, bytes, or a binary file.

        Raises `ImageRejected` where the image cannot be read, `ServiceError` where the service does not answer.
        """
        return self.read_answer(image, mode).page

    def read_answer(self, image: Source, mode: Mode = "accurate") -> Answer:
        """The page with what feedback on it needs. Raises as `read` does."""
        return _answer(self._post("/v1/read", _content(image), {"mode": mode}).json())

    def read_as(self, image: Source, format: str, mode: Mode = "accurate") -> bytes:  # noqa: A002
        """The page written down in one of the service's formats. Raises as `read` does."""
        return self._post("/v1/read", _content(image), {"mode": mode, "format": format}).content

    def stream(self, image: Source, mode: Mode = "accurate") -> Iterator[Line]:
        """The lines of the page as they are read. Raises as `read` does; once it has begun nothing is tried again."""
        content = {"params": {"mode": mode, "stream": "true"}, "headers": _numbered(), **_content(image)}
        attempt = 0
        while True:
            events = _Events()
            try:
                with self._http.stream("POST", "/v1/read", **content) as answer:
                    if answer.is_success:
                        for text in answer.iter_lines():
                            if (line := events.line(text)) is not None:
                                yield line
                        events.check_end()
                        return
                    answer.read()
                    pause = self._pause(attempt, answer)
            except httpx.TransportError as error:
                pause = self._pause(self._retries if events.begun else attempt, error)
            time.sleep(pause)
            attempt += 1

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
    ) -> Kept:
        """Say what a reading got wrong; `reading`: what `read_answer` gave, or its request id.

        `lines`: a text for each line of the page, in its order, empty where there is no line on the paper. `text`: the
        whole text, where it does not go by those lines. `checked`: all lines were looked at. `image`: that was read;
        it is sent, with the page, where the service has forgotten the request, as it does after some minutes. `id`:
        sent twice it is kept once; one is made where none is given, so that what is tried again is kept once.
        Raises `ServiceError`: `unknown-request`, `feedback-rejected`, `feedback-off`, `feedback-unavailable`.
        """
        said = _said(reading, flag, comment, lines, text, checked, mode, id)
        try:
            return _kept(self._ask("POST", "/v1/feedback", json=said).json())
        except ServiceError as error:
            content = _brought(error, said, reading, image)
        return _kept(self._ask("POST", "/v1/feedback", **content).json())

    def delete_feedback(self, reading: Answer | str) -> None:
        """Delete all that the service keeps of a reading. Raises `ServiceError`: `unknown-request` and others."""
        self._ask("DELETE", f"/v1/feedback/{_request_id(reading)}")

    def models(self) -> dict[str, Any]:
        """The model that reads, and the formats that the service writes."""
        known: dict[str, Any] = self._ask("GET", "/v1/models").json()
        return known

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _post(self, path: str, content: dict[str, Any], params: dict[str, str]) -> httpx.Response:
        return self._ask("POST", path, params=params, headers=_numbered(), **content)

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        attempt = 0
        while True:
            try:
                answer = self._http.request(method, path, **options)
                if answer.is_success:
                    return answer
                pause = self._pause(attempt, answer)
            except httpx.TransportError as error:
                pause = self._pause(attempt, error)
            time.sleep(pause)
            attempt += 1


class AsyncClient(_Asking):
    """`Client` with `await`."""

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

    async def read(self, image: Source, mode: Mode = "accurate") -> Page:
        """See `Client.read`."""
        return (await self.read_answer(image, mode)).page

    async def read_answer(self, image: Source, mode: Mode = "accurate") -> Answer:
        """See `Client.read_answer`."""
        return _answer((await self._post("/v1/read", _content(image), {"mode": mode})).json())

    async def read_as(self, image: Source, format: str, mode: Mode = "accurate") -> bytes:  # noqa: A002
        """See `Client.read_as`."""
        return (await self._post("/v1/read", _content(image), {"mode": mode, "format": format})).content

    async def stream(self, image: Source, mode: Mode = "accurate") -> AsyncIterator[Line]:
        """See `Client.stream`."""
        content = {"params": {"mode": mode, "stream": "true"}, "headers": _numbered(), **_content(image)}
        attempt = 0
        while True:
            events = _Events()
            try:
                async with self._http.stream("POST", "/v1/read", **content) as answer:
                    if answer.is_success:
                        async for text in answer.aiter_lines():
                            if (line := events.line(text)) is not None:
                                yield line
                        events.check_end()
                        return
                    await answer.aread()
                    pause = self._pause(attempt, answer)
            except httpx.TransportError as error:
                pause = self._pause(self._retries if events.begun else attempt, error)
            await asyncio.sleep(pause)
            attempt += 1

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
    ) -> Kept:
        """See `Client.feedback`."""
        said = _said(reading, flag, comment, lines, text, checked, mode, id)
        try:
            return _kept((await self._ask("POST", "/v1/feedback", json=said)).json())
        except ServiceError as error:
            content = _brought(error, said, reading, image)
        return _kept((await self._ask("POST", "/v1/feedback", **content)).json())

    async def delete_feedback(self, reading: Answer | str) -> None:
        """See `Client.delete_feedback`."""
        await self._ask("DELETE", f"/v1/feedback/{_request_id(reading)}")

    async def models(self) -> dict[str, Any]:
        """See `Client.models`."""
        known: dict[str, Any] = (await self._ask("GET", "/v1/models")).json()
        return known

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _post(self, path: str, content: dict[str, Any], params: dict[str, str]) -> httpx.Response:
        return await self._ask("POST", path, params=params, headers=_numbered(), **content)

    async def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        attempt = 0
        while True:
            try:
                answer = await self._http.request(method, path, **options)
                if answer.is_success:
                    return answer
                pause = self._pause(attempt, answer)
            except httpx.TransportError as error:
                pause = self._pause(attempt, error)
            await asyncio.sleep(pause)
            attempt += 1


# ---------------------------------------------------------------------------------------------- requests and answers


def _numbered() -> dict[str, str]:
    """A request that is tried again stays the same one: a service that keeps readings keeps it once."""
    return {"X-Request-ID": uuid.uuid4().hex}


def _content(image: Source) -> dict[str, Any]:
    """The body, kept in memory so that it can be sent again."""
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


def _answer(content: dict[str, Any]) -> Answer:
    timings = {str(name): float(seconds) for name, seconds in dict(content.get("timings", {})).items()}
    return Answer(from_dict(content), str(content.get("request_id", "")), timings)


def _request_id(reading: Answer | str) -> str:
    request_id = reading if isinstance(reading, str) else reading.request_id
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", request_id) or not request_id.strip("."):
        raise UsageError(f"{request_id!r} is no request id; give what read_answer gave, or its request_id")
    return request_id


def _said(
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
        raise UsageError("lines are a text for each line of the page; give the whole text as text")
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


def _brought(error: ServiceError, said: dict[str, Any], reading: Answer | str, image: Source | None) -> dict[str, Any]:
    """The body with image and page, where `error` asks for them and they are there; raises `error` otherwise."""
    content = _content(image) if image is not None and error.code == "unknown-request" else {}
    if isinstance(reading, str) or "files" not in content:
        raise error
    return {**content, "data": {"feedback": json.dumps({**said, "page": to_dict(reading.page)})}}


def _kept(content: dict[str, Any]) -> Kept:
    return Kept(
        str(content["id"]),
        str(content["request_id"]),
        bool(content["image_kept"]),
        bool(content["page_kept"]),
        tuple(str(character) for character in content["outside_alphabet"]),
    )


def _unreachable(error: httpx.TransportError) -> ServiceError:
    reason = str(error) or type(error).__name__
    return ServiceError(f"the service cannot be reached ({reason}); check its address, and whether it runs")


def _refusal(answer: httpx.Response) -> TextRecognizerError:
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    return _error({"status": answer.status_code, **problem})


def _error(problem: dict[str, Any]) -> TextRecognizerError:
    """The error that a problem document tells of."""
    status = int(problem.get("status", 0))
    detail = str(problem.get("detail") or f"the service answered {status}")
    if problem.get("code") == ImageRejected.code:
        return ImageRejected(detail)
    return ServiceError(detail, status, str(problem.get("code", "error")), str(problem.get("request_id", "")))


class _Events:
    """Server-sent events of one line of data each."""

    def __init__(self) -> None:
        self._name = ""
        self.begun = self._ended = False

    def line(self, text: str) -> Line | None:
        """The line that a line of the stream tells of, if it does. Raises what a `problem` in it tells of."""
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
            raise ServiceError("the answer broke off before the page was complete; read it again")
