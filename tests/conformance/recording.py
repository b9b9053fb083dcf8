"""What went over the wire while an official client worked: every answer, byte for byte.

The Python clients get transports of ours, so that nothing stands between them and the server; those
of other languages a relay, which hands on every byte as it comes.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

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
    asked: bytes = b""


class Recorder:
    """Makes HTTP clients and relays, and keeps what was asked through them and answered."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def client(self) -> httpx2.Client:
        return httpx2.Client(transport=_Transport(self.exchanges))

    def async_client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=_AsyncTransport(self.exchanges))

    @contextmanager
    def relay(self, url: str) -> Iterator[str]:
        """Stands before a server of this machine; yields the address to ask instead."""
        with ThreadingHTTPServer(("127.0.0.1", 0), _handler(url, self.exchanges)) as relay:
            relay.daemon_threads = True
            thread = threading.Thread(target=relay.serve_forever, args=(0.01,), daemon=True)
            thread.start()
            try:
                yield f"http://127.0.0.1:{relay.server_address[1]}"
            finally:
                relay.shutdown()
                thread.join(10)


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
    return Exchange(
        request.method,
        request.url.path,
        response.status_code,
        media_type,
        asked=request.content,
    )


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


_PATIENCE_S = 60.0
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding"}


def _handler(url: str, exchanges: list[Exchange]) -> type[BaseHTTPRequestHandler]:
    address = urlsplit(url).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers.get("content-length", 0)))
            upstream = http.client.HTTPConnection(address, timeout=_PATIENCE_S)
            try:
                upstream.request(self.command, self.path, asked, dict(self.headers))
                self._hand_on(asked, upstream.getresponse())
            except (BrokenPipeError, ConnectionResetError):  # the client hung up
                self.close_connection = True
            finally:
                upstream.close()

        do_GET = do_DELETE = do_POST

        def _hand_on(self, asked: bytes, answer: http.client.HTTPResponse) -> None:
            media_type = answer.headers.get("content-type", "").partition(";")[0]
            path = urlsplit(self.path).path
            exchange = Exchange(self.command, path, answer.status, media_type, asked=asked)
            exchanges.append(exchange)
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            chunked = "content-length" not in answer.headers
            if chunked:
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while part := answer.read1(65_536):
                exchange.body += part
                self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
            exchange.whole = True
            if chunked:
                self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return Handler
