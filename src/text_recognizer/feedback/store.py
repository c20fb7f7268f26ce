"""Where readings, feedback and the outcome of monitoring are kept: SQLite in a folder or PostgreSQL, images by fsspec.

An image is written before the row that names it, so that a crash leaves at most an image that nobody names, which
`tidy` sweeps away. It is removed under the same lock under which writers make sure that theirs is there.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.pool import QueuePool

from text_recognizer.errors import DataInvalid, ExtraMissing, TextRecognizerError, UsageError, install_hint
from text_recognizer.feedback.errors import FeedbackRejected, FeedbackUnavailable
from text_recognizer.feedback.images import Images
from text_recognizer.feedback.record import Check, Feedback, Flag, Reading, Record

SCHEMA = 1
"""Version of the tables."""
FILE = "feedback.db"
BUSY_SECONDS = 5.0
"""How long a lock that somebody else holds, or a server that does not answer, is waited for."""
OFF = "off"
_WHERE, _IMAGES = "TEXT_RECOGNIZER_FEEDBACK", "TEXT_RECOGNIZER_FEEDBACK_IMAGES"
_AT_ONCE = 500  # rows: few enough that a transaction is short, and that an IN has room for them


class _Utc(sa.TypeDecorator[datetime]):
    """Times in UTC; SQLite keeps them as text without a zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_JSON = sa.JSON(none_as_null=True)
# Their names begin alike, so that they can share a database with others.
_tables = sa.MetaData()
_schema = sa.Table("text_recognizer_schema", _tables, sa.Column("version", sa.Integer, primary_key=True))
_readings = sa.Table(
    "text_recognizer_readings",
    _tables,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("request_id", sa.String, nullable=False, unique=True),
    sa.Column("at", _Utc, nullable=False),
    sa.Column("model", sa.String, nullable=False),
    sa.Column("mode", sa.String, nullable=False),
    sa.Column("image_sha256", sa.String, nullable=False),
    sa.Column("page", sa.Text),  # JSON, taken apart one page at a time: hundreds at once would keep the collector busy
    sa.Column("statistics", _JSON, nullable=False),
    sa.Column("timings", _JSON, nullable=False),
    sa.Column("image", sa.String, nullable=False, index=True),
    sa.Index("text_recognizer_readings_by_time", "at", "number"),
)
_feedback = sa.Table(
    "text_recognizer_feedback",
    _tables,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String, nullable=False, unique=True),
    sa.Column("request_id", sa.String, sa.ForeignKey(_readings.c.request_id), nullable=False, index=True),
    sa.Column("at", _Utc, nullable=False),
    sa.Column("flag", sa.String),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("lines", _JSON),
    sa.Column("text", sa.Text),
    sa.Column("page", sa.Text),
    sa.Column("checked", sa.Boolean, nullable=False),
)
_checks = sa.Table(
    "text_recognizer_checks",
    _tables,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
    sa.Column("run", sa.String, nullable=False, index=True),
    sa.Column("at", _Utc, nullable=False),
    sa.Column("rule", sa.String, nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("limit", sa.Float),
    sa.Column("fired", sa.Boolean, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the store has of a feedback. `new`: it came just now; otherwise this is what was kept the first time."""

    feedback: Feedback
    new: bool
    image_kept: bool
    page_kept: bool


class Store:
    """Readings with what people said of them. Safe to share between threads and between processes.

    Nothing is made before something is written: asking a store that does not exist gives nothing. All methods raise
    `FeedbackUnavailable` where the database or the images cannot be used; then nothing of the call was kept.
    """

    def __init__(self, database: _Database, images: Images) -> None:
        self._database, self._images = database, images

    @classmethod
    def open(cls, where: str | Path, images: str | Path | None = None) -> Store:
        """The store in the folder `where`, or in the database of that URL.

        `images`: any address of fsspec; by default the folder `images` beside the SQLite file. Raises `UsageError`
        where they do not fit, `ExtraMissing` where a package for them is not installed.
        """
        where = str(where)
        if "://" not in where:
            database: _Database = _Sqlite(Path(where) / FILE)
            return cls(database, Images(str(images or Path(where).absolute() / "images")))
        database = _Postgres(where)
        if not images:
            raise UsageError(f"a database needs a place for images beside it; set {_IMAGES} to a folder or s3://…")
        return cls(database, Images(str(images)))

    @classmethod
    def from_environment(cls, where: str | None = None, images: str | None = None) -> Store:
        """The store that a service with this environment keeps, unless told another. Raises as `open` does."""
        where = where or os.environ.get(_WHERE, "").strip() or "feedback"
        if where == OFF:
            raise UsageError(f"{_WHERE} is off: there is no feedback; name its store")
        return cls.open(where, images or os.environ.get(_IMAGES, "").strip() or None)

    def __str__(self) -> str:
        return self._database.name

    def close(self) -> None:
        """Lets go of connections; the store can be used all the same afterwards."""
        self._database.close()

    # --------------------------------------------------------------------------------------------------- writing

    def log(self, readings: Iterable[tuple[Reading, bytes | None]]) -> None:
        """Keeps readings, each with its image if there is one, all or none of them.

        A request that is there already stays as it is.
        """
        batch = {reading.request_id: (reading, image) for reading, image in reversed(list(readings))}
        known = self._known(batch)
        batch = {request_id: batch[request_id] for request_id in reversed(batch) if request_id not in known}
        if not batch:
            return
        images = {_name(reading): image for reading, image in batch.values() if image is not None}
        self._put(images)
        with self._database.writing() as connection:
            self._make_sure(connection, images)
            self._database.insert_new(connection, _readings, [_row(*item) for item in batch.values()], "request_id")

    def flag(self, feedback: Feedback, reading: Reading | None = None, image: bytes | None = None) -> Kept | None:
        """Keeps `feedback`, with the reading and image that it is said of; None where the reading is not known.

        Feedback whose id is there already changes nothing. A reading that is there without its page or its image gets
        them. Raises `FeedbackRejected` where lines are not as many as the page has, where the request is there with
        another image, or where the id is that of feedback on another request.
        """
        with self._database.reading() as reader:
            earlier = self._said(reader, feedback) if reader else None
            if earlier is not None:
                return earlier
            if reading is None and (reader is None or _find(reader, feedback.request_id) is None):
                return None
        images = {_name(reading): image} if reading is not None and image is not None else {}
        self._put(images)
        with self._database.writing() as connection:
            self._database.lock(connection, feedback.request_id)
            earlier = self._said(connection, feedback)
            if earlier is not None:
                return earlier
            there = _find(connection, feedback.request_id)
            if there is None and reading is None:
                return None
            if there is None:
                assert reading is not None
                there = _reading(_row(reading, image))
                _check_lines(feedback, there)
                connection.execute(sa.insert(_readings), _row(reading, image))
            else:
                there = self._filled(connection, there, reading, image)
                _check_lines(feedback, there)
            if there.image in images:
                self._make_sure(connection, images)
            connection.execute(sa.insert(_feedback), _feedback_row(feedback))
        return Kept(feedback=feedback, new=True, image_kept=bool(there.image), page_kept=there.page is not None)

    def delete(self, request_id: str) -> bool:
        """Deletes a reading with its feedback and, unless another reading is of it too, its image. False: not there."""
        if not self._exists():
            return False
        with self._database.writing() as connection:
            self._database.lock(connection, request_id)
            there = _find(connection, request_id)
            if there is None:
                return False
            connection.execute(sa.delete(_feedback).where(_feedback.c.request_id == request_id))
            connection.execute(sa.delete(_readings).where(_readings.c.request_id == request_id))
            # Before the rows are gone for good: where it fails, the reading can be deleted once more.
            if there.image:
                self._remove_unnamed(connection, there.image)
        self._database.forget_deleted()
        return True

    def expire(self, before: datetime) -> int:
        """Deletes readings older than `before` that nobody gave feedback on, with their images; gives their number."""
        if not self._exists():
            return 0
        unsaid = ~sa.exists().where(_feedback.c.request_id == _readings.c.request_id)
        total = 0
        while True:
            with self._database.writing() as connection:
                old = connection.execute(
                    sa.select(_readings.c.number, _readings.c.image)
                    .where(_readings.c.at < before, unsaid)
                    .order_by(_readings.c.number)
                    .limit(_AT_ONCE)
                ).all()
                if old:
                    numbers = [row.number for row in old]
                    done = connection.execute(sa.delete(_readings).where(_readings.c.number.in_(numbers), unsaid))
                    total += done.rowcount
                else:
                    latest = sa.select(sa.func.max(_checks.c.number)).scalar_subquery()
                    last_run = sa.select(_checks.c.run).where(_checks.c.number == latest).scalar_subquery()
                    connection.execute(sa.delete(_checks).where(_checks.c.at < before, _checks.c.run != last_run))
            if not old:
                break
            for name in sorted({row.image for row in old if row.image}):
                with self._database.writing() as connection:
                    self._remove_unnamed(connection, name)
        self._database.forget_deleted()
        return total

    def tidy(self) -> int:
        """Removes images that no reading names, as a crash may leave them; gives their number."""
        if not self._exists():
            return 0
        kept = self._images.names()
        with self._database.reading() as connection:
            named = set(connection.scalars(sa.select(_readings.c.image).distinct())) if connection else set()
        removed = 0
        for name in (name for name in kept if name not in named):
            with self._database.writing() as connection:
                removed += self._remove_unnamed(connection, name)
        return removed

    def save_checks(self, checks: Iterable[Check]) -> None:
        """Keeps the outcome of all rules of one look at the store."""
        run = uuid.uuid4().hex
        rows = [
            {
                "run": run,
                "at": check.at,
                "rule": check.rule,
                "value": _finite(check.value),
                "limit": _finite(check.limit),
                "fired": check.fired,
                "message": check.message,
            }
            for check in checks
        ]
        if rows:
            with self._database.writing() as connection:
                connection.execute(sa.insert(_checks), rows)

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
        """The records from `since` up to, but without, `until`, by the time of their reading.

        `with_feedback`: only those that have some, or have none. `pages`: without them, which is several times faster,
        each `page` is None. They are fetched some hundred at a time; between that
        nothing is locked, and what comes or goes meanwhile may be seen or not.
        """
        columns = [column for column in _readings.c if column.name != "page"]
        chosen = sa.select(*columns, _readings.c.page if pages else sa.null().label("page"))
        if since is not None:
            chosen = chosen.where(_readings.c.at >= since)
        if until is not None:
            chosen = chosen.where(_readings.c.at < until)
        if with_feedback is not None:
            said = sa.exists().where(_feedback.c.request_id == _readings.c.request_id)
            chosen = chosen.where(said if with_feedback else ~said)
        at, number = _readings.c.at, _readings.c.number
        chosen = chosen.order_by(*((at.desc(), number.desc()) if newest_first else (at, number))).limit(_AT_ONCE)
        due = chosen
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(due).mappings().all() if connection else []
                said_of = _feedback_on(connection, [row["request_id"] for row in rows]) if connection and rows else {}
            for row in rows:
                yield Record(reading=_reading(row), feedback=said_of.get(row["request_id"], ()))
            if len(rows) < _AT_ONCE:
                return
            last = rows[-1]
            # Written so that the index is walked from there: an OR alone would sort what is left each time.
            if newest_first:
                due = chosen.where(at <= last["at"], sa.or_(at < last["at"], number < last["number"]))
            else:
                due = chosen.where(at >= last["at"], sa.or_(at > last["at"], number > last["number"]))

    def image(self, reading: Reading) -> bytes:
        """The encoded image of `reading`, as it came. Raises `DataInvalid` where it was not kept or is missing."""
        if not reading.image:
            raise DataInvalid(f"no image was kept of the reading {reading.request_id}: there is nothing to see of it")
        data = self._images.get(reading.image)
        if data is None:
            raise DataInvalid(f"the image of the reading {reading.request_id} is missing from {self._images.address}")
        return data

    def latest_checks(self) -> list[Check]:
        """The outcome of all rules when they were last looked at."""
        with self._database.reading() as connection:
            if connection is None:
                return []
            run = connection.scalar(sa.select(_checks.c.run).order_by(_checks.c.number.desc()).limit(1))
            rows = connection.execute(sa.select(_checks).where(_checks.c.run == run).order_by(_checks.c.number))
            return [
                Check(
                    at=row["at"],
                    rule=row["rule"],
                    value=row["value"],
                    limit=row["limit"],
                    fired=row["fired"],
                    message=row["message"],
                )
                for row in rows.mappings()
            ]

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
                some = _readings.c.request_id.in_(wanted[begin : begin + _AT_ONCE])
                known.update(connection.scalars(sa.select(_readings.c.request_id).where(some)))
        return known

    def _put(self, images: Mapping[str, bytes]) -> None:
        for name, data in images.items():
            if self._images.size(name) != len(data):
                self._images.put(name, data)

    def _make_sure(self, connection: sa.Connection, images: Mapping[str, bytes]) -> None:
        """Under the lock that removing takes: whoever removed one meanwhile did not know of the row to come."""
        for name in sorted(images):
            self._database.lock(connection, name)
        self._put(images)

    def _remove_unnamed(self, connection: sa.Connection, name: str) -> bool:
        self._database.lock(connection, name)
        named = sa.select(_readings.c.number).where(_readings.c.image == name).limit(1)
        if connection.scalar(named) is not None:
            return False
        self._images.remove(name)
        return True

    def _said(self, connection: sa.Connection, feedback: Feedback) -> Kept | None:
        """What is there under the id of `feedback`."""
        row = connection.execute(sa.select(_feedback).where(_feedback.c.id == feedback.id)).mappings().first()
        if row is None:
            return None
        if row["request_id"] != feedback.request_id:
            raise FeedbackRejected(
                f"the id {feedback.id} is that of feedback on another request; give it one of its own"
            )
        there = _find(connection, feedback.request_id)
        assert there is not None  # its foreign key
        return Kept(feedback=_said_in(row), new=False, image_kept=bool(there.image), page_kept=there.page is not None)

    def _filled(
        self, connection: sa.Connection, there: Reading, reading: Reading | None, image: bytes | None
    ) -> Reading:
        """`there` with the page and the image that it lacks."""
        if reading is None:
            return there
        if there.image_sha256 and reading.image_sha256 and there.image_sha256 != reading.image_sha256:
            raise FeedbackRejected(
                f"another image was read under the request id {there.request_id}; give each request an id of its own"
            )
        lacking: dict[str, Any] = {}
        if there.page is None and reading.page is not None:
            lacking["page"] = json.dumps(reading.page)
        if not there.image and image is not None:
            lacking["image"] = _name(reading)
        if lacking:
            of_it = _readings.c.request_id == there.request_id
            connection.execute(sa.update(_readings).where(of_it).values(**lacking))
        return replace(there, page=there.page or reading.page, image=lacking.get("image", there.image))


class _Database:
    """Connections to a database whose tables are ours."""

    name: str
    engine: sa.Engine

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checked = False

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection | None]:
        """A connection for what belongs together; None where nothing was ever written."""
        with self._telling():
            if not self._is_there():
                yield None
                return
            with self.engine.connect() as connection, connection.begin():
                if not self._checked:
                    if not sa.inspect(connection).has_table(_schema.name):
                        yield None
                        return
                    self._check_version(connection)
                    self._checked = True
                yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection whose changes are kept at the end, or not at all; tables are made where there are none."""
        with self._telling():
            if not self._is_there() or not self._checked:
                with self._lock:
                    self._make()
            with self._turn(), self.engine.connect() as connection:
                connection = connection.execution_options(writing=True)
                with connection.begin():
                    yield connection

    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], unique: str
    ) -> None:
        """Rows whose `unique` is not there yet."""
        raise NotImplementedError

    def lock(self, connection: sa.Connection, what: str) -> None:
        """Until the end of the transaction nobody else has the lock of this name."""

    def forget_deleted(self) -> None:
        """Nothing of deleted rows is left where others could find it."""

    def _turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _is_there(self) -> bool:
        return True

    def _make(self) -> None:
        with self.engine.connect() as connection:
            connection = connection.execution_options(writing=True)
            with connection.begin():
                self.lock(connection, _schema.name)
                _tables.create_all(connection)
                if connection.scalar(sa.select(sa.func.count()).select_from(_schema)) == 0:
                    connection.execute(sa.insert(_schema), {"version": SCHEMA})
                self._check_version(connection)
        self._checked = True  # now that other threads see the tables

    def _check_version(self, connection: sa.Connection) -> None:
        version = connection.scalar(sa.select(sa.func.max(_schema.c.version)))
        if version != SCHEMA:
            newer = version is not None and version > SCHEMA
            what = "install a newer version of text-recognizer" if newer else "use the version that wrote it"
            raise FeedbackUnavailable(
                f"the tables of {self.name} are of version {version}, and this program knows version {SCHEMA}; {what}"
            )

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except TextRecognizerError:
            raise
        except (exc.DBAPIError, exc.TimeoutError, OSError) as error:
            said = error.orig if isinstance(error, exc.DBAPIError) and error.orig is not None else error
            reason = " ".join(str(said).split()) or type(said).__name__
            raise FeedbackUnavailable(
                f"the feedback in {self.name} cannot be used ({reason}); check it and try again"
            ) from error


class _Sqlite(_Database):
    """A file, in WAL mode so that who reads and who writes do not wait for each other."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path.absolute()
        self._writer = threading.Lock()
        self.name = str(path)
        # A file that is not there must not come to be by looking.
        address = f"file:{quote(str(self._path))}?mode=rw"

        def connect() -> sqlite3.Connection:
            # Python begins no transactions of its own.
            return sqlite3.connect(
                address, uri=True, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None
            )

        self.engine = sa.create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_timeout=BUSY_SECONDS)
        event.listen(self.engine, "connect", self._connected)
        event.listen(self.engine, "checkout", self._check_file)
        event.listen(self.engine, "begin", _begin)

    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], unique: str
    ) -> None:
        connection.execute(sqlite.insert(table).on_conflict_do_nothing(index_elements=[unique]), rows)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Threads of a process queue up: who asks SQLite for its lock over and over may never be the one to get it."""
        if not self._writer.acquire(timeout=BUSY_SECONDS):
            raise OSError("others write for too long")
        try:
            yield
        finally:
            self._writer.release()

    def forget_deleted(self) -> None:
        # What was deleted still stands in the log of writes. A reader that is at work leaves it for the next time.
        with suppress(exc.DBAPIError, exc.TimeoutError), self.engine.connect() as connection:
            assert connection.connection.dbapi_connection is not None
            connection.connection.dbapi_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _is_there(self) -> bool:
        try:
            there = self._path.stat().st_size > 0
        except (FileNotFoundError, NotADirectoryError):
            there = False
        if not there:
            self._checked = False
        return there

    def _make(self) -> None:
        # What people write by hand is for nobody else on the machine.
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.touch(mode=0o600)
        # SQLite does not wait here for others that make the same file.
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                with self.engine.connect() as connection:
                    assert connection.connection.dbapi_connection is not None
                    connection.connection.dbapi_connection.execute("PRAGMA journal_mode=WAL")
                break
            except (sqlite3.OperationalError, exc.OperationalError) as error:
                if time.monotonic() > until:
                    raise OSError(str(error)) from error
                time.sleep(0.02)
        super()._make()

    def _connected(self, connection: sqlite3.Connection, record: Any) -> None:
        for pragma in ("foreign_keys=ON", "secure_delete=ON", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        status = self._path.stat()
        record.info["file"] = status.st_dev, status.st_ino

    def _check_file(self, connection: Any, record: Any, proxy: Any) -> None:
        """A connection to a file that was removed or replaced would write where nobody looks."""
        try:
            status = self._path.stat()
        except OSError:
            raise exc.DisconnectionError from None
        if record.info.get("file") != (status.st_dev, status.st_ino):
            raise exc.DisconnectionError


def _begin(connection: sa.Connection) -> None:
    writing = connection.get_execution_options().get("writing")
    # Who reads first and writes then would be refused where another wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


class _Postgres(_Database):
    def __init__(self, address: str) -> None:
        super().__init__()
        try:
            url = make_url(address)
        except (exc.ArgumentError, ValueError):
            raise UsageError("the address of the feedback's database is no URL; give postgresql://…") from None
        if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
            raise UsageError(f"feedback is kept in a folder or at postgresql://…, not at {url.drivername}://")
        if find_spec("psycopg") is None:
            raise ExtraMissing(f"feedback in PostgreSQL needs the package 'psycopg'; {install_hint('postgres')}")
        self.name = url.render_as_string(hide_password=True)
        self.engine = sa.create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            pool_timeout=BUSY_SECONDS,
            connect_args={"connect_timeout": math.ceil(BUSY_SECONDS), "tcp_user_timeout": 10_000},
        )
        event.listen(self.engine, "connect", self._connected)

    def insert_new(
        self, connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], unique: str
    ) -> None:
        connection.execute(postgresql.insert(table).on_conflict_do_nothing(index_elements=[unique]), rows)

    def lock(self, connection: sa.Connection, what: str) -> None:
        key = sa.func.hashtextextended(f"text-recognizer {what}", 0)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))

    def _connected(self, connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{BUSY_SECONDS}s'")
            cursor.execute("SET statement_timeout = '15s'")
        connection.commit()


# ------------------------------------------------------------------------------------------------------------- rows


def _name(reading: Reading) -> str:
    return f"{reading.image_sha256[:2]}/{reading.image_sha256}"


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _row(reading: Reading, image: bytes | None) -> dict[str, Any]:
    return {
        "request_id": reading.request_id,
        "at": reading.at,
        "model": reading.model,
        "mode": reading.mode,
        "image_sha256": reading.image_sha256,
        "page": None if reading.page is None else json.dumps(reading.page),
        "statistics": {name: float(value) for name, value in reading.statistics.items() if math.isfinite(value)},
        "timings": {name: float(value) for name, value in reading.timings.items() if math.isfinite(value)},
        "image": "" if image is None else _name(reading),
    }


def _reading(row: Mapping[Any, Any]) -> Reading:
    return Reading(
        request_id=row["request_id"],
        at=row["at"],
        model=row["model"],
        mode=row["mode"],
        image_sha256=row["image_sha256"],
        page=None if row["page"] is None else json.loads(row["page"]),
        statistics=row["statistics"],
        timings=row["timings"],
        image=row["image"],
    )


def _feedback_row(feedback: Feedback) -> dict[str, Any]:
    return {
        "id": feedback.id,
        "request_id": feedback.request_id,
        "at": feedback.at,
        "flag": feedback.flag,
        "comment": feedback.comment,
        "lines": None if feedback.lines is None else list(feedback.lines),
        "text": feedback.text,
        "page": None if feedback.page is None else json.dumps(feedback.page),
        "checked": feedback.checked,
    }


def _said_in(row: Mapping[Any, Any]) -> Feedback:
    return Feedback(
        id=row["id"],
        request_id=row["request_id"],
        at=row["at"],
        flag=cast("Flag | None", row["flag"]),
        comment=row["comment"],
        lines=None if row["lines"] is None else tuple(row["lines"]),
        text=row["text"],
        page=None if row["page"] is None else json.loads(row["page"]),
        checked=row["checked"],
    )


def _find(connection: sa.Connection, request_id: str) -> Reading | None:
    row = connection.execute(sa.select(_readings).where(_readings.c.request_id == request_id)).mappings().first()
    return None if row is None else _reading(row)


def _feedback_on(connection: sa.Connection, request_ids: Sequence[str]) -> dict[str, tuple[Feedback, ...]]:
    chosen = sa.select(_feedback).where(_feedback.c.request_id.in_(request_ids)).order_by(_feedback.c.number)
    found: dict[str, tuple[Feedback, ...]] = {}
    for row in connection.execute(chosen).mappings():
        found[row["request_id"]] = (*found.get(row["request_id"], ()), _said_in(row))
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
            "or the whole as text"
        )
