"""Keeps the engine's child process running: starts it, watches it, restarts it, ends it."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self

import aiohttp
import msgspec

from trunkline.engine.child import Failed, Parameters, Ready
from trunkline.engine.endpoint import Endpoint, publish
from trunkline.engine.model import Model, physical_cores
from trunkline.engine.session import authorization, open_session
from trunkline.engine.stall import Slot, StallDetector
from trunkline.errors import EngineUnavailable, StartError
from trunkline.log import get_logger

State = Literal["asleep", "starting", "ready", "off"]
Reason = Literal["died", "unresponsive", "stalled", "start_failed", "failed"]

_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.2, 10.0
_HEALTHY_AFTER_S = 60.0
_REST_S = 10.0  # what failed to start is not tried for every request
_CLOSE_TIMEOUT_S = 2.0
_MISSES = 3
_LOG_LINES, _LOG_LINE_LENGTH = 20, 500
_ERROR_LINE = re.compile(r"[\d.]+ E\s+(.+)")  # time, level, text
# The child runs native code on callers' input: it gets none of the secrets in our environment.
_ENVIRONMENT = (
    "PATH", "HOME", "LANG", "LC_", "TMP", "TEMP", "SYSTEMROOT", "LD_", "DYLD_", "PYTHON",
    "VIRTUAL_ENV", "GGML_", "CUDA_", "NVIDIA_", "HIP_", "ROCR_", "HSA_", "VK_", "OMP_",
)  # fmt: skip

log = get_logger()
_answer: msgspec.json.Decoder[Ready | Failed] = msgspec.json.Decoder(Ready | Failed)
_decode_slots = msgspec.json.Decoder(list[Slot]).decode


class Supervisor:
    """Owns the child process for as long as its context lasts.

    Entering returns at once, while the model loads; ``started`` waits for it. A model that cannot
    be loaded at first turns the engine off for good; once it has run, it is restarted whenever it
    dies, does not answer three probes or makes no progress for ``stall_s``. One ``on_demand`` sleeps
    until ``wake`` is called; if it cannot be started then, now or later, it is off for ``rest_s`` and
    sleeps again.

    ``obstacle`` is asked before each start and returns why there can be none, None if there can.
    ``context`` is in tokens per slot and limited to what the model was made for. ``threads`` 0
    leaves the choice to the model's card. ``publish_to`` names a file in a private folder that
    tells other processes where the engine is. ``on_restart`` is called with the reason.
    """

    def __init__(
        self,
        model: Model,
        *,
        slots: int = 8,
        context: int = 4096,
        threads: int = 0,
        gpu_layers: int = 0,
        cache_mb: int = 64,
        start_timeout_s: float = 60.0,
        stall_s: float = 60.0,
        probe_every_s: float = 2.0,
        probe_timeout_s: float = 5.0,
        on_demand: bool = False,
        rest_s: float = _REST_S,
        obstacle: Callable[[], str | None] | None = None,
        publish_to: Path | None = None,
        on_restart: Callable[[Reason], None] | None = None,
    ) -> None:
        self.model = model
        self.publish_to = publish_to
        self.restarts = 0
        self._slots = slots
        self._context = min(context, model.file.context)
        self._threads = threads or model.card.threads or physical_cores()
        self._gpu_layers = gpu_layers
        self._cache_mb = cache_mb
        self._start_timeout_s = start_timeout_s
        self._stall_s = stall_s
        self._probe_every_s = probe_every_s
        self._probe_timeout_s = probe_timeout_s
        self._on_demand = on_demand
        self._rest_s = rest_s
        self._obstacle = obstacle
        self._on_restart = on_restart
        self._endpoint: Endpoint | None = None
        self._pid: int | None = None
        self._off: str | None = None
        self._failure: StartError | None = None
        self._settled = asyncio.Event()
        self._wanted = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._session = open_session(read_timeout_s=self._probe_timeout_s)
        self._announce(None)
        self._tasks = asyncio.TaskGroup()
        await self._tasks.__aenter__()
        self._running = self._tasks.create_task(
            self._run_on_demand() if self._on_demand else self._keep_running()
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._running.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)
        finally:
            await self._session.close()
            self._turn_off("the embedded engine has been stopped")

    @property
    def state(self) -> State:
        if self._off is not None:
            return "off"
        if self._on_demand and not self._wanted.is_set():
            return "asleep"
        return "starting" if self._endpoint is None else "ready"

    @property
    def pid(self) -> int | None:
        """The process of the engine, also while it loads; None if there is none."""
        return self._pid

    def wake(self) -> None:
        """Starts an engine that sleeps; else does nothing."""
        self._wanted.set()

    def endpoint(self) -> Endpoint | None:
        """Tells where the engine is, None while it sleeps or starts. Raises EngineUnavailable if off."""
        if self._off is not None:
            raise EngineUnavailable(self._off)
        return self._endpoint

    async def started(self) -> None:
        """Waits until the engine is ready for the first time. Raises StartError if it cannot be."""
        await self._settled.wait()
        if self._failure is not None:
            raise self._failure

    async def _run_on_demand(self) -> None:
        while True:
            await self._wanted.wait()
            await self._keep_running()
            await asyncio.sleep(self._rest_s)
            self._off = self._failure = None
            self._settled.clear()
            self._wanted.clear()
            self._announce(None)

    async def _keep_running(self) -> None:
        """Starts one child after the other, until one cannot be started and nothing speaks for trying."""
        delay_s = _FIRST_DELAY_S
        while True:
            began = time.monotonic()
            reason = await self._survive_child()
            if self._failure is not None:
                return
            if time.monotonic() - began >= _HEALTHY_AFTER_S:
                delay_s = _FIRST_DELAY_S
            self.restarts += 1
            log.warning("engine_restart", reason=reason, delay_s=delay_s, restarts=self.restarts)
            if self._on_restart is not None:
                self._on_restart(reason)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _LONGEST_DELAY_S)

    async def _survive_child(self) -> Reason:
        """Runs one child; what nobody foresaw costs that child and not the router.

        Like a model that cannot be loaded, it turns the engine off if none has run before.
        """
        try:
            return await self._run_child()
        except Exception as error:  # a worker's outer loop
            log.error("engine_supervision_failed", exc_info=error)
            self._start_failed(str(error), deque())
            return "failed"

    async def _run_child(self) -> Reason:
        """Runs one child until it ends, or ends it, and returns why it ended."""
        if self._obstacle is not None and (why := self._obstacle()) is not None:
            log.error("engine_refused", model=self.model.card.name, reason=why)
            self._give_up(StartError(why), told=why)
            return "start_failed"
        secret = secrets.token_urlsafe(32)
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "trunkline.engine", str(self.model.file.path)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env={
                name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)
            },
        )
        self._pid = child.pid
        lines: deque[str] = deque(maxlen=_LOG_LINES)
        async with asyncio.TaskGroup() as tasks:
            logging = tasks.create_task(_follow_log(child, lines))
            try:
                answer = await self._start(child, secret)
                if isinstance(answer, Failed):
                    await _end(child)
                    await logging
                    self._start_failed(answer.error, lines)
                    return "start_failed"
                self._started(answer)
                watching = tasks.create_task(self._watch(child, answer))
                code = await child.wait()
                log.warning("engine_ended", code=code, log=list(lines)[-3:])
                return watching.result() if watching.done() else _stop(watching)
            finally:
                try:
                    self._announce(None)
                finally:
                    self._pid = None
                    await _end(child)
                    await logging

    async def _start(self, child: Process, secret: str) -> Endpoint | Failed:
        try:
            async with asyncio.timeout(self._start_timeout_s):
                answer = await self._handshake(child, secret)
                return (
                    answer
                    if isinstance(answer, Failed)
                    else await self._look(child, answer, secret)
                )
        except TimeoutError:
            _kill(child)
            return Failed(f"it was not ready within {self._start_timeout_s:g} s")
        except (aiohttp.ClientError, msgspec.DecodeError) as error:
            return Failed(f"its first answer was not understood ({error})")

    async def _handshake(self, child: Process, secret: str) -> Ready | Failed:
        assert child.stdin is not None
        assert child.stdout is not None
        parameters = Parameters(
            secret=secret,
            slots=self._slots,
            context=self._context,
            threads=self._threads,
            gpu_layers=self._gpu_layers,
            cache_mb=self._cache_mb,
        )
        with suppress(ConnectionError):  # a child that is already dead says nothing on stdout
            child.stdin.write(msgspec.json.encode(parameters) + b"\n")
            await child.stdin.drain()
        line = await child.stdout.readline()
        if not line:
            return Failed(f"its process ended with code {await child.wait()}")
        return _answer.decode(line)

    async def _look(self, child: Process, ready: Ready, secret: str) -> Endpoint:
        """Asks the new engine for its slots: llama.cpp rounds their context up."""
        endpoint = Endpoint(
            address=ready.address,
            secret=secret,
            pid=child.pid,
            model=self.model.card.name,
            slots=self._slots,
            context=self._context,
            markers=self.model.file.markers,
        )
        slots = _decode_slots(await self._get(endpoint, "/slots"))
        context = min((slot.n_ctx for slot in slots), default=self._context)
        return msgspec.structs.replace(endpoint, context=context)

    def _started(self, endpoint: Endpoint) -> None:
        self._announce(endpoint)
        self._settled.set()
        log.info("engine_ready", model=endpoint.model, pid=endpoint.pid, context=endpoint.context)

    def _start_failed(self, error: str, lines: deque[str]) -> None:
        log.error("engine_start_failed", error=error, log=list(lines))
        cause = _first_error(lines) or error
        self._give_up(
            StartError(f"the engine cannot load {self.model.file.path}: {cause}"),
            told="the embedded engine could not start; its operator finds why in the log",
        )

    def _give_up(self, failure: StartError, *, told: str) -> None:
        """Turns the engine off, telling callers why, unless it ran before and nobody else restarts it."""
        if self._settled.is_set() and not self._on_demand:
            return
        self._failure = failure
        self._turn_off(told)
        self._settled.set()

    def _announce(self, endpoint: Endpoint | None) -> None:
        self._endpoint = endpoint
        if self.publish_to is not None:
            publish(self.publish_to, endpoint, off=self._off)

    def _turn_off(self, why: str) -> None:
        self._off = self._off or why
        self._announce(None)

    async def _watch(self, child: Process, endpoint: Endpoint) -> Reason:
        """Kills the child once it is found sick."""
        reason = await self._sickness(endpoint)
        _kill(child)
        return reason

    async def _sickness(self, endpoint: Endpoint) -> Reason:
        misses = 0
        stall = StallDetector(stall_s=self._stall_s, now=time.monotonic())
        while True:
            await asyncio.sleep(self._probe_every_s)
            misses = 0 if await self._probe(endpoint, "/health") is not None else misses + 1
            if misses >= _MISSES:
                return "unresponsive"
            answer = None if misses else await self._probe(endpoint, "/slots")
            slots = None if answer is None else _decode_slots(answer)
            if stall.stalled(slots, now=time.monotonic()):
                return "stalled"

    async def _probe(self, endpoint: Endpoint, path: str) -> bytes | None:
        """Returns the answer, or None if there is none in time."""
        try:
            async with asyncio.timeout(self._probe_timeout_s):
                return await self._get(endpoint, path)
        except (aiohttp.ClientError, TimeoutError):
            return None

    async def _get(self, endpoint: Endpoint, path: str) -> bytes:
        headers = authorization(endpoint)
        async with self._session.get(endpoint.address + path, headers=headers) as response:
            response.raise_for_status()
            return await response.read()


async def _follow_log(child: Process, lines: deque[str]) -> None:
    """Logs what llama.cpp says, at debug level, and keeps the last lines."""
    assert child.stderr is not None
    rest = b""
    while data := await child.stderr.read(1 << 16):
        *whole, rest = (rest + data).split(b"\n")
        rest = rest[-_LOG_LINE_LENGTH:]
        for line in whole:
            text = line[:_LOG_LINE_LENGTH].decode(errors="replace")
            lines.append(text)
            log.debug("engine_log", line=text)


def _first_error(lines: deque[str]) -> str | None:
    """Returns what llama.cpp complained of first: later lines only pass the failure on."""
    return next((found[1] for line in lines if (found := _ERROR_LINE.match(line))), None)


async def _end(child: Process) -> None:
    """Asks the child to end by closing its stdin, and kills it if it does not."""
    assert child.stdin is not None
    child.stdin.close()
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await child.wait()
    except TimeoutError:
        _kill(child)
        await child.wait()


def _kill(child: Process) -> None:
    with suppress(ProcessLookupError):
        child.kill()


def _stop(watching: asyncio.Task[Any]) -> Reason:
    watching.cancel()
    return "died"
