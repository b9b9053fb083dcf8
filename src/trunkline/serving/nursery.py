"""Processes that are forked, before there are threads or a loop; the nursery forks the workers later.

As all is imported by then, workers share what that has made, which is most of what each holds, and
start in a moment.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import NoReturn

from trunkline.errors import StartError

_FORK, _WAIT = b"fork", b"wait "
_MESSAGE_BYTES = 64


@dataclass(frozen=True, slots=True)
class Child:
    """A forked process: what is written to ``stdin`` it reads, and ``lines`` are what it writes."""

    pid: int
    stdin: int
    lines: asyncio.StreamReader


class Nursery:
    """What the parent has of it. It ends with the parent, however that ends."""

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel = channel
        self._asking = asyncio.Lock()

    async def fork(self, listener: socket.socket) -> Child:
        """Forks a worker with a listener. Its standard input and output are pipes to this process."""
        loop = asyncio.get_running_loop()
        (its_input, stdin), (stdout, its_output) = os.pipe(), os.pipe()
        try:
            pid = await self._ask(_FORK, its_input, its_output, listener.fileno())
        finally:
            os.close(its_input)
            os.close(its_output)
        lines = asyncio.StreamReader()
        await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), os.fdopen(stdout, "rb", buffering=0)
        )
        return Child(pid, stdin, lines)

    async def status(self, child: Child) -> int:
        """Returns the exit status of a child that has ended, or is about to; of a signal, less than 0."""
        return await self._ask(_WAIT + str(child.pid).encode())

    async def _ask(self, message: bytes, *files: int) -> int:
        async with self._asking:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))]
            try:
                self._channel.sendmsg([message], rights if files else [])
                answer = await asyncio.get_running_loop().sock_recv(self._channel, _MESSAGE_BYTES)
            except OSError as error:
                raise StartError("the process that forks the workers has died") from error
            if not answer:
                raise StartError("the process that forks the workers has died")
            return int(answer)


Work = Callable[[socket.socket], int]
"""What a child does with its listener; it returns the child's exit status."""


@contextlib.contextmanager
def nursery(work: Work) -> Generator[Nursery]:
    """Forks the nursery, whose children do the ``work``."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    sys.stdout.flush()
    gc.collect()
    gc.freeze()  # else the collector would write to what is shared, and so copy it
    pid = os.fork()
    if not pid:
        ours.close()
        _tend(its, work)
    its.close()
    with ours:
        yield Nursery(ours)
    os.waitpid(pid, 0)


def apart(work: Callable[[], object]) -> None:
    """Does something in a process of its own, with which goes what it has imported for that.

    It tells of no failure: whoever needs what it did tries it again.
    """
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    try:
        work()
    finally:
        os._exit(0)


def _tend(channel: socket.socket, work: Work) -> NoReturn:
    """Does what the parent asks for until it is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    while True:
        message, files, _, _ = socket.recv_fds(channel, _MESSAGE_BYTES, 3)
        if not message:
            os._exit(0)
        if message.startswith(_WAIT):
            _, status = os.waitpid(int(message.removeprefix(_WAIT)), 0)
            channel.send(b"%d" % os.waitstatus_to_exitcode(status))
            continue
        pid = os.fork()
        if not pid:
            channel.close()
            _begin(work, *files)
        for file in files:
            os.close(file)
        channel.send(b"%d" % pid)


def _begin(work: Work, stdin: int, stdout: int, listener: int) -> NoReturn:
    status = 1
    try:
        os.setsid()  # the terminal's Ctrl-C is for the parent, who tells the others
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)
        os.close(stdin)
        os.close(stdout)
        status = work(socket.socket(fileno=listener))
    except BaseException:  # noqa: BLE001  # nobody is above this
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)
