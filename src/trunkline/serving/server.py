"""The server on a socket that is open already: accepting, draining, signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import signal
import socket
import sys
from collections.abc import Callable, Generator, Iterable
from email.utils import formatdate
from functools import partial

from starlette.types import ASGIApp

from trunkline.errors import StartError
from trunkline.log import get_logger
from trunkline.serving.connection import Clientele, Connection

_BACKLOG = 2048
_YOUNG_OBJECTS = 5000  # python's 700 are fewer than a handful of running requests have
_UNREAD_TIMEOUT_S = 30.0
_TICK_S = 0.1  # how exactly clients' times are kept
_CANCELLED_S = 2.0  # for requests that are cut off to hang up and to leave their receipts

log = get_logger()


def bind(host: str, port: int) -> socket.socket:
    """Opens the listening socket. Raises StartError that says what is in the way."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise StartError(f"cannot listen on '{host}': {error.strerror}") from error
    try:
        if sys.platform != "win32":  # there it would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise StartError(_why_not(host, port, error)) from error
    listener.setblocking(False)
    return listener


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken; choose another with --port, or stop what uses it"
    if error.errno == errno.EACCES:
        return f"port {port} on {host} is not permitted to this user; choose one above 1023"
    return f"cannot listen on {host}:{port}: {error.strerror}"


class Server:
    """Serves one application; ``stop`` drains, a second ``stop`` ends at once.

    ``head_timeout_s`` bounds how long a request's head may take, ``unread_timeout_s`` how long a
    client may leave an answer unread.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        head_timeout_s: float,
        drain_s: float,
        on_started: Callable[[], None],
        unread_timeout_s: float = _UNREAD_TIMEOUT_S,
    ) -> None:
        self._clientele = Clientele()
        self._connection = partial(
            Connection,
            app,
            self._clientele,
            head_timeout_s=head_timeout_s,
            unread_timeout_s=unread_timeout_s,
        )
        self._drain_s = drain_s
        self._on_started = on_started
        self._stopping = False
        self._at_once = False

    def stop(self) -> None:
        """Stops accepting and lets requests finish; called again, ends them."""
        self._at_once = self._stopping
        self._stopping = True

    async def serve(self, listener: socket.socket) -> None:
        """Serves on a socket that listens, and closes it, until ``stop``."""
        loop = asyncio.get_running_loop()
        accepting = await loop.create_server(self._connection, sock=listener, backlog=_BACKLOG)
        _spare_the_collector()
        self._on_started()
        while not self._stopping:
            await self._tick()
        accepting.close()
        await self._drain(until=loop.time() + self._drain_s)

    async def _drain(self, *, until: float) -> None:
        for connection in tuple(self._clientele.connections):
            connection.shutdown()
        loop = asyncio.get_running_loop()
        while self._clientele.connections or self._clientele.requests:
            if self._at_once or loop.time() >= until:
                await self._cut_off()
                return
            await self._tick()

    async def _cut_off(self) -> None:
        """Ends the requests that outlast the draining, before what they use is closed."""
        remaining = set(self._clientele.requests)
        log.warning("requests_cut_off", count=len(remaining))
        for request in remaining:
            request.cancel()
        if remaining:
            await asyncio.wait(remaining, timeout=_CANCELLED_S)

    async def _tick(self) -> None:
        """Waits a moment, and looks after the times that clients may take."""
        self._clientele.date = b"date: %b\r\n" % formatdate(usegmt=True).encode()
        now = asyncio.get_running_loop().time()
        for connection in tuple(self._clientele.connections):
            connection.check(now)
        await asyncio.sleep(_TICK_S)


def _spare_the_collector() -> None:
    """Takes what the start has made out of the garbage collector's sight: it stays to the end.

    Walking it took 65 to 90 ms again and again, while all requests waited. Requests leave no cycles
    behind unless they fail, so younger objects are looked at less often too; failed ones hold their
    bodies, so not much less.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, *gc.get_threshold()[1:])


STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def on_signals(
    act: Callable[[], object], signals: Iterable[signal.Signals] = STOP_SIGNALS
) -> Generator[None, None, None]:
    """Calls ``act`` in the event loop for every signal, as long as the context lasts."""
    loop = asyncio.get_running_loop()
    previous = {
        number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(act))
        for number in signals
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
