"""A provider reached over HTTP: an adapter, an address and a client."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from trunkline.errors import UpstreamError
from trunkline.providers.base import Adapter, Call, Decoder, Outgoing, Reply, Whole
from trunkline.transport import Client, Incoming, Timeouts
from trunkline.wire import sse

_MAX_REPLY_BYTES = 64 * 1024 * 1024
_MAX_ERROR_BYTES = 64 * 1024
_NOT_A_STREAM = (b"application/json", b"text/html")


class HTTPProvider:
    """Answers chat calls by asking an upstream.

    ``base_url`` is what the adapter's paths are appended to; ``headers`` are sent with every request,
    over the adapter's own.
    """

    def __init__(
        self,
        *,
        name: str,
        base_url: str,
        adapter: Adapter,
        client: Client,
        timeouts: Timeouts | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._base_url = base_url.rstrip("/")
        self._adapter = adapter
        self._client = client
        self._headers = dict(headers or {})
        self._timeouts = timeouts or Timeouts()
        # A whole answer begins when it is complete: only the total counts.
        self._whole_timeouts = dataclasses.replace(
            self._timeouts, first_chunk_s=self._timeouts.total_s
        )

    def open(self, call: Call, /) -> AbstractAsyncContextManager[Reply]:
        """Enters once the first chunk with content is here; until then fails with UpstreamError.

        Leaving before the reply's end closes the upstream connection at once.
        """
        outgoing = self._adapter.request(call)
        incoming = self._client.send(
            self._base_url + outgoing.path,
            headers={**outgoing.headers, **self._headers} if self._headers else outgoing.headers,
            body=outgoing.body,
            timeouts=self._timeouts_of(call),
        )
        return _Opening(self._adapter, call, outgoing, incoming)

    def _timeouts_of(self, call: Call) -> Timeouts:
        timeouts = self._timeouts if call.stream else self._whole_timeouts
        if call.within_s is None or call.within_s >= timeouts.total_s:
            return timeouts
        return dataclasses.replace(timeouts, total_s=call.within_s)


class _Opening:
    """One call on its way: entered once it has committed."""

    __slots__ = ("_adapter", "_call", "_decoder", "_incoming", "_outgoing")

    def __init__(
        self, adapter: Adapter, call: Call, outgoing: Outgoing, incoming: Incoming
    ) -> None:
        self._adapter = adapter
        self._call = call
        self._outgoing = outgoing
        self._incoming = incoming
        self._decoder: Decoder | None = None

    async def __aenter__(self) -> Reply:
        incoming = await self._incoming.__aenter__()
        try:
            return await self._reply(incoming)
        except BaseException:
            incoming.close()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if error is None and self._decoder is not None and self._decoder.done:
                await self._incoming.drain()
        finally:
            self._incoming.close()

    async def _reply(self, incoming: Incoming) -> Reply:
        adapter, call = self._adapter, self._call
        if not 200 <= incoming.status < 300:
            body = await incoming.head(_MAX_ERROR_BYTES)
            recovered = adapter.recovered(call, incoming.status, body)
            if recovered is None:
                raise adapter.error(incoming.status, incoming.headers, body)
            return self._at_once(recovered)
        if not call.stream:
            body = await incoming.read(_MAX_REPLY_BYTES)
            return self._at_once(adapter.reply(call, body))
        if incoming.content_type.startswith(_NOT_A_STREAM):
            body = await incoming.head(_MAX_ERROR_BYTES)
            raise adapter.error(incoming.status, incoming.headers, body)
        decoder = self._decoder = adapter.decoder(call)
        chunks = _Chunks(incoming, decoder)
        await chunks.begin()
        incoming.progressed()
        return Reply(chunks, decoder.repairs, self._outgoing.emulations, self._outgoing.ignored)

    def _at_once(self, whole: Whole) -> Reply:
        chunks = _AtOnce(whole.chunks)
        return Reply(chunks, whole.repairs, self._outgoing.emulations, self._outgoing.ignored)


class _Chunks:
    """The chunks of a stream, those of one network read together.

    An iterator rather than a generator: the event loop keeps account of each generator.
    """

    __slots__ = ("_begun_with", "_decoder", "_incoming", "_parser")

    def __init__(self, incoming: Incoming, decoder: Decoder) -> None:
        self._incoming = incoming
        self._decoder = decoder
        self._parser = sse.Parser()
        self._begun_with: Sequence[bytes] = ()

    async def begin(self) -> None:
        """Reads until the stream commits; raises UpstreamError if it does not."""
        begun_with = await anext(self, None)
        if begun_with is None:
            raise UpstreamError("sent an empty stream", retryable=True)
        self._begun_with = begun_with

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[bytes]:
        if self._begun_with:
            chunks, self._begun_with = self._begun_with, ()
            return chunks
        decoder = self._decoder
        while not decoder.done and (read := await self._incoming.some()):
            if chunks := decoder.decode(self._parser.feed(read)):
                return chunks
        if chunks := decoder.flush():
            return chunks
        raise StopAsyncIteration


class _AtOnce:
    """The chunks of a reply that came in one piece."""

    __slots__ = ("_chunks",)

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks: Sequence[bytes] | None = chunks

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[bytes]:
        if self._chunks is None:
            raise StopAsyncIteration
        chunks, self._chunks = self._chunks, None
        return chunks
