"""The service as an ASGI application: its addresses, and the few lines that every request passes through."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from text_recognizer import __version__, formats
from text_recognizer.errors import TextRecognizerError
from text_recognizer.formats.json_lines import line_to_dict, points, to_dict
from text_recognizer.images import to_picture
from text_recognizer.page import Mode, Page
from text_recognizer.service import schema
from text_recognizer.service.access import Access
from text_recognizer.service.engine import Engine, Job
from text_recognizer.service.feedback import Desk
from text_recognizer.service.inputs import Image, Inputs
from text_recognizer.service.metrics import Metrics
from text_recognizer.service.problems import MEDIA_TYPE, Broken, NotReady, RequestError, body, problem, unserved
from text_recognizer.service.settings import Settings

log = logging.getLogger(__name__)
T = TypeVar("T")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_GONE = 499  # in the metrics only: nobody is there to get an answer


def create_app(settings: Settings | None = None) -> FastAPI:
    """The whole service. The model is loaded when the application starts, beside the first requests.

    `settings`: those of the environment, unless given. Raises `UsageError` where they do not fit.
    """
    settings = settings or Settings.from_environment()
    metrics = Metrics()
    engine, inputs, access = Engine(settings, metrics), Inputs(settings, metrics), Access(settings)
    desk = Desk(settings, metrics, engine)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        engine.start()
        desk.start()
        try:
            yield
        finally:
            await asyncio.to_thread(engine.stop)
            await desk.stop()
            inputs.close()

    app = FastAPI(
        title="text-recognizer",
        version=__version__,
        description="Reads pages of handwriting: an image in, lines of text with places and confidences out.",
        lifespan=running,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.engine, app.state.access = engine, access

    async def admitted(request: Request) -> tuple[bytes, float]:
        """The body of a request that may be served, and until when it must be."""
        access.check(request)
        deadline = time.monotonic() + settings.deadline
        return await inputs.body(request, deadline), deadline

    async def read(request: Request, image: Image, mode: Mode, deadline: float) -> tuple[Page, Job]:
        job = engine.submit(image.data, mode, deadline)
        try:
            page = await _while_client_waits(request, job.wait())
        finally:
            job.drop()
        await desk.note(request.state.id, page, job, image.data)
        return page, job

    @app.post(
        "/v1/read",
        summary="Read a page",
        operation_id="read",
        response_class=Response,
        responses={
            200: {
                "description": "The page in the format asked for, or its lines as they are read",
                "model": schema.PageAnswer,
                "content": {**_written_formats(), "text/event-stream": {"schema": _EVENT}},
            },
            **_problems(400, 401, 408, 413, 415, 422, 429, 500, 503, 504),
        },
        openapi_extra={"requestBody": _V1_BODY},
    )
    async def v1_read(
        request: Request,
        mode: Annotated[Mode, Query(description="accurate, or fast: one pass, more errors")] = "accurate",
        format: Annotated[  # noqa: A002
            Literal[formats.NAMES], Query(description="How the page is written down")  # type: ignore[valid-type]
        ] = "json",
        stream: Annotated[bool, Query(description="Send lines as they are read, as server-sent events")] = False,
    ) -> Response:
        content, deadline = await admitted(request)
        try:
            image = await _while_client_waits(request, inputs.image(request, content, deadline))
            if stream:
                job = engine.submit(image.data, mode, deadline)
                try:
                    await _while_client_waits(request, job.wait_for_layout())
                except BaseException:
                    job.drop()
                    raise
                events = _events(job, image, request.state.id, desk)
                return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
            page, job = await read(request, image, mode, deadline)
            written = b"" if format == "json" else await asyncio.to_thread(_written, page, image, format)
        finally:
            inputs.release(content)
        how = {
            "X-Model": page.model,
            "Server-Timing": ", ".join(f"{name};dur={1000 * s:.0f}" for name, s in job.timings().items()),
        }
        if format == "json":
            return JSONResponse(_answer(page, image.source, request.state.id, job), headers=how)
        return Response(written, headers=how, media_type=formats.get_format(format).media_type)

    @app.post(
        "/",
        summary="Read a page, by the contract of the original Text Recognizer",
        operation_id="predict",
        response_class=JSONResponse,
        response_model=schema.Prediction,
        responses=_problems(400, 401, 408, 413, 422, 429, 500, 503, 504),
        openapi_extra={"requestBody": _ORIGINAL_BODY},
    )
    async def predict(request: Request, mode: Mode = "accurate") -> Response:
        content, deadline = await admitted(request)
        try:
            image = await _while_client_waits(request, inputs.original(content, deadline))
            page, _ = await read(request, image, mode, deadline)
        finally:
            inputs.release(content)
        return JSONResponse({"pred": page.text})

    @app.get("/v1/models", summary="The model that reads", operation_id="models", responses=_problems(401, 429, 503))
    async def models(request: Request) -> schema.Models:
        access.check(request)
        reader = engine.reader
        if reader is None:
            raise NotReady("the model is being loaded; try again in some seconds", retry_after=2)
        bundle = reader.bundle
        known = schema.ModelAnswer(
            name=bundle.name,
            version=bundle.version,
            alphabet=bundle.info["alphabet"],
            modes=["fast", "accurate"],
            data=[str(item) for item in bundle.info.get("data", [])],
        )
        share = settings.log_readings if desk.open else 0.0
        kept = schema.KeptAnswer(share=share, what=settings.log_keep, days=settings.retention_days)
        return schema.Models(models=[known], formats=list(formats.NAMES), feedback=desk.open, kept=kept)

    @app.post(
        "/v1/feedback",
        summary="Say what a reading got wrong",
        operation_id="feedback",
        status_code=201,
        response_model=schema.FeedbackAnswer,
        responses={
            200: {"description": "It was kept before", "model": schema.FeedbackAnswer},
            201: {"description": "It is kept"},
            **_problems(400, 401, 404, 408, 413, 415, 422, 429, 500, 503),
        },
        openapi_extra={"requestBody": _FEEDBACK_BODY},
    )
    async def feedback(request: Request) -> Response:
        access.check(request)
        desk.required()
        content = await inputs.body(request, time.monotonic() + settings.deadline)
        try:
            said, image = await inputs.feedback(request, content)
            answer, new = await desk.give(said, image)
        finally:
            inputs.release(content)
        return JSONResponse(answer.model_dump(), 201 if new else 200)

    @app.delete(
        "/v1/feedback/{request_id}",
        summary="Delete all that is kept of a reading",
        operation_id="delete_feedback",
        status_code=204,
        response_class=Response,
        responses=_problems(401, 404, 429, 503),
    )
    async def delete_feedback(request: Request, request_id: str) -> Response:
        access.check(request)
        await desk.delete(request_id)
        return Response(status_code=204)

    @app.get("/healthz", summary="Whether the process works", operation_id="healthz", responses=_problems(503))
    async def healthz() -> schema.Health:
        if engine.stuck:
            raise NotReady("no thread has come back from reading for long; start the service anew")
        return schema.Health(status="ok")

    @app.get("/readyz", summary="Whether pages can be read", operation_id="readyz", responses=_problems(503))
    async def readyz() -> schema.Health:
        if not engine.ready:
            raise NotReady("the model is being loaded, or cannot be: see the log of the service", retry_after=2)
        return schema.Health(status="ready")

    @app.get("/metrics", summary="Figures for Prometheus", operation_id="metrics", response_class=PlainTextResponse)
    async def metrics_text() -> Response:
        await desk.look_at_alerts()
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.exception_handler(TextRecognizerError)
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, TextRecognizerError)
        metrics.refused.labels(error.code).inc()
        if not isinstance(error, RequestError) and error.code != "image-rejected":
            log.error("request %s: %s", request.state.id, error)
        return problem(error, request.state.id)

    @app.exception_handler(RequestValidationError)
    async def misunderstood(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        return await refused(request, RequestError(f"{'.'.join(map(str, first['loc'][1:]))}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def nowhere(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return unserved(error, request.state.id)

    if settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-ID"],
            expose_headers=["Retry-After", "Server-Timing", "X-Model", "X-Request-ID"],
        )
    app.add_middleware(_Edge, metrics=metrics)
    return app


class _Edge:
    """The outermost layer: numbers requests, counts them, and lets no error out but as a problem document."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        number = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["id"] = number
        status, begin = 0, time.monotonic()

        async def numbered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", []).append((b"x-request-id", number.encode()))
            await send(message)

        try:
            await self._app(scope, receive, numbered)
        except ClientDisconnect:
            status = status or _GONE
        except Exception:
            log.exception("request %s failed", number)
            if status:
                raise  # the answer has begun: all that is left is to break the connection
            self._metrics.refused.labels(Broken.code).inc()
            broken = Broken("an error in this service; try again, or tell who runs it")
            await problem(broken, number)(scope, receive, numbered)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, str(status or _GONE)).inc()
            self._metrics.latency.labels(route).observe(time.monotonic() - begin)


async def _while_client_waits(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, or `ClientDisconnect` as soon as the client has gone; the body must have been read."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(work), asyncio.create_task(gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not tasks[0].done():
            raise ClientDisconnect
        result: T = tasks[0].result()
        return result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _events(job: Job, image: Image, number: str, desk: Desk) -> AsyncIterator[str]:
    """Server-sent events: `layout` first, `line` for each line, `page` at the end, `problem` where that cannot be."""
    try:
        layout = await job.wait_for_layout()
        polygons = [points(polygon) for polygon in layout.polygons]
        yield _event("layout", {"width": layout.width, "height": layout.height, "polygons": polygons})
        async for line in job.stream():
            yield _event("line", line_to_dict(line))
        page = await job.wait()
        await desk.note(number, page, job, image.data)
        yield _event("page", _answer(page, image.source, number, job))
    except TextRecognizerError as error:
        status, code = (error.status, error.code) if isinstance(error, RequestError) else (500, Broken.code)
        yield _event("problem", body(status, code, str(error), number))
    finally:
        job.drop()


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def _answer(page: Page, source: str, number: str, job: Job) -> dict[str, Any]:
    return {**to_dict(page, source), "request_id": number, "timings": job.timings()}


def _written(page: Page, image: Image, name: str) -> bytes:
    chosen = formats.get_format(name)
    return chosen.write(page, image.source, to_picture(image.data) if chosen.needs_picture else None)


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    headers = {
        401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
        429: {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}},
    }
    words = {
        400: "The request is not understood",
        401: "No API key, or an unknown one",
        404: "Nothing is known of this request, or feedback is off",
        408: "The body did not arrive in time",
        413: "The body is too large",
        415: "The media type is not known",
        422: "The image cannot be read, or not be fetched; or the feedback does not fit",
        429: "Too many requests",
        500: "An error in this program",
        503: "The model is not loaded yet, the service is going down, or feedback cannot be kept",
        504: "The page was not read in time",
    }
    return {
        status: {"description": words[status], "content": content, "headers": headers.get(status, {})}
        for status in statuses
    }


def _written_formats() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for chosen in map(formats.get_format, formats.NAMES):
        binary = {"format": "binary"} if chosen.needs_picture else {}
        found[chosen.media_type.partition(";")[0]] = {"schema": {"type": "string", **binary}}
    return {kind: found[kind] for kind in sorted(found) if kind != "application/json"}


_EVENT = {
    "type": "object",
    "description": "`data` is JSON: where lines were found, each line with its text, at the end the page, or the "
    "problem that keeps it from coming",
    "properties": {"event": {"enum": ["layout", "line", "page", "problem"]}, "data": {"type": "string"}},
    "required": ["event", "data"],
}
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_V1_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"image": {"type": "string", "format": "binary"}},
                "required": ["image"],
            }
        },
        "application/json": {
            "schema": {"oneOf": [schema.DataUrl.model_json_schema(), schema.ImageUrl.model_json_schema()]}
        },
        "image/*": _BYTES,
        "application/octet-stream": _BYTES,
    },
}
_FEEDBACK_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": schema.FeedbackRequest.model_json_schema()},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "feedback": {"type": "string", "contentMediaType": "application/json"},
                    "image": {"type": "string", "format": "binary"},
                },
                "required": ["feedback"],
            }
        },
    },
}
_ORIGINAL_BODY = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"image_url": {"type": "string"}, "image": {"type": "string"}},
                "anyOf": [{"required": ["image_url"]}, {"required": ["image"]}],
            }
        }
    },
}
