"""A command's own router: ``python -m trunkline.terminal``, started by ``own.py``, not by people."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from trunkline import app, config, log, serving
from trunkline.errors import TrunklineError
from trunkline.terminal.own import Assignment, Failed, Started

_DRAIN_S = 2.0  # the only one to drain for is gone

_ON_LOOPBACK = {"server.host": "127.0.0.1", "server.port": 0, "server.workers": 1}


def main() -> int:
    """Serves until standard input ends, which is when the command stops or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    report = _take_stdout()
    assignment = msgspec.json.decode(sys.stdin.buffer.readline(), type=Assignment)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        _serve(assignment, report)
    except TrunklineError as error:
        _say(report, Failed(error=error.message))
        return 1
    return 0


def _serve(assignment: Assignment, report: BinaryIO) -> None:
    path = None if assignment.config is None else Path(assignment.config)
    overrides: dict[str, Any] = _ON_LOOPBACK
    settings = config.load(path, environ=os.environ, overrides=overrides)
    log.configure(level=settings.server.log_level, format=settings.server.log_format)
    home = config.home(os.environ)
    config.make_home(home)
    serving.serve(
        app.set_up(settings, home, demo=False),
        bootstrap_key=os.environ.get("TRUNKLINE_BOOTSTRAP_KEY"),
        announce=lambda started: _say(report, Started(url=started.url)),
    )


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_DRAIN_S)
    os.kill(os.getpid(), signal.SIGTERM)


def _take_stdout() -> BinaryIO:
    """Returns stdout for the one line that is ours, and sends what else is printed there to stderr."""
    ours = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return ours


def _say(report: BinaryIO, message: Started | Failed) -> None:
    report.write(msgspec.json.encode(message) + b"\n")
    report.flush()


if __name__ == "__main__":
    sys.exit(main())
