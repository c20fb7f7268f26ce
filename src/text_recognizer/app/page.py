"""The page as an ASGI application: the document that Gradio draws, and a few addresses of its own.

Gradio's server also offers uploads, files by path, a proxy and a queue. The page needs none of them, so they are all
blocked: only Gradio's document with its scripts and styles is served.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from text_recognizer import formats
from text_recognizer.app.decoding import Decoder
from text_recognizer.app.shell import BROWSER, gradio_application, written_formats
from text_recognizer.errors import TextRecognizerError
from text_recognizer.formats.json_lines import from_dict
from text_recognizer.images import MAX_PIXELS
from text_recognizer.service import forms, heap, json_body
from text_recognizer.service.bodies import Bodies
from text_recognizer.service.problems import MEDIA_TYPE, RequestError, TooLarge, problem, unserved
from text_recognizer.service.workers import Workers, while_client_waits

Admit = Callable[[Request], Awaitable[Response | None]]
"""Decides whether a request may be served: returns None, or the answer that refuses it."""

EXAMPLES = Path(__file__).parent / "examples"
GRADIO = ("/theme.css", "/assets/", "/static/")
OWN = "/page/"
ICON = "/favicon.ico"
ADDRESSES = ("browser", "examples", "pages", "written")  # below OWN

MAX_IMAGE = 20 * 2**20  # bytes of a document whose pages are shown, or of a picture
MAX_PAGE = 8 * 2**20  # bytes of a page to be exported
MAX_VALUES = 300_000  # in its JSON: two for each point
MAX_CELLS = 20_000  # in a table: rows are padded to the length of the longest
MAX_HELD = 128 * 2**20  # bytes of all bodies held at once
LONGEST = 200  # characters in an address of Gradio's
PATIENCE = 30.0  # seconds for a body to arrive and be answered
AT_ONCE = 2  # pages exported at the same time

# Gradio needs inline scripts to start; nothing may be loaded from or sent to other origins.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'none'; "
    "frame-ancestors 'self'"  # and the `frames` of `Page`; other sites could trick visitors into blind clicks
)
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Page:
    """The page at `/`. Gradio is loaded when somebody first opens it.

    `admit`: decides who may decode pictures and export pages here. `max_image`, `max_pixels`: limits of such a picture
    in bytes and pixels.
    `frames`: origins whose pages may show this one in a frame, such as a notebook's. `own`: serves the addresses that
    are not Gradio's.
    """

    def __init__(
        self, admit: Admit, max_image: int = MAX_IMAGE, max_pixels: int = MAX_PIXELS, frames: Sequence[str] = ()
    ) -> None:
        self._headers = (*HEADERS, (b"content-security-policy", " ".join((POLICY, *frames)).encode()))
        self._admit, self._max_image, self._max_pixels = admit, max_image, max_pixels
        self._gradio: ASGIApp | None = None
        self._loading = asyncio.Lock()
        self._workers = Workers("page", AT_ONCE)
        self._loader = Workers("load", 1)
        self._decoder = Decoder(max_pixels)
        self._bodies = Bodies(MAX_HELD)
        self.own = Starlette(
            routes=[
                Route(ICON, self._icon),
                Mount(f"{OWN}browser", _Scripts(directory=BROWSER)),
                Route(f"{OWN}examples/{{name}}", self._example),
                Route(f"{OWN}pages", self._pages, methods=["POST"]),
                Route(f"{OWN}written/{{format}}", self._written, methods=["POST"]),
            ],
            exception_handlers={TextRecognizerError: _refused, HTTPException: _nowhere, ClientDisconnect: _gone},
        )
        self.own.router.redirect_slashes = False  # a redirect would go wherever `Host` says

    @staticmethod
    def serves(scope: Scope) -> bool:
        """Whether the address and method of the request belong to the page."""
        if scope["type"] != "http":
            return False
        path = _path(scope)
        shown = path in ("/", ICON) or path.startswith(GRADIO)
        return path.startswith(OWN) or (shown and scope["method"] in ("GET", "HEAD"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request for which `serves` is true; `Edge` must be around it."""
        path = _path(scope)
        own = path.removeprefix(OWN).partition("/")[0] if path.startswith(OWN) else ""
        scope["route"] = SimpleNamespace(path=f"{OWN}{own}" if own in ADDRESSES else "page")  # for the metrics
        send = _with_problems(scope, send)
        if path.startswith(OWN) or path == ICON:
            await self.own(scope, receive, send)
            return
        if len(path) > LONGEST or not path.isprintable():  # not a file name, but Gradio would look for it
            await unserved(HTTPException(404), scope["state"]["id"])(scope, receive, send)
            return
        if path == "/":
            scope = {**scope, "query_string": b""}  # Gradio would read names of saved states from it

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        await (await self.load())(scope, receive, guarded)

    async def load(self) -> ASGIApp:
        """Return Gradio's application; the first call creates it."""
        async with self._loading:
            if self._gradio is None:
                options = {**written_formats(), "examples": sorted(path.name for path in EXAMPLES.glob("*.jpg"))}
                self._gradio = await self._loader.run(_loaded, options)
            return self._gradio

    # ------------------------------------------------------------------------------------------------ own addresses

    async def _icon(self, request: Request) -> Response:
        return FileResponse(BROWSER / "icon.svg", headers={"Cache-Control": "max-age=86400"})

    async def _example(self, request: Request) -> Response:
        name = request.path_params["name"]
        known = {path.name: path for path in EXAMPLES.glob("*.jpg")}
        if name not in known:
            raise HTTPException(404)
        return FileResponse(known[name], headers={"Cache-Control": "max-age=3600"})

    async def _pages(self, request: Request) -> Response:
        """The pages of a document, or a picture that browsers cannot show, as JPEGs: see `leaves`."""
        if (refusal := await self._admit(request)) is not None:
            return refusal
        deadline = time.monotonic() + PATIENCE
        async with self._bodies.of(request, self._max_image, deadline) as content:
            count, pages = await while_client_waits(request, self._decoder.open(content, deadline))
        headers = {"Cache-Control": "no-store", "X-Pages": str(count)}
        return StreamingResponse(pages, media_type="application/octet-stream", headers=headers)

    async def _written(self, request: Request) -> Response:
        """Export a page in a format. The page is JSON, with `texts` for its lines if a person corrected them.

        In a form, the JSON is the field `page`, next to the file `image` for formats that show the picture.
        """
        if (refusal := await self._admit(request)) is not None:
            return refusal
        name = request.path_params["format"]
        if name not in formats.NAMES:
            raise HTTPException(404)
        deadline = time.monotonic() + PATIENCE
        async with self._bodies.of(request, MAX_PAGE + self._max_image, deadline) as content:
            page, image = content, b""
            if request.headers.get("content-type", "").startswith(forms.MULTIPART):
                page, image = await _form(request, content)
            if len(page) > MAX_PAGE:
                raise TooLarge(f"the page is larger than {MAX_PAGE / 2**20:.3g} MiB; leave out its words")
            work = self._workers.run(_written, page, image, name, self._max_pixels, deadline=deadline)
            written, media_type = await while_client_waits(request, work)
        return Response(written, media_type=media_type, headers={"Cache-Control": "no-store"})


class _Scripts(StaticFiles):
    """The files of `browser/`. Browsers check each time whether they changed, so that the modules fit together."""

    def file_response(self, *given: Any, **named: Any) -> Response:
        response = super().file_response(*given, **named)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def _with_problems(scope: Scope, send: Send) -> Send:
    """Wrap `send` for parts of other libraries, so that their errors become the service's problem documents."""
    replaced = False

    async def sending(message: Message) -> None:
        nonlocal replaced
        if message["type"] == "http.response.start" and message["status"] >= 400:
            headers = dict(message.get("headers", []))
            if not headers.get(b"content-type", b"").startswith(MEDIA_TYPE.encode()):
                replaced = True
                kept = {"Allow": headers[b"allow"].decode()} if b"allow" in headers else None
                answer = unserved(HTTPException(message["status"], headers=kept), scope["state"]["id"])
                await answer(scope, _nothing, send)
        if not replaced:
            await send(message)

    return sending


def _loaded(options: dict[str, Any]) -> ASGIApp:
    application = gradio_application(options)
    heap.settle()
    return application


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, TextRecognizerError)
    return problem(error, request.state.id)


async def _nowhere(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return unserved(error, request.state.id)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # the client no longer waits for an answer


def _written(content: bytes, image: bytes, name: str, max_pixels: int) -> tuple[bytes, str]:
    from text_recognizer.app.edits import corrected
    from text_recognizer.formats.blocks import cells_of
    from text_recognizer.images import to_picture

    chosen = formats.get_format(name)
    if chosen.needs_picture and not image:
        raise RequestError("this format shows the picture; send it beside the page")
    given = json_body.parse(content, MAX_VALUES)
    picture = to_picture(image, max_pixels=max_pixels) if chosen.needs_picture else None
    try:
        page = from_dict(given["page"])
        if given.get("texts") is not None:
            page = corrected(page, [str(text) for text in given["texts"]])
        if cells_of(page) > MAX_CELLS:
            raise RequestError(f"a table has more than {MAX_CELLS:,} cells; divide it")
        return chosen.write(page, str(given.get("source", "")), picture), chosen.media_type
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
        raise RequestError("send the page as the service answered it, with a text for each line") from None


async def _form(request: Request, content: bytes) -> tuple[bytes, bytes]:
    """The field `page` and the file `image`."""
    form = await forms.parse(request.headers["content-type"], content, files=1)
    page, image = form.get("page"), form.get("image")
    if not isinstance(page, str) or not isinstance(image, UploadFile):
        raise RequestError('send a form with the field "page" and the file "image"')
    data = await image.read()
    await form.close()
    return page.encode("utf-8", "surrogatepass"), data
