"""Exchanges with a server that a caller chose: what is asked, and how much of an answer is taken."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from trunkline.errors import EgressError, UpstreamError
from trunkline.transport import client
from trunkline.transport.client import Incoming, Timeouts
from trunkline.transport.dial import Deadlines
from trunkline.transport.pool import Origin, Pool
from trunkline.transport.target import Target
from trunkline.wire import sse

_EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a server may send in one answer."""

    body_bytes: int = 4 << 20
    stream_bytes: int = 16 << 20
    """In place of ``body_bytes`` for a stream of server-sent events."""
    event_bytes: int = 4 << 20
    """Of one event, and so of one line."""
    events: int = 10_000


class Channel:
    """Connections to one origin for one caller; what breaks their rules raises EgressError."""

    def __init__(
        self,
        pool: Pool,
        origin: Origin,
        *,
        bounds: Bounds,
        deadlines: Deadlines,
        on_close: Callable[[Channel], None],
    ) -> None:
        self._pool = pool
        self._origin = origin
        self._bounds = bounds
        self._timeouts = Timeouts(
            connect_s=deadlines.resolve_s + deadlines.connect_s + deadlines.tls_s,
            first_chunk_s=deadlines.first_byte_s,
            idle_s=deadlines.idle_s,
            total_s=deadlines.total_s,
        )
        self._on_close = on_close

    async def ask(
        self,
        method: str,
        target: Target,
        fields: Iterable[tuple[str, str]],
        body: bytes | None = None,
    ) -> Answer:
        """Returns the answer to a request once its head is here. It is to be closed."""
        if target.origin != self._origin:
            raise EgressError("the server leads elsewhere", reason="redirect")
        address = target.address
        try:
            request = client.whole(client.head(method, address, fields), body)
            incoming = Incoming(self._pool, address, request, self._timeouts)
            await incoming.__aenter__()
        except UpstreamError as error:
            raise _translated(error) from error
        incoming.progressed()
        answer = Answer(incoming, self._bounds)
        try:
            answer.check()
        except EgressError:
            answer.close()
            raise
        return answer

    def close(self) -> None:
        """Closes the connections; answers that are being read break off."""
        self._pool.close()
        self._on_close(self)


class Answer:
    """What a server answers, its body still to be read and bounded."""

    def __init__(self, incoming: Incoming, bounds: Bounds) -> None:
        self._incoming = incoming
        self._bounds = bounds
        self._closed = False
        self.status = incoming.status
        self.fields: Sequence[tuple[bytes, bytes]] = incoming.fields
        self.headers: Mapping[str, str] = incoming.headers
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        self._events = kind == _EVENT_STREAM
        self._max_bytes = bounds.stream_bytes if self._events else bounds.body_bytes

    def check(self) -> None:
        """Raises EgressError for what its head already tells."""
        if self.headers.get("content-encoding", "").strip().lower() not in ("", "identity"):
            raise EgressError(
                "the server compresses what it sends, although it was asked not to",
                reason="protocol",
            )
        length = self.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise self._too_long()

    async def reads(self) -> AsyncGenerator[bytes]:
        """Yields the body as it comes, once."""
        parser = sse.Parser(max_bytes=self._bounds.event_bytes) if self._events else None
        length = events = 0
        try:
            async with aclosing(self._incoming.reads()) as reads:
                async for read in reads:
                    length += len(read)
                    if length > self._max_bytes:
                        raise self._too_long()
                    if parser is not None:
                        events += len(parser.feed(read))
                        if events > self._bounds.events:
                            raise EgressError(
                                f"the server sends more than {self._bounds.events} events",
                                reason="size",
                            )
                    yield read
        except UpstreamError as error:
            raise _translated(error) from error

    def close(self) -> None:
        """Gives the connection back if the body was read to its end, else closes it."""
        if not self._closed:
            self._closed = True
            self._incoming.close()

    def _too_long(self) -> EgressError:
        return EgressError(f"the server sends more than {self._max_bytes} bytes", reason="size")


def _translated(error: UpstreamError) -> EgressError:
    """Keeps our words of a failure, which name neither the peer nor what it sent."""
    return EgressError(
        f"the server {error.public}", reason="timeout" if error.timed_out else "protocol"
    )
