"""`text-recognizer serve`: uvicorn with the application, until the process is stopped."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

from text_recognizer.bundle import Bundle
from text_recognizer.devices import check_device
from text_recognizer.registry import resolve
from text_recognizer.service.listening import OPTIONS, leave, listening, logging, raise_limit_of_files, run
from text_recognizer.service.settings import PREFIX, Settings

_SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"


def serve(given: Mapping[str, Any], application: str = "text_recognizer.service.app:create_app") -> int:
    """Serve with the settings of the environment; the `given` ones override them.

    A single process exits here. With several processes, the function waits for them and returns the exit status.

    `application` names the application's factory: the service alone, or with the web page.
    """
    settings = Settings.from_environment(**given)
    check_device(settings.device)
    Bundle.open(resolve(settings.model))  # fail here rather than in the log of a service that never becomes ready
    # The application reads the settings again, in this process or in child processes.
    os.environ.update({PREFIX + name.upper(): str(value) for name, value in given.items()})
    raise_limit_of_files()
    config = uvicorn.Config(
        application,
        factory=True,
        workers=settings.workers,
        log_config=logging(),
        timeout_graceful_shutdown=int(settings.deadline) + 5,  # requests in progress are finished
        timeout_worker_healthcheck=30,
        **{**OPTIONS, "proxy_headers": bool(settings.trusted_proxies)},
        forwarded_allow_ips=list(settings.trusted_proxies),
    )
    with listening(settings.host, settings.port) as sock:
        if settings.workers > 1:
            with tempfile.TemporaryDirectory(prefix="text-recognizer-") as shared:
                os.environ.setdefault(_SHARED_METRICS, shared)
                Multiprocess(config, sockets=[sock]).run()
            return 0
        status = run(config, sock)
    leave(status)
