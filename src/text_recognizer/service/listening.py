"""Shared by the service and the web page: the socket, the log, the limit of open files, and shutdown on SIGTERM."""

from __future__ import annotations

import copy
import logging as standard_logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from logging import Filter, LogRecord
from typing import Any, NoReturn

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from text_recognizer.errors import UsageError

LOGGED = 300  # characters of an address
OPTIONS: Mapping[str, Any] = {
    "http": "text_recognizer.service.protocol:TimeoutProtocol",
    "ws": "none",
    "server_header": False,
    "proxy_headers": False,  # otherwise any program on this machine could fake a client's address
}
"""Options of `uvicorn.Config`."""


def listening(host: str, port: int) -> socket.socket:
    """Open a listening socket and print its address. Raises `UsageError` if the address cannot be used."""
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
    """Serve in this process until it is stopped. Returns the exit status."""
    server = uvicorn.Server(config)
    # uvicorn finishes its requests and then raises the signal again, which is not a failure.
    signal.signal(signal.SIGTERM, _end)
    try:
        server.run(sockets=[sock])
    except _Ended:
        return 0
    except KeyboardInterrupt:
        pass
    return 0 if server.started else 1


def leave(status: int) -> NoReturn:
    """End this process at once, without waiting for threads.

    While Python finalises itself, it ends daemon threads as soon as they ask for its lock. If such a thread runs native
    code, that aborts the process.
    """
    standard_logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


class _Ended(BaseException):
    """SIGTERM outside uvicorn's own handling."""


def _end(*_: Any) -> None:
    raise _Ended


class Short(Filter):
    """Shortens the arguments of log messages. An address may have 60 KiB, so cheap requests could fill the disk."""

    def filter(self, record: LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(one[:LOGGED] if isinstance(one, str) else one for one in record.args)
        return True


def raise_limit_of_files() -> None:
    """Allow more open files. Each connection needs one; the usual limit of 1024 is too low for many slow clients."""
    with suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def logging() -> dict[str, Any]:
    """uvicorn's logging configuration, with this package's messages. Long addresses are cut."""
    config = copy.deepcopy(LOGGING_CONFIG)
    config["filters"] = {"short": {"()": "text_recognizer.service.listening.Short"}}
    config["handlers"]["access"]["filters"] = ["short"]
    config["loggers"]["text_recognizer"] = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return config
