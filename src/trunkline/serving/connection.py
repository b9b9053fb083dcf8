"""A client's connection: httptools parses what comes, the application answers, one request at a time.

HTTP/1.1 and 1.0, kept alive and pipelined, as ASGI has it. Nothing here knows of routes or keys.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote

import httptools
from starlette.types import ASGIApp, Message, Scope

from trunkline.api.errors import envelope
from trunkline.api.exchange import BODY, HANGUPS, Hangups, Headers
from trunkline.errors import APIError, InvalidRequest, RequestTooLarge
from trunkline.ids import new_id
from trunkline.log import get_logger

_KEEP_ALIVE_S = 75  # longer than clients keep idle connections, so that they close them, not we
_MAX_HEAD_BYTES = 64 << 10
_HEAD_TOO_LARGE = f"the request's head is larger than {_MAX_HEAD_BYTES} bytes"
_MAX_UNREAD_BYTES = 64 << 10  # of a body that nobody has asked for, until its client has to wait
_LEAST_READ_BYTES = 16 << 10  # within the time; asyncio pauses writers at 64 KiB, down to 16

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_WITHOUT_BODY = frozenset({204, 304})
_ASGI = {"version": "3.0", "spec_version": "2.3"}

log = get_logger()


@dataclass(slots=True)
class Clientele:
    """What a server has open. ``date`` is the header field that every answer gets."""

    connections: set[Connection] = field(default_factory=set)
    requests: set[asyncio.Task[None]] = field(default_factory=set)
    date: bytes = b""


class Connection(asyncio.Protocol):
    """A connection that ends if the other end holds it up or fills it.

    A request's head must come within ``head_timeout_s``, however many bytes do, and within
    ``_MAX_HEAD_BYTES``, counted read by read. An answer that is held back for ``unread_timeout_s``
    must be read on, or its client counts as gone. Both are looked at when the server calls ``check``.
    """

    def __init__(
        self,
        app: ASGIApp,
        clientele: Clientele,
        *,
        head_timeout_s: float,
        unread_timeout_s: float,
    ) -> None:
        self.clientele = clientele
        self.hangups: Hangups = set()
        self.writable = asyncio.Event()
        self.writable.set()
        self._app = app
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        # What follows a request that says "close" is passed over, as its answer is still to be sent.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._head_timeout_s = head_timeout_s
        self._unread_timeout_s = unread_timeout_s
        self._head_due = self._loop.time() + head_timeout_s
        self._unread_due = math.inf
        self._unread = 0
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._in_head = False
        self._head_bytes = 0
        self._reading: _Request | None = None
        self._answering: _Request | None = None
        self._waiting: deque[_Request] = deque()

    def check(self, now: float) -> None:
        """Ends the connection if its client has let a time go by."""
        if now >= self._head_due:
            self.transport.close()
        elif now >= self._unread_due:
            unread = self.transport.get_write_buffer_size()
            if self._unread - unread < _LEAST_READ_BYTES:
                self.transport.abort()  # closing would wait for the client to read the rest
            self._unread, self._unread_due = unread, now + self._unread_timeout_s

    def shutdown(self) -> None:
        """Closes the connection once what was asked is answered."""
        last = self._waiting[-1] if self._waiting else self._answering
        if last is None:
            self.transport.close()
        else:
            last.keeps = False

    def answered(self, request: _Request) -> None:
        """Goes on to the next request, now that one has its whole answer."""
        self._answering = None
        if not request.keeps:
            self.transport.close()
        elif self._waiting:
            self._answer(self._waiting.popleft())
        else:
            self._head_due = self._loop.time() + _KEEP_ALIVE_S + self._head_timeout_s
            self.transport.resume_reading()

    def _answer(self, request: _Request) -> None:
        self._answering = request
        self._head_due = math.inf
        task = self._loop.create_task(request.run(self._app))
        self.clientele.requests.add(task)
        task.add_done_callback(self.clientele.requests.discard)

    def _refuse(self, status: int, failure: APIError) -> None:
        """Tells what is wrong with a head, and hangs up; who goes on sending may not get to read it."""
        if self._answering is None:
            body = envelope(failure)
            self.transport.write(
                b"%bcontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\n"
                b"connection: close\r\n\r\n%b"
                % (_STATUS_LINES[status], len(body), new_id("req").encode(), body)
            )
        self.transport.close()

    # ------------------------------------------------------------------------ called by the loop

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of TCP
        self.transport = transport
        self._client = transport.get_extra_info("peername")
        self._server = transport.get_extra_info("sockname")
        self.clientele.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        in_body = not self._in_head and self._reading is not None and not self._reading.whole
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # it is answered as if it had not asked for that
        except httptools.HttpParserError:
            self._refuse(400, InvalidRequest("the request is not valid HTTP"))
            return
        if self._in_head and not in_body:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self._refuse(431, RequestTooLarge(_HEAD_TOO_LARGE))

    def connection_lost(self, _error: Exception | None) -> None:
        self.clientele.connections.discard(self)
        for request in (self._answering, *self._waiting):
            if request is not None:
                request.lost()
        self._waiting.clear()
        self.writable.set()
        for hang_up in tuple(self.hangups):
            hang_up()

    def pause_writing(self) -> None:
        self.writable.clear()
        self._unread = self.transport.get_write_buffer_size()
        self._unread_due = self._loop.time() + self._unread_timeout_s

    def resume_writing(self) -> None:
        self._unread_due = math.inf
        self.writable.set()

    # ---------------------------------------------------------------------- called by the parser

    def on_message_begin(self) -> None:
        self._url = b""
        self._fields = []
        self._in_head = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        keeps = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        request = self._reading = _Request(self, self._scope(), keeps=keeps)
        if self._answering is None:
            self._answer(request)
        else:
            self._waiting.append(request)
            self.transport.pause_reading()

    def on_body(self, piece: bytes) -> None:
        if self._reading is not None and self._reading.add(piece) > _MAX_UNREAD_BYTES:
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._reading is not None:
            self._reading.end()

    def _scope(self) -> Scope:
        raw_path, _, query = self._url.partition(b"?")
        if raw_path[:1] != b"/":  # a whole address, as proxies are asked
            parsed = httptools.parse_url(self._url)
            raw_path, query = parsed.path or b"/", parsed.query or b""
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": self._parser.get_http_version(),
            "method": self._parser.get_method().decode("ascii"),
            "scheme": "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self._fields,
            "client": self._client,
            "server": self._server,
            HANGUPS: self.hangups,
        }


class _Request:
    """One request and its answer: what the application receives and sends.

    Attributes:
        whole: its body is here to the end.
        keeps: another request may follow on the connection.
    """

    __slots__ = (
        "_begun",
        "_chunked",
        "_complete",
        "_connection",
        "_gone",
        "_handed_over",
        "_head",
        "_left",
        "_pieces",
        "_unread",
        "_waiter",
        "keeps",
        "scope",
        "whole",
    )

    def __init__(self, connection: Connection, scope: Scope, *, keeps: bool) -> None:
        self.scope = scope
        self.whole = False
        self.keeps = keeps
        self._connection = connection
        self._pieces: list[bytes] = []
        self._unread = 0
        self._handed_over = False
        self._waiter: asyncio.Future[None] | None = None
        self._begun = self._complete = self._gone = False
        self._head = b""
        self._chunked = False
        self._left: int | None = None  # bytes of body, None where only the connection's end tells

    async def run(self, app: ASGIApp) -> None:
        """Lets the application answer; an answer that it leaves unfinished breaks off."""
        self._begun = True
        try:
            await app(self.scope, self.receive, self.send)
        except Exception as error:  # the last one who could tell of it
            log.error("answer_broken_off", exc_info=error)
        finally:
            if not self._complete:
                self._connection.transport.close()

    def add(self, piece: bytes) -> int:
        """Takes in a piece of the body; returns how many bytes wait for the application."""
        if self._complete:
            return 0
        self._pieces.append(piece)
        self._unread += len(piece)
        self._wake()
        return self._unread

    def end(self) -> None:
        """The body is whole. If it came together with the head, nobody has to wait for it."""
        self.whole = True
        if not self._begun:
            self.scope[BODY] = b"".join(self._pieces)
        self._wake()

    def lost(self) -> None:
        """The client is gone."""
        self._gone = True
        self._wake()

    async def receive(self) -> Message:
        """Returns what is next of the body; after it, once there is nobody to be answered, that."""
        while not (self._complete or self._gone):
            if self._pieces or (self.whole and not self._handed_over):
                body, self._pieces, self._unread = b"".join(self._pieces), [], 0
                self._handed_over = self.whole
                return {"type": "http.request", "body": body, "more_body": not self.whole}
            if not self.whole:
                self._ask_for_more()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Sends a part of the answer; its head leaves with the first part of its body."""
        connection = self._connection
        if not connection.writable.is_set():
            await connection.writable.wait()
        if self._gone:
            return
        if message["type"] == "http.response.start":
            self._begin(message["status"], message["headers"])
            return
        body, more = message.get("body", b""), message.get("more_body", False)
        if self._chunked and more and body:
            piece = b"%b%x\r\n%b\r\n" % (self._head, len(body), body)
        else:
            piece = self._head + self._framed(body, more=more)
        self._head = b""
        if piece:
            connection.transport.write(piece)
        if not more:
            self._complete = True
            self._wake()
            connection.answered(self)

    def _begin(self, status: int, headers: Headers) -> None:
        lines = [_STATUS_LINES[status], self._connection.clientele.date]
        for name, value in headers:
            if name == b"content-length":
                self._left = int(value)
            elif name == b"connection":
                self.keeps = False  # "close" is all that an application may say
                continue
            lines.append(b"%b: %b\r\n" % (name, value))
        if self.scope["method"] == "HEAD" or status in _WITHOUT_BODY:
            self._left = 0
        elif self._left is None and self.scope["http_version"] == "1.0":
            self.keeps = False
        elif self._left is None:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        if not self.keeps:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if head.count(b"\n") != len(lines):
            raise ValueError("a header field of the answer holds a line break")
        self._head = head + b"\r\n"

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        if self._chunked:
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return chunk if more else chunk + b"0\r\n\r\n"
        if self._left is None:
            return body
        body = body[: self._left]  # none, where only the head was asked for
        self._left -= len(body)
        if self._left and not more:
            self.keeps = False  # the client still waits for the rest
        return body

    def _ask_for_more(self) -> None:
        if (b"expect", b"100-continue") in self.scope["headers"] and not self._head:
            self._connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.scope["headers"].remove((b"expect", b"100-continue"))
        self._connection.transport.resume_reading()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
