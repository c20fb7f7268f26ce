"""Feedback over HTTP: accept, store and delete it; also store the sampled readings without feedback."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
import time
import unicodedata
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from text_recognizer.errors import FeedbackRejected, FeedbackUnavailable
from text_recognizer.feedback.record import REQUEST_ID, Feedback, Reading
from text_recognizer.formats.json_lines import from_dict, to_dict
from text_recognizer.images import load_image
from text_recognizer.page import Mode, Page
from text_recognizer.service import schema
from text_recognizer.service.engine import Engine, Job
from text_recognizer.service.metrics import Metrics
from text_recognizer.service.problems import (
    DeadlineExceeded,
    FeedbackAway,
    FeedbackFull,
    FeedbackOff,
    FeedbackRefused,
    Overloaded,
    RequestError,
    UnknownRequest,
)
from text_recognizer.service.readings_log import Failures, ReadingsLog
from text_recognizer.service.recent import Recent, Remembered
from text_recognizer.service.settings import FEEDBACK_OFF, Settings
from text_recognizer.service.workers import Workers

if TYPE_CHECKING:
    from text_recognizer.feedback.store import Store, StoredFeedback

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_TEXT, MAX_COMMENT, MAX_LINES = 20_000, 2_000, 2_000
MARKS = 30  # on one letter, as in Unicode's Stream-Safe Text Format: NFC takes quadratic time in their number
STORE_SECONDS = 15.0  # for one operation
STORE_THREADS, STORE_WAITING = 4, 64
RETRY_AFTER = 5.0
EXPIRE_SECONDS = 3600.0
MEASURE_SECONDS = 60.0  # between two measurements of the store
ALERTS_SECONDS = 15.0  # maximum age of the alerts in /metrics
_FORGET_SECONDS = 10.0
_ALERTS_PATIENCE = 0.2  # seconds that /metrics waits for them


@dataclass(frozen=True)
class _Claim:
    """A reading as the client describes it, after checks."""

    page: Page | None
    image: bytes | None
    statistics: dict[str, float]


class FeedbackService:
    """Stores feedback, and remembers readings for it. The store runs on threads; its failures are logged and counted.

    Raises `UsageError` if the settings name a store that cannot be used.
    """

    def __init__(self, settings: Settings, metrics: Metrics, engine: Engine) -> None:
        self._settings, self._metrics, self._engine = settings, metrics, engine
        self._store: Store | None = None
        if settings.feedback != FEEDBACK_OFF:
            # Imported late, so that a serverless function without a database starts without SQLAlchemy.
            from text_recognizer.feedback.store import Store

            self._store = Store.open(settings.feedback, settings.feedback_images)
        self._recent = Recent(settings.remember_seconds if self._store else 0, settings.remember_bytes)
        self._failures = Failures(metrics)
        self._log = ReadingsLog(self._store, settings.log_content, self._failures) if self._store else None
        self._workers = Workers("feedback", STORE_THREADS, STORE_WAITING - STORE_THREADS)
        self._decoding = threading.Lock()  # decoding a page takes hundreds of megabytes, so one at a time
        self._used = 0  # bytes in the store: the last measurement and what was stored since
        self._tasks: set[asyncio.Task[None]] = set()
        self._alerts_at = -ALERTS_SECONDS
        self._alerts: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        """Whether feedback is accepted."""
        return self._store is not None

    def start(self) -> None:
        """Start the background tasks; call it within the event loop."""
        if self._log is not None:
            self._log.start()
            self._spawn(self._forget_old())
            self._spawn(self._measure())
            if self._settings.retention_days or self._settings.feedback_days:
                self._spawn(self._expire())

    async def stop(self) -> None:
        """End the tasks, and store the waiting readings."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._log is not None:
            await asyncio.to_thread(self._log.stop)
        if self._store is not None:
            self._store.close()

    # -------------------------------------------------------------------------------------------------- readings

    async def remember(self, request_id: str, owner: str, page: Page, job: Job, image: bytes) -> None:
        """Remember a reading, and store it if it is sampled. Returns when the answer may be sent."""
        if self._log is None or not (self._settings.remember_seconds or self._settings.log_readings):
            return
        reading = Remembered(request_id, page, job.mode, image, dict(job.statistics), job.timings(), owner=owner)
        self._recent.add(reading)
        self._metrics.remembered.set(self._recent.bytes)
        if sample(request_id) < self._settings.log_readings:
            if self._is_full():
                self._failures("log", "the store is full: see TEXT_RECOGNIZER_FEEDBACK_BYTES")
                return
            await self._log.keep(reading)
            self._used += reading.size

    # -------------------------------------------------------------------------------------------------- feedback

    async def submit(self, content: Any, image: bytes | None, owner: str) -> tuple[schema.FeedbackAnswer, bool]:
        """Store the feedback that a client sent. Returns the answer, and whether the feedback is new.

        Raises `FeedbackOff`, `RequestError`, `FeedbackRefused`, `UnknownRequest`, `FeedbackAway`, `ImageRejected`.
        """
        store = self.required()
        sent = _parsed(content)
        feedback = _checked(sent)
        if self._is_full():
            self._failures("flag", "the store is full: see TEXT_RECOGNIZER_FEEDBACK_BYTES")
            raise FeedbackFull("no more feedback can be stored; the operator can delete some, or allow more")
        known = self._recent.get(owner, feedback.request_id)
        if image is None and self._recent.is_reused(owner, feedback.request_id):
            raise UnknownRequest(
                "several images were read under this request id; send image and page with the feedback"
            )

        def store_feedback() -> StoredFeedback | None:
            if known is not None:
                return store.flag(feedback, known.reading(), known.image, owner)
            if image is None and sent.page is None:
                return store.flag(feedback, owner=owner)
            claim = self._claim(sent, image)
            there = store.get(feedback.request_id)
            if there is None:
                if claim.page is None or image is None:
                    return None
                return store.flag(feedback, _claimed(feedback, sent, claim, owner), image, owner)
            sha256 = there.reading.image_sha256 if image is None else hashlib.sha256(image).hexdigest()
            page = None if claim.page is None else to_dict(claim.page)
            return store.flag(
                feedback, replace(there.reading, page=there.reading.page or page, image_sha256=sha256), image, owner
            )

        try:
            stored = await self._do("flag", store_feedback)
        except FeedbackRejected as error:
            raise FeedbackRefused(str(error)) from None
        if stored is None:
            raise UnknownRequest("this request is unknown or forgotten; send the image and the page with the feedback")
        if stored.new:
            self._used += len(image or b"") + (known.size if known is not None else 0)
            self._metrics.feedback.labels(_kind(feedback)).inc()
        answer = schema.FeedbackAnswer(
            id=stored.feedback.id,
            request_id=stored.feedback.request_id,
            image_stored=stored.image_stored,
            page_stored=stored.page_stored,
            outside_alphabet=self._outside_alphabet(stored.feedback),
        )
        return answer, stored.new

    async def delete(self, request_id: str, owner: str) -> None:
        """Delete everything stored about a reading. Raises `FeedbackOff`, `UnknownRequest`, `FeedbackAway`."""
        store, readings_log = self.required(), self._log
        assert readings_log is not None

        def delete() -> bool:
            readings_log.forget(request_id, owner)
            return store.delete(request_id, owner)

        deleted = await self._do("delete", delete) if REQUEST_ID.fullmatch(request_id) else False
        if not self._recent.forget(owner, request_id) and not deleted:
            raise UnknownRequest("nothing is stored for this request; check its id")
        self._metrics.remembered.set(self._recent.bytes)

    def required(self) -> Store:
        """The store. Raises `FeedbackOff` if there is none."""
        if self._store is None:
            raise FeedbackOff("this service accepts no feedback; ask its operator to set TEXT_RECOGNIZER_FEEDBACK")
        return self._store

    def _claim(self, sent: schema.FeedbackRequest, data: bytes | None) -> _Claim:
        page = None if sent.page is None else _page(sent.page)
        if data is None:
            return _Claim(page, None, {})
        with self._decoding:
            image = load_image(data, max_pixels=self._settings.max_pixels, max_bytes=self._settings.max_bytes)
            height, width = image.gray.shape
            if page is not None and (page.width, page.height) != (width, height):
                raise FeedbackRefused(
                    f"a page of {page.width} × {page.height} pixels with an image of {width} × {height}; "
                    "send the image that was read"
                )
            return _Claim(page, data, {} if page is None else self._engine.statistics(image, page))

    def _outside_alphabet(self, feedback: Feedback) -> list[str]:
        reader = self._engine.reader
        known = {" ", "\n", "\t", *(reader.bundle.description.alphabet if reader is not None else ())}
        written = {*"".join(feedback.lines or ()), *(feedback.text or "")}
        return sorted(written - known) if reader is not None else []

    # --------------------------------------------------------------------------------------------- alerts, expiry

    async def update_alerts(self) -> None:
        """Update the alerts of /metrics, or leave them unchanged while the store is slow."""
        if self._store is None:
            return
        if self._alerts is None and time.monotonic() - self._alerts_at >= ALERTS_SECONDS:
            self._alerts = self._spawn(self._update_alerts(self._store))
        if self._alerts is not None:
            await asyncio.wait([self._alerts], timeout=_ALERTS_PATIENCE)

    async def _update_alerts(self, store: Store) -> None:
        try:
            self._metrics.alerts.checks = await self._do("alerts", store.latest_checks)
        except FeedbackAway:
            self._metrics.alerts.checks = []  # earlier alerts may have ended
        finally:
            self._alerts_at, self._alerts = time.monotonic(), None

    def _is_full(self) -> bool:
        return 0 < self._settings.feedback_bytes <= self._used

    async def _measure(self) -> None:
        store = self.required()
        while self._settings.feedback_bytes:
            with suppress(FeedbackAway):
                self._used = await self._do("measure", store.size, seconds=MEASURE_SECONDS)
            await asyncio.sleep(MEASURE_SECONDS)

    async def _forget_old(self) -> None:
        while True:
            await asyncio.sleep(min(_FORGET_SECONDS, self._settings.remember_seconds or _FORGET_SECONDS))
            self._recent.forget_old()
            self._metrics.remembered.set(self._recent.bytes)

    async def _expire(self) -> None:
        store = self.required()

        def expire() -> None:
            now, days, longer = datetime.now(UTC), self._settings.retention_days, self._settings.feedback_days
            before = now - timedelta(days=days) if days else datetime.min.replace(tzinfo=UTC)
            gone = store.expire(before, now - timedelta(days=longer) if longer else None)
            store.tidy()
            if gone:
                log.info("feedback: deleted %d expired readings", gone)

        await asyncio.sleep(min(60.0, EXPIRE_SECONDS))
        while True:
            with suppress(FeedbackAway):
                await self._do("expire", expire, seconds=EXPIRE_SECONDS)
            await asyncio.sleep(EXPIRE_SECONDS)

    # ------------------------------------------------------------------------------------------------------- the store

    async def _do(self, operation: str, work: Callable[[], T], seconds: float = STORE_SECONDS) -> T:
        """Run `work` on a thread and return its result. Raises `FeedbackAway` if the store fails or is too slow."""
        try:
            return await self._workers.run(work, deadline=time.monotonic() + seconds)
        except Overloaded:
            self._failures(operation, "too many operations wait for the store")
        except DeadlineExceeded:
            self._failures(operation, f"not finished after {seconds:g} s")
        except FeedbackUnavailable as error:
            self._failures(operation, error)
        raise FeedbackAway("feedback cannot be stored now; nothing was stored, try again", RETRY_AFTER)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def sample(request_id: str) -> float:
    """A number from 0 to 1 that is the same for every attempt of a request: either all are stored or none."""
    return int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:6]) / 2**48


def _parsed(content: Any) -> schema.FeedbackRequest:
    if not isinstance(content, dict):
        raise RequestError('send a JSON object with "request_id" and your feedback')
    try:
        sent = schema.FeedbackRequest.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise RequestError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    for given in (sent.request_id, sent.id):
        if given is not None and not REQUEST_ID.fullmatch(given):
            raise RequestError("an id has 1 to 64 letters, digits, points, dashes or underscores; correct it")
    return sent


def _checked(sent: schema.FeedbackRequest) -> Feedback:
    """The feedback to store. Raises `FeedbackRefused` if it is empty, too long or not plain text."""
    if len(sent.comment) > MAX_COMMENT:
        raise FeedbackRefused(f"the comment has {len(sent.comment):,} characters; shorten it to {MAX_COMMENT:,}")
    length = len(sent.text or "") + sum(map(len, sent.lines or ()))
    if length > MAX_TEXT or len(sent.lines or ()) > MAX_LINES:
        raise FeedbackRefused(f"the text has {length:,} characters; send at most {MAX_TEXT:,} in {MAX_LINES:,} lines")
    if not all(map(_is_stream_safe, (sent.comment, sent.text or "", *(sent.lines or ())))):
        raise FeedbackRefused(f"a letter has more than {MARKS} combining marks; send plain text")
    comment, text = _with_line_feeds(sent.comment), None if sent.text is None else _with_line_feeds(sent.text)
    lines = None if sent.lines is None else tuple(unicodedata.normalize("NFC", line) for line in sent.lines)
    if not (sent.flag or comment.strip() or lines or text is not None or sent.checked):
        raise FeedbackRefused("the feedback is empty; send a flag, a comment, lines, text or checked")
    if not (all(map(_is_plain, lines or ())) and _is_plain(text or "", "\n\t") and _is_plain(comment, "\n\t")):
        raise FeedbackRefused("the feedback has control characters; send plain text without line breaks within a line")
    return Feedback(
        id=sent.id or uuid.uuid4().hex,
        request_id=sent.request_id,
        at=datetime.now(UTC),
        flag=sent.flag,
        comment=comment,
        lines=lines,
        text=text,
        checked=sent.checked,
    )


def _with_line_feeds(text: str) -> str:
    return unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n")


def _is_stream_safe(text: str) -> bool:
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks > MARKS:
            return False
    return True


def _is_plain(text: str, allowed: str = "") -> bool:
    return not any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") and c not in allowed for c in text)


def _page(answer: dict[str, Any]) -> Page:
    """The page that a client sent back."""
    try:
        page = from_dict(answer)
        json.dumps(to_dict(page), allow_nan=False)
        plain = all(_is_plain(text) for text in (page.model, *(line.text for line in page.lines)))
        if not plain or len(page.model) > 200 or len(page.text) > MAX_TEXT:
            raise ValueError
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        raise RequestError("page is not an answer of /v1/read; send that answer unchanged") from None
    return page


def _claimed(feedback: Feedback, sent: schema.FeedbackRequest, claim: _Claim, owner: str) -> Reading:
    assert claim.page is not None and claim.image is not None
    mode: Mode = sent.mode or "accurate"
    return Remembered(feedback.request_id, claim.page, mode, claim.image, claim.statistics, owner=owner).reading()


def _kind(feedback: Feedback) -> str:
    if feedback.flag:
        return feedback.flag
    corrected = feedback.lines is not None or feedback.text is not None or feedback.checked
    return "correction" if corrected else "comment"
