"""Open and draw PDFs in a separate process, which may hang or crash without harm to this one.

PDFium is a large program in C++, and only one thread at a time may use it. A page of 75 KiB that draws without end
would occupy it for many seconds, and an index of 400 KiB takes 800 MiB when it is unpacked. So PDFs are opened in a
process with little memory, and little time for each page.

`python -m text_recognizer.pdf_process`: standard input and output carry messages. A message is two lengths, in eight
bytes together, then a JSON object and binary content of these lengths. The first message reports that the process is
running. A request whose `what` is `_opened` or `_copied` passes the PDF, as a path or as content; the others refer to
the PDF that was passed last. A response with `refused` states why a request was refused.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from text_recognizer import pdf_pages
from text_recognizer.drawing import Decoded, check_opening
from text_recognizer.errors import ImageRejected
from text_recognizer.page import Area, Line, Word
from text_recognizer.pdf_pages import PdfPage, Pixels, Text

SPARE = 224 * 2**20  # bytes in addition to the PDF, the pixels of the page and its largest picture
PIXEL = 16  # bytes per pixel: three for the page, the others for blending
MEMORY = 2**31  # bytes in addition to the PDF, whatever is on a page
COPY_MEMORY = 2**28  # bytes in addition to the PDF, to copy it, which the requesting process does
SECONDS = 60.0  # of processor time for a page: a map needs one or two
IDLE = 60  # seconds after which a process without requests ends
_LENGTHS = struct.Struct(">II")
_TOO_LARGE = "a PDF that takes too much time or memory to open; export it again, or as pictures of its pages"
_TOO_MUCH = "a page that takes too much time or memory; export it again, or as a picture"


class Pdfs(Protocol):
    """Opens PDFs and draws their pages. All methods raise `ImageRejected`."""

    def count(self, document: Path | bytes, password: str | None) -> int:
        """The number of pages."""

    def draw(self, page: PdfPage) -> Pixels:
        """The pixels of a page."""

    def embedded(self, page: PdfPage) -> Text | None:
        """The text that a page contains; None if there is not enough of it."""

    def printed(self, page: PdfPage, width: int, height: int) -> tuple[Area, ...]:
        """Areas of visible text, in pixels of the page as shown, `width` × `height`."""

    def can_copy(self, document: Path | bytes, password: str | None) -> bool:
        """Whether a PDF is intact, and does not unpack to so much that copying it fills the memory."""


class Here:
    """Opens PDFs in this process, for callers that may crash or cannot start another process."""

    def count(self, document: Path | bytes, password: str | None) -> int:
        return pdf_pages.count_pages(document, password)

    def draw(self, page: PdfPage) -> Pixels:
        return pdf_pages.draw(page)

    def embedded(self, page: PdfPage) -> Text | None:
        return pdf_pages.embedded(page)

    def printed(self, page: PdfPage, width: int, height: int) -> tuple[Area, ...]:
        return pdf_pages.printed(page, width, height)

    def can_copy(self, document: Path | bytes, password: str | None) -> bool:
        with suppress(ImageRejected):
            pdf_pages.unpack(document, password)
            return True
        return False


class PdfProcess:
    """Opens PDFs in a process that is started when needed; threads are served one after the other.

    Args:
        seconds: of processor time for a page.
        memory: bytes in addition to the PDF, whatever is on a page.
        wait: seconds of wall-clock time in addition to `seconds`, for a process that is idle; None for no limit.
        strict: if no process can be started, refuse PDFs instead of opening them in this process.
    """

    def __init__(
        self, seconds: float = SECONDS, memory: int = MEMORY, wait: float | None = None, *, strict: bool = False
    ) -> None:
        self._seconds, self._memory, self._wait, self._strict = seconds, memory, wait, strict
        self._lock = threading.Lock()
        self._closed = self._impossible = False
        self._forget()

    def _forget(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._opened: tuple[Any, ...] | None = None
        self._count = 0
        self._drawn = 0  # pages drawn by the running process
        self._last_used = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closed = True
        self.close()

    @property
    def process_id(self) -> int | None:
        """The id of the process; None if none runs."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """End the process; another is started when needed."""
        self._stop()  # without the lock: a thread that waits for its page must not keep the process alive

    def after_fork(self) -> None:
        """Call in a process that was forked from this one: the running process belongs to the parent."""
        self._lock = threading.Lock()
        if self._process is not None:
            self._process.returncode = 0  # it must not be waited for here
        self._forget()

    def count(self, document: Path | bytes, password: str | None) -> int:
        with self._lock:
            if not self._open(document, password):
                return Here().count(document, password)
            return self._count

    def draw(self, page: PdfPage) -> Pixels:
        response, data = self._request("_drawn", page)
        if response is None:
            return Here().draw(page)
        return Pixels(data, response["width"], response["height"], response["dpi"])

    def embedded(self, page: PdfPage) -> Text | None:
        response, _ = self._request("_embedded", page)
        if response is None:
            return Here().embedded(page)
        if response["lines"] is None:
            return None
        lines = tuple(map(_line, response["lines"]))
        return Text(lines, response["width"], response["height"], response["dpi"])

    def printed(self, page: PdfPage, width: int, height: int) -> tuple[Area, ...]:
        response, _ = self._request("_printed", page, width=width, height=height)
        if response is None:
            return Here().printed(page, width, height)
        return tuple((left, top, right, bottom) for left, top, right, bottom in response["areas"])

    def can_copy(self, document: Path | bytes, password: str | None) -> bool:
        # In a new process: memory that drawing has freed could be used again without counting against the limit.
        with PdfProcess(self._seconds, self._memory, self._wait, strict=self._strict) as other, suppress(ImageRejected):
            if not other._begin():
                return Here().can_copy(document, password)
            other._exchange(*_make_request("_copied", document, password, other._seconds), refusal=_TOO_LARGE)
            return True
        return False

    def _open(self, document: Path | bytes, password: str | None) -> bool:
        """Whether the process has opened the PDF; False if no process can be started."""
        known = (*_identity(document), password)
        ended = self._process is not None and self._process.poll() is not None
        if ended or time.monotonic() - self._last_used > IDLE / 2:  # it may be about to end
            self._stop()
        if self._process is not None and self._opened == known:
            return True
        fresh = self._process is None
        if fresh and not self._begin():
            return False
        request = _make_request("_opened", document, password, self._seconds)
        self._opened = None
        try:
            response, _ = self._exchange(*request, refusal=_TOO_LARGE)
        except _Ended:
            if fresh:
                raise
            # Earlier documents may have used up the memory: try once more in a fresh process.
            if not self._begin():
                return False
            response, _ = self._exchange(*request, refusal=_TOO_LARGE)
        self._count, self._opened = response["count"], known
        return True

    def _begin(self) -> bool:
        """Start the process; False if that is impossible."""
        self._stop()
        if self._closed:
            raise ImageRejected("its client has gone; send it again")
        if self._impossible:
            return False
        # A frozen application would start itself.
        if sys.executable and not getattr(sys, "frozen", False):
            with suppress(OSError):
                self._process = subprocess.Popen(
                    # -P: a module in the working directory must not replace ours.
                    [sys.executable, "-P", "-m", __name__],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(p).absolute()) for p in sys.path)},
                )
                with suppress(ImageRejected):
                    self._exchange(None)
                    return True
        if self._strict:
            raise ImageRejected("a PDF, and no process can be started to open it; contact the operator")
        self._impossible = True
        return False

    def _request(self, what: str, page: PdfPage, **more: Any) -> tuple[dict[str, Any] | None, bytes]:
        """The response to a request about a page; None if it must be served in this process."""
        request = {"what": what, "number": page.number, "dpi": page.dpi, "pixels": page.max_pixels}
        request |= {"memory": self._memory, **more}
        with self._lock:
            while True:
                if not self._open(page.document, page.password):
                    return None, b""
                before, self._drawn = self._drawn, self._drawn + 1
                try:
                    return self._exchange({**request, "seconds": self._seconds})
                except _Ended:
                    if not before:
                        raise
                    # Earlier pages may have used up the memory: try once more in a fresh process.

    def _exchange(
        self, request: dict[str, Any] | None, content: bytes = b"", *, refusal: str = _TOO_MUCH
    ) -> tuple[dict[str, Any], bytes]:
        process = self._process
        if process is None:
            raise ImageRejected("its client has gone; send it again")
        assert process.stdin is not None and process.stdout is not None
        timer = None if self._wait is None else threading.Timer(self._seconds + self._wait, process.kill)
        if timer is not None:
            timer.start()
        try:
            if request is not None:
                _send(process.stdin, request, content)
            response, follows = _received(process.stdout)
        except (OSError, EOFError, ValueError):
            self._stop()
            raise _Ended(refusal) from None
        except BaseException:  # Ctrl-C: half a response may be left in the pipe
            self._stop()
            raise
        finally:
            if timer is not None:
                timer.cancel()
        self._last_used = time.monotonic()
        if "refused" in response:
            raise ImageRejected(str(response["refused"]))
        return response, follows

    def _stop(self) -> None:
        process = self._process
        self._forget()
        if process is None:
            return
        process.kill()
        with suppress(OSError, ValueError):
            process.communicate()


class _Ended(ImageRejected):
    """The process ended before it responded."""


def shared() -> PdfProcess:
    """The instance that the threads of this process share."""
    return _shared


_shared = PdfProcess()
atexit.register(_shared.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.after_fork)


def _identity(document: Path | bytes) -> tuple[Any, ...]:
    """Equal for two documents only if they are the same. Bytes are hashed, not kept."""
    if isinstance(document, bytes):
        return len(document), hash(document)
    with suppress(OSError, ValueError):
        about = document.stat()
        return str(document.absolute()), about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns
    return (str(document.absolute()),)


def _make_request(
    what: str, document: Path | bytes, password: str | None, seconds: float
) -> tuple[dict[str, Any], bytes]:
    path = None if isinstance(document, bytes) else os.fsencode(document.absolute()).hex()
    request = {"what": what, "path": path, "password": password, "seconds": seconds}
    return request, document if isinstance(document, bytes) else b""


def _send(stream: IO[bytes], about: dict[str, Any], content: Any = b"") -> None:
    written = json.dumps(about).encode()
    stream.write(_LENGTHS.pack(len(written), memoryview(content).nbytes) + written)
    stream.write(content)
    stream.flush()


def _received(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Raises EOFError if the stream ends early."""
    length, follows = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    about: dict[str, Any] = json.loads(_exactly(stream, length))
    return about, _exactly(stream, follows)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _written(line: Line) -> list[Any]:
    return [line.text, line.polygon, line.baseline, [[word.text, word.polygon] for word in line.words]]


def _line(written: list[Any]) -> Line:
    """This text was not recognised, so its confidence is 1."""
    text, polygon, baseline, words = written
    return Line(
        text=text,
        polygon=_points(polygon),
        baseline=_points(baseline),
        confidence=1.0,
        words=tuple(Word(text=word, polygon=_points(corners), confidence=1.0) for word, corners in words),
    )


def _points(written: list[list[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((x, y) for x, y in written)


# ----------------------------------------------------------------------------------------------------- in the process


def main() -> None:
    """Serve requests until standard input ends, or no request comes for `IDLE` seconds."""
    # Ctrl-C reaches the whole process group. The parent decides what to finish; its pipe ends this process.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    import pikepdf  # noqa: F401
    import pypdfium2  # noqa: F401

    _Limits.used = _data()
    works = {work.__name__: work for work in _WORKS}
    page = PdfPage(b"", None, 1, 1.0, 1)
    with suppress(EOFError, OSError):
        _send(sys.stdout.buffer, {})
        while True:
            _wake_in(IDLE)
            request, data = _received(sys.stdin.buffer)
            _wake_in(0)
            _limit_time(request["seconds"])
            if request["what"] in ("_opened", "_copied"):
                path = request["path"]
                document = data if path is None else Path(os.fsdecode(bytes.fromhex(path)))
                page = replace(page, document=document, password=request["password"])
                _Limits.size = len(data) if path is None else _size(path)
                _limit_memory(COPY_MEMORY if request["what"] == "_copied" else SPARE)
            else:
                page = replace(page, number=request["number"], dpi=request["dpi"], max_pixels=request["pixels"])
            del data
            try:
                response, content = works[request["what"]](page, request)
            except ImageRejected as error:
                response, content = {"refused": str(error)}, b""
            _send(sys.stdout.buffer, response, content)
            del content
            _limit_memory(SPARE)


class _Limits:
    """Bytes of memory that the process takes without a PDF, and bytes of the PDF."""

    used = size = 0


def _size(path: str) -> int:
    with suppress(OSError):
        return Path(os.fsdecode(bytes.fromhex(path))).stat().st_size
    return 0


def _data() -> int:
    """Bytes of memory of this process that count for its limit; 0 outside Linux, the only system that counts them."""
    with suppress(OSError, IndexError, ValueError):
        return int(Path("/proc/self/status").read_text(encoding="ascii").partition("VmData:")[2].split()[0]) * 1024
    return 0


def _limit_memory(spare: int) -> None:
    with suppress(ImportError, OSError, ValueError):  # other systems have no such limit, or count differently
        import resource

        if _Limits.used:
            most = _Limits.used + _Limits.size + spare
            resource.setrlimit(resource.RLIMIT_DATA, (most, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _limit_time(seconds: float) -> None:
    with suppress(ImportError, OSError, ValueError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        end = int(used.ru_utime + used.ru_stime + seconds) + 1  # then the system ends this process
        resource.setrlimit(resource.RLIMIT_CPU, (end, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _wake_in(seconds: int) -> None:
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)  # the alarm ends the process; 0 cancels it


_Response = tuple[dict[str, Any], Any]


def _opened(page: PdfPage, request: dict[str, Any]) -> _Response:
    count = pdf_pages.count_pages(page.document, page.password)
    check_opening(page.document, page.password)  # refuse it once, not for each page
    return {"count": count}, b""


def _drawn(page: PdfPage, request: dict[str, Any]) -> _Response:
    def prepare(pixels: int, decoded: Decoded) -> None:
        spare = SPARE + PIXEL * pixels
        _limit_memory(min(request["memory"], spare + decoded.needs(pixels, spare)))

    drawn = pdf_pages.draw(page, prepare)
    return {"width": drawn.width, "height": drawn.height, "dpi": drawn.dpi}, drawn.data


def _embedded(page: PdfPage, request: dict[str, Any]) -> _Response:
    found = pdf_pages.embedded(page)
    if found is None:
        return {"lines": None}, b""
    lines = [_written(line) for line in found.lines]
    return {"lines": lines, "width": found.width, "height": found.height, "dpi": found.dpi}, b""


def _printed(page: PdfPage, request: dict[str, Any]) -> _Response:
    return {"areas": pdf_pages.printed(page, request["width"], request["height"])}, b""


def _copied(page: PdfPage, request: dict[str, Any]) -> _Response:
    pdf_pages.unpack(page.document, page.password)
    return {}, b""


_WORKS: tuple[Callable[[PdfPage, dict[str, Any]], _Response], ...] = (_opened, _copied, _drawn, _embedded, _printed)

if __name__ == "__main__":
    main()
