"""The HTTP client for upstreams, its failures translated once.

Only for addresses that the configuration names. It follows no redirect (a key must not travel to
another host), keeps no cookies and reads no proxy from the environment.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import os
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

from multidict import CIMultiDict
from yarl import URL

from trunkline import __version__
from trunkline.errors import UpstreamError
from trunkline.transport.connection import BrokenOffError, ClosedError, Connection, NotHTTPError
from trunkline.transport.headers import TOKEN
from trunkline.transport.pool import Origin, Pool

_DRAIN_S = 0.05
_NOT_A_URL = "has an address that is not a URL"
# Compressed bytes would be held back until a block is full, and cost CPU on both sides.
_HEADERS = {
    "User-Agent": f"trunkline/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "identity",
}
_NO_HEADER_VALUE = re.compile(r"[\r\n\0]")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for what, in seconds."""

    connect_s: float = 10.0
    """Until the connection stands, TLS included."""
    first_chunk_s: float = 60.0
    """From the start until `Incoming.progressed` is first called."""
    idle_s: float = 60.0
    """For the next bytes, once the first chunk is here."""
    total_s: float = 600.0
    """From the start to the end, whatever happens between."""


class Client:
    """A pool of connections, one per process. To be made where an event loop runs."""

    def __init__(self) -> None:
        self._pool = Pool()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes every connection; replies still being read break off."""
        self._pool.close()
        await asyncio.sleep(0)  # the loop closes the sockets

    def send(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        body: bytes | None = None,
        method: str = "POST",
    ) -> Incoming:
        """Sends a request as the answer is entered, which is once status and headers are here.

        Leaving it hangs up. Entering raises UpstreamError, always retryable, if no HTTP answer comes.
        """
        address = _address(url)
        head = _head(method, address, tuple(headers.items()))
        return Incoming(self._pool, address, whole(head, body), timeouts)


class Incoming:
    """An HTTP answer whose body is still to be read. Made by `Client.send`, to be entered once."""

    def __init__(self, pool: Pool, address: Address, request: bytes, timeouts: Timeouts) -> None:
        self._pool = pool
        self._address = address
        self._request = request
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self.status = 0
        self._progressed = False
        # None while it is we who are slow: that is not the upstream's fault.
        self._waiting_since: float | None = None

    async def __aenter__(self) -> Self:
        timeouts, started = self._timeouts, self._loop.time()
        self._total_due = started + timeouts.total_s
        first_due = started + min(timeouts.first_chunk_s, timeouts.total_s)
        connection = self._pool.idle(self._address.origin) or await self._connected(first_due)
        self._connection = connection
        # One timer for the whole answer, which looks at the clock when it rings: setting and
        # cancelling one for each read costs more than the read.
        self._timer = self._loop.call_at(first_due, self._ring)
        try:
            connection.ask(self._request)
            await connection.head()
        except BaseException as error:
            self.close()
            if isinstance(error, _FAILURES):
                raise _translated(error, self._address) from error
            raise
        self._request = b""
        self.status = connection.status
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @functools.cached_property
    def headers(self) -> Mapping[str, str]:
        """The answer's header fields; case does not count."""
        return CIMultiDict(
            (name.decode("ascii"), value.decode("utf-8", "surrogateescape"))
            for name, value in self.fields
        )

    @property
    def fields(self) -> Sequence[tuple[bytes, bytes]]:
        """The header fields as they came, names in lower case."""
        return self._connection.fields

    @property
    def content_type(self) -> bytes:
        """What the answer says it is, empty if it does not."""
        return next((value for name, value in self.fields if name == b"content-type"), b"")

    async def some(self) -> bytes:
        """Returns what network reads have brought; b"" is the body's end.

        Raises UpstreamError if the body breaks off.
        """
        self._waiting_since = self._loop.time()
        try:
            return await self._connection.read()
        except _FAILURES as error:
            raise _translated(error, self._address) from error
        finally:
            self._waiting_since = None

    async def reads(self) -> AsyncGenerator[bytes]:
        """Yields what each network read brought, once. Raises UpstreamError if the body breaks off."""
        while read := await self.some():
            yield read

    async def read(self, limit: int) -> bytes:
        """Returns the whole body; raises UpstreamError if it is longer than ``limit`` bytes."""
        body = await self.head(limit + 1)
        if len(body) > limit:
            raise UpstreamError(f"answered with more than {limit} bytes", retryable=True)
        return body

    async def head(self, limit: int) -> bytes:
        """Returns the body's first bytes, ``limit`` at most, and reads no further."""
        pieces, missing = [], limit
        while missing > 0 and (read := await self.some()):
            pieces.append(read[:missing])
            missing -= len(read)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def progressed(self) -> None:
        """Tells that the first chunk is here: from now on ``idle_s`` counts, not ``first_chunk_s``."""
        self._progressed = True
        if (due := self._idle_due()) < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(due, self._ring)

    async def drain(self) -> None:
        """Waits a moment for the body's end, so that the connection can be used again."""
        if self._connection.reusable:
            return
        with suppress(*_FAILURES, TimeoutError, UpstreamError):
            async with asyncio.timeout(_DRAIN_S):
                while await self._connection.read():
                    pass

    def close(self) -> None:
        """Gives the connection back if the body was read to its end, else closes it."""
        self._timer.cancel()
        self._pool.give_back(self._connection)

    async def _connected(self, first_due: float) -> Connection:
        connect_due = self._loop.time() + self._timeouts.connect_s
        try:
            async with asyncio.timeout_at(min(connect_due, first_due)):
                return await self._pool.connect(self._address.origin)
        except (OSError, UnicodeError) as error:
            if isinstance(error, TimeoutError) and first_due < connect_due:
                raise _translated(error, self._address) from error
            raise _unreachable(error, self._address) from error

    def _ring(self) -> None:
        now = self._loop.time()
        if not self.status:
            self._connection.fail(TimeoutError())
        elif now >= self._total_due:
            self._give_up(f"took longer than {self._timeouts.total_s:g} s")
        elif not self._progressed:
            self._give_up(f"sent no first chunk within {self._timeouts.first_chunk_s:g} s")
        elif now < (due := self._idle_due()):
            self._timer = self._loop.call_at(due, self._ring)
        else:
            self._give_up(f"sent nothing for {self._timeouts.idle_s:g} s")

    def _idle_due(self) -> float:
        since = self._loop.time() if self._waiting_since is None else self._waiting_since
        return min(since + self._timeouts.idle_s, self._total_due)

    def _give_up(self, message: str) -> None:
        self._connection.fail(UpstreamError(message, retryable=True, timed_out=True))


class Address(NamedTuple):
    """A URL, taken apart. ``host`` is what the header of that name says."""

    origin: Origin
    host: str
    target: str
    authorization: str | None


@functools.lru_cache(maxsize=1024)
def _address(url: str) -> Address:
    try:
        parsed = URL(url)
        host, port = parsed.raw_host, parsed.port
    except ValueError as error:
        raise UpstreamError(_NOT_A_URL, retryable=True) from error
    if parsed.scheme not in ("http", "https") or not host or not port:
        raise UpstreamError(_NOT_A_URL, retryable=True)
    authorization = None
    if parsed.user is not None:
        pair = f"{parsed.user}:{parsed.password or ''}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Address(
        origin=Origin(parsed.scheme == "https", host, port),
        host=parsed.host_port_subcomponent or host,
        target=parsed.raw_path_qs or "/",
        authorization=authorization,
    )


def head(method: str, address: Address, headers: Iterable[tuple[str, str]]) -> bytes:
    """Returns a request's head but for its length and the empty line."""
    fields = CIMultiDict({"Host": address.host, **_HEADERS})
    if address.authorization is not None:
        fields["Authorization"] = address.authorization
    for name, value in headers:
        if not TOKEN.fullmatch(name) or _NO_HEADER_VALUE.search(value):
            raise UpstreamError("has a header that cannot be sent", retryable=True)
        fields[name] = value
    lines = [f"{method} {address.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, ""]).encode()


_head = functools.lru_cache(maxsize=1024)(head)  # the same for many requests


def whole(head: bytes, body: bytes | None) -> bytes:
    """Returns a request: what `head` made, its end, and the body."""
    if body is None:
        return head + b"\r\n"
    return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


_FAILURES = (OSError, ClosedError, BrokenOffError, NotHTTPError)


def _translated(error: Exception, address: Address) -> UpstreamError:
    """Says what happened in words that name the peer to the log and nothing to the caller."""
    match error:
        case TimeoutError():
            public = "did not answer in time"
        case ClosedError() | ConnectionError():
            public = "closed the connection"
        case BrokenOffError():
            public = "broke off its reply"
        case NotHTTPError():
            public = "answered with something that is not HTTP"
        case _:
            public = "could not be talked to"
    return _failure(public, error, address)


def _unreachable(error: Exception, address: Address) -> UpstreamError:
    match error:
        case TimeoutError():
            public = "could not be reached in time"
        case socket.gaierror() | UnicodeError():
            public = "has a host name that cannot be resolved"
        case ssl.SSLError():
            public = "could not be reached over TLS"
        case _:
            public = "could not be reached"
    return _failure(public, error, address)


def _failure(public: str, error: Exception, address: Address) -> UpstreamError:
    return UpstreamError(
        f"{address.origin.host}: {public}{_reason(error)}",
        retryable=True,
        public=public,
        timed_out=isinstance(error, TimeoutError),
    )


def _reason(error: Exception) -> str:
    """The system's words for it, if any. Not the parser's, which may quote what was sent."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f" ({error.verify_message})"
    if isinstance(error, OSError) and error.errno is not None:
        return f" ({os.strerror(error.errno) if error.errno > 0 else error.strerror})"
    return ""
