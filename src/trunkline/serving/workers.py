"""Several router processes on one socket: the parent keeps them running and holds the engine."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from typing import Any

import msgspec
from prometheus_client.multiprocess import mark_process_dead

from trunkline.errors import StartError
from trunkline.log import get_logger

READY = b"ready\n"
WAKE = b"wake "
"""Begins the line by which a worker asks for the engine of the model that it names."""
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.2, 10.0
_START_TIMEOUT_S = 60.0
_KILL_AFTER_S = 5.0  # beyond the draining

log = get_logger()


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told, as one JSON line on its standard input.

    ``reload`` are the arguments with which it loads the same settings; ``listener`` is the inherited
    socket's file descriptor; ``endpoint_files`` tell by a model's name where its engine is, and
    ``gate_file`` where worker ``number`` and the others count the requests of keys. A worker lives as
    long as its standard input is open. On its standard output it says that it is ready, and later which
    engines it needs.
    """

    reload: dict[str, Any]
    home: str
    demo: bool
    listener: int
    endpoint_files: dict[str, str]
    gate_file: str
    number: int = 0


class Workers:
    """Starts ``count`` workers, starts again those that die, and ends them all on ``stop``.

    ``wake`` is called with the model of an engine that a worker needs and that may be asleep.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        count: int,
        drain_s: float,
        wake: Callable[[str], None],
    ) -> None:
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
            child = await self._spawn(number)
            try:
                if await _is_ready(child):
                    delay_s = _FIRST_DELAY_S
                    ready.set()
                elif not ready.is_set() and not self._stopping.is_set():
                    raise StartError(f"worker {number} did not start; the log above says why")
                await self._outlive(child)
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()
                mark_process_dead(child.pid)  # type: ignore[no-untyped-call]  # its gauges would count on
            if not self._stopping.is_set():
                log.error("worker_died", worker=number, status=child.returncode, retry_s=delay_s)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, _LONGEST_DELAY_S)

    async def _spawn(self, number: int) -> Process:
        assignment = msgspec.structs.replace(self._assignment, number=number)
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # nothing in the current folder is imported
            "-m",
            "trunkline.serving",
            stdin=PIPE,
            stdout=PIPE,
            pass_fds=[assignment.listener],
            start_new_session=True,  # the terminal's Ctrl-C is for the parent, who tells the others
            env=dict(os.environ),
        )
        assert child.stdin is not None
        child.stdin.write(msgspec.json.encode(assignment) + b"\n")
        await child.stdin.drain()
        return child

    async def _outlive(self, child: Process) -> None:
        """Waits for a worker's end; when all shall stop, closes its input and waits for it to drain."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._heed(child))
            end = tasks.create_task(child.wait())
            told = tasks.create_task(self._stopping.wait())
            await asyncio.wait([end, told], return_when=asyncio.FIRST_COMPLETED)
            told.cancel()
            if end.done() or child.stdin is None:
                return
            child.stdin.close()
            forced = tasks.create_task(self._at_once.wait())
            await asyncio.wait(
                [end, forced],
                timeout=self._drain_s + _KILL_AFTER_S,
                return_when=asyncio.FIRST_COMPLETED,
            )
            forced.cancel()
            if not end.done():
                child.kill()

    async def _heed(self, child: Process) -> None:
        """Does what a worker asks for, until its output ends, which is when it has."""
        assert child.stdout is not None
        async for line in child.stdout:
            if line.startswith(WAKE):
                self._wake(line.removeprefix(WAKE).decode().rstrip("\n"))


async def _is_ready(child: Process) -> bool:
    assert child.stdout is not None
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            return await child.stdout.readline() == READY
    except TimeoutError:
        return False


async def _announce(ready: list[asyncio.Event], on_started: Callable[[], None]) -> None:
    for event in ready:
        await event.wait()
    on_started()
