"""Connections that wait for their next request, and how new ones are made."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from weakref import WeakValueDictionary

import aiohappyeyeballs

from trunkline.transport.connection import Connection

_KEEPALIVE_S = 4.0  # uvicorn, and so vLLM and SGLang, closes an idle connection after 5 s
_DNS_TTL_S = 60.0
_NEXT_ADDRESS_S = 0.25  # until a host's next address is tried beside the one that does not answer

Addresses = Sequence[aiohappyeyeballs.AddrInfoType]


class Origin(NamedTuple):
    """Where connections lead to."""

    tls: bool
    host: str
    port: int


Dial = Callable[[Origin, Connection], Awaitable[None]]
"""Connects to an origin; raises OSError, of which socket.gaierror and ssl.SSLError are kinds."""


class Pool:
    """Keeps connections for a few seconds; closing it closes those that are lent as well.

    ``dial`` makes them; without one, a pool goes wherever the names that it is given lead.
    """

    def __init__(self, dial: Dial | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Origin, list[Connection]] = {}
        self._open: dict[Connection, Origin] = {}
        self._dial = dial or _Names().dial
        self._sweep_timer: asyncio.TimerHandle | None = None

    def idle(self, origin: Origin) -> Connection | None:
        """Takes out the connection that was used last, None if there is none."""
        waiting = self._idle.get(origin)
        while waiting:
            connection = waiting.pop()
            if connection.idle_since + _KEEPALIVE_S > self._loop.time():
                return connection
            connection.close()
        return None

    async def connect(self, origin: Origin) -> Connection:
        """Makes a connection; raises what the dial does."""
        connection = Connection(self._forget)
        self._open[connection] = origin
        try:
            await self._dial(origin, connection)
        except BaseException:
            self._forget(connection)
            raise
        return connection

    def give_back(self, connection: Connection) -> None:
        """Takes in a connection: for the next request if it can carry one, else to be closed."""
        origin = self._open.get(connection)
        if origin is None or not connection.reusable:
            connection.close()
            return
        connection.idle_since = self._loop.time()
        self._idle.setdefault(origin, []).append(connection)
        if self._sweep_timer is None:
            self._sweep_timer = self._loop.call_later(_KEEPALIVE_S, self._sweep)

    def close(self) -> None:
        """Closes every connection; answers that are being read break off."""
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        self._idle.clear()
        for connection in list(self._open):
            connection.close()

    def _forget(self, connection: Connection) -> None:
        origin = self._open.pop(connection, None)
        if origin is not None and connection in (waiting := self._idle.get(origin, [])):
            waiting.remove(connection)

    def _sweep(self) -> None:
        """Closes what has waited for too long; one timer serves all of them."""
        self._sweep_timer = None
        oldest = self._loop.time() - _KEEPALIVE_S
        for origin, waiting in list(self._idle.items()):
            for connection in waiting:
                if connection.idle_since <= oldest:
                    connection.close()
            self._idle[origin] = [each for each in waiting if each.idle_since > oldest]
        self._idle = {origin: waiting for origin, waiting in self._idle.items() if waiting}
        if self._idle:
            self._sweep_timer = self._loop.call_later(_KEEPALIVE_S, self._sweep)


class _Names:
    """Host names with their addresses, each asked for once in a while."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._found: dict[tuple[str, int], tuple[float, Addresses]] = {}
        self._asking: WeakValueDictionary[tuple[str, int], asyncio.Lock] = WeakValueDictionary()

    async def dial(self, origin: Origin, connection: Connection) -> None:
        found = await first_to_answer(await self._addresses(origin.host, origin.port))
        await connect(connection, found, origin, tls() if origin.tls else None)

    async def _addresses(self, host: str, port: int) -> Addresses:
        asking = self._asking.setdefault((host, port), asyncio.Lock())
        async with asking:
            fresh_until, found = self._found.get((host, port), (0.0, ()))
            if self._loop.time() >= fresh_until:
                found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                self._found[host, port] = (self._loop.time() + _DNS_TTL_S, found)
            return found


async def first_to_answer(addresses: Addresses) -> socket.socket:
    """Returns a socket to whichever of the addresses answers first; the families take turns."""
    return await aiohappyeyeballs.start_connection(
        addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S, interleave=1
    )


async def connect(
    connection: Connection,
    found: socket.socket,
    origin: Origin,
    tls: ssl.SSLContext | None,
) -> None:
    """Puts a connection on a socket, under TLS if there is any."""
    await asyncio.get_running_loop().create_connection(
        lambda: connection,
        sock=found,
        ssl=tls,
        server_hostname=origin.host.rstrip(".") if tls else None,
    )


@functools.cache
def tls() -> ssl.SSLContext:
    """Returns what certificates are checked with. Made at first use: it reads the system's store."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
