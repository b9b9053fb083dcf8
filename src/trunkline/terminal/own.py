"""A router of one command's own: it ends with the command, however that ends."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec

from trunkline.errors import StartError

_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 5.0
_LOG_LINES = 5


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is told, as one JSON line on its standard input: the path of ``--config``."""

    config: str | None


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The child's only line on stdout: where it serves."""

    url: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Or: why it does not."""

    error: str


@contextmanager
def running(config: Path | None, home: Path) -> Iterator[str]:
    """Runs ``trunkline serve`` on a free loopback port and enters with its URL once it serves.

    The child lives as long as its standard input is open: it ends when the context is left, and also
    when this process is killed. Raises StartError with its reason if it does not start.
    """
    config_path = None if config is None else str(config.absolute())
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "trunkline.terminal"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # the terminal's Ctrl-C stops a reply, not the router
        )
        try:
            yield _url(child, Assignment(config=config_path), log)
        finally:
            _end(child)


def _url(child: subprocess.Popen[bytes], assignment: Assignment, log: IO[bytes]) -> str:
    assert child.stdin is not None
    assert child.stdout is not None
    overdue = threading.Timer(_START_TIMEOUT_S, child.kill)
    overdue.start()
    try:
        with suppress(BrokenPipeError):  # a child that is already dead says why in its log
            child.stdin.write(msgspec.json.encode(assignment) + b"\n")
            child.stdin.flush()
        line = child.stdout.readline()
    finally:
        overdue.cancel()
    answer: Started | Failed = (
        msgspec.json.decode(line, type=Started | Failed) if line else Failed(_last_words(log))
    )
    if isinstance(answer, Failed):
        raise StartError(f"no router is running, and one does not start: {answer.error}")
    return answer.url


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").split("\n")
    return " / ".join([line.strip() for line in lines if line.strip()][-_LOG_LINES:]) or "no reason"


def _end(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(BrokenPipeError):
        child.stdin.close()
    try:
        child.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    finally:
        child.stdout.close()
