"""The operator's settings: each field is an environment variable TEXT_RECOGNIZER_… and a row in docs/serve/service.md.

`python -m text_recognizer.service.settings` prints that table.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, ValidationError, model_validator

from text_recognizer.devices import CPU
from text_recognizer.errors import UsageError
from text_recognizer.service.cores import cores

PREFIX = "TEXT_RECOGNIZER_"
FEEDBACK_OFF = "off"
LogContent = Literal["numbers", "pages", "images"]
MIB = 2**20
# A source in a content security policy. Anything else could end the directive.
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[\w.*:\[\]-]+", re.I)


def _listed(value: Any) -> Any:
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Ports = Annotated[tuple[int, ...], BeforeValidator(_listed)]
Positive = Annotated[int, Field(ge=1)]
Bytes = Annotated[ByteSize, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, lt=1e6)]
Amount = Annotated[float, Field(ge=0, lt=1e9)]


class Settings(BaseModel):
    """How the service runs. Raises pydantic's `ValidationError` for values that do not fit."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    model: str | None = Field(
        None,
        description="folder of a bundle, `production`, `staging`, NAME or NAME@VERSION "
        "([models.md](../measure/models.md)); none: the model of the package",
    )
    reload_seconds: Amount = Field(
        10.0,
        description="how often an alias is resolved again. A newly promoted model replaces the old one and no request "
        "is lost; 0: never",
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: Annotated[int, Field(ge=0, lt=2**16)] = Field(8000, description="port to listen on; 0: any free port")
    workers: Positive = Field(
        1,
        description="processes, each with its own model, queue and rate limits; with 2 or more, a process that was "
        "killed is replaced",
    )
    threads: Annotated[int, Field(ge=0)] = Field(
        0,
        description="pages and batches of lines that a process reads at the same time; 0: one for each core, or for "
        "each core that the container may use",
    )
    device: str = Field(
        CPU,
        description="where the model runs: `cpu`, `cuda`, `openvino`, `coreml` or `directml` "
        "([devices](../integrations.md#devices)); `cuda:1` is the second card",
    )
    queue: Positive = Field(64, description="requests that may wait; the next one is answered 429")
    deadline: Seconds = Field(30.0, description="seconds from a request's headers to its answer; then 504")
    max_bytes: Bytes = Field(ByteSize(20 * MIB), description="largest body of a request, or image at an address")
    max_pixels: Positive = Field(
        40_000_000,
        description="largest image, by its header; a page of a PDF is drawn with at most 16 million",
    )
    max_pages: Positive = Field(
        100,
        description="most pages of a document; a longer one is refused unless `pages` selects no more. Each page may "
        "take `DEADLINE`",
    )
    documents: Positive = Field(
        8, description="documents of several pages that are read at the same time; the next one is answered 429"
    )
    max_buffered: Bytes = Field(
        ByteSize(256 * MIB), description="total size of all bodies held at once; a request beyond it is answered 429"
    )
    api_keys: Names = Field(
        (),
        description="keys, separated by commas. A client sends one as `Authorization: Bearer KEY` or `X-API-Key: KEY`; "
        "none: everybody may read. `API_KEYS_FILE` names a file with one key a line",
    )
    require_keys: bool = Field(False, description="whether the service refuses to start without a key")
    rate_limit: Amount = Field(
        0.0,
        description="requests a minute for each key, or for each client's address if there are no keys; a client "
        "may send ten seconds' worth at once; 0: no limit",
    )
    trusted_proxies: Names = Field(
        (),
        description="addresses or networks of proxies, `*` for all; only their `X-Forwarded-For` and "
        "`X-Forwarded-Proto` are trusted",
    )
    hosts: Names = Field(
        (),
        description="names under which browsers reach the service; `localhost`, IP addresses and, with keys, all names "
        "are accepted without it",
    )
    cors: Names = Field((), description="origins of web pages that may call the service from a browser, `*` for all")
    image_urls: Literal["public", "allow-list", "off"] = Field(
        "public",
        description="whether `image_url` is fetched: `public` (from public addresses), `allow-list` (only from "
        "`ALLOWED_HOSTS`, still only at public addresses) or `off`",
    )
    allowed_hosts: Names = Field(
        (), description="`example.org` is this host alone, `*.example.org` is every host below it"
    )
    private_hosts: Names = Field(
        (),
        description="hosts to fetch from although their addresses are private, as in an intranet; written "
        "as in `ALLOWED_HOSTS`",
    )
    image_url_http: bool = Field(False, description="whether `http://` is fetched too, not only `https://`")
    image_url_ports: Ports = Field((80, 443), description="ports that images are fetched from")
    fetch_seconds: Seconds = Field(10.0, description="time limit for one image, including all redirects")
    page: bool = Field(True, description="whether `/` shows the [web page](app.md), if Gradio is installed")
    frames: Names = Field(
        (), description="origins of pages that may show the web page in a frame, such as a notebook's; `*` for all"
    )
    feedback: str = Field(
        "feedback", description="where feedback is stored: a folder (SQLite), the URL of a database, or `off`"
    )
    feedback_images: str | None = Field(
        None, description="where its images are stored: any fsspec address; none: a folder next to the SQLite file"
    )
    feedback_bytes: ByteSize = Field(
        ByteSize(10 * 2**30),
        description="largest size of the store; feedback beyond it is answered 507; 0: no limit",
    )
    feedback_days: Amount = Field(
        0.0, description="days from the reading until a reading with feedback is deleted; 0: never"
    )
    remember_seconds: Amount = Field(
        900.0, description="how long a reading stays in memory, so that feedback finds its image; 0: not at all"
    )
    remember_bytes: ByteSize = Field(
        ByteSize(32 * MIB),
        description="largest size of these images and pages in each process; the oldest are dropped first",
    )
    log_readings: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="share of the readings without feedback that are stored too"
    )
    log_content: LogContent = Field(
        "numbers",
        description="what is stored about them: `numbers`, `pages` (also the text) or `images` (also the image)",
    )
    retention_days: Amount = Field(30.0, description="days until such a reading is deleted; 0: never")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.max_buffered < self.max_bytes:
            raise ValueError(f"{PREFIX}MAX_BUFFERED is less than {PREFIX}MAX_BYTES; set it to more")
        if (self.image_urls == "allow-list") != bool(self.allowed_hosts):
            raise ValueError(f"{PREFIX}IMAGE_URLS=allow-list and {PREFIX}ALLOWED_HOSTS need each other; set both")
        if unfit := [name for name in self.frames if not _ORIGIN.fullmatch(name)]:
            raise ValueError(f"{PREFIX}FRAMES: {unfit[0]!r} is not an origin; give ones like http://localhost:8888")
        if self.require_keys and not self.api_keys:
            raise ValueError(f"{PREFIX}API_KEYS is empty; set it, or {PREFIX}REQUIRE_KEYS=0 to let everybody read")
        return self

    @property
    def reading_threads(self) -> int:
        """Threads that read pages."""
        return self.threads or cores()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
        """Read variables such as TEXT_RECOGNIZER_QUEUE; `overrides` replace them, and empty variables are ignored.

        TEXT_RECOGNIZER_API_KEYS_FILE names a file with one key a line, such as a mounted secret. Raises `UsageError`.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for name in cls.model_fields:
            text = environ.get(PREFIX + name.upper(), "").strip()
            # Kubernetes sets this variable in pods next to a Service named "text-recognizer"; it is not a setting.
            if text and not (name == "port" and text.startswith("tcp://")):
                values[name] = text
        if file := environ.get(f"{PREFIX}API_KEYS_FILE", "").strip():
            values["api_keys"] = (*_listed(values.get("api_keys", "")), *_keys_in(file))
        try:
            return cls.model_validate({**values, **overrides})
        except ValidationError as error:
            raise UsageError(_explained(error)) from None


def _keys_in(file: str) -> list[str]:
    try:
        keys = Path(file).read_text(encoding="utf-8").split()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{PREFIX}API_KEYS_FILE cannot be read ({type(error).__name__}); check it") from None
    if not keys:  # an empty file must not open the service to everybody
        raise UsageError(f"{PREFIX}API_KEYS_FILE holds no key; write one a line")
    return keys


def _explained(error: ValidationError) -> str:
    """The first error, with the name of its variable."""
    first = error.errors()[0]
    if not first["loc"]:
        return str(first["msg"]).removeprefix("Value error, ")
    return f"{PREFIX}{str(first['loc'][0]).upper()} is {first['input']!r}: {first['msg']}; correct it"


def _shown(value: Any) -> str:
    """A default value as the table shows it."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, ByteSize):
        return value.human_readable(separator=" ").replace(".0 ", " ")
    return f"{value:g}" if isinstance(value, float) else str(value)


def table() -> str:
    """All settings as a Markdown table."""
    rows = (
        f"| `{name.upper()}` | {_shown(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    )
    return "\n".join((f"| {PREFIX}… | default | meaning |", "|---|---|---|", *rows)) + "\n"


if __name__ == "__main__":
    print(table(), end="")
