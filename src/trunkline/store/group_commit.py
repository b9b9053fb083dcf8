"""Commits for callers who wait until their rows are durable: many of them in one transaction.

On SQLite only one transaction can write at a time, and on Postgres each commit waits for the disk: so what
arrives while one is under way goes into the next one together. Nobody waits for others to come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from msgspec import Struct
from sqlalchemy import Table

from trunkline.errors import StoreUnavailable
from trunkline.log import get_logger
from trunkline.store.connection import Database, Rows, in_trouble, reason, unavailable

log = get_logger()


@dataclass(frozen=True, slots=True)
class _Waiting:
    rows: Rows
    done: asyncio.Future[None]


class GroupCommit:
    """Inserts rows for several tasks; leaving it commits what still waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Waiting] = []
        self._work = asyncio.Event()
        self._closing = False
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._tasks.create_task(self._run(), name="group commit")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing = True
        self._work.set()
        # The body's failure is kept from the group: it would cancel the final commit.
        await self._tasks.__aexit__(None, None, None)

    async def insert(self, rows: Rows) -> None:
        """Returns when the rows are committed, all of them.

        Raises StoreUnavailable if they are not known to be; it is not tried again, since somebody waits.
        """
        if self._closing:
            raise StoreUnavailable
        waiting = _Waiting(rows, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._work.set()
        await waiting.done

    async def _run(self) -> None:
        group: list[_Waiting] = []
        try:
            while self._waiting or not self._closing:
                await self._work.wait()
                self._work.clear()
                # Whoever was cancelled meanwhile does not wait any more.
                group = [each for each in self._waiting if not each.done.done()]
                self._waiting.clear()
                if group:
                    await self._commit(group)
        finally:
            for each in (*group, *self._waiting):
                _fail(each)

    async def _commit(self, group: Sequence[_Waiting]) -> None:
        try:
            await self._database.commit_rows(_together(group))
        except Exception as error:  # noqa: BLE001 - the loop outlives any failure; each is logged
            if in_trouble(self._database, error):
                unavailable(error)
            elif len(group) > 1:  # rows that no database takes must not take the others along
                for each in group:
                    await self._commit([each])
            else:
                log.error("rows_refused", kind=type(error).__name__, reason=reason(error))
            for each in group:
                _fail(each)
            return
        for each in group:
            if not each.done.done():
                each.done.set_result(None)


def _together(group: Sequence[_Waiting]) -> Rows:
    rows: dict[Table, list[Struct]] = {}
    for each in group:
        for table, records in each.rows.items():
            rows.setdefault(table, []).extend(records)
    return rows


def _fail(waiting: _Waiting) -> None:
    if not waiting.done.done():
        waiting.done.set_exception(StoreUnavailable())
