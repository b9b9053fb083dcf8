"""Opens the store. SQLAlchemy is imported only then, so that commands without a database start fast."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trunkline.errors import StartError
from trunkline.store.ports import Store


def load_drivers(url: str) -> None:
    """Imports all that opening this database needs. Processes that are forked afterwards share it.

    Raises:
        ConfigError: the URL is not understood.
    """
    from trunkline.store import group_commit, queries, responses, schema, writer  # noqa: F401
    from trunkline.store.connection import connect

    connect(url, pool_size=1, busy_timeout_s=0)  # SQLAlchemy imports a driver when it is named


@asynccontextmanager
async def open_store(
    url: str, *, pool_size: int = 5, busy_timeout_s: float = 5.0
) -> AsyncIterator[Store]:
    """Opens a database, makes or migrates its tables, and closes it in the end.

    Leaving waits until what was handed over is stored. ``url`` is ``sqlite:///path`` (four
    slashes for an absolute path) or ``postgresql://user:password@host/name``.

    Raises:
        ConfigError: the URL is not understood.
        StartError: the database cannot be used; the message says why and what to do.
    """
    from trunkline.store.connection import connect, explain
    from trunkline.store.group_commit import GroupCommit
    from trunkline.store.queries import SQLAccounts, SQLKeys, SQLRequests
    from trunkline.store.responses import SQLResponses
    from trunkline.store.schema import prepare
    from trunkline.store.writer import Writer

    database = connect(url, pool_size=pool_size, busy_timeout_s=busy_timeout_s)
    # The driver answers an option that it does not know with a TypeError.
    failures: tuple[type[Exception], ...] = (*database.failures, TypeError)
    try:
        try:
            await prepare(database, busy_timeout_s=busy_timeout_s)
        except failures as error:
            raise StartError(explain(database.url, error)) from error
        async with Writer(database) as writer, GroupCommit(database) as commits:
            yield Store(
                accounts=SQLAccounts(database),
                keys=SQLKeys(database),
                requests=SQLRequests(database, writer),
                responses=SQLResponses(database, commits),
            )
    finally:
        await database.aclose()
