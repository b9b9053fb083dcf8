"""What comes from a client: bodies of every kind, and the moment it hangs up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from trunkline.api.exchange import Exchange, Hangups
from trunkline.api.receive import ClientGoneError, RequestTimeoutError, read_body, until_hangup
from trunkline.errors import RequestTooLarge

LIMIT = 10


class Client:
    """Sends these messages, then nothing more until it hangs up."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.hung_up = asyncio.Event()
        self._messages = list(messages)

    async def receive(self) -> dict[str, Any]:
        if self._messages:
            return self._messages.pop(0)
        await self.hung_up.wait()
        return {"type": "http.disconnect"}


def part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def body_of(*messages: dict[str, Any], length: bytes | None = None, timeout_s: float = 20) -> bytes:
    headers = [] if length is None else [(b"content-length", length)]

    async def main() -> bytes:
        client = Client(*messages)
        return await read_body(
            {"headers": headers}, client.receive, limit=LIMIT, timeout_s=timeout_s
        )

    return asyncio.run(main())


@pytest.mark.parametrize(
    "messages",
    [
        [part(b"0123456789")],
        [part(b"01234", more=True), part(b"", more=True), part(b"56789")],
        [part(b"0123456789", more=True), {"type": "http.request"}],
    ],
)
def test_a_body_is_read_whole(messages):
    assert body_of(*messages) == b"0123456789"


def test_a_body_may_be_empty():
    assert body_of(part(b"")) == b""


@pytest.mark.parametrize(
    "messages",
    [[part(b"x" * 11)], [part(b"x" * 6, more=True), part(b"x" * 5, more=True)]],
)
def test_a_body_beyond_the_limit_is_refused_while_it_arrives(messages):
    with pytest.raises(RequestTooLarge, match="larger than 10 bytes"):
        body_of(*messages)


@pytest.mark.parametrize("length", [b"11", b"9" * 5000])
def test_a_body_that_is_declared_too_large_is_refused_unread(length):
    with pytest.raises(RequestTooLarge):
        body_of(length=length)


@pytest.mark.parametrize("length", [b"2", b"0", b"", b"-5", b"abc", b"1_1", b"\xb2", b"+3", b"1e9"])
def test_a_declared_length_that_says_nothing_is_passed_over(length):
    assert body_of(part(b"{}"), length=length) == b"{}"


def test_a_body_that_does_not_arrive_in_time_is_given_up():
    with pytest.raises(RequestTimeoutError) as failure:
        body_of(part(b"{", more=True), timeout_s=0.01)
    assert (failure.value.status, failure.value.code) == (408, "request_timeout")


def test_a_client_that_leaves_before_its_body_is_whole_is_gone():
    with pytest.raises(ClientGoneError):
        body_of(part(b"{", more=True), {"type": "http.disconnect"})


# ------------------------------------------------------------------------------------------ hanging up


def exchange() -> Exchange:
    return Exchange(request_id="req_1", method="POST", path="/")


def test_work_that_ends_is_all_there_is():
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    async def main() -> None:
        await until_hangup(Client().receive, exchange(), work())
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert done == [1]


def test_hanging_up_cancels_the_work():
    cancelled: list[bool] = []

    async def main() -> None:
        client = Client(part(b"late"))  # what else arrives is passed over

        async def work() -> None:
            client.hung_up.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(True)

        await until_hangup(client.receive, exchange(), work())

    with pytest.raises(ClientGoneError):
        asyncio.run(main())
    assert cancelled == [True]


def test_a_client_that_leaves_with_its_whole_answer_did_not_hang_up():
    async def main() -> Exchange:
        client, its_exchange = Client(), exchange()

        async def work() -> None:
            its_exchange.answered = True
            client.hung_up.set()
            for _ in range(5):  # the watcher has its turn
                await asyncio.sleep(0)

        await until_hangup(client.receive, its_exchange, work())
        return its_exchange

    assert asyncio.run(main()).answered


@pytest.mark.parametrize("error", [ValueError("mine"), RequestTooLarge("mine"), KeyError("mine")])
def test_the_works_own_error_comes_out_as_it_is(error):
    async def work() -> None:
        await asyncio.sleep(0)
        raise error

    async def main() -> None:
        await until_hangup(Client().receive, exchange(), work())

    with pytest.raises(type(error)) as failure:
        asyncio.run(main())
    assert failure.value is error


def test_the_cause_of_an_error_stays_with_it():
    async def work() -> None:
        try:
            raise OSError("below")
        except OSError as below:
            raise ValueError("above") from below

    async def main() -> None:
        await until_hangup(Client().receive, exchange(), work())

    with pytest.raises(ValueError, match="above") as failure:
        asyncio.run(main())
    assert isinstance(failure.value.__cause__, OSError)


def test_cancellation_passes_through():
    async def main() -> None:
        started = asyncio.Event()

        async def work() -> None:
            started.set()
            await asyncio.Event().wait()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(until_hangup(Client().receive, exchange(), work()))
            await started.wait()
            task.cancel()
        assert task.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_a_failure_over_a_hangup_is_raised_and_the_hangup_logged():
    async def clears_up_badly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("while clearing up")

    async def main() -> None:
        client = Client()
        client.hung_up.set()
        await until_hangup(client.receive, exchange(), clears_up_badly())

    with capture_logs() as logs, pytest.raises(LookupError):
        asyncio.run(main())
    (logged,) = logs
    assert (logged["event"], logged["request_id"]) == ("also_failed", "req_1")
    assert isinstance(logged["exc_info"], ClientGoneError)


# ------------------------------------------------------------------------- a server that tells of it


def told(work: Callable[[Callable[[], None], Exchange], Awaitable[None]]) -> None:
    """Runs work, which may hang up, where a server calls what is to be called then."""
    hangups: Hangups = set()

    def lose() -> None:
        for hang_up in tuple(hangups):
            hang_up()

    async def never() -> dict[str, Any]:
        raise AssertionError("nobody need listen")

    async def main() -> None:
        its_exchange = exchange()
        its_exchange.hangups = hangups
        await until_hangup(never, its_exchange, work(lose, its_exchange))

    try:
        asyncio.run(main())
    finally:
        assert not hangups


def test_a_server_that_tells_of_a_hangup_is_not_listened_to():
    cancelled: list[bool] = []

    async def work(lose: Callable[[], None], _exchange: Exchange) -> None:
        lose()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(True)

    with pytest.raises(ClientGoneError):
        told(work)
    assert cancelled == [True]


def test_a_server_that_tells_of_the_end_of_a_whole_answer_tells_of_no_hangup():
    done: list[bool] = []

    async def work(lose: Callable[[], None], its_exchange: Exchange) -> None:
        its_exchange.answered = True
        lose()
        for _ in range(5):
            await asyncio.sleep(0)
        done.append(True)

    told(work)
    assert done == [True]


@pytest.mark.parametrize("error", [TimeoutError("mine"), ValueError("mine")])
def test_the_works_own_error_is_no_hangup(error):
    async def work(_lose: Callable[[], None], _exchange: Exchange) -> None:
        raise error

    with pytest.raises(type(error)) as failure:
        told(work)
    assert failure.value is error


def test_a_failure_over_a_hangup_that_was_told_is_raised():
    async def work(lose: Callable[[], None], _exchange: Exchange) -> None:
        lose()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("clearing up")

    with pytest.raises(ValueError, match="clearing up"):
        told(work)
