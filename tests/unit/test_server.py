"""The server's own limits on connections: heads without an end, and answers that nobody reads."""

from __future__ import annotations

import asyncio
import itertools
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
        tasks.create_task(server.serve(listener))
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


async def answer_to(app: ASGIApp, *pieces: bytes) -> bytes:
    """Sends the pieces, each once the one before was read, and returns what comes back to the end."""
    async with served(app) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):
            answer = await reader.read()
        writer.close()
        return answer


CLOSE = b"Connection: close\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with what was asked, as a stream without a length."""
    body = await read_body(scope, receive, limit=10_000_000, timeout_s=PATIENCE_S)
    asked = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} ".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    for piece in (asked, body):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


def test_requests_that_come_at_once_are_answered_in_turn():
    first = b"POST /%61?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\none"
    second = b"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n" + CLOSE + b"two"
    answer = asyncio.run(answer_to(echo, first + second))
    one, two = answer.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert one.endswith(b"c\r\nPOST /a x=1 \r\n3\r\none\r\n0\r\n\r\n")
    assert two.endswith(b"9\r\nPOST /b  \r\n3\r\ntwo\r\n0\r\n\r\n")
    assert (b"connection: close" in one, b"connection: close" in two) == (False, True)


@pytest.mark.parametrize("size", [1, 100_000, 3_000_000])
def test_a_body_arrives_whole_however_it_is_cut(size):
    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n" % size + CLOSE
    body = bytes(size)
    cuts = [0, size // 3, size // 2, size]
    pieces = [body[a:b] for a, b in itertools.pairwise(cuts)]
    answer = asyncio.run(answer_to(echo, head, *pieces))
    assert answer.endswith(b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (size, body))


def test_a_client_that_waits_to_send_its_body_is_told_to():
    head = b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n" + CLOSE

    async def main():
        async with served(echo) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head)
            async with asyncio.timeout(PATIENCE_S):
                interim = await reader.readuntil(b"\r\n\r\n")
                writer.write(b"ok")
                answer = await reader.read()
            writer.close()
            return interim, answer

    interim, answer = asyncio.run(main())
    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_to_http_1_0_a_stream_has_no_chunks_and_ends_with_the_connection():
    answer = asyncio.run(answer_to(echo, b"GET / HTTP/1.0\r\n\r\n"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert body == b"GET /  "


def test_head_is_answered_without_a_body():
    answer = asyncio.run(answer_to(hello, b"HEAD / HTTP/1.1\r\nHost: h\r\n" + CLOSE))
    assert b"content-length: 2\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "garbage", [b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\nHost: \x00\r\n\r\n"]
)
def test_what_is_not_http_is_answered_400_in_the_envelope(garbage):
    head, _, body = asyncio.run(answer_to(hello, garbage)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["message"] == "the request is not valid HTTP"


def test_an_upgrade_that_is_asked_for_is_passed_over():
    asked = GET + b"Upgrade: h2c\r\nConnection: upgrade\r\n\r\n"
    assert asyncio.run(answer_to(hello, asked)).startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_answer_that_breaks_off_ends_the_connection_without_its_end():
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"some", "more_body": True})
        raise LookupError

    answer = asyncio.run(answer_to(broken, GET + b"\r\n"))
    assert answer.endswith(b"\r\n4\r\nsome\r\n")


def test_a_line_break_in_a_header_field_is_not_sent():
    async def split(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"a", b"b\r\nc: d")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    assert asyncio.run(answer_to(split, GET + b"\r\n")) == b""
