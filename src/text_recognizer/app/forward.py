"""Forwards the page's requests to a service elsewhere, and streams the answers back.

Only the requests that the page makes are forwarded, so this machine gives no access to the service's network.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

import httpx
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from text_recognizer.app.page import Page
from text_recognizer.feedback.record import REQUEST_ID
from text_recognizer.service import origins
from text_recognizer.service.edge import Edge
from text_recognizer.service.metrics import Metrics
from text_recognizer.service.problems import ForeignPage, document, problem, unserved

PASSED_ON = {
    "/v1/read": ("POST",),
    "/v1/image": ("POST",),
    "/v1/models": ("GET",),
    "/v1/feedback": ("POST",),
}
_ONE_READING = re.compile(rf"/v1/feedback/{REQUEST_ID.pattern}")
_ASKED = (
    "accept", "content-encoding", "content-length", "content-type", "x-document-password", "x-request-id",
    "authorization", "x-api-key",
)  # fmt: skip
_ANSWERED = (
    "content-type", "content-length", "retry-after", "www-authenticate", "cache-control",
    "x-request-id", "x-failed-pages", "x-model", "server-timing",
)  # fmt: skip
CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 120.0  # without any byte; the service has its own deadline and reports it


def create_app(address: str, api_key: str | None = None, hosts: tuple[str, ...] | None = ()) -> ASGIApp:
    """The page at `/`, together with the forwarded addresses of the service at `address`.

    `api_key`: sent with each request; default: each visitor's own key is passed on. `hosts`: as for `origins.check`.
    """
    return Edge(Forward(address, api_key, hosts), Metrics())


class Forward:
    """See `create_app`."""

    def __init__(self, address: str, api_key: str | None = None, hosts: tuple[str, ...] | None = ()) -> None:
        self._key, self._hosts = api_key, hosts
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self._http = httpx.AsyncClient(base_url=address.rstrip("/"), timeout=timeout, limits=limits)
        self._page = Page(self._admit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if Page.serves(scope):
            await self._page(scope, receive, send)
            return
        request = Request(scope, receive)
        path = request.url.path
        answer: ASGIApp
        if path == "/healthz":
            answer = Response('{"status": "ok"}', media_type="application/json")
        elif request.method in PASSED_ON.get(path, ()) or (request.method == "DELETE" and _ONE_READING.fullmatch(path)):
            try:
                self._check_origin(request)
                answer = await self._passed_on(request)
            except ForeignPage as error:
                answer = problem(error, request.state.id)
            except ClientDisconnect:
                return
        else:
            answer = unserved(HTTPException(404), request.state.id)
        await answer(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        loading = asyncio.ensure_future(self._page.load())  # at once: this server only shows the page
        await receive()
        await asyncio.gather(loading, self._http.aclose())
        await send({"type": "lifespan.shutdown.complete"})

    async def _admit(self, request: Request) -> Response | None:
        """Admit whoever the service admits, by asking the service; otherwise return its answer."""
        self._check_origin(request)
        try:
            answer = await self._http.get("/v1/models", headers=self._headers(request, ("authorization", "x-api-key")))
        except httpx.TransportError:
            return _away(request)
        if answer.is_success:
            return None
        return Response(answer.content, answer.status_code, _chosen(answer.headers, _ANSWERED))

    def _check_origin(self, request: Request) -> None:
        # Checked here, because the service sees a request from this server and not from a browser.
        origins.check(request.method, request.headers, hosts=self._hosts)

    async def _passed_on(self, request: Request) -> Response:
        sent = asyncio.Event()

        async def body() -> AsyncIterator[bytes]:
            async for part in request.stream():
                yield part
            sent.set()

        async def gone() -> None:
            """Return when nobody waits for the answer any more."""
            await sent.wait()
            while (await request.receive())["type"] != "http.disconnect":
                pass

        has_body = request.method == "POST"
        asked = self._http.build_request(
            request.method,
            httpx.URL(path=request.url.path, query=request.url.query.encode()),
            headers={**self._headers(request, _ASKED), "x-request-id": request.state.id},
            content=body() if has_body else None,
        )
        if not has_body:
            sent.set()
        asking, leaving = asyncio.ensure_future(self._http.send(asked, stream=True)), asyncio.ensure_future(gone())
        try:
            await asyncio.wait((asking, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise ClientDisconnect
            answer = asking.result()
        except httpx.TransportError:
            return _away(request)
        finally:
            asking.cancel()
            leaving.cancel()
            await asyncio.gather(asking, leaving, return_exceptions=True)
        return StreamingResponse(_parts(answer), answer.status_code, _chosen(answer.headers, _ANSWERED))

    def _headers(self, request: Request, names: tuple[str, ...]) -> dict[str, str]:
        headers = _chosen(request.headers, names)
        if self._key:
            headers.pop("x-api-key", None)
            headers["authorization"] = f"Bearer {self._key}"
        if request.client:
            # If TRUSTED_PROXIES names this server, the service trusts the header and limits each visitor's rate.
            headers["x-forwarded-for"] = request.client.host
        headers["accept-encoding"] = "identity"
        return headers


async def _parts(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for part in answer.aiter_raw():
            yield part
    except httpx.TransportError:
        raise ConnectionError("the service's answer broke off") from None
    finally:
        with suppress(httpx.TransportError):
            await answer.aclose()


def _chosen(headers: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    return {name: headers[name] for name in names if name in headers}


def _away(request: Request) -> Response:
    detail = "the service that reads cannot be reached; try again later, or report it to the operator"
    return document(502, "service-away", detail, request.state.id, {"Retry-After": "5"})
