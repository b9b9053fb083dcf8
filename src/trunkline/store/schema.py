"""Brings a database to the schema of this release, once, however many processes start together."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

from sqlalchemy import Connection, inspect, text

from trunkline.errors import StartError
from trunkline.store.connection import Database, lock
from trunkline.store.tables import SCHEMA_VERSION

_APPLICATION_ID = int.from_bytes(b"TRKL")  # by which file(1) and we know the file as ours
_RETRY_S = 0.05


async def prepare(database: Database, *, busy_timeout_s: float) -> None:
    """Leaves a database that can be written and has our tables; Alembic is imported only to migrate.

    Raises:
        StartError: the schema is newer than this release, or another program's.
        Exception: one of ``database.failures``; ``explain`` says what it means.
    """
    if database.is_sqlite:
        await _use_wal(database, busy_timeout_s)
        await _prove_writable(database)
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


async def _use_wal(database: Database, busy_timeout_s: float) -> None:
    """Lets readers and the writer work side by side; the mode stays with the file.

    SQLite does not wait for a lock while it changes the mode, so that two first starts can collide.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + busy_timeout_s
    while True:
        try:
            async with database.reads.connect() as connection:
                await connection.execute(text("PRAGMA journal_mode = WAL"))
            return
        except database.failures as error:
            if not _is_busy(error) or clock() > deadline:
                raise
        await asyncio.sleep(_RETRY_S)


def _is_busy(error: Exception) -> bool:
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0)
    return bool(code & 0xFF == sqlite3.SQLITE_BUSY)


async def _prove_writable(database: Database) -> None:
    """Writes a page now, so that a read-only, full or locked database stops the start, not a request."""
    async with database.engine.begin() as connection:
        await connection.execute(text(f"PRAGMA application_id = {_APPLICATION_ID}"))
