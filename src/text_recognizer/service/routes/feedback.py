"""`/v1/feedback`: submit feedback on a reading, and delete a reading with its feedback."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import JSONResponse

from text_recognizer.service import schema
from text_recognizer.service.context import Context


def router(context: Context) -> APIRouter:
    """The router of these addresses; it uses the parts in `context`."""
    routes = APIRouter(dependencies=[Depends(context.access.check)])

    @routes.post(
        "/v1/feedback",
        summary="Submit feedback on a reading",
        operation_id="feedback",
        status_code=201,
        response_model=schema.FeedbackAnswer,
        responses={
            200: {"description": "It was stored before", "model": schema.FeedbackAnswer},
            201: {"description": "It is stored"},
            **schema.problems(400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503, 507),
        },
        openapi_extra={"requestBody": schema.FEEDBACK_BODY},
    )
    async def submit(request: Request) -> Response:
        context.feedback.required()
        async with context.body(request) as (content, _):
            sent, image = await context.inputs.feedback(request, content)
            answer, new = await context.feedback.submit(sent, image, request.state.owner)
        return JSONResponse(answer.model_dump(), 201 if new else 200)

    @routes.delete(
        "/v1/feedback/{request_id}",
        summary="Delete all that is stored of a reading",
        operation_id="delete_feedback",
        status_code=204,
        response_class=Response,
        responses=schema.problems(401, 403, 404, 429, 503),
    )
    async def delete(request: Request, request_id: str) -> Response:
        await context.feedback.delete(request_id, request.state.owner)
        return Response(status_code=204)

    return routes
