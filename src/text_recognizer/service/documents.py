"""Documents of several pages. They take turns page by page, and each page is sent as soon as it is read."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from itertools import islice
from typing import Any

from text_recognizer import formats
from text_recognizer.documents import PageReference, find_pages
from text_recognizer.errors import ImageRejected, TextRecognizerError, UsageError
from text_recognizer.formats.document import open_document
from text_recognizer.formats.json_lines import to_dict
from text_recognizer.images import LoadedImage
from text_recognizer.page import Mode, Page, Picture
from text_recognizer.pdf_process import PdfProcess
from text_recognizer.reader import embedded_page
from text_recognizer.service.engine import Engine, Job
from text_recognizer.service.feedback import FeedbackService
from text_recognizer.service.inputs import Image
from text_recognizer.service.problems import Broken, DeadlineExceeded, NotReady, Overloaded, RequestError, described
from text_recognizer.service.settings import Settings
from text_recognizer.service.turns import Turn
from text_recognizer.service.workers import Workers
from text_recognizer.sheets import about_document, make_sheet

MEDIA_TYPE = "application/x-ndjson"
RETRY_AFTER = 5.0  # seconds, when too many documents are being read; a page takes about one second
PAGE_PIXELS = 16_000_000  # limit for a PDF page, which could be drawn at any size; A2 at 200 pixels an inch
PAGE_SECONDS = 5.0  # processor time to draw a PDF page; a map needs one or two
PAGE_MEMORY = 2**30  # bytes, in addition to the PDF
CLOCK_SECONDS = 20.0  # in addition to the processor time, for a process that waits and does nothing
PATIENCE = 0.5  # seconds until a page that found the queue full is submitted again
NO_TIMINGS = {"queued": 0.0, "layout": 0.0, "recognition": 0.0, "total": 0.0}  # for pages that were not recognised
_HEADS = (b"PK\x03\x04", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The options of a request; the fields match the parameters of `/v1/read`."""

    mode: Mode
    language: str | None = None
    format: str = "json"
    pages: str | None = None
    password: str | None = None
    pictures: bool = False
    pdf_a: bool = False
    embedded_text: bool = False


@dataclass(frozen=True, slots=True)
class ReadPage:
    """A page of a document, or the error that replaces it. A page with embedded text has no job.

    `image`: set if the answer may need the picture.
    """

    reference: PageReference
    image: LoadedImage | None = None
    page: Page | None = None
    job: Job | None = None
    error: TextRecognizerError | None = None


class Documents:
    """Reads documents with the engine. Only a few pages of each are in progress, so that others get their turn."""

    def __init__(self, settings: Settings, engine: Engine, feedback: FeedbackService) -> None:
        self._settings, self._engine, self._feedback = settings, engine, feedback
        self._workers = Workers("documents", 2)
        self._turns: set[Turn] = set()
        self._end: float | None = None

    def stop(self) -> None:
        """Read on for one deadline from now; later pages are refused with `NotReady`.

        A document may take longer than the time that the service has left.
        """
        if self._end is None:
            self._end = time.monotonic() + self._settings.deadline

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Hold one of the `settings.documents` places while a document is read. Raises `Overloaded` if all are taken.

        Without this limit, the pages of many documents would delay each other past every deadline. If all places are
        taken, the slowest client loses its place if it is slow enough.
        """
        if len(self._turns) >= self._settings.documents:
            slowest = max(self._turns, key=lambda turn: turn.client.seconds)
            if not slowest.end():
                raise Overloaded("too many documents are being read; try again later", retry_after=RETRY_AFTER)
            self._turns.discard(slowest)
        turn = Turn()
        self._turns.add(turn)
        try:
            yield turn
        finally:
            self._turns.discard(turn)

    async def find(self, image: Image, wanted: Wanted, deadline: float, pdfs: PdfProcess) -> list[PageReference] | None:
        """Find the pages of a PDF, an archive or a multi-page TIFF; None for an image.

        `pdfs`: opens PDFs, and later draws their pages. Raises `ImageRejected` if the document cannot be opened or has
        too many pages, and `RequestError` if `pages` is not valid.
        """
        if not (_is_pdf(image.data) or image.data.startswith(_HEADS)):
            return None
        try:
            found: list[PageReference] = await self._workers.run(self._found, image, wanted, pdfs, deadline=deadline)
        except UsageError as error:
            raise RequestError(str(error)) from None
        if len(found) == 1 and found[0].kind == "image" and found[0].source.member is None:
            return None
        if found and all(page.kind == "refused" for page in found):
            raise ImageRejected(found[0].problem)
        if not found:
            raise ImageRejected(f"none of the pages {wanted.pages} is in the document; choose others")
        return found

    @staticmethod
    def is_document(image: Image) -> bool:
        """Whether the first bytes say that this is a PDF or an archive. A TIFF may be a document or an image."""
        return _is_pdf(image.data) or image.data.startswith(_HEADS[:1])

    def pdfs(self) -> PdfProcess:
        """The process that opens and draws the PDFs of a request; a context manager."""
        return PdfProcess(PAGE_SECONDS, PAGE_MEMORY, CLOCK_SECONDS, strict=True)

    def _found(self, image: Image, wanted: Wanted, pdfs: PdfProcess) -> list[PageReference]:
        most = self._settings.max_pages
        pages = find_pages(
            image.data,
            pages=wanted.pages,
            password=wanted.password,
            member_bytes=self._settings.max_bytes,
            pdfs=pdfs,
        )
        found = list(islice(pages, most + 1))
        if len(found) > most:
            raise ImageRejected(f"more than {most} pages; send the document again for each part, with ?pages=1-{most}")
        # The document arrived as bytes: its only name is the one that the sender gave it.
        inside = (page.name.removeprefix("page").removeprefix("/") for page in found)
        names = (f"{image.source}/{name}" if name and image.source else name or image.source for name in inside)
        return [replace(page, name=name) for page, name in zip(found, names, strict=True)]

    async def read(
        self, pages: list[PageReference], wanted: Wanted, pdfs: PdfProcess
    ) -> AsyncGenerator[ReadPage, None]:
        """Yield the pages in order, each as soon as it and all earlier pages are read. Nothing is retried for long."""
        ahead = self._settings.reading_threads
        coming: deque[asyncio.Task[ReadPage]] = deque()
        left = iter(pages)
        stopped: NotReady | None = None
        try:
            while True:
                if stopped is None:
                    more = islice(left, ahead - len(coming))
                    coming.extend(asyncio.create_task(self._read(page, wanted, pdfs)) for page in more)
                if not coming:
                    break
                page = await coming.popleft()
                if isinstance(page.error, NotReady):  # of the later pages, only those in progress may still be read
                    stopped = page.error
                yield page
            for reference in left:
                yield ReadPage(reference, error=stopped)
        finally:
            for task in coming:
                task.cancel()
            await asyncio.gather(*coming, return_exceptions=True)

    async def _read(self, reference: PageReference, wanted: Wanted, pdfs: PdfProcess) -> ReadPage:
        job = None
        deadline = time.monotonic() + self._settings.deadline
        if self._end is not None:
            deadline = min(deadline, self._end)
        try:
            if deadline <= time.monotonic():
                raise DeadlineExceeded("")
            if wanted.embedded_text and reference.kind == "pdf":
                page = await self._workers.run(self._embedded, reference, pdfs, deadline=deadline)
                if page is not None:
                    return ReadPage(reference, page=page)
            shown = self._shows(wanted) and not reference.shows_file
            image = await self._workers.run(self._load, reference, pdfs, shown, deadline=deadline)
            kept = image if shown else None
            image = image.without_colour()
            while job is None:
                try:
                    job = self._engine.submit(image, wanted.mode, deadline, wanted.language)
                except Overloaded:
                    if time.monotonic() + PATIENCE > deadline:
                        raise
                    await asyncio.sleep(PATIENCE)
            del image
            return ReadPage(reference, kept, await job.wait(), job)
        except TextRecognizerError as error:
            if isinstance(error, DeadlineExceeded | Overloaded) and deadline == self._end:
                error = NotReady("the service stopped before this page was read; send it again", RETRY_AFTER)
            return ReadPage(reference, error=error)
        finally:
            if job is not None:
                job.drop()

    def _shows(self, wanted: Wanted) -> bool:
        """Whether the answer may need the pictures of pages after they are read. They take most of the memory."""
        return wanted.pictures or self._feedback.open or formats.get_format(wanted.format).needs_picture

    def _load(self, reference: PageReference, pdfs: PdfProcess, colour: bool) -> LoadedImage:
        return reference.load(max_pixels=self._pixels(reference), pdfs=pdfs, colour=colour)

    def _embedded(self, reference: PageReference, pdfs: PdfProcess) -> Page | None:
        return embedded_page(reference, max_pixels=self._pixels(reference), pdfs=pdfs)

    def _pixels(self, reference: PageReference) -> int:
        most = self._settings.max_pixels
        return min(most, PAGE_PIXELS) if reference.kind == "pdf" else most

    async def lines(
        self, pages: list[PageReference], wanted: Wanted, pdfs: PdfProcess, request_id: str, owner: str
    ) -> AsyncGenerator[bytes, None]:
        """Yield a line of JSON for each page: its number, and the page or the problem."""
        async with aclosing(self.read(pages, wanted, pdfs)) as read:
            async for found in read:
                reference = found.reference
                answer: dict[str, Any] = {"page": reference.number, "count": reference.count}
                own_id = f"{request_id[:56]}.{reference.document}.{reference.number}"
                if found.page is None:
                    answer |= {"source": reference.name, "problem": described(found.error or Broken(), own_id)}
                else:
                    answer |= to_dict(found.page, reference.name)
                    answer |= {"request_id": own_id, "timings": found.job.timings() if found.job else NO_TIMINGS}
                    if wanted.pictures or (self._feedback.open and found.job):
                        picture = await self._workers.run(self._picture, found, pdfs)
                        if found.job:
                            with suppress(TextRecognizerError):  # reading continues without the store of feedback
                                await self._feedback.remember(own_id, owner, found.page, found.job, picture.data)
                        if wanted.pictures:
                            kind = "jpeg" if picture.data[:2] == b"\xff\xd8" else "png"
                            answer["picture"] = f"data:image/{kind};base64,{base64.b64encode(picture.data).decode()}"
                yield json.dumps(answer, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"

    def _picture(self, found: ReadPage, pdfs: PdfProcess) -> Picture:
        reference = found.reference
        image = found.image or (None if reference.shows_file else self._load(reference, pdfs, True))
        return reference.picture(image)

    async def document(
        self, pages: list[PageReference], wanted: Wanted, pdfs: PdfProcess
    ) -> tuple[bytes, list[PageReference]]:
        """Return the document in the requested format, and the pages that are missing because they could not be read.

        Raises the first error if no page could be read, and `NotReady` if the service stops meanwhile.
        """
        chosen = formats.get_format(wanted.format)
        out, failed, writer, first_error = BytesIO(), list[PageReference](), None, None
        about = await self._workers.run(self._about, pages, wanted, pdfs)
        async for found in self.read(pages, wanted, pdfs):
            if isinstance(found.error, NotReady):
                raise found.error
            if found.page is None:
                failed.append(found.reference)
                first_error = first_error or found.error
                continue
            if writer is None:
                writer = open_document(chosen.name, out, replace(about, language=about.language or found.page.language))
            image = found.image
            if image is None and chosen.needs_picture and about.original is None:
                image = await self._workers.run(self._load, found.reference, pdfs)
            made = partial(make_sheet, pdfs=pdfs)
            sheet = await self._workers.run(made, found.reference, image, found.page, (chosen.name,), about)
            if about.original is None:
                sheet = replace(sheet, number=pages.index(found.reference) + 1)
            await self._workers.run(writer.add, sheet)
        if writer is None:
            raise first_error or Broken()
        await self._workers.run(writer.close)
        return out.getvalue(), failed

    def _about(self, pages: list[PageReference], wanted: Wanted, pdfs: PdfProcess) -> formats.About:
        alone = all(page.document == pages[0].document for page in pages)
        keep = alone and wanted.format == "pdf"
        return about_document(pages[0], keep_pdf=keep, pdf_a=wanted.pdf_a, pdfs=pdfs)


def _is_pdf(data: bytes) -> bool:
    return data[:1024].lstrip()[:5] == b"%PDF-"
