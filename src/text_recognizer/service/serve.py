"""`text-recognizer serve`: uvicorn around the application, until the process is told to stop."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any

import uvicorn

from text_recognizer.bundle import Bundle
from text_recognizer.models import resolve
from text_recognizer.service.settings import PREFIX, Settings


def serve(given: Mapping[str, Any]) -> int:
    """Serve with the settings of the environment and, before them, those `given`. Returns the exit status."""
    settings = Settings.from_environment(**given)
    Bundle.open(resolve(settings.model))  # an error now and here, not in the log of a service that is never ready
    # Processes of their own read the settings anew.
    os.environ.update({PREFIX + name.upper(): str(value) for name, value in given.items()})
    with tempfile.TemporaryDirectory(prefix="text-recognizer-") as shared:
        if settings.workers > 1:
            os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", shared)
        uvicorn.run(
            "text_recognizer.service.app:create_app",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            # What was taken is finished.
            timeout_graceful_shutdown=int(settings.deadline) + 5,
            server_header=False,
            ws="none",
        )
    return 0
