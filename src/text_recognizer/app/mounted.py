"""The service with the page at its root. `text-recognizer serve` runs this if Gradio is installed.

The page's scripts call the service at its own addresses, so API keys and rate limits apply to each visitor.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from text_recognizer.app.page import Page
from text_recognizer.service.app import create_app as create_service
from text_recognizer.service.context import Context
from text_recognizer.service.settings import Settings


def create_app(settings: Settings | None = None) -> ASGIApp:
    """See `service.app.create_app`. The page is left out if the settings say so."""
    settings = settings or Settings.from_environment()
    return create_service(settings, Mounted if settings.page else None)


class Mounted:
    """Serves requests for the page, and passes all other requests to the service."""

    def __init__(self, service: ASGIApp, context: Context) -> None:
        async def admit(request: Request) -> Response | None:
            await context.access.check(request)
            return None

        settings = context.settings
        self._service, self._page = service, Page(admit, settings.max_bytes, settings.max_pixels, settings.frames)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        await (self._page if self._page.serves(scope) else self._service)(scope, receive, send)
