"""One uvicorn server on a socket that is open already, with our signals and our draining."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Generator, Iterable
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from trunkline.api.errors import envelope
from trunkline.api.exchange import HANGUPS, Hangups
from trunkline.errors import RequestTooLarge, StartError
from trunkline.ids import new_id

_BACKLOG = 2048
_YOUNG_OBJECTS = 5000  # python's 700 are fewer than a handful of running requests have
_KEEP_ALIVE_S = 75  # longer than clients keep idle connections, so that they close them, not we
_MAX_HEAD_BYTES = 64 << 10
_UNREAD_TIMEOUT_S = 30.0
_LEAST_READ_BYTES = 16 << 10  # within that time; asyncio pauses writers at 64 KiB, down to 16
_CANCELLED_S = 2.0  # for requests that are cut off to hang up and to leave their receipts


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


class _Connection(HttpToolsProtocol):
    """A connection that ends if the other end holds it up or fills it.

    uvicorn only ends those that send nothing at all after an answer. Here a request's head must come
    in time, however many bytes do, and within ``_MAX_HEAD_BYTES``, counted read by read; and an
    answer that is held back for ``unread_timeout_s`` must be read on, or its client counts as gone.
    """

    def __init__(
        self, *arguments: Any, head_timeout_s: float, unread_timeout_s: float, **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self._head_timeout_s = head_timeout_s
        self._head_timer: asyncio.TimerHandle | None = None
        self._in_head = False
        self._head_bytes = 0
        self._unread_timeout_s = unread_timeout_s
        self._unread_timer: asyncio.TimerHandle | None = None
        self._hangups: Hangups = set()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._await_head(self._head_timeout_s)

    def data_received(self, data: bytes) -> None:
        before: RequestResponseCycle | None = self.cycle  # None until the first head is complete
        begins_with_body = not self._in_head and before is not None and before.more_body
        super().data_received(data)
        if self._in_head and not begins_with_body:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[HANGUPS] = self._hangups  # type: ignore[literal-required]  # ours
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._stop_waiting()
        if self.cycle.response_complete:  # else a pipelined request has come and is being answered
            self._await_head(_KEEP_ALIVE_S + self._head_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_watching()
        super().connection_lost(exc)
        for hang_up in tuple(self._hangups):
            hang_up()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reading()

    def resume_writing(self) -> None:
        self._stop_watching()
        super().resume_writing()

    def _await_head(self, timeout_s: float) -> None:
        self._head_timer = self.loop.call_later(timeout_s, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()

    def _refuse_head(self) -> None:
        """Answers 431 and hangs up; a client that goes on sending may not get to read it."""
        body = envelope(
            RequestTooLarge(f"the request's head is larger than {_MAX_HEAD_BYTES} bytes")
        )
        self.transport.write(
            b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\n"
            b"content-length: %d\r\nx-request-id: %b\r\nconnection: close\r\n\r\n%b"
            % (len(body), new_id("req").encode(), body)
        )
        self.transport.close()

    def _watch_reading(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._unread_timer = self.loop.call_later(
            self._unread_timeout_s, self._end_unless_read, unread
        )

    def _end_unless_read(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() >= _LEAST_READ_BYTES:
            self._watch_reading()
        else:
            self.transport.abort()  # closing would wait for the client to read the rest

    def _stop_watching(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()


class Server(uvicorn.Server):
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
        config = uvicorn.Config(
            app,
            lifespan="off",  # open_app owns what must be closed
            http=partial(  # type: ignore[arg-type]  # called like the class
                _Connection, head_timeout_s=head_timeout_s, unread_timeout_s=unread_timeout_s
            ),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=drain_s,  # type: ignore[arg-type]  # a float serves as well
        )
        super().__init__(config)
        self._on_started = on_started
        logging.getLogger("uvicorn.error").addFilter(_was_not_cut_off)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _spare_the_collector()
        self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        await _cut_off(self.server_state.tasks)

    def stop(self) -> None:
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leaves the signals to ``on_signals``: uvicorn would raise them again in the end."""
        yield


async def _cut_off(requests: Iterable[asyncio.Task[None]]) -> None:
    """Ends the requests that outlast the draining, before what they use is closed."""
    remaining = set(requests)
    for request in remaining:
        if not request.cancelling():
            request.cancel()
    if remaining:
        await asyncio.wait(remaining, timeout=_CANCELLED_S)


def _was_not_cut_off(record: logging.LogRecord) -> bool:
    """Tells failures from requests that we cut off: uvicorn logs a traceback of either."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


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
