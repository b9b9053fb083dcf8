"""The server's own limits on connections: heads without an end, and answers that nobody reads."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from trunkline.api.exchange import HANGUPS, Exchange
from trunkline.api.receive import ClientGoneError, read_body, until_hangup
from trunkline.api.send import send_json, send_stream
from trunkline.engine.admission import Admission
from trunkline.serving.server import Server, bind

PATIENCE_S = 20.0
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


@asynccontextmanager
async def served(app: ASGIApp, *, unread_timeout_s: float = PATIENCE_S) -> AsyncIterator[int]:
    """Serves the application and yields its port."""
    listener = bind("127.0.0.1", 0)
    server = Server(
        app,
        head_timeout_s=PATIENCE_S,
        unread_timeout_s=unread_timeout_s,
        drain_s=0.1,
        on_started=lambda: None,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.stop()


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send_json(send, Exchange(request_id="req_1", method="GET", path="/"), b"{}")


class Endless:
    """Streams for ever, and holds a slot of an engine for as long.

    It is ``told`` of a hang-up by the server, or listens for it.
    """

    def __init__(self, *, told: bool = True) -> None:
        self.told = told
        self.slots = Admission(slots=1, queue=0)
        self.ends: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hangups = scope[HANGUPS] if self.told else None
        exchange = Exchange(request_id="req_1", method="GET", path="/", hangups=hangups)
        await read_body(scope, receive, limit=100, timeout_s=PATIENCE_S)
        try:
            async with self.slots.slot():
                await until_hangup(receive, exchange, send_stream(send, exchange, frames()))
        except ClientGoneError:
            await self.ends.put("gone")


async def frames() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 10_000
        await asyncio.sleep(0)


def deaf_client(port: int) -> socket.socket:
    """Connects with a small receive buffer, asks, and leaves the answer unread."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(GET + b"\r\n")
    return client


@pytest.mark.parametrize("told", [True, False])
def test_a_client_that_does_not_read_gives_its_slot_back(told):
    async def main():
        app = Endless(told=told)
        async with served(app, unread_timeout_s=0.05) as port:
            with deaf_client(port):
                async with asyncio.timeout(PATIENCE_S):
                    end = await app.ends.get()
            async with app.slots.slot():  # raises if it is not free
                return end

    assert asyncio.run(main()) == "gone"


@pytest.mark.parametrize("line", [b"X-Many: x\r\n", b"x"], ids=["many headers", "one header"])
def test_a_head_without_an_end_is_answered_431_and_cut_off(line):
    head = GET + b"X-One: " + line * (70_000 // len(line))

    async def main():
        async with served(hello) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            async with asyncio.timeout(PATIENCE_S):
                answer = await reader.read()
            writer.close()
            return answer

    status_and_headers, _, body = asyncio.run(main()).partition(b"\r\n\r\n")
    assert status_and_headers.startswith(b"HTTP/1.1 431 ")
    assert b"x-request-id: req_" in status_and_headers
    error = json.loads(body)["error"]
    assert error["code"] == "request_too_large"
    assert error["message"] == "the request's head is larger than 65536 bytes"


def test_a_large_body_is_not_counted_as_a_head():
    request = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n"

    async def main():
        async with served(hello) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request + b"x" * 300_000 + GET + b"Connection: close\r\n\r\n")
            async with asyncio.timeout(PATIENCE_S):
                answer = await reader.read()
            writer.close()
            return answer

    assert asyncio.run(main()).count(b"HTTP/1.1 200") == 2
