"""`GET /docs`: the API documentation, for people."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from text_recognizer.service.api_page import POLICY, render


def router() -> APIRouter:
    """The router of this address."""
    routes = APIRouter()
    rendered: list[str] = []

    @routes.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        if not rendered:
            rendered.append(render(request.app.openapi()))
        headers = {
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(rendered[0], headers=headers)

    return routes
