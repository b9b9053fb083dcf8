"""A worker: ``python -m trunkline.serving``, started by the parent and told its assignment."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from trunkline import app, config, log
from trunkline.accounts import Gate
from trunkline.api.metrics import Metrics
from trunkline.app import Setup
from trunkline.engine.endpoint import Access, endpoint_file
from trunkline.errors import TrunklineError
from trunkline.serving.run import loop_factory
from trunkline.serving.server import Server
from trunkline.serving.workers import READY, WAKE, Assignment


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
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _until_end, server)
            with socket.socket(fileno=assignment.listener) as listener:
                await server.serve(listener)


def _tell(line: bytes) -> None:
    """Says something to the parent."""
    sys.stdout.buffer.write(line)
    sys.stdout.flush()


def _until_end(server: Server) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
