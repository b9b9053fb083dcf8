"""A worker: ``python -m trunkline.serving``, started by the parent and told its assignment."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import msgspec

from trunkline import app, config, log
from trunkline.api.metrics import Metrics
from trunkline.app import Setup
from trunkline.engine.endpoint import endpoint_file
from trunkline.errors import TrunklineError
from trunkline.serving.run import loop_factory
from trunkline.serving.server import Server
from trunkline.serving.workers import READY, Assignment


def main() -> int:
    """Serves until standard input ends, which is when the parent stops or dies."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    assignment = msgspec.json.decode(sys.stdin.buffer.readline(), type=Assignment)
    try:
        settings = load_settings(assignment.reload)
        log.configure(level=settings.server.log_level, format=settings.server.log_format)
        setup = app.set_up(settings, Path(assignment.home), demo=assignment.demo)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(setup, assignment))
    except TrunklineError as error:
        print(f"trunkline: {error.message}", file=sys.stderr)
        return 1
    return 0


def load_settings(reload: dict[str, Any]) -> config.Settings:
    """Loads the settings as the parent did."""
    path = reload["path"]
    return config.load(
        Path(path) if path else None, environ=os.environ, overrides=reload["overrides"]
    )


async def _serve(setup: Setup, assignment: Assignment) -> None:
    where = None
    if assignment.endpoint_file is not None:
        where = endpoint_file(Path(assignment.endpoint_file))
    workers = setup.settings.server.workers
    async with app.open_app(setup, engine=where, metrics=Metrics(), workers=workers) as router:
        settings = setup.settings.server
        server = Server(
            router.asgi,
            head_timeout_s=settings.body_timeout_s,
            drain_s=settings.drain_s,
            on_started=_tell_ready,
        )
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _until_end, server)
        with socket.socket(fileno=assignment.listener) as listener:
            await server.serve(sockets=[listener])


def _tell_ready() -> None:
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()


def _until_end(server: Server) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
