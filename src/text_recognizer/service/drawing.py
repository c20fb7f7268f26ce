"""PDFs opened and drawn in a process of their own, which strangers may keep busy or break without harm.

PDFium is a large program in C++, and only one thread at a time may be inside. A page of 75 KiB that draws and draws
would keep it, and all PDFs of others, for many seconds, and an index of 400 KiB takes 800 MiB when it is unpacked. So
each document gets a process, with little memory, and little time for a page.

`python -m text_recognizer.service.drawing`: standard input and output hold messages, each the length of a JSON object
and of what follows it, as eight bytes, and both. The PDF follows the first question; `what` is the name of a function
below. An answer with `refused` says why not.
"""

from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, Self

from PIL import Image

from text_recognizer.documents import PageReference, Source, find_pages
from text_recognizer.errors import ImageRejected
from text_recognizer.formats.json_lines import from_dict, to_dict
from text_recognizer.images import LoadedImage, load_image
from text_recognizer.page import Area, Page
from text_recognizer.reader import embedded_page

MEMORY = 2**30  # bytes
COPY_MEMORY = 2**28  # beside the PDF, to copy it, which the service does itself
CLOCK_SECONDS = 20.0  # beyond those of the processor, for a process that waits and does nothing
_LENGTHS = struct.Struct(">II")
_TOO_MUCH = "a PDF that takes too much time or memory; export it again, as pictures of its pages"


class Drawing:
    """Opens and draws PDFs; for several threads, of which one is served at a time. Use it as a context manager.

    `seconds`: of the processor for a page. All of its answers raise `ImageRejected`, also for what takes too much.
    """

    def __init__(self, max_pixels: int, seconds: float) -> None:
        self._max_pixels, self._seconds = max_pixels, seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._opened: tuple[Source, str | None] | None = None
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()  # without the lock: a thread that waits for its page must not keep the process

    def count(self, source: Source, password: str | None) -> int:
        """The number of pages of a PDF."""
        with self._lock:
            self._open(source, password)
            return self._count

    def load(self, page: PageReference) -> LoadedImage:
        """The pixels of a page of a PDF."""
        answer, pixels = self._asked(_drawn, page)
        image = Image.frombytes("RGB", (answer["width"], answer["height"]), pixels)
        return replace(load_image(image, max_pixels=self._max_pixels), dpi=answer["dpi"])

    def embedded_page(self, page: PageReference) -> Page | None:
        """The text that a page of a PDF holds, as `reader.embedded_page`."""
        answer, _ = self._asked(_embedded, page)
        return None if answer["page"] is None else from_dict(answer["page"])

    def printed_text(self, page: PageReference, width: int, height: int) -> tuple[Area, ...]:
        """Areas of visible text in a page of a PDF, as `PageReference.printed_text`."""
        answer, _ = self._asked(_printed, page, width=width, height=height)
        return tuple((left, top, right, bottom) for left, top, right, bottom in answer["areas"])

    def can_copy(self, page: PageReference) -> bool:
        """Whether the PDF of `page` is whole, and does not unpack to so much that copying it fills the memory."""
        # A process of its own: what drawing has freed would not count.
        with Drawing(self._max_pixels, self._seconds) as other, suppress(ImageRejected):
            other._begin(_copied, page.source, page.password)
            return True
        return False

    def _open(self, source: Source, password: str | None) -> None:
        if self._process is not None and self._process.poll() is None and self._opened == (source, password):
            return
        self._opened = None
        self._count = self._begin(_counted, source, password)["count"]
        self._opened = source, password

    def _begin(self, what: Callable[..., Any], source: Source, password: str | None) -> dict[str, Any]:
        self._stop()
        opened = source.opened
        data = opened if isinstance(opened, bytes) else opened.read_bytes()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        question = {"password": password, "seconds": self._seconds, "pixels": self._max_pixels}
        return self._answered({**question, "what": what.__name__}, data)[0]

    def _asked(self, what: Callable[..., Any], page: PageReference, **more: Any) -> tuple[dict[str, Any], bytes]:
        with self._lock:
            self._open(page.source, page.password)
            return self._answered({"what": what.__name__, "number": page.number, "dpi": page.dpi, **more})

    def _answered(self, question: dict[str, Any], content: bytes = b"") -> tuple[dict[str, Any], bytes]:
        process = self._process
        if process is None:
            raise ImageRejected("its client has gone; send it again")
        assert process.stdin is not None and process.stdout is not None
        timer = threading.Timer(self._seconds + CLOCK_SECONDS, process.kill)
        timer.start()
        try:
            _send(process.stdin, question, content)
            answer, follows = _received(process.stdout)
        except (OSError, EOFError, ValueError):
            self._stop()
            raise ImageRejected(_TOO_MUCH) from None
        finally:
            timer.cancel()
        if "refused" in answer:
            raise ImageRejected(str(answer["refused"]))
        return answer, follows

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        with suppress(OSError, ValueError):
            process.communicate()


def _send(stream: IO[bytes], about: dict[str, Any], content: bytes = b"") -> None:
    written = json.dumps(about).encode()
    stream.write(_LENGTHS.pack(len(written), len(content)) + written + content)
    stream.flush()


def _received(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Raises EOFError where the stream ends before."""
    length, follows = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    about: dict[str, Any] = json.loads(_exactly(stream, length))
    return about, _exactly(stream, follows)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def main() -> None:
    """Answer until standard input ends."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    works = {work.__name__: work for work in (_counted, _copied, _drawn, _embedded, _printed)}
    with suppress(EOFError):
        about, data = _received(sys.stdin.buffer)
        page = PageReference("", PurePosixPath(), Source(data=data), kind="pdf", password=about["password"])
        question = about
        while True:
            used = resource.getrusage(resource.RUSAGE_SELF)
            end = int(used.ru_utime + used.ru_stime + about["seconds"]) + 1
            resource.setrlimit(resource.RLIMIT_CPU, (end, resource.RLIM_INFINITY))  # then the system ends it
            page = replace(page, number=question.get("number", 1), dpi=question.get("dpi", page.dpi))
            try:
                answer, content = works[question["what"]](page, {**about, **question})
            except ImageRejected as error:
                answer, content = {"refused": str(error)}, b""
            _send(sys.stdout.buffer, answer, content)
            question, _ = _received(sys.stdin.buffer)


def _counted(page: PageReference, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    first = next(find_pages(page.source.read(), password=page.password))
    if first.kind == "refused":
        raise ImageRejected(first.problem)
    return {"count": first.count}, b""


def _drawn(page: PageReference, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    image = page.load(max_pixels=asked["pixels"])
    height, width, _ = image.rgb.shape
    return {"width": width, "height": height, "dpi": image.dpi}, image.rgb.tobytes()


def _embedded(page: PageReference, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    found = embedded_page(page, max_pixels=asked["pixels"])
    return {"page": None if found is None else to_dict(found)}, b""


def _printed(page: PageReference, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    return {"areas": page.printed_text(asked["width"], asked["height"])}, b""


def _copied(page: PageReference, asked: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    import pikepdf

    data = page.source.read()
    with suppress(OSError, IndexError):  # elsewhere than on Linux, which alone counts this memory
        used = int(Path("/proc/self/status").read_text(encoding="ascii").partition("VmData:")[2].split()[0]) * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (used + len(data) + COPY_MEMORY, MEMORY))
    try:
        with pikepdf.open(BytesIO(data), password=page.password or "") as pdf:
            for _ in pdf.objects:  # all that is packed is unpacked
                pass
            if pdf.get_warnings():  # of damage that it worked around, such as an index for which there was no memory
                raise ImageRejected("a damaged PDF")
    except (pikepdf.PdfError, pikepdf.PasswordError, ValueError, RuntimeError, MemoryError) as error:
        raise ImageRejected(str(error)) from None
    return {}, b""


if __name__ == "__main__":
    main()
