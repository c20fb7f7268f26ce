"""Shared by all addresses of the service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import Request

from text_recognizer.page import Mode, Page
from text_recognizer.service.access import Access
from text_recognizer.service.bodies import Bodies
from text_recognizer.service.documents import Documents
from text_recognizer.service.engine import Engine, Job
from text_recognizer.service.feedback import FeedbackService
from text_recognizer.service.inputs import Image, Inputs
from text_recognizer.service.metrics import Metrics
from text_recognizer.service.protocol import STOPPING
from text_recognizer.service.settings import Settings
from text_recognizer.service.workers import Workers, while_client_waits


class Context:
    """The parts of a service with `settings`, and what its routes share to read a page.

    Raises `UsageError` if the settings name a store of feedback that cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.metrics = settings, Metrics()
        self.engine = Engine(settings, self.metrics)
        self.bodies = Bodies(settings.max_buffered, self.metrics.buffered.set)
        self.inputs = Inputs(settings)
        self.writers = Workers("write", 2)
        self.access = Access(settings)
        self.feedback = FeedbackService(settings, self.metrics, self.engine)
        self.documents = Documents(settings, self.engine, self.feedback)

    @asynccontextmanager
    async def running(self, _: object) -> AsyncIterator[dict[str, Any]]:
        """The lifespan of the application, and its state."""
        self.engine.start()
        self.feedback.start()
        try:
            yield {STOPPING: self.documents.stop}
        finally:
            await asyncio.gather(asyncio.to_thread(self.engine.stop), self.feedback.stop())

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[tuple[bytes, float]]:
        """The body of a request, and its deadline in time.monotonic().

        Raises `TooLarge`, `TooSlow`, `Overloaded`; `ClientDisconnect`.
        """
        deadline = time.monotonic() + self.settings.deadline
        async with self.bodies.of(request, self.settings.max_bytes, deadline) as content:
            yield content, deadline

    async def read(
        self, request: Request, image: Image, mode: Mode, deadline: float, language: str | None = None
    ) -> tuple[Page, Job]:
        """The page, remembered for feedback. Raises as `Engine.submit` and `Job.wait` do; `ClientDisconnect`."""
        job = self.engine.submit(image.data, mode, deadline, language)
        try:
            page = await while_client_waits(request, job.wait())
        finally:
            job.drop()
        await self.feedback.remember(request.state.id, request.state.owner, page, job, image.data)
        return page, job
