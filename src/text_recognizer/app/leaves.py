"""`python -m text_recognizer.app.leaves PIXELS`: write the pages of a document on standard input as JPEGs.

PDF decoders are large C++ libraries, and an untrusted document may keep them busy or crash them. So they run in a
separate process with little time and memory, which is killed when nobody waits for it any more.

Standard output: the number of pages, then for each page the length of its JPEG and the JPEG itself. The length is 0 if
the page cannot be decoded. If there are no pages, the reason follows as text. Numbers are four bytes, big-endian.
"""

from __future__ import annotations

import resource
import sys
from io import BytesIO

import cv2
from PIL import Image

from text_recognizer.documents import PageReference, find_pages
from text_recognizer.errors import ImageRejected
from text_recognizer.pdf_process import Here

MAX_LEAVES = 200
SECONDS = 120  # of processor time, for the whole document
MEMORY = 2 * 2**30  # bytes
SIDE = 4000  # pixels: 300 an inch on A4
QUALITY = 92


def main(max_pixels: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    cv2.setNumThreads(1)
    try:
        pages = _found(sys.stdin.buffer.read())
        # A single picture that cannot be decoded is refused; a document only loses its bad pages.
        first = _picture(pages[0], max_pixels) if len(pages) == 1 else _decoded(pages[0], max_pixels)
    except ImageRejected as error:
        _put(0)
        sys.stdout.buffer.write(str(error).encode())
        return
    _put(len(pages))
    _send(first)
    for page in pages[1:]:
        _send(_decoded(page, max_pixels))


def _found(content: bytes) -> list[PageReference]:
    if content.startswith(b"PK"):
        raise ImageRejected("an archive; unpack it and give its pictures")
    pages = list(find_pages(content, pdfs=Here()))
    if pages and pages[0].kind == "refused" and "password" in pages[0].problem:
        raise ImageRejected("an encrypted PDF; save it without its password and give it again")
    if len(pages) > MAX_LEAVES:
        raise ImageRejected(f"{len(pages)} pages; at most {MAX_LEAVES} are shown at once: split the document")
    return pages


def _decoded(page: PageReference, max_pixels: int) -> bytes:
    try:
        return _picture(page, max_pixels)
    except ImageRejected:
        return b""


def _picture(page: PageReference, max_pixels: int) -> bytes:
    image = Image.fromarray(page.load(max_pixels=max_pixels, pdfs=Here()).rgb)
    image.thumbnail((SIDE, SIDE))
    stored = BytesIO()
    image.save(stored, "JPEG", quality=QUALITY)
    return stored.getvalue()


def _put(number: int) -> None:
    sys.stdout.buffer.write(number.to_bytes(4, "big"))


def _send(picture: bytes) -> None:
    _put(len(picture))
    sys.stdout.buffer.write(picture)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
