"""What an operator may choose: each field is an environment variable TEXT_RECOGNIZER_… and a row in docs/service.md."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from text_recognizer.errors import UsageError
from text_recognizer.service.cores import cores

PREFIX = "TEXT_RECOGNIZER_"
ImageUrls = Literal["public", "allow-list", "off"]
LogKeep = Literal["numbers", "pages", "images"]
FEEDBACK_OFF = "off"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the service runs. Raises `UsageError` where values do not fit."""

    model: str | None = None
    """Folder of a bundle, `production`, `staging`, NAME or NAME@VERSION; nothing: the one that ships."""
    reload_seconds: float = 10.0
    """How often an alias is looked up again, to go over to a newly promoted model; 0: never."""
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    """Processes, each with its own model, queue and rate limits; from 2 on a killed one is replaced."""
    threads: int = 0
    """Pages and batches of lines read at the same time in a process; 0: one for each core that a container leaves."""
    queue: int = 64
    """Requests that may wait for a thread; the next is answered 429."""
    deadline: float = 30.0
    """Seconds from a request's headers to its answer; then 504."""
    max_bytes: int = 20 * 2**20
    """Of a request's body, and of an image behind an address."""
    max_pixels: int = 40_000_000
    max_buffered: int = 256 * 2**20
    """Bytes of all bodies that are held at once; what goes beyond is answered 429."""
    api_keys: tuple[str, ...] = ()
    """One of them must come with each request for reading; none: everybody may read."""
    rate_limit: float = 0.0
    """Requests a minute for each key, or each client's address where there are no keys; 0: as many as come."""
    cors: tuple[str, ...] = ()
    """Origins of web pages that may call the service from a browser; `*` for all."""
    image_urls: ImageUrls = "public"
    """Whether `image_url` is fetched: from public addresses, only from `allowed_hosts`, or not at all."""
    allowed_hosts: tuple[str, ...] = ()
    """`example.org` is this host alone, `*.example.org` each one below it."""
    image_url_http: bool = False
    """Whether `http://` is fetched too, not only `https://`."""
    image_url_ports: tuple[int, ...] = (80, 443)
    fetch_seconds: float = 10.0
    """For one image, all redirects together."""

    page: bool = True
    """Whether the web page is shown at `/`, where the extra `app` is installed."""

    feedback: str = "feedback"
    """Where feedback is kept: a folder (SQLite in it), the URL of a database, or `off`."""
    feedback_images: str | None = None
    """Where its images are: any fsspec address; nothing: a folder beside the SQLite file."""
    remember_seconds: float = 900.0
    """How long a reading stays in memory, so that feedback on it finds its image; 0: never."""
    remember_bytes: int = 32 * 2**20
    """Of the images and pages of those readings, in each process; the oldest go first."""
    log_readings: float = 0.0
    """Share of readings, 0 to 1, that are kept although nobody gave feedback on them."""
    log_keep: LogKeep = "numbers"
    """What is kept of them: numbers alone, the text too, or the image too."""
    retention_days: float = 30.0
    """After which such a reading is deleted; 0: never."""

    def __post_init__(self) -> None:
        for name in ("queue", "max_bytes", "max_pixels", "workers"):
            if getattr(self, name) < 1:
                raise UsageError(f"{PREFIX}{name.upper()} is {getattr(self, name)}; give 1 or more")
        for name in ("deadline", "fetch_seconds"):
            if not 0 < getattr(self, name) < 1e6:
                raise UsageError(f"{PREFIX}{name.upper()} is {getattr(self, name)}; give seconds, more than 0")
        for name in ("threads", "rate_limit", "reload_seconds", "remember_seconds", "retention_days"):
            if not 0 <= getattr(self, name) < 1e9:
                raise UsageError(f"{PREFIX}{name.upper()} is {getattr(self, name)}; give 0 or more")
        if self.remember_bytes < 0:
            raise UsageError(f"{PREFIX}REMEMBER_BYTES is {self.remember_bytes}; give 0 or more")
        if not 0 <= self.port < 2**16:
            raise UsageError(f"{PREFIX}PORT is {self.port}; give 0 to 65535")
        if self.max_buffered < self.max_bytes:
            raise UsageError(f"{PREFIX}MAX_BUFFERED is less than {PREFIX}MAX_BYTES: no large image would ever get in")
        if self.image_urls not in get_args(ImageUrls):
            raise UsageError(f"{PREFIX}IMAGE_URLS is {self.image_urls!r}; give {', '.join(get_args(ImageUrls))}")
        if (self.image_urls == "allow-list") != bool(self.allowed_hosts):
            raise UsageError(f"{PREFIX}IMAGE_URLS=allow-list and {PREFIX}ALLOWED_HOSTS go together; give both or none")

        if not 0 <= self.log_readings <= 1:
            raise UsageError(f"{PREFIX}LOG_READINGS is {self.log_readings}; give a share from 0 to 1")
        if self.log_keep not in get_args(LogKeep):
            raise UsageError(f"{PREFIX}LOG_KEEP is {self.log_keep!r}; give {', '.join(get_args(LogKeep))}")

    @property
    def reading_threads(self) -> int:
        return self.threads or cores()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **given: Any) -> Settings:
        """From variables like TEXT_RECOGNIZER_QUEUE; what is `given` goes before them, an empty variable says nothing.

        TEXT_RECOGNIZER_API_KEYS_FILE names a file with a key a line, as secrets are mounted. Raises `UsageError`.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for name, read in _READ.items():
            text = environ.get(PREFIX + name.upper(), "").strip()
            # Kubernetes tells pods of a Service "text-recognizer" in their namespace by a variable of this very name.
            if name == "port" and text.startswith("tcp://"):
                continue
            if text:
                try:
                    values[name] = read(text)
                except ValueError:
                    raise UsageError(f"{PREFIX}{name.upper()} is {text!r}, which is not {_WORDS[read]}") from None
        keys = environ.get(f"{PREFIX}API_KEYS_FILE", "").strip()
        if keys:
            try:
                lines = Path(keys).read_text(encoding="utf-8").split()
            except (OSError, UnicodeError) as error:
                raise UsageError(f"{PREFIX}API_KEYS_FILE cannot be read ({type(error).__name__}); check it") from None
            values["api_keys"] = (*values.get("api_keys", ()), *lines)
            # A file that lost its keys must not open the service to everybody.
            if not lines:
                raise UsageError(f"{PREFIX}API_KEYS_FILE holds no key; write one a line")
        return cls(**{**values, **given})


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.replace(",", " ").split() if part)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in _listed(text))


def _yes(text: str) -> bool:
    if text.lower() not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise ValueError
    return text.lower() in ("1", "true", "yes", "on")


def _choice(text: str) -> Any:
    return text  # checked with the rest


_READ: dict[str, Callable[[str], Any]] = {
    "model": str,
    "reload_seconds": float,
    "host": str,
    "port": int,
    "workers": int,
    "threads": int,
    "queue": int,
    "deadline": float,
    "max_bytes": int,
    "max_pixels": int,
    "max_buffered": int,
    "api_keys": _listed,
    "rate_limit": float,
    "cors": _listed,
    "image_urls": _choice,
    "allowed_hosts": _listed,
    "image_url_http": _yes,
    "image_url_ports": _numbers,
    "fetch_seconds": float,
    "page": _yes,
    "feedback": str,
    "feedback_images": str,
    "remember_seconds": float,
    "remember_bytes": int,
    "log_readings": float,
    "log_keep": _choice,
    "retention_days": float,
}
_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", _yes: "1 or 0", _numbers: "numbers of ports"}
