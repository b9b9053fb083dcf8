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
_DYING_S = 1.0  # the connections of a process that ends are gone before it is


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What the child is told, as one JSON line on its standard input: the path of ``--config``."""

    config: str | None


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The child's only line on stdout: where it serves."""

    url: str


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Or: why it does not."""

    error: str


class Own:
    """A child that serves at ``url``."""

    def __init__(self, child: subprocess.Popen[bytes], log: IO[bytes], url: str) -> None:
        self.url = url
        self._child = child
        self._log = log
        self._why: str | None = None

    def ended(self) -> str | None:
        """Returns why the child has ended by itself, None if it has not; to be asked after a failure."""
        if self._why is None:
            try:
                self._child.wait(_DYING_S)
            except subprocess.TimeoutExpired:
                return None
            said = _answer(self._child, self._log)
            self._why = said.error if isinstance(said, Failed) else "it gives no reason"
        return self._why


@contextmanager
def running(config: Path | None) -> Iterator[Own]:
    """Runs ``trunkline serve`` on a free loopback port, and enters once it serves.

    The child lives as long as its standard input is open: it ends when the context is left, and also
    when this process is killed. Raises StartError with its reason if it does not start.
    """
    assignment = Assignment(config=None if config is None else str(config.absolute()))
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "trunkline.terminal"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # the terminal's Ctrl-C stops a reply, not the router
        )
        try:
            yield Own(child, log, _started(child, assignment, log).url)
        finally:
            _end(child)


def _started(child: subprocess.Popen[bytes], assignment: Assignment, log: IO[bytes]) -> Started:
    assert child.stdin is not None
    overdue = threading.Timer(_START_TIMEOUT_S, child.kill)
    overdue.start()
    try:
        with suppress(BrokenPipeError):  # a child that is already dead says why in its log
            child.stdin.write(msgspec.json.encode(assignment) + b"\n")
            child.stdin.flush()
        answer = _answer(child, log)
    finally:
        overdue.cancel()
    if isinstance(answer, Failed):
        raise StartError(f"no router is running, and one does not start: {answer.error}")
    return answer


def _answer(child: subprocess.Popen[bytes], log: IO[bytes]) -> Started | Failed:
    """Returns the child's next line; of one that ended without it, how it did."""
    assert child.stdout is not None
    if line := child.stdout.readline():
        return msgspec.json.decode(line, type=Started | Failed)
    code = child.wait()
    if code < 0:
        return Failed(f"it was ended by signal {-code}")
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return Failed(lines[-1] if lines else f"it ended with code {code}")


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
