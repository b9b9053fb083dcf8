"""A connection to SQLite with a thread of its own, for what is written in groups."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

Statement = tuple[str, Sequence[Any]]
"""SQL, and the values of its places."""


class Lane:
    """Runs each group of statements as one transaction, handed over once.

    Through SQLAlchemy's asyncio each statement is handed over, and each time its thread has to wait for
    the interpreter's lock until a busy event loop lets go of it.
    """

    def __init__(self, open: Callable[[], sqlite3.Connection]) -> None:
        self._open = open
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite")

    async def run(self, statements: Sequence[Statement]) -> None:
        """Returns once all of it is committed. Raises sqlite3.Error and OverflowError, or nothing is."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._run, statements)

    async def aclose(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _run(self, statements: Sequence[Statement]) -> None:
        if self._connection is None:
            self._connection = self._open()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for sql, values in statements:
                self._connection.execute(sql, values)
            self._connection.execute("COMMIT")
        except Exception:
            with suppress(sqlite3.Error):
                self._connection.rollback()
            raise

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
