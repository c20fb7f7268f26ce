"""Stores readings, feedback and the results of monitoring: SQLite in a folder or PostgreSQL, images by fsspec.

An image is written before the row that names it, so a crash leaves at most an image without a row, which `tidy`
removes. Images are removed under the same lock under which writers check that their image exists.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from text_recognizer.errors import DataInvalid, FeedbackRejected, UsageError
from text_recognizer.feedback.database import Database, Postgres, Sqlite
from text_recognizer.feedback.images import Images
from text_recognizer.feedback.record import Check, Feedback, Reading, Record
from text_recognizer.feedback.tables import (
    CHECKS,
    FEEDBACK,
    READINGS,
    check_from,
    check_row,
    feedback_from,
    feedback_row,
    image_name,
    reading_from,
    reading_row,
)

FILE = "feedback.db"
OFF = "off"
_WHERE, _IMAGES = "TEXT_RECOGNIZER_FEEDBACK", "TEXT_RECOGNIZER_FEEDBACK_IMAGES"
_AT_ONCE = 500  # rows: few enough for a short transaction and for an IN clause


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFeedback:
    """Feedback as it is stored. `new`: this request stored it, not an earlier one."""

    feedback: Feedback
    new: bool
    image_stored: bool
    page_stored: bool


class Store:
    """Readings with their feedback. Threads and processes may share a store.

    Nothing is created before the first write; a store that does not exist is empty. All methods raise
    `FeedbackUnavailable` if the database or the images cannot be used; the call has then stored nothing.
    """

    def __init__(self, database: Database, images: Images) -> None:
        self._database, self.images = database, images

    @classmethod
    def open(cls, where: str | Path, images: str | Path | None = None) -> Store:
        """Open the store in the folder `where`, or in the database at that URL.

        `images`: any fsspec address; by default the folder `images` next to the SQLite file. Raises `UsageError` if the
        addresses are not valid, `ExtraMissing` if a package for them is not installed.
        """
        where = str(where)
        if "://" not in where:
            database: Database = Sqlite(Path(where) / FILE)
            return cls(database, Images(str(images or Path(where).absolute() / "images")))
        database = Postgres(where)
        if not images:
            raise UsageError(f"a database needs a separate place for images; set {_IMAGES} to a folder or s3://…")
        return cls(database, Images(str(images)))

    @classmethod
    def from_environment(cls, where: str | None = None, images: str | None = None) -> Store:
        """Open the store of a service with this environment; arguments override it. Raises as `open` does."""
        where = where or os.environ.get(_WHERE, "").strip() or "feedback"
        if where == OFF:
            raise UsageError(f"{_WHERE} is off: no feedback is stored; name a store")
        return cls.open(where, images or os.environ.get(_IMAGES, "").strip() or None)

    def __str__(self) -> str:
        return self._database.name

    def close(self) -> None:
        """Close idle connections; later calls open new ones."""
        self._database.close()

    # --------------------------------------------------------------------------------------------------- writing

    def log(self, readings: Iterable[tuple[Reading, bytes | None]]) -> None:
        """Store readings, each with its image if there is one; either all of them or none.

        A reading whose request id is already stored is left unchanged.
        """
        batch = {reading.request_id: (reading, image) for reading, image in reversed(list(readings))}
        known = self._known(batch)
        batch = {request_id: batch[request_id] for request_id in reversed(batch) if request_id not in known}
        if not batch:
            return
        images = {image_name(reading): image for reading, image in batch.values() if image is not None}
        self._put(images)
        with self._database.writing() as connection:
            self._make_sure(connection, images)
            self._database.insert_new(
                connection, READINGS, [reading_row(*item) for item in batch.values()], "request_id"
            )

    def flag(
        self,
        feedback: Feedback,
        reading: Reading | None = None,
        image: bytes | None = None,
        owner: str | None = None,
    ) -> StoredFeedback | None:
        """Store `feedback` with its reading and image. Returns None if the reading is unknown.

        Feedback whose id is already stored changes nothing. A stored reading without its page or image receives it.
        Raises `FeedbackRejected` if the number of lines differs from the page's, if the request id is stored with
        another image, or if the id belongs to feedback on another request. `owner`: readings of other owners count as
        unknown, and their request ids cannot be used; None ignores owners.
        """
        with self._database.reading() as reader:
            there = _find(reader, feedback.request_id) if reader else None
            if reading is None and not _is_of(there, owner):
                return None
            _check_owner(there, owner)
            earlier = self._stored(reader, feedback) if reader else None
            if earlier is not None:
                return earlier
        images = {image_name(reading): image} if reading is not None and image is not None else {}
        self._put(images)
        with self._database.writing() as connection:
            self._database.lock(connection, feedback.request_id)
            there = _find(connection, feedback.request_id)
            if reading is None and not _is_of(there, owner):
                return None
            _check_owner(there, owner)
            earlier = self._stored(connection, feedback)
            if earlier is not None:
                return earlier
            if there is None:
                assert reading is not None
                there = reading_from(reading_row(reading, image))
                _check_lines(feedback, there)
                connection.execute(sa.insert(READINGS), reading_row(reading, image))
            else:
                there = self._filled(connection, there, reading, image)
                _check_lines(feedback, there)
            if there.image in images:
                self._make_sure(connection, images)
            connection.execute(sa.insert(FEEDBACK), feedback_row(feedback))
        return StoredFeedback(
            feedback=feedback, new=True, image_stored=bool(there.image), page_stored=there.page is not None
        )

    def delete(self, request_id: str, owner: str | None = None) -> bool:
        """Delete a reading with its feedback, and its image unless another reading uses it. False: not stored."""
        if not self._exists():
            return False
        with self._database.writing() as connection:
            self._database.lock(connection, request_id)
            there = _find(connection, request_id)
            if there is None or not _is_of(there, owner):
                return False
            connection.execute(sa.delete(FEEDBACK).where(FEEDBACK.c.request_id == request_id))
            connection.execute(sa.delete(READINGS).where(READINGS.c.request_id == request_id))
            # Before the commit, so that the reading can be deleted again if this fails.
            if there.image:
                self._remove_unnamed(connection, there.image)
        self._database.forget_deleted()
        return True

    def size(self) -> int:
        """Bytes of readings, feedback and images."""
        return self._database.size() + self.images.total() if self._exists() else 0

    def expire(self, before: datetime, with_feedback: datetime | None = None) -> int:
        """Delete readings without feedback older than `before`, and readings with feedback older than `with_feedback`.

        Their images are deleted too. Returns the number of readings.
        """
        if not self._exists():
            return 0
        without = ~sa.exists().where(FEEDBACK.c.request_id == READINGS.c.request_id)
        due = sa.and_(READINGS.c.at < before, without)
        if with_feedback is not None:
            due = sa.or_(due, READINGS.c.at < with_feedback)
        total = 0
        while True:
            with self._database.writing() as connection:
                old = connection.execute(
                    sa.select(READINGS.c.number, READINGS.c.image)
                    .where(due)
                    .order_by(READINGS.c.number)
                    .limit(_AT_ONCE)
                ).all()
                if old:
                    numbers = [row.number for row in old]
                    if with_feedback is not None:
                        expired = sa.select(READINGS.c.request_id).where(
                            READINGS.c.number.in_(numbers), READINGS.c.at < with_feedback
                        )
                        connection.execute(sa.delete(FEEDBACK).where(FEEDBACK.c.request_id.in_(expired)))
                    done = connection.execute(sa.delete(READINGS).where(READINGS.c.number.in_(numbers), without))
                    total += done.rowcount
                else:
                    latest = sa.select(sa.func.max(CHECKS.c.number)).scalar_subquery()
                    last_run = sa.select(CHECKS.c.run).where(CHECKS.c.number == latest).scalar_subquery()
                    connection.execute(sa.delete(CHECKS).where(CHECKS.c.at < before, CHECKS.c.run != last_run))
            if not old:
                break
            for name in sorted({row.image for row in old if row.image}):
                with self._database.writing() as connection:
                    self._remove_unnamed(connection, name)
        self._database.forget_deleted()
        return total

    def tidy(self) -> int:
        """Remove images without a reading, which a crash may leave. Returns their number."""
        if not self._exists():
            return 0
        stored = self.images.names()
        with self._database.reading() as connection:
            named = set(connection.scalars(sa.select(READINGS.c.image).distinct())) if connection else set()
        removed = 0
        for name in (name for name in stored if name not in named):
            with self._database.writing() as connection:
                removed += self._remove_unnamed(connection, name)
        return removed

    def save_checks(self, checks: Iterable[Check]) -> None:
        """Store the results of all rules of one run of monitoring."""
        run = uuid.uuid4().hex
        rows = [check_row(check, run) for check in checks]
        if rows:
            with self._database.writing() as connection:
                connection.execute(sa.insert(CHECKS), rows)

    # --------------------------------------------------------------------------------------------------- reading

    def get(self, request_id: str) -> Record | None:
        """The reading of a request with all feedback on it."""
        with self._database.reading() as connection:
            there = _find(connection, request_id) if connection else None
            if there is None or connection is None:
                return None
            return Record(reading=there, feedback=_feedback_on(connection, [request_id]).get(request_id, ()))

    def records(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        with_feedback: bool | None = None,
        newest_first: bool = False,
        pages: bool = True,
    ) -> Iterator[Record]:
        """Yield the records from `since` up to but excluding `until`, by the time of their reading.

        `with_feedback`: True: only records with feedback; False: only those without. `pages`: False is several times
        faster and leaves each `page` None. A few hundred records are fetched at a time without a lock in between, so
        concurrent changes may or may not be seen.
        """
        columns = [column for column in READINGS.c if column.name != "page"]
        chosen = sa.select(*columns, READINGS.c.page if pages else sa.null().label("page"))
        if since is not None:
            chosen = chosen.where(READINGS.c.at >= since)
        if until is not None:
            chosen = chosen.where(READINGS.c.at < until)
        if with_feedback is not None:
            has_feedback = sa.exists().where(FEEDBACK.c.request_id == READINGS.c.request_id)
            chosen = chosen.where(has_feedback if with_feedback else ~has_feedback)
        at, number = READINGS.c.at, READINGS.c.number
        chosen = chosen.order_by(*((at.desc(), number.desc()) if newest_first else (at, number))).limit(_AT_ONCE)
        due = chosen
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(due).mappings().all() if connection else []
                feedback = _feedback_on(connection, [row["request_id"] for row in rows]) if connection and rows else {}
            for row in rows:
                yield Record(reading=reading_from(row), feedback=feedback.get(row["request_id"], ()))
            if len(rows) < _AT_ONCE:
                return
            last = rows[-1]
            # Written so that the database walks the index from there: an OR alone would sort the rest each time.
            if newest_first:
                due = chosen.where(at <= last["at"], sa.or_(at < last["at"], number < last["number"]))
            else:
                due = chosen.where(at >= last["at"], sa.or_(at > last["at"], number > last["number"]))

    def image(self, reading: Reading) -> bytes:
        """The encoded image of `reading`, as received. Raises `DataInvalid` if it was not stored or is missing."""
        if not reading.image:
            raise DataInvalid(
                f"no image of the reading {reading.request_id} is stored; set TEXT_RECOGNIZER_LOG_CONTENT=images"
            )
        data = self.images.get(reading.image)
        if data is None:
            raise DataInvalid(
                f"the image of the reading {reading.request_id} is missing from {self.images.address}; "
                "restore it from a backup"
            )
        return data

    def latest_checks(self) -> list[Check]:
        """The results of all rules in the latest run of monitoring."""
        with self._database.reading() as connection:
            if connection is None:
                return []
            run = connection.scalar(sa.select(CHECKS.c.run).order_by(CHECKS.c.number.desc()).limit(1))
            rows = connection.execute(sa.select(CHECKS).where(CHECKS.c.run == run).order_by(CHECKS.c.number))
            return [check_from(row) for row in rows.mappings()]

    # --------------------------------------------------------------------------------------------------- details

    def _exists(self) -> bool:
        with self._database.reading() as connection:
            return connection is not None

    def _known(self, request_ids: Iterable[str]) -> set[str]:
        wanted = list(request_ids)
        known: set[str] = set()
        with self._database.reading() as connection:
            for begin in range(0, len(wanted) if connection else 0, _AT_ONCE):
                assert connection is not None
                some = READINGS.c.request_id.in_(wanted[begin : begin + _AT_ONCE])
                known.update(connection.scalars(sa.select(READINGS.c.request_id).where(some)))
        return known

    def _put(self, images: Mapping[str, bytes]) -> None:
        for name, data in images.items():
            if self.images.size(name) != len(data):
                self.images.put(name, data)

    def _make_sure(self, connection: sa.Connection, images: Mapping[str, bytes]) -> None:
        """Store images that were removed meanwhile, under the lock that also guards removal."""
        for name in sorted(images):
            self._database.lock(connection, name)
        self._put(images)

    def _remove_unnamed(self, connection: sa.Connection, name: str) -> bool:
        self._database.lock(connection, name)
        named = sa.select(READINGS.c.number).where(READINGS.c.image == name).limit(1)
        if connection.scalar(named) is not None:
            return False
        self.images.remove(name)
        return True

    def _stored(self, connection: sa.Connection, feedback: Feedback) -> StoredFeedback | None:
        """The stored feedback with the id of `feedback`."""
        row = connection.execute(sa.select(FEEDBACK).where(FEEDBACK.c.id == feedback.id)).mappings().first()
        if row is None:
            return None
        if row["request_id"] != feedback.request_id:
            raise FeedbackRejected(f"the id {feedback.id} belongs to feedback on another request; use a new id")
        there = _find(connection, feedback.request_id)
        assert there is not None  # the foreign key guarantees it
        return StoredFeedback(
            feedback=feedback_from(row), new=False, image_stored=bool(there.image), page_stored=there.page is not None
        )

    def _filled(
        self, connection: sa.Connection, there: Reading, reading: Reading | None, image: bytes | None
    ) -> Reading:
        """Add to `there` the page and the image that it lacks."""
        if reading is None:
            return there
        if there.image_sha256 and reading.image_sha256 and there.image_sha256 != reading.image_sha256:
            raise FeedbackRejected(
                f"another image was read under the request id {there.request_id}; use a new id for each request"
            )
        lacking: dict[str, Any] = {}
        if there.page is None and reading.page is not None:
            lacking["page"] = json.dumps(reading.page)
        if not there.image and image is not None:
            lacking["image"] = image_name(reading)
        if lacking:
            of_it = READINGS.c.request_id == there.request_id
            connection.execute(sa.update(READINGS).where(of_it).values(**lacking))
        return replace(there, page=there.page or reading.page, image=lacking.get("image", there.image))


def _is_of(reading: Reading | None, owner: str | None) -> bool:
    return reading is not None and owner in (None, reading.owner)


def _check_owner(reading: Reading | None, owner: str | None) -> None:
    if reading is not None and not _is_of(reading, owner):
        raise FeedbackRejected(f"the request id {reading.request_id} belongs to another client; use a new id")


def _find(connection: sa.Connection, request_id: str) -> Reading | None:
    row = connection.execute(sa.select(READINGS).where(READINGS.c.request_id == request_id)).mappings().first()
    return None if row is None else reading_from(row)


def _feedback_on(connection: sa.Connection, request_ids: Sequence[str]) -> dict[str, tuple[Feedback, ...]]:
    chosen = sa.select(FEEDBACK).where(FEEDBACK.c.request_id.in_(request_ids)).order_by(FEEDBACK.c.number)
    found: dict[str, tuple[Feedback, ...]] = {}
    for row in connection.execute(chosen).mappings():
        found[row["request_id"]] = (*found.get(row["request_id"], ()), feedback_from(row))
    return found


def _check_lines(feedback: Feedback, reading: Reading) -> None:
    if feedback.lines is None:
        return
    if reading.page is not None:
        expected = len(reading.page["lines"])
    elif "lines" in reading.statistics:
        expected = round(reading.statistics["lines"])
    else:
        return
    if len(feedback.lines) != expected:
        raise FeedbackRejected(
            f"{len(feedback.lines)} lines for a page of {expected}; send a text for each line of the page, "
            "or the whole text as text"
        )
