"""Untrusted forms: a body in memory, parsed in linear time."""

from __future__ import annotations

from collections.abc import AsyncIterator

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser

from text_recognizer.service.problems import RequestError

MULTIPART = "multipart/form-data"
FIELDS = 8


async def parse(content_type: str, body: bytes, files: int) -> FormData:
    """Parse the form in `body`, with at most `files` files. Raises `RequestError`."""

    async def stream() -> AsyncIterator[bytes]:
        yield body

    # Pass on only the boundary: decoding a charset such as punycode takes quadratic time in the length of a field.
    _, options = parse_options_header(content_type)
    header = b"multipart/form-data" + (b"; boundary=" + options[b"boundary"] if b"boundary" in options else b"")
    parser = MultiPartParser(
        Headers(raw=[(b"content-type", header)]),
        stream(),  # type: ignore[arg-type]
        max_files=files,
        max_fields=FIELDS,
        max_part_size=len(body) + 1,
    )
    parser.spool_max_size = len(body) + 1  # the body is in memory already; write nothing to disk
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise RequestError(f"the form is not valid ({error.message}); send one file in it") from None
