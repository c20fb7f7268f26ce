"""The outermost layer: request ids, metrics, and a problem document for every error."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from text_recognizer.errors import TextRecognizerError
from text_recognizer.feedback.record import REQUEST_ID
from text_recognizer.service.metrics import Metrics
from text_recognizer.service.problems import Broken, NotReady, RequestError, TwoLengths, problem, unserved

log = logging.getLogger(__name__)
_GONE = 499  # in the metrics only: the client has disconnected


class Edge:
    """Wraps the application. `scope["state"]["id"]` is the request's id afterwards."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        sent = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = sent if REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
        scope.setdefault("state", {})["id"] = request_id
        status, begin = 0, time.monotonic()

        async def numbered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [item for item in message.get("headers", []) if item[0] != b"x-request-id"]
                message["headers"] = [*headers, (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            if b"content-length" in headers and b"transfer-encoding" in headers:
                await problem(TwoLengths("send Content-Length or Transfer-Encoding"), request_id)(
                    scope, receive, numbered
                )
            else:
                await self._app(scope, receive, numbered)
        except ClientDisconnect:
            status = status or _GONE
        except asyncio.CancelledError:  # the server stops, and the time to finish requests is over
            if not status:
                self._metrics.refused.labels(NotReady.code).inc()
                stopped = NotReady("the service stopped before this was done; try again", retry_after=1)
                await problem(stopped, request_id)(scope, receive, numbered)
        except Exception:
            log.exception("request %s failed", request_id)
            if status:
                raise  # the answer has begun, so all that is left is to close the connection
            self._metrics.refused.labels(Broken.code).inc()
            await problem(Broken(), request_id)(scope, receive, numbered)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status or _GONE)).inc()
            self._metrics.latency.labels(route).observe(time.monotonic() - begin)


def answer_errors(app: FastAPI, metrics: Metrics) -> None:
    """Make `app` answer failed requests with problem documents."""

    @app.exception_handler(TextRecognizerError)
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, TextRecognizerError)
        metrics.refused.labels(error.code).inc()
        if not isinstance(error, RequestError) and error.code != "image-rejected":
            log.error("request %s: %s", request.state.id, error)
        return problem(error, request.state.id)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return await refused(request, RequestError(f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}"))

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: Exception) -> Response:
        return Response(status_code=_GONE)

    @app.exception_handler(HTTPException)
    async def nowhere(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return unserved(error, request.state.id)
