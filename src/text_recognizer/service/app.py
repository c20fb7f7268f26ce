"""The service as an ASGI application."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from text_recognizer import __version__
from text_recognizer.service.context import Context
from text_recognizer.service.edge import Edge, answer_errors
from text_recognizer.service.routes import api, feedback, original, read, status
from text_recognizer.service.settings import Settings


def create_app(settings: Settings | None = None, page: Callable[[ASGIApp, Context], ASGIApp] | None = None) -> FastAPI:
    """Create the whole service. The model loads in the background when the application starts.

    `settings`: default: from the environment. `page`: wraps the routes to serve additional addresses.
    `app.state.context` has the parts. Raises `UsageError` if the settings are not valid.
    """
    context = Context(settings or Settings.from_environment())
    app = FastAPI(
        title="text-recognizer",
        version=__version__,
        description="Reads pages of handwriting: an image in, lines of text with places and confidences out.",
        lifespan=context.running,
        docs_url=None,  # FastAPI's page loads scripts from elsewhere; the one in routes/api.py loads nothing
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.context = context
    for group in (read, original, feedback, status):
        app.include_router(group.router(context))
    app.include_router(api.router())
    answer_errors(app, context.metrics)
    # The middleware added first is the innermost.
    if page is not None:
        app.add_middleware(page, context=context)  # type: ignore[call-arg]
    if context.settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(context.settings.cors),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Document-Password", "X-Request-ID"],
            expose_headers=["Retry-After", "Server-Timing", "X-Failed-Pages", "X-Model", "X-Request-ID"],
        )
    app.add_middleware(Edge, metrics=context.metrics)
    return app
