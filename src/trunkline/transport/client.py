"""The HTTP client for upstreams: aiohttp behind a small seam, its failures translated once.

Only for addresses that the configuration names. It follows no redirect (a key must not travel to
another host), keeps no cookies and reads no proxy from the environment.
"""

from __future__ import annotations

import asyncio
import functools
import os
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from trunkline import __version__
from trunkline.errors import UpstreamError

_DRAIN_S = 0.05
_DNS_TTL_S = 60
_KEEPALIVE_S = 4.0  # uvicorn, and so vLLM and SGLang, closes an idle connection after 5 s
_NOT_A_URL = "has an address that is not a URL"


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
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                resolver=aiohttp.ThreadedResolver(),
                ttl_dns_cache=_DNS_TTL_S,
                keepalive_timeout=_KEEPALIVE_S,
            ),
            # Compressed bytes would be held back until a block is full, and cost CPU on both sides.
            headers={"User-Agent": f"trunkline/{__version__}", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

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
        await self._session.close()

    @asynccontextmanager
    async def send(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        timeouts: Timeouts,
        body: bytes | None = None,
        method: str = "POST",
    ) -> AsyncIterator[Incoming]:
        """Sends a request; enters once the status and headers are here. Leaving hangs up.

        Raises UpstreamError, always retryable, if no HTTP answer comes.
        """
        address = _address(url)
        started = asyncio.get_running_loop().time()
        response = await self._start(method, address, headers, body, timeouts, started)
        incoming = Incoming(response, timeouts=timeouts, started=started)
        try:
            yield incoming
        finally:
            incoming.close()

    async def _start(
        self,
        method: str,
        address: URL,
        headers: Mapping[str, str],
        body: bytes | None,
        timeouts: Timeouts,
        started: float,
    ) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout_at(started + min(timeouts.first_chunk_s, timeouts.total_s)):
                return await self._session.request(
                    method,
                    address,
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    timeout=_only_connect(timeouts.connect_s),
                )
        except (aiohttp.ClientError, OSError) as error:
            raise _translated(error, address) from error


class Incoming:
    """An HTTP answer whose body is still to be read. Made by `Client.send`."""

    def __init__(
        self, response: aiohttp.ClientResponse, *, timeouts: Timeouts, started: float
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._content = response.content
        self._timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._total_due = started + timeouts.total_s
        self._progressed = False
        # None while it is we who are slow: that is not the upstream's fault.
        self._waiting_since: float | None = None
        # One timer for the whole body, which looks at the clock when it rings: setting and
        # cancelling one for each read costs more than the read.
        first_due = min(started + timeouts.first_chunk_s, self._total_due)
        self._timer = self._loop.call_at(first_due, self._ring)

    async def reads(self) -> AsyncGenerator[bytes]:
        """Yields what each network read brought, once. Raises UpstreamError if the body breaks off."""
        try:
            while True:
                self._waiting_since = self._loop.time()
                read = await self._content.readany()
                self._waiting_since = None
                if not read:
                    return
                yield read
        except (aiohttp.ClientError, OSError) as error:
            raise _translated(error, self._response.url) from error

    async def read(self, limit: int) -> bytes:
        """Returns the whole body; raises UpstreamError if it is longer than ``limit`` bytes."""
        body = await self.head(limit + 1)
        if len(body) > limit:
            raise UpstreamError(f"answered with more than {limit} bytes", retryable=True)
        return body

    async def head(self, limit: int) -> bytes:
        """Returns the body's first bytes, ``limit`` at most, and reads no further."""
        pieces, missing = [], limit
        async with aclosing(self.reads()) as reads:
            async for read in reads:
                pieces.append(read[:missing])
                missing -= len(read)
                if missing <= 0:
                    break
        return b"".join(pieces)

    def progressed(self) -> None:
        """Tells that the first chunk is here: from now on ``idle_s`` counts, not ``first_chunk_s``."""
        self._progressed = True
        self._timer.cancel()
        self._timer = self._loop.call_at(self._idle_due(), self._ring)

    async def drain(self) -> None:
        """Waits a moment for the body's end, so that the connection can be used again."""
        with suppress(aiohttp.ClientError, OSError, UpstreamError):
            async with asyncio.timeout(_DRAIN_S):
                while await self._content.readany():
                    pass

    def close(self) -> None:
        """Gives the connection back if the body was read to its end, else closes it."""
        self._timer.cancel()
        self._response.close()

    def _ring(self) -> None:
        now = self._loop.time()
        if now >= self._total_due:
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
        self._content.set_exception(UpstreamError(message, retryable=True, timed_out=True))


@functools.lru_cache(maxsize=1024)
def _address(url: str) -> URL:
    try:
        return URL(url)
    except ValueError as error:
        raise UpstreamError(_NOT_A_URL, retryable=True) from error


@functools.lru_cache(maxsize=64)
def _only_connect(connect_s: float) -> aiohttp.ClientTimeout:
    """The other deadlines are kept by `Client` and `Incoming`, for less."""
    return aiohttp.ClientTimeout(total=None, connect=connect_s)


def _translated(error: Exception, address: URL) -> UpstreamError:
    """Says what happened in words that name the peer to the log and nothing to the caller."""
    timed_out = isinstance(error, TimeoutError)
    public = _in_words(error)
    return UpstreamError(
        f"{address.host}: {public}{_reason(error)}",
        retryable=True,
        public=public,
        timed_out=timed_out,
    )


def _in_words(error: Exception) -> str:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return "could not be reached in time"
        case TimeoutError():
            return "did not answer in time"
        case aiohttp.ClientConnectorDNSError():
            return "has a host name that cannot be resolved"
        case aiohttp.ClientSSLError():
            return "could not be reached over TLS"
        case aiohttp.ClientConnectorError():
            return "could not be reached"
        case aiohttp.ServerDisconnectedError() | ConnectionResetError():
            return "closed the connection"
        case aiohttp.ClientPayloadError():
            return "broke off its reply"
        case aiohttp.ClientResponseError():
            return "answered with something that is not HTTP"
        case aiohttp.InvalidURL():
            return _NOT_A_URL
        case _:
            return "could not be talked to"


def _reason(error: Exception) -> str:
    """The system's words for it, if any. Not the library's, which may quote what we sent."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f" ({cause.verify_message})"
    if isinstance(cause, OSError) and cause.errno is not None:
        return f" ({os.strerror(cause.errno) if cause.errno > 0 else cause.strerror})"
    return ""
