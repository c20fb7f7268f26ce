"""The bytes of an image from a request: never written to disk, never treated as a path."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from text_recognizer import web
from text_recognizer.errors import ImageRejected
from text_recognizer.service import forms, json_body
from text_recognizer.service.problems import (
    RequestError,
    TooLarge,
    WrongMediaType,
)
from text_recognizer.service.settings import Settings
from text_recognizer.service.workers import Workers

JSON = "application/json"
RAW = ("image/", "application/octet-stream", "application/pdf", "application/zip")
FETCHES = 32  # at the same time; each waits for another server
IMAGE_VALUES, FEEDBACK_VALUES = 1000, 300_000  # most JSON values with an image, and in feedback with its page
MAX_FEEDBACK = 8 * 2**20  # most bytes of JSON in feedback
# The first bytes of images and PDFs. /v1/image passes on nothing else, so it gives no access to other content.
_PAGES = re.compile(
    rb"\x89PNG|\xff\xd8\xff|GIF8|BM|II[*+]\0|MM\0[*+]|RIFF....WEBP|\0\0\0\x0cjP|....ftyp|P[1-6]\s|%PDF-", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Image:
    """An encoded image, and the name that its sender gave it."""

    data: bytes
    source: str = ""


class Inputs:
    """Extracts images from requests."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fetchers = Workers("fetch", FETCHES, waiting=3 * FETCHES)
        # Only a few at a time: each holds Python's lock, and the event loop needs it in between.
        self._parsers = Workers("parse", 2)
        self._rules = web.Rules(
            schemes=("http", "https") if settings.image_url_http else ("https",),
            hosts=settings.allowed_hosts if settings.image_urls == "allow-list" else None,
            ports=settings.image_url_ports,
            private=settings.private_hosts,
        )

    async def image(self, request: Request, body: bytes, deadline: float) -> Image:
        """Extract the image from the body of a request to /v1/read, according to its media type."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == JSON:
            return await self._from_json(await self._parsed(body, IMAGE_VALUES), deadline)
        if kind == forms.MULTIPART:
            return await self._from_form(request, body)
        if kind.startswith(RAW):
            if not body:
                raise RequestError("the body is empty; send the bytes of an image")
            return Image(body)
        raise WrongMediaType(
            f"send the image with Content-Type image/jpeg (or its type), in a form as {forms.MULTIPART}, or as {JSON}"
        )

    async def original(self, body: bytes, deadline: float) -> Image:
        """The image in a request of the original contract: JSON of any media type, sometimes encoded twice."""
        content = await self._parsed(body, IMAGE_VALUES)
        if isinstance(content, str):
            content = await self._parsed(content.encode(errors="replace"), IMAGE_VALUES)
        if not isinstance(content, dict):
            raise RequestError('send a JSON object with "image_url" or "image"')
        for key in ("image_url", "image"):
            if content.get(key) is not None:
                return await self._from_json({key: content[key]}, deadline)
        raise RequestError('neither "image_url" nor "image" is in the object')

    async def _from_json(self, content: Any, deadline: float) -> Image:
        if not isinstance(content, dict) or len(content) != 1 or not {"image", "image_url"} & content.keys():
            raise RequestError(
                'send a JSON object with either "image" (data:image/png;base64,…) or "image_url" (https://…); '
                "options like mode and format go into the address: ?mode=fast"
            )
        [(key, value)] = content.items()
        if not isinstance(value, str):
            raise RequestError(f'"{key}" is not a string')
        if key == "image_url":
            return Image(await self._fetched(value, deadline), value)
        # A string is never a file name here: anything but a data URL is refused.
        if not value.startswith("data:"):
            raise RequestError('"image" is not a data URL; it should look like data:image/png;base64,…')
        return Image(await self._parsers.run(web.fetch, value, self._settings.max_bytes))

    async def linked(self, body: bytes, deadline: float) -> Image:
        """Fetch the image or PDF at the address in a request to /v1/image."""
        content = await self._parsed(body, IMAGE_VALUES)
        if not isinstance(content, dict) or list(content) != ["image_url"]:
            raise RequestError('send a JSON object with "image_url" (https://…)')
        image = await self._from_json(content, deadline)
        if not _PAGES.match(image.data):
            raise ImageRejected("neither an image nor a PDF is at this address; give the address of the image itself")
        return image

    async def feedback(self, request: Request, body: bytes) -> tuple[Any, bytes | None]:
        """The JSON of a request to /v1/feedback, and the image if the request has one."""
        kind = request.headers.get("content-type", "")
        media_type = kind.partition(";")[0].strip().lower()
        if media_type == JSON:
            return await self._parsed(body, FEEDBACK_VALUES, MAX_FEEDBACK), None
        if media_type != forms.MULTIPART:
            raise WrongMediaType(f"send feedback as {JSON}, or with its image in a form as {forms.MULTIPART}")
        form = await forms.parse(kind, body, files=2)
        feedback, image = form.get("feedback"), form.get("image")
        if feedback is None:
            raise RequestError('the form has no field "feedback"; send the JSON in it')
        text = (
            await feedback.read()
            if isinstance(feedback, UploadFile)
            else feedback.encode("utf-8", errors="surrogatepass")
        )
        data = await image.read() if isinstance(image, UploadFile) else None
        await form.close()
        if image is not None and data is None:
            raise RequestError("image is not a file; send it as a file, as curl -F image=@page.jpg does")
        return await self._parsed(text, FEEDBACK_VALUES, MAX_FEEDBACK), data

    async def _from_form(self, request: Request, body: bytes) -> Image:
        form = await forms.parse(request.headers.get("content-type", ""), body, files=1)
        files = [value for value in form.values() if isinstance(value, UploadFile)]
        if len(files) != 1:
            raise RequestError("the form has no file; send the image as a file, as curl -F image=@page.jpg does")
        data = await files[0].read()
        await form.close()
        return Image(data, PurePosixPath((files[0].filename or "").replace("\\", "/")).name)

    async def _parsed(self, body: bytes, values: int, most: int | None = None) -> Any:
        if most is not None and len(body) > most:
            raise TooLarge(f"the JSON is larger than {most / 2**20:.3g} MiB; send only what this address expects")
        return await self._parsers.run(json_body.parse, body, values)

    # ------------------------------------------------------------------------------------------------------- URLs

    async def _fetched(self, url: str, deadline: float) -> bytes:
        if self._settings.image_urls == "off":
            raise RequestError("images are not fetched from addresses here; send the image itself")
        if not url.lower().startswith(("http://", "https://")):
            raise RequestError('"image_url" is not an address that starts with https://')
        seconds = max(0.1, min(self._settings.fetch_seconds, deadline - time.monotonic()))
        data = await self._fetchers.run(
            web.fetch, url, self._settings.max_bytes, seconds, self._rules, deadline=deadline
        )
        if len(data) > self._settings.max_bytes:
            raise ImageRejected(f"larger than {self._settings.max_bytes / 2**20:.3g} MiB; scale it down")
        return data
