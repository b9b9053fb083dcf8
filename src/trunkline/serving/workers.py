"""Several router processes on one socket: the parent keeps them running and holds the engine."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable

import msgspec
from prometheus_client.multiprocess import mark_process_dead

from trunkline.errors import StartError
from trunkline.log import get_logger
from trunkline.serving.nursery import Child, Nursery

READY = b"ready\n"
STOP = b"stop\n"
"""Tells a worker to drain, as the end of its standard input does."""
WAKE = b"wake "
"""Begins the line by which a worker asks for the engine of the model that it names."""
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.2, 10.0
_START_TIMEOUT_S = 60.0
_KILL_AFTER_S = 5.0  # beyond the draining

log = get_logger()


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told, as one JSON line on its standard input.

    ``endpoint_files`` tell by a model's name where its engine is, ``metrics_folder`` and ``gate_file``
    where worker ``number`` and the others count together. A worker lives as long as its standard input
    is open. On its standard output it says that it is ready, and later which engines it needs.
    """

    endpoint_files: dict[str, str]
    metrics_folder: str
    gate_file: str
    number: int = 0


class Workers:
    """Starts ``count`` workers, starts again those that die, and ends them all on ``stop``.

    ``wake`` is called with the model of an engine that a worker needs and that may be asleep.
    """

    def __init__(
        self,
        nursery: Nursery,
        listener: socket.socket,
        assignment: Assignment,
        *,
        count: int,
        drain_s: float,
        wake: Callable[[str], None],
    ) -> None:
        self._nursery = nursery
        self._listener = listener
        self._assignment = assignment
        self._count = count
        self._drain_s = drain_s
        self._wake = wake
        self._stopping = asyncio.Event()
        self._at_once = asyncio.Event()

    def stop(self) -> None:
        """Lets the workers drain; called again, ends them at once."""
        if self._stopping.is_set():
            self._at_once.set()
        self._stopping.set()

    async def run(self, *, on_started: Callable[[], None]) -> None:
        """Runs until ``stop``. Raises StartError if a worker cannot start in the first place."""
        ready = [asyncio.Event() for _ in range(self._count)]
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(self._count):
                    tasks.create_task(self._keep(number, ready[number]))
                announcing = tasks.create_task(_announce(ready, on_started))
                await self._stopping.wait()
                announcing.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _keep(self, number: int, ready: asyncio.Event) -> None:
        delay_s = _FIRST_DELAY_S
        while not self._stopping.is_set():
            child = await self._begin(number)
            try:
                if await _is_ready(child):
                    delay_s = _FIRST_DELAY_S
                    ready.set()
                elif not ready.is_set() and not self._stopping.is_set():
                    raise StartError(f"worker {number} did not start; the log above says why")
                await self._outlive(child)
            finally:
                status = await self._end(child)
            if not self._stopping.is_set():
                log.error("worker_died", worker=number, status=status, retry_s=delay_s)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, _LONGEST_DELAY_S)

    async def _begin(self, number: int) -> Child:
        assignment = msgspec.structs.replace(self._assignment, number=number)
        child = await self._nursery.fork(self._listener)
        os.write(child.stdin, msgspec.json.encode(assignment) + b"\n")
        return child

    async def _end(self, child: Child) -> int:
        """Sees to it that a worker is no more, and returns its exit status."""
        if not child.lines.at_eof():
            os.kill(
                child.pid, signal.SIGKILL
            )  # its id is nobody else's until its status is asked for
        os.close(child.stdin)
        status = await self._nursery.status(child)
        mark_process_dead(child.pid)  # type: ignore[no-untyped-call]  # its gauges would count on
        return status

    async def _outlive(self, child: Child) -> None:
        """Waits for a worker's end; when all shall stop, tells it and waits for it to drain."""
        async with asyncio.TaskGroup() as tasks:
            end = tasks.create_task(self._heed(child))
            told = tasks.create_task(self._stopping.wait())
            await asyncio.wait([end, told], return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
            if end.done():
                return
            os.write(child.stdin, STOP)
            forced = tasks.create_task(self._at_once.wait())
            await asyncio.wait(
                [end, forced],
                timeout=self._drain_s + _KILL_AFTER_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            forced.cancel()
            end.cancel()

    async def _heed(self, child: Child) -> None:
        """Does what a worker asks for, until its output ends, which is when it has."""
        async for line in child.lines:
            if line.startswith(WAKE):
                self._wake(line.removeprefix(WAKE).decode().rstrip("\n"))


async def _is_ready(child: Child) -> bool:
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            return await child.lines.readline() == READY
    except TimeoutError:
        return False


async def _announce(ready: list[asyncio.Event], on_started: Callable[[], None]) -> None:
    for event in ready:
        await event.wait()
    on_started()
