"""`text-recognizer serve`: uvicorn around the application, until the process is told to stop."""

from __future__ import annotations

import copy
import os
import signal
import socket
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import uvicorn
from uvicorn.config import LOGGING_CONFIG
from uvicorn.supervisors import Multiprocess

from text_recognizer.bundle import Bundle
from text_recognizer.errors import UsageError
from text_recognizer.models import resolve
from text_recognizer.service.settings import PREFIX, Settings

_SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"


def serve(given: Mapping[str, Any]) -> int:
    """Serve with the settings of the environment and, before them, those `given`. Returns the exit status."""
    settings = Settings.from_environment(**given)
    Bundle.open(resolve(settings.model))  # an error now and here, not in the log of a service that is never ready
    # The application, in this process or in others, reads the settings anew.
    os.environ.update({PREFIX + name.upper(): str(value) for name, value in given.items()})
    _raise_limit_of_files()
    config = uvicorn.Config(
        "text_recognizer.service.app:create_app",
        factory=True,
        workers=settings.workers,
        http="text_recognizer.service.protocol:ImpatientProtocol",
        ws="none",
        server_header=False,
        log_config=_logging(),
        timeout_graceful_shutdown=int(settings.deadline) + 5,  # what was taken is finished
        timeout_worker_healthcheck=30,
    )
    with _listening(settings) as sock:
        if settings.workers > 1:
            with tempfile.TemporaryDirectory(prefix="text-recognizer-") as shared:
                os.environ.setdefault(_SHARED_METRICS, shared)
                Multiprocess(config, sockets=[sock]).run()
            return 0
        server = uvicorn.Server(config)
        # uvicorn finishes what it took, and then raises the signal that told it to once more: that is no failure.
        signal.signal(signal.SIGTERM, _end)
        with suppress(KeyboardInterrupt):
            server.run(sockets=[sock])
        return 0 if server.started else 1


def _end(*_: Any) -> None:
    raise SystemExit(0)


def _listening(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        sock = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {settings.host}, port {settings.port} ({error.strerror}); choose another --port"
        ) from None
    sock.set_inheritable(True)
    host = f"[{settings.host}]" if family == socket.AF_INET6 else settings.host
    print(f"text-recognizer: http://{host}:{sock.getsockname()[1]}", flush=True)
    return sock


def _raise_limit_of_files() -> None:
    """Each client is a file; the usual 1024 are few where many of them are slow."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _logging() -> dict[str, Any]:
    """uvicorn's, with what this package says beside it."""
    config = copy.deepcopy(LOGGING_CONFIG)
    config["loggers"]["text_recognizer"] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return config
