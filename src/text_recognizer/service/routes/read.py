"""`POST /v1/read`: a page in any format, or its lines as they are read. `POST /v1/image`: the image behind a link."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from text_recognizer import formats
from text_recognizer.documents import PageReference
from text_recognizer.errors import TextRecognizerError
from text_recognizer.formats.document import document_type
from text_recognizer.formats.json_lines import line_to_dict, points, to_dict
from text_recognizer.images import to_picture
from text_recognizer.page import Mode, Page
from text_recognizer.pdf_process import PdfProcess
from text_recognizer.service import schema
from text_recognizer.service.context import Context
from text_recognizer.service.documents import MEDIA_TYPE, Wanted
from text_recognizer.service.engine import Job
from text_recognizer.service.feedback import FeedbackService
from text_recognizer.service.inputs import Image
from text_recognizer.service.problems import RequestError, described
from text_recognizer.service.turns import Turn
from text_recognizer.service.workers import while_client_waits


def router(context: Context) -> APIRouter:
    """The router of these addresses; it uses the parts in `context`."""
    routes = APIRouter(dependencies=[Depends(context.access.check)])

    @routes.post(
        "/v1/read",
        summary="Read a page",
        operation_id="read",
        response_class=Response,
        responses={
            200: {
                "description": "The page in the requested format, or its lines as they are read",
                "model": schema.PageAnswer,
                "content": {**schema.text_formats(), "text/event-stream": {"schema": schema.EVENT}},
            },
            **schema.problems(400, 401, 403, 408, 413, 415, 422, 429, 500, 503, 504),
        },
        openapi_extra={"requestBody": schema.READ_BODY},
    )
    async def read(
        request: Request,
        mode: Annotated[Mode, Query(description="accurate, or fast: one pass, more errors")] = "accurate",
        format: Annotated[  # noqa: A002
            Literal[formats.NAMES], Query(description="Format of the answer")  # type: ignore[valid-type]
        ] = "json",
        language: Annotated[
            str | None,
            Query(
                description="Language of the text, a BCP 47 tag of /v1/models; default: chosen for each page",
                max_length=35,
            ),
        ] = None,
        stream: Annotated[bool, Query(description="Send lines as they are read, as server-sent events")] = False,
        pages: Annotated[
            str | None, Query(description="Which pages of a document to read, such as 1-3,7,10-", max_length=200)
        ] = None,
        pictures: Annotated[bool, Query(description="Send the picture of each page of a document with it")] = False,
        pdfa: Annotated[
            bool, Query(description="Write PDFs as PDF/A-2b, if necessary from pictures of the pages")
        ] = False,
        embedded_text: Annotated[
            bool, Query(description="Use the text that a PDF page already contains, instead of reading its picture")
        ] = False,
        password: Annotated[
            str | None, Header(alias="X-Document-Password", description="Password of an encrypted PDF", max_length=200)
        ] = None,
    ) -> Response:
        async with context.body(request) as (content, deadline):
            image = await while_client_waits(request, context.inputs.image(request, content, deadline))
            wanted = Wanted(
                mode=mode,
                language=language,
                format=format,
                pages=pages,
                password=password,
                pictures=pictures,
                pdf_a=pdfa,
                embedded_text=embedded_text,
            )
            with ExitStack() as stack:
                documents = context.documents
                turn = None
                if documents.is_document(image):
                    turn = stack.enter_context(documents.turn())  # before any work on the document
                pdfs = stack.enter_context(documents.pdfs())
                found = await while_client_waits(request, documents.find(image, wanted, deadline, pdfs))
                if found is not None:
                    if stream:
                        raise RequestError("a document is streamed page by page without `stream`; leave it out")
                    turn = turn or stack.enter_context(documents.turn())
                    return await _document(context, request, content, found, wanted, pdfs, turn, stack)
            if stream:
                return await _stream(context, request, image, mode, deadline, language)
            page, job = await context.read(request, image, mode, deadline, language)
            written = (
                b""
                if format == "json"
                else await while_client_waits(
                    request, context.writers.run(_written, page, image, format, deadline=deadline)
                )
            )
        headers = {
            "X-Model": page.model,
            "Server-Timing": ", ".join(f"{name};dur={1000 * s:.0f}" for name, s in job.timings().items()),
        }
        if format == "json":
            # orjson is ten times as fast as `json`, which would hold Python's lock for a hundredth of the reading time.
            answer = orjson.dumps(_answer(page, image.source, request.state.id, job))
            return Response(answer, headers=headers, media_type="application/json")
        return Response(written, headers=headers, media_type=formats.get_format(format).media_type)

    @routes.post(
        "/v1/image",
        summary="Fetch an image by its address",
        description="For clients that show the image behind a link, such as a web page, which may not fetch it itself.",
        operation_id="image",
        response_class=Response,
        responses={
            200: {
                "description": "The bytes behind the address: an image, or a PDF",
                "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
            },
            **schema.problems(400, 401, 403, 408, 413, 415, 422, 429, 500, 503, 504),
        },
        openapi_extra={"requestBody": schema.LINK_BODY},
    )
    async def image(request: Request) -> Response:
        async with context.body(request) as (content, deadline):
            found = await while_client_waits(request, context.inputs.linked(content, deadline))
        headers = {
            "Cache-Control": "no-store",
            "Content-Disposition": "attachment",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(found.data, headers=headers, media_type="application/octet-stream")

    return routes


async def _document(
    context: Context,
    request: Request,
    content: bytes,
    pages: list[PageReference],
    wanted: Wanted,
    pdfs: PdfProcess,
    turn: Turn,
    stack: ExitStack,
) -> Response:
    """Answer with a line of JSON for each page as soon as it is read, or with the whole document in another format.

    `stack`: closed when the answer has ended.
    """
    documents = context.documents
    if wanted.format != "json":
        written, failed = await while_client_waits(request, documents.document(pages, wanted, pdfs))
        headers = {"X-Failed-Pages": ",".join(str(page.number) for page in failed)} if failed else {}
        media_type = document_type(formats.get_format(wanted.format))
        return Response(written, headers=headers, media_type=media_type)
    context.bodies.hold(content)
    stack.callback(context.bodies.release, content)

    async def lines() -> AsyncIterator[bytes]:
        read = documents.lines(pages, wanted, pdfs, request.state.id, request.state.owner)
        async with aclosing(read):
            async for line in read:
                turn.client.has()
                yield line
                turn.client.takes()

    return _Stream(lines(), stack.pop_all(), MEDIA_TYPE, turn)


class _Stream(StreamingResponse):
    """A streamed answer. `held` is closed when it ends, even if the client left before the first byte.

    A `finally` in the generator is not enough: a generator that never started does not run it.
    """

    def __init__(
        self,
        content: AsyncIterator[bytes] | AsyncIterator[str],
        held: ExitStack,
        media_type: str,
        turn: Turn | None = None,
    ) -> None:
        super().__init__(content, media_type=media_type, headers={"Cache-Control": "no-store"})
        self._held, self._turn = held, turn

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            answer = super().__call__(scope, receive, send)
            await (self._turn.send(answer) if self._turn is not None else answer)


async def _stream(
    context: Context, request: Request, image: Image, mode: Mode, deadline: float, language: str | None
) -> Response:
    """Answer with server-sent events; the answer begins once the image is known to be readable."""
    with ExitStack() as stack:
        job = context.engine.submit(image.data, mode, deadline, language, streamed=True)
        stack.callback(job.drop)
        await while_client_waits(request, job.wait_for_layout())
        return _Stream(_events(job, image, request, context.feedback), stack.pop_all(), "text/event-stream")


async def _events(job: Job, image: Image, request: Request, feedback: FeedbackService) -> AsyncIterator[str]:
    """Yield `layout` first, then `line` for each line, and `page` at the end; or `problem` if reading fails."""
    request_id = request.state.id
    try:
        layout = await job.wait_for_layout()
        polygons = [points(polygon) for polygon in layout.polygons]
        yield _event("layout", {"width": layout.width, "height": layout.height, "polygons": polygons})
        async for line in job.stream():
            yield _event("line", line_to_dict(line))
        page = await job.wait()
        await feedback.remember(request_id, request.state.owner, page, job, image.data)
        yield _event("page", _answer(page, image.source, request_id, job))
    except TextRecognizerError as error:
        yield _event("problem", described(error, request_id))


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {orjson.dumps(data).decode()}\n\n"


def _answer(page: Page, source: str, request_id: str, job: Job) -> dict[str, Any]:
    return {**to_dict(page, source), "request_id": request_id, "timings": job.timings()}


def _written(page: Page, image: Image, name: str) -> bytes:
    chosen = formats.get_format(name)
    return chosen.write(page, image.source, to_picture(image.data) if chosen.needs_picture else None)
