"""Brings a database to the schema of this release, once, however many processes start together."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from typing import Any

from sqlalchemy import Connection, inspect, text

from trunkline.errors import StartError
from trunkline.store.connection import Database, lock, open_sqlite
from trunkline.store.tables import SCHEMA_VERSION

_APPLICATION_ID = int.from_bytes(b"TRKL")  # by which file(1) and we know the file as ours
_RETRY_S = 0.05


async def prepare(database: Database, *, busy_timeout_s: float) -> None:
    """Leaves a database that can be written and has our tables; Alembic is imported only to migrate.

    Raises:
        StartError: the schema is newer than this release, or another program's.
        Exception: one of ``database.failures``; ``explain`` says what it means.
    """
    if database.file:
        await asyncio.to_thread(_prepare_file, database, busy_timeout_s)
    async with database.reads.connect() as connection:
        version = await connection.run_sync(_version)
    if version == SCHEMA_VERSION:
        return
    _check(version)
    async with database.engine.begin() as connection:
        await lock(connection)
        await connection.run_sync(migrate, "head")


def migrate(connection: Connection, revision: str) -> None:
    """Runs the migrations up to a revision within the connection's transaction."""
    from alembic import command

    command.upgrade(alembic_config(connection), revision)


def alembic_config(connection: Connection | None = None) -> Any:
    """Returns Alembic's configuration for our migrations, which lie inside the package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "trunkline.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _check(version: str | None) -> None:
    if version is None or (version.isdecimal() and version < SCHEMA_VERSION):
        return
    if not version.isdecimal():
        raise StartError("the database belongs to another program; set another [database] url")
    raise StartError(
        f"the database has schema {version}, newer than {SCHEMA_VERSION} of this release; "
        "start the newer release, or restore a backup from before it"
    )


def _prepare_file(database: Database, busy_timeout_s: float) -> None:
    """Reads and writes the file once: if that fails, it stops the start and not a request.

    It is done without the pool, whose driver leaves threads behind when a file cannot be opened.
    """
    with closing(open_sqlite(database.engine, database.url, busy_timeout_s)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").close()
        _use_wal(connection, busy_timeout_s)
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}").close()


def _use_wal(connection: sqlite3.Connection, busy_timeout_s: float) -> None:
    """Lets readers and the writer work side by side; the mode stays with the file.

    SQLite does not wait for a lock while it changes the mode, so that two first starts can collide.
    """
    deadline = time.monotonic() + busy_timeout_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_S)
