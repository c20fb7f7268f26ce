"""Connections to the database of a store of feedback: SQLite in a folder, or PostgreSQL."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.pool import QueuePool

from text_recognizer.errors import ExtraMissing, FeedbackUnavailable, UsageError, install_hint
from text_recognizer.feedback.failures import unavailable
from text_recognizer.feedback.tables import METADATA, SCHEMA, VERSION

BUSY_SECONDS = 5.0
"""How long to wait for a lock held by another program, or for a server that does not answer."""


class Database:
    """Connections to a database with our tables, which are created by the first write."""

    name: str
    engine: sa.Engine

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._checked = False

    def close(self) -> None:
        """Close idle connections; later calls open new ones."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[sa.Connection | None]:
        """A connection for one consistent snapshot; None if nothing was ever written."""
        with self._errors():
            if not self._is_there():
                yield None
                return
            with self.engine.connect() as connection, connection.begin():
                if not self._checked:
                    if not sa.inspect(connection).has_table(SCHEMA.name):
                        yield None
                        return
                    self._check_version(connection)
                    self._checked = True
                yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection whose changes are committed together at the end, or not at all."""
        with self._errors():
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
        """Insert the rows whose value in column `unique` is new."""
        raise NotImplementedError

    def lock(self, connection: sa.Connection, what: str) -> None:
        """Hold the lock named `what` until the end of the transaction."""

    def size(self) -> int:
        """Bytes of the database."""
        raise NotImplementedError

    def forget_deleted(self) -> None:
        """Remove the remains of deleted rows from the disk."""

    def _turn(self) -> AbstractContextManager[None]:
        return nullcontext()

    def _is_there(self) -> bool:
        return True

    def _make(self) -> None:
        with self.engine.connect() as connection:
            connection = connection.execution_options(writing=True)
            with connection.begin():
                self.lock(connection, SCHEMA.name)
                METADATA.create_all(connection)
                if connection.scalar(sa.select(sa.func.count()).select_from(SCHEMA)) == 0:
                    connection.execute(sa.insert(SCHEMA), {"version": VERSION})
                self._check_version(connection)
        self._checked = True  # only now, when other threads can see the tables

    def _check_version(self, connection: sa.Connection) -> None:
        version = connection.scalar(sa.select(sa.func.max(SCHEMA.c.version)))
        if version != VERSION:
            newer = version is not None and version > VERSION
            what = "install a newer version of text-recognizer" if newer else "use the version that wrote it"
            raise FeedbackUnavailable(
                f"the tables of {self.name} have version {version}, and this program needs version {VERSION}; {what}"
            )

    def _errors(self) -> AbstractContextManager[None]:
        what = f"the feedback in {self.name} cannot be used"
        return unavailable(what, exc.DBAPIError, exc.TimeoutError, OSError)


class Sqlite(Database):
    """A file in WAL mode, so that readers and writers do not wait for each other."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path.absolute()
        self._writer = threading.Lock()
        self.name = str(path)
        # Reading must not create the file.
        address = f"file:{quote(str(self._path))}?mode=rw"

        def connect() -> sqlite3.Connection:
            # With isolation_level=None, Python begins no transactions by itself.
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
        """Make the threads of a process queue: SQLite's own lock is not fair, so a thread might never get it."""
        if not self._writer.acquire(timeout=BUSY_SECONDS):
            raise OSError("other threads have been writing for too long")
        try:
            yield
        finally:
            self._writer.release()

    def size(self) -> int:
        return self._path.stat().st_size if self._is_there() else 0

    def forget_deleted(self) -> None:
        # Deleted rows remain in the write-ahead log. If a reader is active, they stay until the next checkpoint.
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
        # Handwriting is private: no other user of the machine may read it.
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.touch(mode=0o600)
        # SQLite itself does not wait while another process creates the same file.
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
        """Refuse a connection to a file that was removed or replaced."""
        try:
            status = self._path.stat()
        except OSError:
            raise exc.DisconnectionError from None
        if record.info.get("file") != (status.st_dev, status.st_ino):
            raise exc.DisconnectionError


def _begin(connection: sa.Connection) -> None:
    writing = connection.get_execution_options().get("writing")
    # Lock at once: a transaction that reads and then writes would fail if another one wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


class Postgres(Database):
    """A database on a PostgreSQL server. Raises `UsageError` for any other address, `ExtraMissing` without psycopg."""

    def __init__(self, address: str) -> None:
        super().__init__()
        try:
            url = make_url(address)
        except (exc.ArgumentError, ValueError):
            raise UsageError("the address of the feedback database is not a URL; give postgresql://…") from None
        if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg"):
            raise UsageError(f"feedback cannot be stored at {url.drivername}://; give a folder or postgresql://…")
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

    def size(self) -> int:
        with self.reading() as connection:
            names = [table.name for table in METADATA.sorted_tables] if connection else []
            return sum(
                int(connection.scalar(sa.select(sa.func.pg_total_relation_size(name))) or 0)
                for name in names
                if connection is not None
            )

    def lock(self, connection: sa.Connection, what: str) -> None:
        key = sa.func.hashtextextended(f"text-recognizer {what}", 0)
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))

    def _connected(self, connection: Any, _: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{BUSY_SECONDS}s'")
            cursor.execute("SET statement_timeout = '15s'")
        connection.commit()
