"""Dialling where a caller wants to go: a name is resolved once, every address judged, and one of
exactly those connected to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from trunkline.errors import EgressError
from trunkline.transport import pool
from trunkline.transport.addresses import Allowed, listed, permitted
from trunkline.transport.connection import Connection
from trunkline.transport.pool import Origin

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Returns the addresses of a host, as text; raises OSError or UnicodeError if it has none."""

_MAX_LOOKUPS = 16  # at a time
_MAX_ADDRESSES = (
    4  # that are tried of one host: a name with a thousand makes no thousand connections
)
_DISCARD = 9


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long each stage of an exchange may take, in seconds."""

    resolve_s: float = 5.0
    connect_s: float = 5.0
    tls_s: float = 5.0
    first_byte_s: float = 20.0
    """From the start until status and headers are here."""
    idle_s: float = 10.0
    """Between two reads of the body."""
    total_s: float = 60.0
    """From the start to the end, redirects included."""


class Dialer:
    """Makes a pool's connections for one caller; raises EgressError."""

    def __init__(
        self,
        *,
        allowed: Allowed,
        resolve: Resolve,
        tls: Callable[[], ssl.SSLContext],
        deadlines: Deadlines,
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._tls = tls
        self._deadlines = deadlines

    async def __call__(self, origin: Origin, connection: Connection) -> None:
        addresses = await self._judged(origin)
        # Off the loop: the first time, the system's store is read.
        tls = await asyncio.to_thread(self._tls) if origin.tls else None
        found = await self._connected(addresses, origin.port)
        await self._put(connection, found, origin, tls)

    async def _judged(self, origin: Origin) -> Sequence[str]:
        """Returns the addresses of a host, all of which may be reached.

        One that may not condemns the host: nobody with honest intentions mixes them. What has no
        address and what has a forbidden one is told in the same words, so that nobody can find out
        which names a private network knows.
        """
        addresses = await self._addresses(origin)
        allowed = self._allowed
        by_name = allowed.host(origin.host)
        if not by_name and not all(permitted(address, allowed) for address in addresses):
            addresses = ()
        by_address = bool(addresses) and all(listed(address, allowed) for address in addresses)
        if not addresses or (not by_name and not by_address and any(map(own, addresses))):
            raise EgressError(
                "the host has no public address; the operator can list others in [egress] allow",
                reason="refused",
            )
        if not origin.tls and not by_name and not by_address:
            raise EgressError(
                "the URL must begin with 'https://'; 'http://' is only for hosts that the operator "
                "lists in [egress] allow",
                reason="refused",
            )
        return addresses

    async def _addresses(self, origin: Origin) -> Sequence[str]:
        with contextlib.suppress(ValueError):
            return [str(ip_address(origin.host))]
        seconds = self._deadlines.resolve_s
        try:
            async with asyncio.timeout(seconds):
                return list(dict.fromkeys(await self._resolve(origin.host, origin.port)))
        except TimeoutError as error:
            raise _late("the name of the host was not resolved", seconds) from error
        except (OSError, UnicodeError):
            return ()

    async def _connected(self, addresses: Sequence[str], port: int) -> socket.socket:
        seconds = self._deadlines.connect_s
        try:
            async with asyncio.timeout(seconds):
                return await pool.first_to_answer(
                    [_info(address, port) for address in addresses[:_MAX_ADDRESSES]]
                )
        except TimeoutError as error:
            raise _late("the server was not reached", seconds) from error
        except OSError as error:
            raise EgressError("the server cannot be reached", reason="unreachable") from error

    async def _put(
        self,
        connection: Connection,
        found: socket.socket,
        origin: Origin,
        tls: ssl.SSLContext | None,
    ) -> None:
        seconds = self._deadlines.tls_s
        try:
            async with asyncio.timeout(seconds):
                await pool.connect(connection, found, origin, tls)
        except TimeoutError as error:
            raise _late("the server did not set up TLS", seconds) from error
        except ssl.SSLCertVerificationError as error:
            raise EgressError(
                "the server has no certificate for this host that can be trusted",
                reason="unreachable",
            ) from error
        except OSError as error:
            raise EgressError(
                "the server cannot be reached over TLS", reason="unreachable"
            ) from error


class Lookups:
    """Resolves names on threads of its own.

    A name whose server never answers holds its thread for as long as the system waits, half a minute
    and more; on the loop's threads a few of them would keep the providers' names from being resolved.
    """

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_MAX_LOOKUPS)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Sequence[str]] = loop.create_future()

        def settle(addresses: Sequence[str], error: Exception | None) -> None:
            self._free.release()
            if found.done():  # nobody waits any more
                return
            if error is None:
                found.set_result(addresses)
            else:
                found.set_exception(error)

        def look_up() -> None:
            addresses: Sequence[str] = ()
            failure: Exception | None = None
            try:
                infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                addresses = [str(info[4][0]) for info in infos]
            except (OSError, UnicodeError) as error:
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(settle, addresses, failure)

        threading.Thread(target=look_up, name="egress-lookup", daemon=True).start()
        return await found


def _info(address: str, port: int) -> tuple[int, int, int, str, tuple[str, int]]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)


def own(address: str) -> bool:
    """Whether an address is one of this machine's: its firewall is outside, and would be gone round.

    Nothing is sent: a datagram socket is only told where it would send to, and says from where.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asked:
        asked.connect((address, _DISCARD))
        return bool(ip_address(asked.getsockname()[0]) == ip_address(address))
    return False


def _late(what: str, seconds: float) -> EgressError:
    return EgressError(f"{what} within {seconds:g} s", reason="timeout")
