"""`POST /`: the contract of the original Text Recognizer."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import JSONResponse

from text_recognizer.page import Mode
from text_recognizer.service import schema
from text_recognizer.service.context import Context
from text_recognizer.service.workers import while_client_waits


def router(context: Context) -> APIRouter:
    """The router of this address; it uses the parts in `context`."""
    routes = APIRouter(dependencies=[Depends(context.access.check)])

    @routes.post(
        "/",
        summary="Read a page, by the contract of the original Text Recognizer",
        operation_id="predict",
        response_class=JSONResponse,
        response_model=schema.Prediction,
        responses=schema.problems(400, 401, 403, 408, 413, 415, 422, 429, 500, 503, 504),
        openapi_extra={"requestBody": schema.ORIGINAL_BODY},
    )
    async def predict(request: Request, mode: Mode = "accurate") -> Response:
        async with context.body(request) as (content, deadline):
            image = await while_client_waits(request, context.inputs.original(content, deadline))
            page, _ = await context.read(request, image, mode, deadline)
        return JSONResponse({"pred": page.text})

    return routes
