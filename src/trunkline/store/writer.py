"""The one writer of receipts in a process: it commits what has gathered, off the path of any reply."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from trunkline.log import get_logger
from trunkline.store.connection import Database, in_trouble, reason
from trunkline.store.records import Request
from trunkline.store.tables import requests

log = get_logger()

_FIRST_RETRY_S = 0.05
_LAST_RETRY_S = 1.0


class Writer:
    """Takes receipts without waiting and group-commits them; leaving it commits the last ones.

    ``window_s`` is how long the first receipt of a group waits for others, ``retry_for_s`` how long
    one group is tried on a failing database before it is dropped, ``capacity`` how many receipts may
    wait meanwhile. What is dropped is logged.
    """

    def __init__(
        self,
        database: Database,
        *,
        window_s: float = 0.045,
        retry_for_s: float = 10.0,
        capacity: int = 10_000,
    ) -> None:
        self._database = database
        self._window_s = window_s
        self._retry_for_s = retry_for_s
        self._capacity = capacity
        self._waiting: deque[Request] = deque()
        self._work = asyncio.Event()
        self._closing = asyncio.Event()
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._tasks.create_task(self._run(), name="receipt writer")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._work.set()
        # The body's failure is kept from the group: it would cancel the final commit.
        await self._tasks.__aexit__(None, None, None)

    def add(self, request: Request) -> None:
        """Queues a receipt; drops it, logged, if too many wait for a failing database."""
        if len(self._waiting) >= self._capacity:
            log.error("receipt_dropped", request_id=request.id, reason="too many are waiting")
            return
        self._waiting.append(request)
        self._work.set()

    async def _run(self) -> None:
        while self._waiting or not self._closing.is_set():
            await self._work.wait()
            await self._gather()
            self._work.clear()
            group = tuple(self._waiting)
            self._waiting.clear()
            if group:
                await self._store(group)

    async def _gather(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._window_s):
                await self._closing.wait()

    async def _store(self, group: Sequence[Request]) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._retry_for_s
        pause_s = _FIRST_RETRY_S
        while True:
            try:
                return await self._commit(group)
            except Exception as error:  # noqa: BLE001 - the loop outlives any failure; each is logged
                if not in_trouble(self._database, error):
                    return await self._store_singly(group, error)
                log.warning("receipts_not_stored", count=len(group), reason=reason(error))
            if clock() + pause_s > deadline:
                log.error("receipts_dropped", request_ids=[request.id for request in group])
                return None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LAST_RETRY_S)

    async def _store_singly(self, group: Sequence[Request], error: Exception) -> None:
        """Keeps a receipt that the database refuses from taking its group with it."""
        if len(group) == 1:
            log.error("receipt_refused", request_id=group[0].id, reason=reason(error))
            return
        for request in group:
            await self._store([request])

    async def _commit(self, group: Sequence[Request]) -> None:
        # A group may be here again although it was committed: the connection broke before it said so.
        await self._database.commit_rows({requests: group})
