"""What removes expired responses, time and again. Until then they count as gone all the same."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from types import TracebackType
from typing import Self

from trunkline import ids
from trunkline.errors import StoreUnavailable
from trunkline.log import get_logger
from trunkline.store.ports import Responses

log = get_logger()

_AT_ONCE = 50  # responses in one transaction: others must get to write in between
_FIRST = 0.1  # of the interval: a server that is often started anew must sweep as well


class Sweeper:
    """Sweeps every ``every_s`` seconds while it is entered; any number of workers may have one."""

    def __init__(
        self, responses: Responses, *, every_s: float, jitter: Callable[[], float] = random.random
    ) -> None:
        self._responses = responses
        self._every_s = every_s
        self._jitter = jitter
        self._tasks = asyncio.TaskGroup()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._task = self._tasks.create_task(self._run(), name="sweeper")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._task.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def _run(self) -> None:
        await asyncio.sleep(self._every_s * _FIRST * self._jitter())  # workers start together
        while True:
            try:
                await self._sweep()
            except StoreUnavailable:
                log.warning("sweep_failed", next_in_s=self._every_s)
            await asyncio.sleep(self._every_s)

    async def _sweep(self) -> None:
        now, swept = ids.now(), 0
        while some := await self._responses.sweep(now, _AT_ONCE):
            swept += some
        if swept:
            log.info("responses_swept", count=swept)
