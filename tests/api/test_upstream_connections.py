"""The upstream client over real sockets: which connections it keeps, what it sends, and TLS."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from tests.tls import self_signed, server_side
from trunkline.errors import UpstreamError
from trunkline.transport import Client, Timeouts, pool

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Upstream:
    """Answers every request with the same bytes; ``heads`` are what it was sent."""

    def __init__(self, answer=ANSWER):
        self.answer = answer
        self.heads: list[bytes] = []
        self.peers: list[object] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def serve(self, reader, writer):
        self.writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]
                await reader.readexactly(int(length or 0))
                self.heads.append(head)
                self.peers.append(writer.get_extra_info("peername"))
                writer.write(self.answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def listening(upstream, **options):
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, **options)
    async with server:
        upstream.port = server.sockets[0].getsockname()[1]
        yield upstream
        for writer in upstream.writers:
            writer.close()


async def body(client, url, *, headers=None, timeouts=None, **request):
    sending = client.send(url, headers=headers or {}, timeouts=timeouts or Timeouts(), **request)
    async with sending as incoming:
        return await incoming.read(1000)


def test_a_request_says_what_it_must_and_no_more():
    async def run():
        async with listening(Upstream()) as upstream, Client() as client:
            url = f"http://127.0.0.1:{upstream.port}/v1/chat?x=1"
            assert await body(client, url, body=b"{}", headers={"user-agent": "other"}) == b"hi"
            assert await body(client, url, method="GET") == b"hi"
            return upstream

    upstream = asyncio.run(run())
    posted, got = (head.decode().split("\r\n") for head in upstream.heads)
    assert posted == [
        "POST /v1/chat?x=1 HTTP/1.1",
        f"Host: 127.0.0.1:{upstream.port}",
        "user-agent: other",
        "Accept: */*",
        "Accept-Encoding: identity",
        "Content-Length: 2",
        "",
        "",
    ]
    assert got[0] == "GET /v1/chat?x=1 HTTP/1.1"
    assert not any(line.startswith("Content-Length") for line in got)


def test_the_user_and_password_of_an_address_are_sent_as_such_and_not_in_the_path():
    async def run():
        async with listening(Upstream()) as upstream, Client() as client:
            await body(client, f"http://a:b@127.0.0.1:{upstream.port}/v1")
            return upstream.heads

    [head] = asyncio.run(run())
    assert head.startswith(b"POST /v1 HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Basic YTpi\r\n" in head


@pytest.mark.parametrize("headers", [{"X-A": "1\r\nX-B: 2"}, {"X A": "1"}, {"X-A\r\n": "1"}])
def test_a_header_that_would_become_two_is_not_sent(headers):
    async def run():
        async with listening(Upstream()) as upstream, Client() as client:
            with pytest.raises(UpstreamError, match="header"):
                await body(client, f"http://127.0.0.1:{upstream.port}/", headers=headers)
            return upstream.heads

    assert asyncio.run(run()) == []


def test_a_connection_is_kept_for_a_while_only(monkeypatch):
    async def run():
        async with listening(Upstream()) as upstream, Client() as client:
            url = f"http://127.0.0.1:{upstream.port}/"
            for keep_s in (60.0, 60.0, 0.0):
                monkeypatch.setattr(pool, "_KEEPALIVE_S", keep_s)
                await body(client, url)
            return upstream.peers

    first, second, third = asyncio.run(run())
    assert first == second != third


def test_a_connection_that_the_upstream_closed_meanwhile_is_not_used():
    async def run():
        async with listening(Upstream()) as upstream, Client() as client:
            url = f"http://127.0.0.1:{upstream.port}/"
            await body(client, url)
            upstream.writers[0].close()
            await upstream.writers[0].wait_closed()
            while client._pool._open:  # until the loop has told
                await asyncio.sleep(0)
            assert await body(client, url) == b"hi"
            return upstream.peers

    first, second = asyncio.run(run())
    assert first != second


def test_what_waits_too_long_is_closed_without_being_asked_for(monkeypatch):
    monkeypatch.setattr(pool, "_KEEPALIVE_S", 0.01)

    async def run():
        async with listening(Upstream()) as upstream, Client() as client:
            await body(client, f"http://127.0.0.1:{upstream.port}/")
            async with asyncio.timeout(20):
                while client._pool._open:
                    await asyncio.sleep(0.005)
            return client._pool._idle

    assert asyncio.run(run()) == {}


@pytest.mark.parametrize("stop", ["close", "limit"])
def test_an_answer_that_was_not_read_to_its_end_takes_its_connection_along(stop):
    async def run():
        endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        async with listening(Upstream(endless)) as upstream, Client() as client:
            url = f"http://127.0.0.1:{upstream.port}/"
            async with client.send(url, headers={}, timeouts=Timeouts()) as incoming:
                if stop == "limit":
                    assert await incoming.head(3) == b"hel"
            async with asyncio.timeout(20):
                while client._pool._open:
                    await asyncio.sleep(0)

    asyncio.run(run())


def test_a_closed_client_breaks_off_what_is_being_read():
    async def run():
        begun = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"
        async with listening(Upstream(begun)) as upstream:
            client = Client()
            url = f"http://127.0.0.1:{upstream.port}/"
            async with client.send(url, headers={}, timeouts=Timeouts()) as incoming:
                await client.aclose()
                with pytest.raises(UpstreamError, match="broke off"):
                    await incoming.read(100)

    asyncio.run(run())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that vouches for itself, with its key in the same file."""
    return self_signed(tmp_path_factory.mktemp("tls"), "127.0.0.1")


def over_tls(certificate):
    async def run():
        context = server_side(certificate)
        async with listening(Upstream(), ssl=context) as upstream, Client() as client:
            url = f"https://127.0.0.1:{upstream.port}/"
            return [await body(client, url, body=b"{}") for _ in range(2)], upstream

    return asyncio.run(run())


@pytest.fixture
def fresh_trust():
    """Lets a test choose what is trusted."""
    pool.tls.cache_clear()
    yield
    pool.tls.cache_clear()


def test_tls_is_spoken_with_whom_the_system_trusts(certificate, monkeypatch, fresh_trust):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    bodies, upstream = over_tls(certificate)
    assert bodies == [b"hi", b"hi"]
    assert len(set(upstream.peers)) == 1


def test_nobody_else_gets_a_request_over_tls(certificate, fresh_trust):
    with pytest.raises(UpstreamError) as caught:
        over_tls(certificate)
    assert caught.value.public == "could not be reached over TLS"
    assert "self-signed certificate" in caught.value.message
    assert caught.value.retryable
