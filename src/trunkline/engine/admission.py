"""Admission to the engine's slots: first come, first served, and a bounded number waiting."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from trunkline.errors import EngineOverloaded, InvalidRequest

_RETRY_AFTER_S = 1.0


class Admission:
    """Lets at most ``slots`` completions run at a time and ``queue`` requests wait, in one process.

    ``running`` counts completions, ``waiting`` requests.
    """

    def __init__(self, *, slots: int, queue: int) -> None:
        self.slots = slots
        self.queue = queue
        self.running = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._changed: Callable[[int, int], None] = _nobody_watches

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def watch(self, changed: Callable[[int, int], None]) -> None:
        """Calls ``changed(running, waiting)`` now and whenever one of them changes."""
        self._changed = changed
        self._tell()

    @asynccontextmanager
    async def slot(self, n: int = 1) -> AsyncIterator[None]:
        """Holds ``n`` slots, all at once, as long as the context lasts.

        Raises EngineOverloaded if the queue is full and InvalidRequest if there are never as many
        slots.
        """
        await self._acquire(n)
        try:
            yield
        finally:
            self._release(n)

    async def _acquire(self, n: int) -> None:
        if n > self.slots:
            raise InvalidRequest(f"n is {n}; this engine runs {self.slots} at a time", param="n")
        if not self._waiting and self.running + n <= self.slots:
            self.running += n
            self._tell()
            return
        if len(self._waiting) >= self.queue:
            raise EngineOverloaded(retry_after_s=_RETRY_AFTER_S)
        turn = asyncio.get_running_loop().create_future()
        place = (n, turn)
        self._waiting.append(place)
        self._tell()
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # admitted and cancelled in the same moment
                self._release(n)
            elif place in self._waiting:
                self._waiting.remove(place)
                self._admit()
            raise

    def _release(self, n: int) -> None:
        self.running -= n
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self.running + self._waiting[0][0] <= self.slots:
            n, turn = self._waiting.popleft()
            if turn.cancelled():  # and its task has not come to know yet
                continue
            self.running += n
            turn.set_result(None)
        self._tell()

    def _tell(self) -> None:
        self._changed(self.running, len(self._waiting))


def _nobody_watches(_running: int, _waiting: int) -> None:
    pass
