"""One HTTP/1.1 connection to an upstream: httptools parses, this keeps what came until it is asked for.

It carries one exchange at a time. Nothing here knows of deadlines or of other connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httptools

_MAX_OVERHEAD = 64 << 10  # bytes in a row that are no body: heads, trailers, what is between chunks
_MAX_UNREAD = 256 << 10  # bytes of body that wait for their reader before the upstream has to wait

_FRAMES_BODY = frozenset({b"content-length", b"transfer-encoding"})


class ClosedError(Exception):
    """The upstream closed the connection instead of answering."""


class BrokenOffError(Exception):
    """The upstream closed the connection in the middle of its answer."""


class NotHTTPError(Exception):
    """What came is not an answer in HTTP/1.1."""


class Connection(asyncio.Protocol):
    """``ask`` for an answer, wait for its ``head``, ``read`` its body to the end; then ask again.

    ``on_lost`` is called when the connection is gone, whoever closed it.

    Attributes:
        status: of the answer, once its head is here.
        fields: its header fields as they came, names in lower case.
        idle_since: the loop's time at which the last answer was complete and read.
    """

    def __init__(self, on_lost: Callable[[Connection], None]) -> None:
        self.status = 0
        self.fields: list[tuple[bytes, bytes]] = []
        self.idle_since = 0.0
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._in_body = False
        self._complete = True
        self._keeps = True
        self._framed = False
        self._overhead = 0
        self._pieces: list[bytes] = []
        self._unread = 0
        self._paused = False

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent: the last answer was read to its end, and none is lost."""
        return self._complete and self._keeps and self._failure is None and not self._pieces

    def ask(self, request: bytes) -> None:
        """Sends a request, whole."""
        assert self._transport is not None
        self.fields = []
        self._in_body = self._complete = False
        self._overhead = 0
        self._transport.write(request)

    async def head(self) -> None:
        """Waits for the answer's status and header fields."""
        while not self._in_body:
            if self._failure is not None:
                raise self._failure
            await self._wait()

    async def read(self) -> bytes:
        """Returns what has come of the body since the last time, waiting for some; b"" is its end."""
        while not self._pieces:
            if self._complete:
                return b""
            if self._failure is not None:
                raise self._failure
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        pieces, self._pieces, self._unread = self._pieces, [], 0
        if self._paused:
            self._paused = False
            assert self._transport is not None
            self._transport.resume_reading()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def fail(self, error: Exception) -> None:
        """Lets whoever waits for this answer, or will, get an error instead. Closes the connection."""
        self._failure = self._failure or error
        self._complete = False
        self._pieces = []
        self.close()
        self._wake()

    def close(self) -> None:
        """Hangs up at once, whatever is on its way."""
        self._keeps = False
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _break(self, error: Exception) -> None:
        """Notes that no more will come; what came before can still be read."""
        self._failure = self._failure or error
        self.close()

    # ------------------------------------------------------------------------ called by the loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of TCP
        self._transport = transport
        if not self._keeps:  # closed while it was being made
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._complete:  # nobody has asked
            self.close()
            return
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._break(NotHTTPError(str(error)))
        if self._overhead > _MAX_OVERHEAD and not self._complete:
            self._break(NotHTTPError("headers without end"))
        if self._unread > _MAX_UNREAD and not self._paused:
            assert self._transport is not None
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._keeps = False
        if not self._complete and self._failure is None:
            if error is None and self._in_body and not self._framed:
                self._complete = True  # a body that nothing else tells the end of
            else:
                self._failure = BrokenOffError() if self._in_body else error or ClosedError()
        self._wake()
        self._on_lost(self)

    # ---------------------------------------------------------------------- called by the parser

    def on_message_begin(self) -> None:
        if self._complete:
            raise NotHTTPError("a second answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:
            self.fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200 and status != 101:
            self.fields.clear()
            return
        self.status = status
        self._keeps = self._keeps and self._parser.should_keep_alive()
        self._framed = any(name in _FRAMES_BODY for name, _ in self.fields)
        self._in_body = True

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._unread += len(piece)
        self._overhead = 0

    def on_message_complete(self) -> None:
        self._complete = self._in_body
