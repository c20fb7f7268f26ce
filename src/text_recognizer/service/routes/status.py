"""The model, health and metrics of the service: `/v1/models`, `/healthz`, `/readyz`, `/metrics`."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Response
from starlette.responses import PlainTextResponse

from text_recognizer import formats
from text_recognizer.service import schema
from text_recognizer.service.context import Context
from text_recognizer.service.problems import NotReady


def router(context: Context) -> APIRouter:
    """The router of these addresses; it uses the parts in `context`."""
    routes = APIRouter()
    engine, settings, feedback = context.engine, context.settings, context.feedback

    @routes.get(
        "/v1/models",
        summary="The model in use",
        operation_id="models",
        responses=schema.problems(401, 429, 503),
        dependencies=[Depends(context.access.check)],
    )
    async def models() -> schema.Models:
        reader = engine.reader
        if reader is None:
            raise NotReady("the model is being loaded; try again in some seconds", retry_after=2)
        bundle = reader.bundle
        model = schema.ModelAnswer(
            name=bundle.name,
            version=bundle.version,
            alphabet=bundle.description.alphabet,
            modes=["fast", "accurate"],
            languages=list(reader.languages),
            data=list(bundle.description.data),
        )
        share = settings.log_readings if feedback.open else 0.0
        stored = schema.StorageAnswer(share=share, what=settings.log_content, days=settings.retention_days)
        return schema.Models(models=[model], formats=list(formats.NAMES), feedback=feedback.open, stored=stored)

    @routes.get("/healthz", summary="Whether the process works", operation_id="healthz", responses=schema.problems(503))
    async def healthz() -> schema.Health:
        if engine.stuck:
            raise NotReady("every thread has been reading one page for too long; restart the service")
        return schema.Health(status="ok")

    @routes.get("/readyz", summary="Whether pages can be read", operation_id="readyz", responses=schema.problems(503))
    async def readyz() -> schema.Health:
        if not engine.ready:
            raise NotReady("the model is not loaded yet; see the log of the service if this lasts", retry_after=2)
        return schema.Health(status="ready")

    @routes.get("/metrics", summary="Figures for Prometheus", operation_id="metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        await feedback.update_alerts()
        return Response(context.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return routes
