"""Ask a text-recognizer service: `Client("http://127.0.0.1:8000").read("page.jpg").text`.

Needs the extra `client` (httpx) and nothing of what reading needs: no model, no ONNX Runtime.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import httpx

from text_recognizer.errors import ImageRejected, TextRecognizerError, UsageError
from text_recognizer.formats.json_lines import from_dict, line_from_dict
from text_recognizer.page import Line, Page

Mode = Literal["fast", "accurate"]
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
        return from_dict(self._post("/v1/read", _content(image), {"mode": mode}).json())

    def read_as(self, image: Source, format: str, mode: Mode = "accurate") -> bytes:  # noqa: A002
        """The page written down in one of the service's formats. Raises as `read` does."""
        return self._post("/v1/read", _content(image), {"mode": mode, "format": format}).content

    def stream(self, image: Source, mode: Mode = "accurate") -> Iterator[Line]:
        """The lines of the page as they are read. Raises as `read` does; once it has begun nothing is tried again."""
        content = {"params": {"mode": mode, "stream": "true"}, **_content(image)}
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
        return self._ask("POST", path, params=params, **content)

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
        return from_dict((await self._post("/v1/read", _content(image), {"mode": mode})).json())

    async def read_as(self, image: Source, format: str, mode: Mode = "accurate") -> bytes:  # noqa: A002
        """See `Client.read_as`."""
        return (await self._post("/v1/read", _content(image), {"mode": mode, "format": format})).content

    async def stream(self, image: Source, mode: Mode = "accurate") -> AsyncIterator[Line]:
        """See `Client.stream`."""
        content = {"params": {"mode": mode, "stream": "true"}, **_content(image)}
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
        return await self._ask("POST", path, params=params, **content)

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
