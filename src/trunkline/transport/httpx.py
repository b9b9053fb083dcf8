"""The guard as a client of httpx2, which is what the MCP SDK speaks. Imported once it is used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

import httpx2  # noqa: TID251  # its types; connections are made by the guard

from trunkline import __version__
from trunkline.errors import EgressError
from trunkline.transport.exchange import Answer, Channel
from trunkline.transport.target import Target

_METHODS = frozenset({"GET", "POST", "DELETE"})
_MAX_REDIRECTS = 3  # the SDK follows those within the origin
# What frames a message and belongs to a connection is written by our own client.
_NOT_SENT = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "cookie",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_TOLD = frozenset({b"set-cookie", b"set-cookie2"})
_KINDS: Mapping[str, type[httpx2.TransportError]] = {
    "url": httpx2.UnsupportedProtocol,
    "refused": httpx2.ConnectError,
    "unreachable": httpx2.ConnectError,
    "timeout": httpx2.ReadTimeout,
    "protocol": httpx2.RemoteProtocolError,
}


def lend(channel: Channel, headers: Mapping[str, str]) -> httpx2.AsyncClient:
    """Returns a client over a channel, which is closed with it."""
    return httpx2.AsyncClient(
        transport=Transport(channel),
        headers={"User-Agent": f"trunkline/{__version__}", **headers},
        trust_env=False,
        follow_redirects=False,
        max_redirects=_MAX_REDIRECTS,
        timeout=None,  # the channel has its deadlines
    )


class Transport(httpx2.AsyncBaseTransport):
    """Sends requests through a channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        fields = [
            (name, value)
            for name, value in request.headers.multi_items()
            if name.lower() not in _NOT_SENT
        ]
        body = await request.aread()
        try:
            if request.method not in _METHODS:
                raise EgressError("only GET, POST and DELETE are sent", reason="protocol")
            answer = await self._channel.ask(
                request.method,
                Target.parse(str(request.url)),
                fields,
                body if body or request.method == "POST" else None,
            )
        except EgressError as error:
            raise _translated(error, request) from error
        return httpx2.Response(
            answer.status,
            headers=[field for field in answer.fields if field[0] not in _NOT_TOLD],
            stream=_Body(answer, request),
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        self._channel.close()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, answer: Answer, request: httpx2.Request) -> None:
        self._answer = answer
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async with aclosing(self._answer.reads()) as reads:
                async for read in reads:
                    yield read
        except EgressError as error:
            raise _translated(error, self._request) from error

    async def aclose(self) -> None:
        self._answer.close()


def _translated(error: EgressError, request: httpx2.Request) -> httpx2.TransportError:
    kind = _KINDS.get(error.reason, httpx2.ReadError)
    return kind(error.message, request=request)
