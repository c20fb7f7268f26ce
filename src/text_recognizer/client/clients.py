"""`Client` and `AsyncClient`: when a request is sent, retried and given up."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from typing import Any, TypeVar

import httpx

from text_recognizer.client.messages import (
    Answer,
    Events,
    Lines,
    PageResult,
    Parser,
    ServiceError,
    Source,
    Stored,
    answer_from,
    document_request,
    feedback_body,
    read_request,
    refusal,
    request_id_of,
    stored_from,
    unreachable,
    with_image,
)
from text_recognizer.feedback.record import Flag
from text_recognizer.page import Line, Mode, Page

T = TypeVar("T")

RETRIED = (429, 502, 503, 504)
LONGEST_PAUSE = 60.0  # seconds between two attempts

Flow = Generator[httpx.Request | float, httpx.Response, T]
"""Yields requests to send and seconds to pause; receives the answers to the requests."""


class _Flows:
    """Shared by both clients, as flows without input or output: `Client` and `AsyncClient` run them."""

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
        """Return the first successful answer. Raises the error of the last attempt."""
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
        return (yield from self._answer_flow("POST", "/v1/read", **read_request(image, **params)))

    def _read_flow(self, image: Source, mode: Mode, language: str | None) -> Flow[Answer]:
        return answer_from((yield from self._page_flow(image, mode=mode, language=language)).json())

    def _feedback_flow(self, feedback: dict[str, Any], reading: Answer | str, image: Source | None) -> Flow[Stored]:
        try:
            return stored_from((yield from self._answer_flow("POST", "/v1/feedback", json=feedback)).json())
        except ServiceError as error:
            content = with_image(error, feedback, reading, image)
        return stored_from((yield from self._answer_flow("POST", "/v1/feedback", **content)).json())

    def _models_flow(self) -> Flow[dict[str, Any]]:
        models: dict[str, Any] = (yield from self._answer_flow("GET", "/v1/models")).json()
        return models

    def _pause(self, attempt: int, result: httpx.Response | httpx.TransportError) -> float:
        """Seconds until the next attempt. Raises the error of `result` if there is no further attempt."""
        answer = result if isinstance(result, httpx.Response) else None
        if attempt >= self._retries or (answer is not None and answer.status_code not in RETRIED):
            raise unreachable(result) if isinstance(result, httpx.TransportError) else refusal(result)
        after = answer.headers.get("retry-after", "") if answer is not None else ""
        seconds = float(after) if after.isdigit() else 0.5 * 2**attempt
        # Clients that were refused at the same time should not all retry at the same time.
        return min(LONGEST_PAUSE, seconds) * random.uniform(1.0, 1.25)


class Client(_Flows):
    """Sends requests to a service. Threads may share it; `close` it, or use it in `with`.

    `timeout`: seconds without any byte of an answer. `retries`: further attempts if the service is overloaded, not
    ready or not reachable, each after the time in `Retry-After`.
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

        Raises `ImageRejected` if the image cannot be read, `ServiceError` for any other refusal or failure.
        """
        return self.read_answer(image, mode, language).page

    def read_answer(self, image: Source, mode: Mode = "accurate", language: str | None = None) -> Answer:
        """The page, with its request id for feedback. Raises as `read` does."""
        return self._run(self._read_flow(image, mode, language))

    def read_as(self, image: Source, format: str, mode: Mode = "accurate", language: str | None = None) -> bytes:  # noqa: A002
        """The page in one of the service's formats. Raises as `read` does."""
        return self._run(self._page_flow(image, mode=mode, format=format, language=language)).content

    def stream(self, image: Source, mode: Mode = "accurate", language: str | None = None) -> Iterator[Line]:
        """Yield the lines of the page as they are read. Raises as `read` does; no retries after the first line."""
        return self._parsed(read_request(image, mode=mode, stream="true", language=language), Events)

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
        """Yield the pages of a PDF, TIFF or ZIP, each as soon as it is read. `pages`: a selection such as "1-3,7,10-".

        `embedded_text`: use the text that a PDF page already contains, instead of reading its picture.
        A page that cannot be read is returned with its `error`, and the others are still read. There are no retries
        after the first page. Raises as `read` does if the document cannot be read or the connection breaks.
        """
        return self._parsed(document_request(document, mode, language, pages, password, embedded_text), Lines)

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

        `lines`: a text for each line of the page, in order; empty if the paper has no such line. `text`: the whole
        text, if it does not follow those lines. `checked`: a person checked all lines. `image`: the image that was
        read; it is sent, with the page, if the service no longer remembers the request, usually after some minutes.
        `id`: feedback sent twice with the same id is stored once; by default all attempts of this call share a new id.
        Raises `ServiceError`: `unknown-request`, `feedback-rejected`, `feedback-off`, `feedback-unavailable`.
        """
        feedback = feedback_body(reading, flag, comment, lines, text, checked, mode, id)
        return self._run(self._feedback_flow(feedback, reading, image))

    def delete_feedback(self, reading: Answer | str) -> None:
        """Delete everything stored about a reading. Raises `ServiceError`: `unknown-request` and others."""
        self._run(self._answer_flow("DELETE", f"/v1/feedback/{request_id_of(reading)}"))

    def models(self) -> dict[str, Any]:
        """The service's model, and the formats that it can write."""
        return self._run(self._models_flow())

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _parsed(self, content: dict[str, Any], kind: type[Parser[T]]) -> Iterator[T]:
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
        return self._parsed(read_request(image, mode=mode, stream="true", language=language), Events)

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
        return self._parsed(document_request(document, mode, language, pages, password, embedded_text), Lines)

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
        feedback = feedback_body(reading, flag, comment, lines, text, checked, mode, id)
        return await self._run(self._feedback_flow(feedback, reading, image))

    async def delete_feedback(self, reading: Answer | str) -> None:
        """See `Client.delete_feedback`."""
        await self._run(self._answer_flow("DELETE", f"/v1/feedback/{request_id_of(reading)}"))

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

    async def _parsed(self, content: dict[str, Any], kind: type[Parser[T]]) -> AsyncIterator[T]:
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
