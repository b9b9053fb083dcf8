"""Upstreams at their worst: no trust over TLS, replies without end, and how little they may cost."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from tests.simulator import Script, Simulator
from tests.tls import self_signed, server_side
from trunkline.errors import UpstreamError
from trunkline.providers.base import Call
from trunkline.providers.http import HTTPProvider
from trunkline.providers.openai import OpenAIChat
from trunkline.transport import Client, Timeouts

KEY = "sk-canary-3f9a71"
MB = 1024 * 1024
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


def call(*, stream: bool) -> Call:
    body = {"messages": [{"role": "user", "content": "hello"}]}
    raw = msgspec.json.decode(msgspec.json.encode(body), type=dict[str, msgspec.Raw])
    return Call(model="sim/echo", body=raw, stream=stream, request_id="req_1")


async def failed(base_url: str, *, stream: bool, timeouts: Timeouts | None = None) -> UpstreamError:
    """Returns what the call ends with; nothing of the reply is kept."""
    async with Client() as client:
        upstream = HTTPProvider(
            name="sim",
            base_url=base_url,
            adapter=OpenAIChat(key=KEY),
            client=client,
            timeouts=timeouts or Timeouts(),
        )
        try:
            async with upstream.open(call(stream=stream)) as reply:
                async for _ in reply.chunks:
                    pass
        except UpstreamError as error:
            return error
    raise AssertionError("the call did not fail")


# ---------------------------------------------------------------------------------------------- TLS


@contextlib.asynccontextmanager
async def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Runs a server and yields its ``https`` address, whether it speaks TLS or not."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = bytearray()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            heard += await reader.read(65_536)
            received.append(bytes(heard))
            serve(reader, writer)
        writer.close()

    received: list[bytes] = []
    server = await asyncio.start_server(connected, "localhost", 0, ssl=tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"https://localhost:{port}/v1"
    assert not any(KEY.encode() in heard for heard in received), "the key went to a stranger"


@pytest.mark.parametrize(
    ("host", "days"),
    [("localhost", 30), ("localhost", -1), ("elsewhere.example", 30)],
    ids=["unknown-issuer", "expired", "wrong-host"],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_certificate_that_cannot_be_trusted_gets_no_key(
    tmp_path: Path, host: str, days: int, stream: bool
) -> None:
    async def run() -> UpstreamError:
        tls = server_side(self_signed(tmp_path, host, days=days))
        async with listening(lambda _reader, _writer: None, tls) as address:
            return await failed(address, stream=stream)

    error = asyncio.run(run())
    assert error.retryable
    assert error.public == "could not be reached over TLS"
    assert not error.timed_out


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"",
    ],
    ids=["plain-http", "alert", "hangs-up"],
)
def test_who_does_not_speak_tls_gets_no_key(said: bytes) -> None:
    async def run() -> UpstreamError:
        async with listening(lambda _reader, writer: writer.write(said)) as address:
            return await failed(address, stream=True)

    error = asyncio.run(run())
    assert error.retryable
    assert error.public.startswith(("could not be", "closed the connection"))


def test_a_handshake_that_never_ends_is_ended() -> None:
    async def run() -> UpstreamError:
        async def forever(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)

        writers: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(forever, "localhost", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            timeouts = Timeouts(connect_s=0.3, first_chunk_s=5.0)
            error = await failed(f"https://localhost:{port}", stream=True, timeouts=timeouts)
            for writer in writers:
                writer.close()
            return error

    error = asyncio.run(run())
    assert (error.retryable, error.timed_out) == (True, True)


# ------------------------------------------------------------------------------------- without end


def peak_mb(run: Callable[[], UpstreamError]) -> tuple[UpstreamError, float]:
    """Returns how a call failed, and how much memory it took at most, the simulator's included."""
    tracemalloc.start()
    try:
        error = run()
        return error, tracemalloc.get_traced_memory()[1] / MB
    finally:
        tracemalloc.stop()


def test_100_mb_of_json_are_refused_in_bounded_memory(simulator: Simulator) -> None:
    simulator.play(Script(body_bytes=100 * MB))
    error, peak = peak_mb(lambda: asyncio.run(failed(simulator.base_url, stream=False)))

    assert error.public == "answered with more than 67108864 bytes"
    assert peak < 160
    simulator.wait_for_open(0)


@pytest.mark.parametrize("status", [200, 502])
def test_an_html_page_without_end_is_not_read_to_its_end(simulator: Simulator, status: int) -> None:
    simulator.play(Script(status=status, body_bytes=10 << 30, content_type="text/html"))
    error, peak = peak_mb(lambda: asyncio.run(failed(simulator.base_url, stream=True)))

    assert error.retryable
    assert peak < 8
    simulator.wait_for_open(0)


def test_an_event_without_end_is_refused_in_bounded_memory(simulator: Simulator) -> None:
    simulator.play(Script(body_bytes=10 << 30, content_type="text/event-stream"))
    error, peak = peak_mb(lambda: asyncio.run(failed(simulator.base_url, stream=True)))

    assert error.public == "sent an event of more than 16777216 bytes"
    assert peak < 48
    simulator.wait_for_open(0)


def test_a_stream_without_end_is_ended_by_its_deadline_in_bounded_memory(
    simulator: Simulator,
) -> None:
    simulator.play(Script(endless=True))
    timeouts = Timeouts(total_s=1.0)
    error, peak = peak_mb(
        lambda: asyncio.run(failed(simulator.base_url, stream=True, timeouts=timeouts))
    )

    assert (error.public, error.timed_out) == ("took longer than 1 s", True)
    assert peak < 8
    simulator.wait_for_open(0)
