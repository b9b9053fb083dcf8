"""Receipts: the port over both databases, and the writer when its database fails."""

import asyncio
import datetime
import time
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from trunkline import ids
from trunkline.accounts import create
from trunkline.store import Attempt, Candidate, Decision, Key, Request, open_store
from trunkline.store.connection import Database, connect
from trunkline.store.queries import SQLRequests
from trunkline.store.tables import requests
from trunkline.store.writer import Writer

DEADLINE_S = 10.0


def receipt(key: Key, **changes) -> Request:
    values: dict[str, Any] = {
        "id": ids.new_id("req"),
        "account_id": key.account_id,
        "key_id": key.id,
        "created_at": ids.now(),
        "api": "chat",
        "model": "openai/gpt-oss-20b:fastest",
        "stream": True,
        "status": 200,
        "duration_ms": 1234,
    }
    return Request(**(values | changes))


def full_receipt(key: Key) -> Request:
    return receipt(
        key,
        created_at=datetime.datetime(2026, 11, 22, 1, 2, 3, 456_789, tzinfo=datetime.UTC),
        provider="acme",
        answered_model="gpt-oss-20b – ü",
        attempts=(
            Attempt(provider="other", model="x", outcome="failed", status=503, ms=12),
            Attempt(provider="acme", model="y", outcome="committed", ms=34),
        ),
        decision=Decision(
            policy="fastest",
            draw=0.1 + 0.2,
            explore=0.05,
            candidates=(
                Candidate(provider="other", input=2**50, output=0, tokens_per_s=0.1, slowed=True),
                Candidate(provider="acme", removed="does not call tools", cooling_s=1e-9),
            ),
            plan=("other",),
        ),
        error_code="upstream_failed",
        prompt_tokens=2**40,
        cached_tokens=3,
        completion_tokens=4,
        reasoning_tokens=2,
        cost_nano_usd=2**60,
        estimated=True,
        first_token_ms=0,
    )


class Flaky:
    """A database that fails when told to, and counts the transactions it is asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.failing = 0
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def commit_rows(self, rows: Any) -> None:
        self.asked += 1
        if self.failing:
            self.failing -= 1
            raise OSError("the database is gone")
        await self._database.commit_rows(rows)


async def stored(requests, request):
    """Waits until a receipt can be read."""
    async with asyncio.timeout(DEADLINE_S):
        while (found := await requests.get(request.id, request.account_id)) is None:
            await asyncio.sleep(0.005)
    return found


def with_writer(url, body, **limits):
    """Runs ``body(key, flaky, writer, requests)`` over an own writer whose engine can fail."""

    async def main():
        async with open_store(url) as store:
            key = (await create(store)).record
        database = connect(url, pool_size=2, busy_timeout_s=5)
        flaky: Any = Flaky(database)
        try:
            async with Writer(flaky, **limits) as writer:
                outcome = await body(key, flaky, writer, SQLRequests(database, writer))
            async with database.reading() as connection:
                count = await connection.scalar(select(func.count()).select_from(requests))
            return outcome, count
        finally:
            await database.aclose()

    return asyncio.run(main())


@pytest.mark.parametrize("make", [receipt, full_receipt])
def test_a_receipt_is_readable_as_it_was_within_a_second(url, make):
    async def main():
        async with open_store(url) as store:
            request = make((await create(store)).record)
            store.requests.add(request)
            added = time.monotonic()
            found = await stored(store.requests, request)
            return request, found, time.monotonic() - added

    request, found, took_s = asyncio.run(main())
    assert found == request
    assert took_s < 1


def test_nothing_that_was_added_is_lost_when_the_store_closes(url):
    async def main():
        async with open_store(url) as store:
            key = (await create(store)).record
            added = [receipt(key) for _ in range(300)]
            for request in added:
                store.requests.add(request)
        async with open_store(url) as store:
            return added, [await store.requests.of_any_account(each.id) for each in added]

    added, found = asyncio.run(main())
    assert found == added


def test_nothing_is_lost_when_the_program_fails(url):
    added = []

    async def failing():
        async with open_store(url) as store:
            added.append(receipt((await create(store)).record))
            store.requests.add(added[0])
            raise ZeroDivisionError

    async def reading():
        async with open_store(url) as store:
            return await store.requests.of_any_account(added[0].id)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(failing())
    assert asyncio.run(reading()) == added[0]


def test_a_receipt_is_read_by_its_account_only(url):
    async def main():
        async with open_store(url) as store:
            request = receipt((await create(store, account="acme")).record)
            other = await store.accounts.named("other")
            store.requests.add(request)
            await stored(store.requests, request)
            return await store.requests.get(request.id, other.id)

    assert asyncio.run(main()) is None


def test_receipts_that_gather_are_committed_together(url):
    async def body(key, flaky, writer, port):
        added = [receipt(key) for _ in range(100)]
        for request in added:
            port.add(request)
        await stored(port, added[-1])
        return flaky.asked

    assert with_writer(url, body) == (1, 100)


def test_receipts_are_kept_while_the_database_fails_for_a_while(url):
    async def body(key, flaky, writer, port):
        flaky.failing = 2
        request = receipt(key)
        port.add(request)
        assert await stored(port, request) == request
        return flaky.asked

    assert with_writer(url, body) == (3, 1)


def test_receipts_are_dropped_in_the_end_and_later_ones_are_stored(url):
    async def body(key, flaky, writer, port):
        flaky.failing = 1
        port.add(receipt(key))
        async with asyncio.timeout(DEADLINE_S):
            while flaky.failing:
                await asyncio.sleep(0.005)
        later = receipt(key)
        port.add(later)
        await stored(port, later)

    assert with_writer(url, body, retry_for_s=0) == (None, 1)


def test_no_more_receipts_wait_than_the_capacity(url):
    async def body(key, flaky, writer, port):
        for _ in range(5):
            port.add(receipt(key))

    assert with_writer(url, body, capacity=3) == (None, 3)


def test_a_receipt_that_no_database_takes_does_not_take_others_along(url):
    async def body(key, flaky, writer, port):
        good = [receipt(key) for _ in range(3)]
        bad = [
            receipt(key, key_id="key_that_is_not"),
            receipt(key, prompt_tokens=2**70),
            receipt(key, model="\ud800"),
        ]
        for request in (bad[0], good[0], bad[1], good[1], bad[2], good[2]):
            port.add(request)
        for request in good:
            assert await stored(port, request) == request

    assert with_writer(url, body) == (None, 3)


def test_a_receipt_that_is_there_already_is_not_stored_twice(url):
    async def body(key, flaky, writer, port):
        first = receipt(key)
        port.add(first)
        await stored(port, first)
        second = receipt(key)
        port.add(msgspec.structs.replace(first, status=500))
        port.add(second)
        await stored(port, second)
        return first == await port.of_any_account(first.id)

    assert with_writer(url, body) == (True, 2)


def test_a_name_with_a_null_character_does_not_hold_up_the_others(url):
    async def body(key, flaky, writer, port):
        port.add(receipt(key, model="a\x00b"))
        good = receipt(key)
        port.add(good)
        await stored(port, good)
        return flaky.failing

    # SQLite takes such a text, Postgres refuses it.
    assert with_writer(url, body)[1] in (1, 2)
