"""The service with the page at its root: what `text-recognizer serve` runs where Gradio is installed.

The page's scripts ask the service at its own addresses, so API keys and rate limits see each visitor as he is.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from text_recognizer.app.page import Page
from text_recognizer.service.app import create_app as create_service
from text_recognizer.service.settings import Settings


def create_app(settings: Settings | None = None) -> ASGIApp:
    """See `service.app.create_app`; without the page where the settings say so."""
    settings = settings or Settings.from_environment()
    service = create_service(settings)
    if not settings.page:
        return service

    async def admit(request: Request) -> Response | None:
        await service.state.context.access.check(request)
        return None

    return Mounted(service, Page(admit, max_image=settings.max_bytes))


class Mounted:
    """Requests for the page go to it, all others to the service, as if there were no page."""

    def __init__(self, service: ASGIApp, page: Page) -> None:
        self.service, self.page = service, page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self.page if self.page.serves(scope) else self.service)(scope, receive, send)
