"""A connection to an upstream, fed bytes: what it makes of answers, whole, cut, endless and wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from trunkline.transport.connection import (
    BrokenOffError,
    ClosedError,
    Connection,
    NotHTTPError,
)

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: 1\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nhe\r\n3;note=1\r\nllo\r\n0\r\nX-Trailer: late\r\n\r\n"
)
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
UNFRAMED = b"HTTP/1.1 200 OK\r\n\r\nhello"


class Transport:
    """Takes down what a connection does with its socket."""

    def __init__(self):
        self.sent = b""
        self.reading = True
        self.aborted = False

    def write(self, data):
        self.sent += data

    def abort(self):
        self.aborted = True

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


def connected(on_lost=lambda _connection: None):
    transport: Any = Transport()
    connection = Connection(on_lost)
    connection.connection_made(transport)
    return connection, transport


async def body_of(connection):
    body = b""
    while piece := await connection.read():
        body += piece
    return body


def answered(*reads, lost=False):
    """Asks, feeds the reads, and returns the status, the body and the connection with its transport."""

    async def run():
        connection, transport = connected()
        connection.ask(b"a request")
        for read in reads:
            connection.data_received(read)
        if lost:
            connection.connection_lost(None)
        async with asyncio.timeout(5):
            await connection.head()
            body = await body_of(connection)
        return connection.status, body, connection, transport

    return asyncio.run(run())


@pytest.mark.parametrize("answer", [WHOLE, CHUNKED, INTERIM + WHOLE, INTERIM + CHUNKED])
def test_an_answer_is_the_same_wherever_it_was_cut(answer):
    for cut in range(1, len(answer)):
        status, body, connection, transport = answered(answer[:cut], answer[cut:])
        assert (status, body, connection.reusable) == (200, b"hello", True)
        assert (transport.sent, transport.aborted) == (b"a request", False)


def test_header_fields_are_those_of_the_answer_itself():
    for read in (INTERIM + WHOLE, CHUNKED):
        names = [name for name, _ in answered(read)[2].fields]
        assert names == (
            [b"content-length", b"x-one"] if b"X-One" in read else [b"transfer-encoding"]
        )


def test_what_came_is_read_before_the_rest_has_come():
    async def run():
        connection, _ = connected()
        connection.ask(b"a request")
        connection.data_received(CHUNKED[: CHUNKED.index(b"3;")])
        await connection.head()
        assert await connection.read() == b"he"
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(connection.read())
            await asyncio.sleep(0)
            assert not reading.done()
            connection.data_received(CHUNKED[CHUNKED.index(b"3;") :])
        assert (reading.result(), await connection.read()) == (b"llo", b"")

    asyncio.run(run())


def test_the_end_of_the_connection_ends_a_body_that_nothing_else_ends():
    status, body, connection, _ = answered(UNFRAMED, lost=True)
    assert (status, body, connection.reusable) == (200, b"hello", False)


@pytest.mark.parametrize("answer", [WHOLE[:-1], CHUNKED[:-2]])
def test_a_body_that_is_cut_off_breaks_off_after_what_came(answer):
    async def run():
        connection, _ = connected()
        connection.ask(b"a request")
        connection.data_received(answer)
        connection.connection_lost(None)
        await connection.head()
        assert await connection.read() in (b"hell", b"hello")
        with pytest.raises(BrokenOffError):
            await connection.read()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("read", "error", "expected"),
    [
        (b"", None, ClosedError),
        (b"HTTP/1.1 200 OK\r\nX-", None, ClosedError),
        (b"", ConnectionResetError(), ConnectionResetError),
        (b"SSH-2.0-OpenSSH\r\n", None, NotHTTPError),
        (b"HTTP/1.1 what\r\n\r\n", None, NotHTTPError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", None, NotHTTPError),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            None,
            NotHTTPError,
        ),
    ],
)
def test_what_is_no_answer_fails_and_is_closed(read, error, expected):
    async def run():
        connection, transport = connected()
        connection.ask(b"a request")

        async def come():
            if read:
                connection.data_received(read)
            if not transport.aborted:
                connection.connection_lost(error)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(come())
            with pytest.raises(expected):
                await connection.head()
        assert not connection.reusable

    asyncio.run(run())


@pytest.mark.parametrize(
    "begin",
    [
        b"HTTP/1.1 200 OK\r\nX-Long: ",
        CHUNKED[: CHUNKED.index(b"late")],
        CHUNKED[: CHUNKED.index(b"note")],
    ],
)
def test_headers_trailers_and_extensions_without_end_are_not_taken_in(begin):
    async def run():
        connection, transport = connected()
        connection.ask(b"a request")
        connection.data_received(begin)
        for _ in range(70):
            connection.data_received(b"x" * 1024)
        assert transport.aborted

    asyncio.run(run())


def test_a_long_body_is_not_taken_for_overhead():
    length = 10 << 20
    reads = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length]
    reads += [bytes(64 << 10)] * (length // (64 << 10))
    _, body, connection, _ = answered(*reads)
    assert (len(body), connection.reusable) == (length, True)


def test_an_upstream_waits_for_a_reader_who_is_slow():
    async def run():
        connection, transport = connected()
        connection.ask(b"a request")
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        for _ in range(5):
            connection.data_received(bytes(64 << 10))
        assert not transport.reading
        assert len(await connection.read()) == 5 * (64 << 10)
        assert transport.reading

    asyncio.run(run())


@pytest.mark.parametrize(
    "head", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n"]
)
def test_a_connection_that_the_upstream_will_close_is_not_used_again(head):
    _, body, connection, _ = answered(head + b"Content-Length: 2\r\n\r\nhi")
    assert (body, connection.reusable) == (b"hi", False)


def test_a_second_answer_is_nobodys_and_ends_the_connection():
    _, body, connection, transport = answered(WHOLE + WHOLE.replace(b"hello", b"other"))
    assert (body, connection.reusable, transport.aborted) == (b"hello", False, True)


def test_what_comes_unasked_ends_the_connection():
    async def run():
        connection, transport = connected()
        connection.data_received(WHOLE)
        assert (transport.aborted, connection.reusable) == (True, False)

    asyncio.run(run())


def test_a_failure_of_ours_takes_the_place_of_what_came():
    async def run():
        connection, transport = connected()
        connection.ask(b"a request")
        connection.data_received(WHOLE[:-1])
        connection.fail(TimeoutError())
        await connection.head()
        with pytest.raises(TimeoutError):
            await connection.read()
        assert transport.aborted

    asyncio.run(run())


def test_two_answers_in_turn_are_read_on_one_connection():
    async def run():
        connection, _ = connected()
        bodies = []
        for answer in (WHOLE, CHUNKED, WHOLE.replace(b"hello", b"again")):
            connection.ask(b"a request")
            connection.data_received(answer)
            await connection.head()
            bodies.append(await body_of(connection))
        return bodies

    assert asyncio.run(run()) == [b"hello", b"hello", b"again"]


def test_whoever_lent_it_hears_of_its_loss():
    async def run():
        lost: list[Connection] = []
        connection, _ = connected(lost.append)
        connection.connection_lost(None)
        assert lost == [connection]

    asyncio.run(run())
