"""The two ways a reply leaves: whole, or as a stream. Every one carries ``x-request-id``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from starlette.types import Send

from trunkline.api.exchange import Exchange, Headers

_JSON = (b"content-type", b"application/json")
_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


async def send_json(
    send: Send, exchange: Exchange, body: bytes, *, status: int = 200, headers: Headers = ()
) -> None:
    """Sends one JSON document."""
    await send_whole(send, exchange, body, status=status, headers=(_JSON, *headers))


async def send_whole(
    send: Send, exchange: Exchange, body: bytes, *, status: int, headers: Headers
) -> None:
    """Sends a whole body; ``headers`` say what it is."""
    exchange.status = status
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-length", str(len(body)).encode()),
                (b"x-request-id", exchange.request_id.encode()),
                *headers,
            ],
        }
    )
    exchange.answered = True
    await send({"type": "http.response.body", "body": body})


async def send_stream(
    send: Send, exchange: Exchange, frames: AsyncIterator[bytes], *, headers: Headers = ()
) -> None:
    """Sends server-sent events; what ``frames`` yields together is written together."""
    await begin_stream(send, exchange, headers=headers)
    await send_rest(send, exchange, frames)


async def begin_stream(send: Send, exchange: Exchange, *, headers: Headers = ()) -> None:
    """Sends the head of a stream."""
    exchange.status = 200
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [*_STREAM, (b"x-request-id", exchange.request_id.encode()), *headers],
        }
    )


async def send_rest(send: Send, exchange: Exchange, frames: AsyncIterator[bytes]) -> None:
    """Sends the events of a stream that has begun, and its end."""
    async with aclosing(frames):  # type: ignore[type-var]  # every caller passes a generator
        async for frame in frames:
            await send_some(send, frame)
    await send_last(send, exchange, b"")


async def send_some(send: Send, frames: bytes) -> None:
    """Sends events of a stream that has begun, all in one write."""
    await send({"type": "http.response.body", "body": frames, "more_body": True})


async def send_last(send: Send, exchange: Exchange, frames: bytes) -> None:
    """Sends the last events of a stream, and its end with them."""
    exchange.answered = True
    await send({"type": "http.response.body", "body": frames})
