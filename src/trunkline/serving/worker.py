"""A worker: one of several processes that serve on one socket, told its assignment by the parent."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from trunkline import app
from trunkline.accounts import Gate
from trunkline.api.metrics import MULTIPROCESS, Metrics
from trunkline.app import Setup
from trunkline.engine.endpoint import Access, endpoint_file
from trunkline.errors import TrunklineError
from trunkline.serving.server import Server
from trunkline.serving.workers import READY, STOP, WAKE, Assignment


def work(setup: Setup, listener: socket.socket) -> int:
    """Serves until standard input ends, which is when the parent stops or dies; returns the exit status."""
    assignment = msgspec.json.decode(_first_line(), type=Assignment)
    os.environ[MULTIPROCESS] = assignment.metrics_folder
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(setup, assignment, listener))
    except TrunklineError as error:
        print(f"trunkline: {error.message}", file=sys.stderr)
        return 1
    return 0


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Returns uvloop's, None (the standard library's) where there is none."""
    try:
        import uvloop
    except ImportError:  # not on Windows
        return None
    return uvloop.new_event_loop


def _first_line() -> bytes:
    line = b""
    while not line.endswith(b"\n") and (read := os.read(0, 1)):
        line += read
    return line


async def _serve(setup: Setup, assignment: Assignment, listener: socket.socket) -> None:
    engines = {
        name: Access(endpoint_file(Path(file)), partial(_tell, WAKE + name.encode() + b"\n"))
        for name, file in assignment.endpoint_files.items()
    }
    workers = setup.settings.server.workers
    number, file = assignment.number, Path(assignment.gate_file)
    with Gate(workers=workers, worker=number, file=file) as gate:
        async with app.open_app(
            setup, engines=engines, metrics=Metrics(), gate=gate, workers=workers
        ) as router:
            settings = setup.settings.server
            server = Server(
                router.asgi,
                head_timeout_s=settings.body_timeout_s,
                drain_s=settings.drain_s,
                on_started=partial(_tell, READY),
            )
            asyncio.get_running_loop().add_reader(0, _stopped, server)
            await server.serve(listener)


def _tell(line: bytes) -> None:
    """Says something to the parent."""
    os.write(1, line)


def _stopped(server: Server) -> None:
    """The parent has said so, or is gone."""
    os.read(0, len(STOP))
    asyncio.get_running_loop().remove_reader(0)
    server.stop()
