"""What went over the wire while an official client worked: every answer, byte for byte.

The clients get transports of ours, so that nothing stands between them and the server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import httpx2  # noqa: TID251  # the library below the official clients, not ours


@dataclass(slots=True)
class Exchange:
    """One request and its answer; ``whole`` tells whether the client read it to the end."""

    method: str
    path: str
    status: int
    media_type: str
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False


class Recorder:
    """Makes HTTP clients and keeps what their servers answered."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def client(self) -> httpx2.Client:
        return httpx2.Client(transport=_Transport(self.exchanges))

    def async_client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=_AsyncTransport(self.exchanges))


class _Transport(httpx2.HTTPTransport):
    def __init__(self, exchanges: list[Exchange]) -> None:
        super().__init__()
        self._exchanges = exchanges

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        assert isinstance(response.stream, httpx2.SyncByteStream)
        exchange = _exchange(request, response)
        self._exchanges.append(exchange)
        response.stream = _Stream(response.stream, exchange)
        return response


class _AsyncTransport(httpx2.AsyncHTTPTransport):
    def __init__(self, exchanges: list[Exchange]) -> None:
        super().__init__()
        self._exchanges = exchanges

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        exchange = _exchange(request, response)
        self._exchanges.append(exchange)
        response.stream = _AsyncStream(response.stream, exchange)
        return response


def _exchange(request: httpx2.Request, response: httpx2.Response) -> Exchange:
    media_type = response.headers["content-type"].partition(";")[0]
    return Exchange(request.method, request.url.path, response.status_code, media_type)


class _Stream(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            self._exchange.body += part
            yield part
        self._exchange.whole = True

    def close(self) -> None:
        self._stream.close()


class _AsyncStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            self._exchange.body += part
            yield part
        self._exchange.whole = True

    async def aclose(self) -> None:
        await self._stream.aclose()
