"""What serving over HTTP has in common, whatever is served: a socket, the log, enough files, an end on SIGTERM."""

from __future__ import annotations

import copy
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from text_recognizer.errors import UsageError

OPTIONS: Mapping[str, Any] = {
    "http": "text_recognizer.service.protocol:ImpatientProtocol",
    "ws": "none",
    "server_header": False,
    "proxy_headers": False,  # else every program of this machine could name any client
}
"""Of `uvicorn.Config`."""


def listening(host: str, port: int) -> socket.socket:
    """A socket that waits for connections; its address is printed. Raises `UsageError` where that can't be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}, port {port} ({error.strerror}); choose another --port") from None
    sock.set_inheritable(True)
    shown = f"[{host}]" if family == socket.AF_INET6 else host
    print(f"text-recognizer: http://{shown}:{sock.getsockname()[1]}", flush=True)
    return sock


def run(config: uvicorn.Config, sock: socket.socket) -> int:
    """Serve in this process until it is told to stop. Returns the exit status."""
    server = uvicorn.Server(config)
    # uvicorn finishes what it took, and then raises the signal that told it to once more: that is no failure.
    signal.signal(signal.SIGTERM, _end)
    with suppress(KeyboardInterrupt):
        server.run(sockets=[sock])
    return 0 if server.started else 1


def _end(*_: Any) -> None:
    raise SystemExit(0)


def raise_limit_of_files() -> None:
    """Each client is a file; the usual 1024 are few where many of them are slow."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def logging() -> dict[str, Any]:
    """uvicorn's, with what this package says beside it."""
    config = copy.deepcopy(LOGGING_CONFIG)
    config["loggers"]["text_recognizer"] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return config
