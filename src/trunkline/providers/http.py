"""A provider reached over HTTP: an adapter, an address and a client."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager

from trunkline.errors import UpstreamError
from trunkline.providers.base import Adapter, Call, Decoder, Outgoing, Reply, Whole
from trunkline.transport import Client, Timeouts
from trunkline.wire import sse

_MAX_REPLY_BYTES = 64 * 1024 * 1024
_MAX_ERROR_BYTES = 64 * 1024
_NOT_A_STREAM = ("application/json", "text/html")


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

    @asynccontextmanager
    async def open(self, call: Call, /) -> AsyncIterator[Reply]:
        """Enters once the first chunk with content is here; until then fails with UpstreamError.

        Leaving before the reply's end closes the upstream connection at once.
        """
        outgoing = self._adapter.request(call)
        async with self._client.send(
            self._base_url + outgoing.path,
            headers={**outgoing.headers, **self._headers} if self._headers else outgoing.headers,
            body=outgoing.body,
            timeouts=self._timeouts_of(call),
        ) as incoming:
            if not 200 <= incoming.status < 300:
                body = await incoming.head(_MAX_ERROR_BYTES)
                recovered = self._adapter.recovered(call, incoming.status, body)
                if recovered is None:
                    raise self._adapter.error(incoming.status, incoming.headers, body)
                yield _at_once(recovered, outgoing)
                return
            if not call.stream:
                body = await incoming.read(_MAX_REPLY_BYTES)
                yield _at_once(self._adapter.reply(call, body), outgoing)
                return
            if incoming.headers.get("Content-Type", "").startswith(_NOT_A_STREAM):
                body = await incoming.head(_MAX_ERROR_BYTES)
                raise self._adapter.error(incoming.status, incoming.headers, body)
            parser, decoder = sse.Parser(), self._adapter.decoder(call)
            async with aclosing(incoming.reads()) as reads:
                first = await _first(reads, parser, decoder)
                incoming.progressed()
                async with aclosing(_chunks(first, reads, parser, decoder)) as chunks:
                    yield Reply(chunks, decoder.repairs, outgoing.emulations, outgoing.ignored)
            if decoder.done:
                await incoming.drain()

    def _timeouts_of(self, call: Call) -> Timeouts:
        timeouts = self._timeouts if call.stream else self._whole_timeouts
        if call.within_s is None or call.within_s >= timeouts.total_s:
            return timeouts
        return dataclasses.replace(timeouts, total_s=call.within_s)


async def _first(
    reads: AsyncIterator[bytes], parser: sse.Parser, decoder: Decoder
) -> Sequence[bytes]:
    """Reads until the stream commits."""
    async for read in reads:
        if chunks := decoder.decode(parser.feed(read)):
            return chunks
        if decoder.done:
            break
    if chunks := decoder.flush():
        return chunks
    raise UpstreamError("sent an empty stream", retryable=True)


async def _chunks(
    first: Sequence[bytes], reads: AsyncIterator[bytes], parser: sse.Parser, decoder: Decoder
) -> AsyncGenerator[Sequence[bytes]]:
    yield first
    while not decoder.done and (read := await anext(reads, None)):
        if chunks := decoder.decode(parser.feed(read)):
            yield chunks
    if chunks := decoder.flush():
        yield chunks


def _at_once(whole: Whole, outgoing: Outgoing) -> Reply:
    async def chunks() -> AsyncGenerator[Sequence[bytes]]:
        yield whole.chunks

    return Reply(chunks(), whole.repairs, outgoing.emulations, outgoing.ignored)
