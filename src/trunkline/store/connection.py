"""One database, SQLite or Postgres: how it is reached, read and written. What is in it does not belong here.

All that differs between the two is in this file, so that one set of statements serves both.
"""

from __future__ import annotations

import functools
import operator
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import URL, Connection, Insert, Table, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from trunkline.errors import ConfigError, StoreUnavailable
from trunkline.log import get_logger
from trunkline.store.lane import Lane

log = get_logger()

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
_POOL_TIMEOUT_S = 5.0  # for a free connection
_CONNECT_TIMEOUT_S = 10.0  # for a new one, Postgres only
_COMMAND_TIMEOUT_S = 30.0  # for one statement, Postgres only
# Each with 21 values: versions before 3.32 take no more than 999 in all.
_ROWS_AT_ONCE = 128 if sqlite3.sqlite_version_info >= (3, 32) else 32
_LITTLE_SPACE = 1 << 17  # bytes
_REFUSED = ("22", "23", "54")  # SQL's classes of errors in the data, and of what is too large
_ADVISORY_LOCK = int.from_bytes(b"trunklin")  # any number that is ours

Rows = Mapping[Table, Sequence[Struct]]
"""New rows by table, the tables in the order of their references; each record's fields are columns."""


@dataclass(frozen=True, slots=True)
class Database:
    """A pool of connections, and the two ways to use one; ``lane`` is SQLite's third, beside the pool.

    ``failures`` are the exceptions by which a database of this kind says that it does not answer.
    """

    url: URL
    engine: AsyncEngine
    reads: AsyncEngine
    failures: tuple[type[Exception], ...]
    lane: Lane | None = None

    @property
    def is_sqlite(self) -> bool:
        return self.url.drivername.startswith("sqlite")

    @property
    def file(self) -> str | None:
        """Where SQLite keeps it; None in memory, and for Postgres."""
        return None if not self.is_sqlite or _in_memory(self.url) else self.url.database

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """Lends a connection for single statements; raises StoreUnavailable."""
        try:
            async with self.reads.connect() as connection:
                yield connection
        except self.failures as error:
            raise unavailable(error) from error

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Lends a connection for one transaction; raises StoreUnavailable, or IntegrityError."""
        try:
            async with self.engine.begin() as connection:
                yield connection
        except IntegrityError:
            raise
        except self.failures as error:
            raise unavailable(error) from error

    @asynccontextmanager
    async def exclusively(self) -> AsyncIterator[AsyncConnection]:
        """Lends a connection for a transaction that no other such one overlaps, in any process."""
        async with self.writing() as connection:
            await lock(connection)
            yield connection

    def insert_new(self, table: Table) -> Insert:
        """Builds an INSERT that passes over rows whose key or unique value is there already."""
        if self.is_sqlite:
            return sqlite.insert(table).on_conflict_do_nothing()
        return postgresql.insert(table).on_conflict_do_nothing()

    async def commit_rows(self, rows: Rows) -> None:
        """Inserts rows in a transaction of their own, as ``insert_records`` does."""
        if self.lane is not None:
            await self.lane.run([one for table in rows for one in _inserts(table, rows[table])])
            return
        async with self.engine.begin() as connection:
            for table, records in rows.items():
                await self.insert_records(connection, table, records)

    async def insert_records(
        self, connection: AsyncConnection, table: Table, records: Sequence[Struct]
    ) -> None:
        """Inserts records whose fields are the table's columns, as ``insert_new`` does.

        SQLite gets many rows as one statement, without SQLAlchemy's work on each value: for every row
        that its driver is given apart, its thread lets go of the interpreter's lock and waits to get it
        back from a busy event loop.
        """
        if not records:
            return
        if not self.is_sqlite:
            rows = [msgspec.structs.asdict(record) for record in records]
            await connection.execute(self.insert_new(table), rows)
            return
        for sql, values in _inserts(table, records):
            await connection.exec_driver_sql(sql, values)

    async def aclose(self) -> None:
        if self.lane is not None:
            await self.lane.aclose()
        await self.engine.dispose()


def _inserts(table: Table, records: Sequence[Struct]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yields SQLite's statements for many rows, of few lengths, so that the driver has them prepared."""
    values = _values_of(table)
    start = 0
    while left := len(records) - start:
        count = 1 << (min(left, _ROWS_AT_ONCE).bit_length() - 1)
        some = records[start : start + count]
        yield _insert_of(table, count), tuple([value for one in some for value in values(one)])
        start += count


@functools.cache
def _insert_of(table: Table, rows: int) -> str:
    """Returns SQLite's INSERT of so many rows, passing over those that are there already."""
    names = ", ".join(column.name for column in table.columns)
    row = f"({', '.join('?' for _ in table.columns)})"
    places = ", ".join(row for _ in range(rows))
    return f"INSERT INTO {table.name} ({names}) VALUES {places} ON CONFLICT DO NOTHING"  # noqa: S608


@functools.cache
def _values_of(table: Table) -> Callable[[Struct], list[Any]]:
    """Returns what turns a record into the values that SQLite's driver takes."""
    dialect = sqlite.dialect()
    fields = operator.attrgetter(*[column.name for column in table.columns])
    types = [column.type.dialect_impl(dialect) for column in table.columns]
    binds = [(at, bind) for at, one in enumerate(types) if (bind := one.bind_processor(dialect))]

    def values(record: Struct) -> list[Any]:
        found = list(fields(record))
        for at, bind in binds:
            found[at] = bind(found[at])
        return found

    return values


def connect(url: str, *, pool_size: int, busy_timeout_s: float) -> Database:
    """Prepares a pool for a database; nothing is opened before the first statement.

    Raises:
        ConfigError: the URL is none of ours.
    """
    parsed = parse_url(url)
    if parsed.drivername.startswith("sqlite"):
        return _sqlite(parsed, pool_size, busy_timeout_s)
    return _postgres(parsed, pool_size)


def parse_url(url: str) -> URL:
    """Reads ``sqlite:///path``, ``postgres://…`` or ``postgresql://…``, with or without our drivers.

    Raises:
        ConfigError: it is something else; the message does not quote the URL.
    """
    try:
        parsed = make_url(url)
        driver = _DRIVERS[parsed.drivername]
    except (ArgumentError, KeyError, ValueError):
        raise ConfigError(
            "[database] url is not understood; write 'sqlite:///path' or 'postgresql://user:password@host/name'"
        ) from None
    return parsed.set(drivername=driver)


async def lock(connection: AsyncConnection) -> None:
    """Keeps other callers of this function waiting until the transaction ends.

    SQLite needs no more: there every one of our transactions begins as the only writer.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text(f"SET LOCAL lock_timeout = '{int(_COMMAND_TIMEOUT_S)}s'"))
        await connection.execute(text(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"))


def unavailable(error: Exception) -> StoreUnavailable:
    """Logs why the database does not answer and returns what the caller may know of it."""
    log.error("store_unavailable", kind=type(error).__name__, reason=reason(error))
    return StoreUnavailable()


def in_trouble(database: Database, error: Exception) -> bool:
    """Tells a database that fails, perhaps for a while, from a row that no database will take."""
    if isinstance(error, StatementError) and not isinstance(error, DBAPIError):
        return False
    sqlstate = getattr(getattr(error, "orig", error), "sqlstate", None) or ""
    of_row = (IntegrityError, sqlite3.IntegrityError, sqlite3.DataError)
    refused = isinstance(error, of_row) or sqlstate.startswith(_REFUSED)
    return isinstance(error, database.failures) and not refused


def reason(error: BaseException) -> str:
    """Returns the driver's own words, without the statement and its values."""
    return str(getattr(error, "orig", None) or error)


def _sqlite(url: URL, pool_size: int, busy_timeout_s: float) -> Database:
    engine = create_async_engine(
        url,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1 if _in_memory(url) else pool_size,  # each would have a memory of its own
        max_overflow=0,
        pool_timeout=_POOL_TIMEOUT_S,
        hide_parameters=True,
        # The driver begins no transactions of its own accord; _begin does.
        connect_args={"timeout": busy_timeout_s, "isolation_level": None},
    )
    event.listen(engine.sync_engine, "connect", _set_pragmas)
    event.listen(engine.sync_engine, "begin", _begin)
    return Database(
        url=url,
        engine=engine,
        reads=engine.execution_options(trunkline_reads=True),
        failures=(SQLAlchemyError, sqlite3.Error, OSError),
        lane=None if _in_memory(url) else Lane(partial(open_sqlite, engine, url, busy_timeout_s)),
    )


def open_sqlite(engine: AsyncEngine, url: URL, busy_timeout_s: float) -> sqlite3.Connection:
    """Opens a connection as the pool does, but for the thread behind it."""
    path, options = engine.dialect.create_connect_args(url)
    settings = {**options, "timeout": busy_timeout_s, "isolation_level": None}
    connection: sqlite3.Connection = sqlite3.connect(path[0], **settings)
    _set_pragmas(connection, None)
    return connection


def _in_memory(url: URL) -> bool:
    return url.database in (None, "", ":memory:")


def _set_pragmas(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = NORMAL")  # in WAL mode: whole after any crash of ours
    cursor.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
    cursor.close()


def _begin(connection: Connection) -> None:
    """Takes the write lock at once: a transaction that reads first could not wait for it later."""
    if not connection.get_execution_options().get("trunkline_reads"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _postgres(url: URL, pool_size: int) -> Database:
    import asyncpg

    # libpq's name for it, which most hosts hand out, is unknown to asyncpg.
    ssl = {"ssl": url.query["sslmode"]} if "sslmode" in url.query else {}
    engine = create_async_engine(
        url.difference_update_query(["sslmode"]).update_query_dict(ssl),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_POOL_TIMEOUT_S,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"timeout": _CONNECT_TIMEOUT_S, "command_timeout": _COMMAND_TIMEOUT_S},
    )
    return Database(
        url=url,
        engine=engine,
        reads=engine.execution_options(isolation_level="AUTOCOMMIT"),
        failures=(
            SQLAlchemyError,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            OSError,
        ),
    )


def explain(url: URL, error: BaseException) -> str:
    """Says in a sentence why a database cannot be used and what to do; never quotes credentials."""
    if url.drivername.startswith("sqlite"):
        return _explain_sqlite(url.database or ":memory:", error)
    return _explain_postgres(url, error)


def _explain_sqlite(path: str, error: BaseException) -> str:
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    match code if code is None else code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"the database '{path}' is locked by another process; stop that one or raise [database] busy_timeout_s"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return f"the database '{path}' is read-only; give this user the right to write it and its folder"
        case sqlite3.SQLITE_FULL:
            return _explain_full(path)
        case sqlite3.SQLITE_CANTOPEN:
            return _explain_cannot_open(Path(path))
        case sqlite3.SQLITE_NOTADB:
            return f"'{path}' is not a database; move it away or set another [database] url"
        case sqlite3.SQLITE_CORRUPT:
            return f"the database '{path}' is damaged; restore it from a backup or move it away"
        case sqlite3.SQLITE_IOERR if _is_full(Path(path)):
            return _explain_full(path)
        case sqlite3.SQLITE_IOERR:
            return (
                f"the database '{path}' cannot be read or written: {reason(error)}; check its disk"
            )
    return f"the database '{path}' cannot be used: {reason(error)}"


def _explain_full(path: str) -> str:
    return f"the disk that holds the database '{path}' is full; free some space"


def _is_full(path: Path) -> bool:
    """Whether the disk has less left than SQLite needs beside the database while it is open.

    It calls what its shared memory lacks an error of input and output.
    """
    try:
        return shutil.disk_usage(path.parent).free < _LITTLE_SPACE
    except OSError:
        return False


def _explain_cannot_open(path: Path) -> str:
    folder = path.parent
    if not folder.exists():
        return f"the folder '{folder}' of the database does not exist; create it or set another [database] url"
    if not folder.is_dir():
        return f"'{folder}' is not a folder, so the database '{path}' cannot lie in it; set another [database] url"
    if path.is_dir():
        return f"the database '{path}' is a folder; set [database] url to a file in it"
    return f"the database '{path}' cannot be opened; give this user the right to read and write it and its folder"


def _explain_postgres(url: URL, error: BaseException) -> str:
    where = f"Postgres at {_host(url)}"
    sqlstate = getattr(getattr(error, "orig", error), "sqlstate", None) or ""
    match sqlstate:
        case "28000" | "28P01":
            return f"{where} refuses the user or the password of [database] url"
        case "3D000":
            return (
                f"{where} has no database '{url.database}'; create it or set another [database] url"
            )
        case "42501":
            return f"{where} forbids our user to write or create tables in '{url.database}'; grant that"
        case "25006":
            return f"{where} is read-only; set [database] url to the primary"
        case "53100":
            return f"{where} has no disk space left"
        case "53300":
            return f"{where} has no connection to spare; lower [database] pool_size or raise its max_connections"
        case "55P03" | "57014":
            return f"{where} is locked by another process that changes the schema; try again when it is done"
        case "" if isinstance(error, OSError):
            return f"cannot reach {where} ({type(error).__name__}); check [database] url and that the server runs"
        case "":
            return f"{where}: [database] url has an option after '?' that the driver does not take"
    return f"{where} answers with error {sqlstate}; see its log"


def _host(url: URL) -> str:
    named = url.host or url.query.get("host") or "localhost"
    host = named if isinstance(named, str) else ",".join(named)
    return f"{host}:{url.port}" if url.port else host
