"""The port of stored responses over both databases: chains, accounts, expiry, and commits in groups."""

import asyncio
import dataclasses
import datetime
import random
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import event, func, select

from trunkline import ids
from trunkline.errors import InvalidRequest, PreviousResponseNotFound, StoreUnavailable
from trunkline.store import StoredItem, StoredResponse, open_store
from trunkline.store.connection import Database, connect
from trunkline.store.group_commit import GroupCommit
from trunkline.store.responses import SQLResponses
from trunkline.store.sweeper import Sweeper
from trunkline.store.tables import response_items, responses

HOUR = datetime.timedelta(hours=1)
DEADLINE_S = 10.0


def response_of(account_id: str, **changes) -> StoredResponse:
    values: dict[str, Any] = {
        "id": ids.new_id("resp"),
        "account_id": account_id,
        "created_at": ids.now(),
        "body": b'{"object":"response"}',
    }
    return StoredResponse(**(values | changes))


def item(text: str = "x", **changes) -> StoredItem:
    return StoredItem(changes.get("id") or ids.new_id("msg"), b'{"text":"%b"}' % text.encode())


def with_store(url, body):
    """Runs ``body(port, account, other)`` over an open store with two accounts."""

    async def main():
        async with open_store(url) as store:
            account, other = [(await store.accounts.named(name)).id for name in ("acme", "other")]
            return await body(store.responses, account, other)

    return asyncio.run(main())


async def saved_chain(port, account, length, **changes):
    """Stores a chain, and returns its responses and all of their items in order."""
    links: list[StoredResponse] = []
    items: list[StoredItem] = []
    for n in range(length):
        inputs, outputs = [item(f"in {n}")], [item(f"out {n}.0"), item(f"out {n}.1")]
        link = response_of(account, previous_id=links[-1].id if links else None, **changes)
        await port.save(link, inputs, outputs)
        links.append(link)
        items += inputs + outputs
    return links, items


async def missing(port, id, account) -> str:
    """Returns what a caller reads whose chain is not whole."""
    with pytest.raises(PreviousResponseNotFound) as caught:
        await port.chain(id, account)
    assert (caught.value.status, caught.value.code) == (400, "previous_response_not_found")
    assert caught.value.param == "previous_response_id"
    return caught.value.message


class Flaky:
    """A database whose commits fail while they are told to, and are counted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.failing = False
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def commit_rows(self, rows: Any) -> None:
        self.asked += 1
        if self.failing:
            raise OSError("the database is gone")
        await self._database.commit_rows(rows)


@asynccontextmanager
async def own_port(url):
    """Opens a port of its own on a database that is there, whose commits can fail and are counted."""
    database = connect(url, pool_size=2, busy_timeout_s=5)
    flaky: Any = Flaky(database)
    try:
        async with GroupCommit(flaky) as commits:
            yield SQLResponses(flaky, commits), flaky
    finally:
        await database.aclose()


async def rows(url):
    """Returns how many responses and items there are, whoever's and however old."""
    database = connect(url, pool_size=1, busy_timeout_s=5)
    try:
        async with database.reading() as connection:
            return [
                await connection.scalar(select(func.count()).select_from(table))
                for table in (responses, response_items)
            ]
    finally:
        await database.aclose()


def test_a_response_comes_back_as_it_was_stored(url):
    async def body(port, account, _):
        full = response_of(
            account,
            previous_id="resp_before",
            created_at=datetime.datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=datetime.UTC),
            expires_at=ids.now() + HOUR,
            body='{"model":"ü"}'.encode(),
            log=bytes(range(256)),
        )
        bare = response_of(account)
        outputs = [item(str(n)) for n in range(12)]
        await port.save(full, [item("not shown")], outputs)
        await port.save(bare, [], [])
        return (
            (full, outputs),
            bare,
            await port.get(full.id, account),
            await port.get(bare.id, account),
        )

    full, bare, found, found_bare = with_store(url, body)
    assert found == full
    assert found_bare == (bare, [])


def test_a_chain_is_every_item_in_order_oldest_first(url):
    async def body(port, account, _):
        links, items = await saved_chain(port, account, 12)
        empty = response_of(account, previous_id=links[-1].id)
        await port.save(empty, [], [])
        middle = await port.chain(links[3].id, account)
        return items, await port.chain(empty.id, account), middle

    items, found, middle = with_store(url, body)
    assert found == items
    assert middle == items[:12]


def test_a_chain_can_branch_anywhere(url):
    async def body(port, account, _):
        links, items = await saved_chain(port, account, 3)
        left, right = item("left"), item("right")
        branches = [response_of(account, previous_id=links[1].id) for _ in range(2)]
        for branch, own in zip(branches, (left, right), strict=True):
            await port.save(branch, [own], [])
        chains = [await port.chain(each.id, account) for each in (*branches, links[2])]
        return items, left, right, chains

    items, left, right, chains = with_store(url, body)
    assert chains == [[*items[:6], left], [*items[:6], right], items]


def test_a_deleted_link_breaks_what_builds_on_it_and_nothing_else(url):
    async def body(port, account, _):
        links, items = await saved_chain(port, account, 4)
        deleted = await port.delete(links[1].id, account)
        again = await port.delete(links[1].id, account)
        message = await missing(port, links[3].id, account)
        of_itself = await missing(port, links[1].id, account)
        kept = await port.chain(links[0].id, account)
        gone = await port.items([each.id for each in items[3:6]], account)
        seen = await port.get(links[3].id, account)
        return links, items, (deleted, again), message, of_itself, kept, gone, seen, await rows(url)

    links, items, deleted, message, of_itself, kept, gone, seen, left = with_store(url, body)
    assert deleted == (True, False)
    assert message == (
        f"there is no response '{links[1].id}', to which '{links[3].id}' leads back: "
        "it is unknown, deleted or expired; send the conversation as input instead"
    )
    assert of_itself.startswith(f"there is no response '{links[1].id}': ")
    assert kept == items[:3]
    assert gone == {}
    assert seen == (links[3], items[10:])
    assert left == [3, 9]


def test_another_accounts_response_is_as_if_there_were_none(url):
    async def body(port, account, other):
        (link,), items = await saved_chain(port, account, 1)
        answers = []
        for id in (link.id, "resp_unknown"):
            answers.append(
                [
                    await port.get(id, other),
                    (await missing(port, id, other)).replace(id, "ID"),
                    await port.input_items(id, other),
                    await port.delete(id, other),
                ]
            )
        found = await port.items([each.id for each in items], other)
        return answers, found, await port.chain(link.id, account) == items

    (foreign, unknown), found, kept = with_store(url, body)
    assert foreign == unknown
    assert foreign[0] is foreign[2] is None
    assert foreign[3] is False
    assert found == {}
    assert kept


def test_a_link_of_another_account_breaks_a_chain_like_one_that_is_not_there(url):
    async def body(port, account, other):
        (theirs,), _ = await saved_chain(port, other, 1)
        texts = []
        for previous in (theirs.id, "resp_unknown"):
            ours = response_of(account, previous_id=previous)
            await port.save(ours, [], [])
            text = await missing(port, ours.id, account)
            texts.append(text.replace(previous, "LINK").replace(ours.id, "OURS"))
        return texts

    foreign, unknown = with_store(url, body)
    assert foreign == unknown
    assert foreign.startswith("there is no response 'LINK', to which 'OURS' leads back")


def test_what_has_expired_is_gone_before_it_is_swept_away(url):
    async def body(port, account, _):
        past, future = ids.now() - HOUR, ids.now() + HOUR
        (old,), items = await saved_chain(port, account, 1, expires_at=past)
        young = response_of(account, previous_id=old.id, expires_at=future)
        await port.save(young, [], [])
        message = await missing(port, young.id, account)
        answers = [
            await port.get(old.id, account),
            await port.input_items(old.id, account),
            dict(await port.items([each.id for each in items], account)),
            await port.delete(old.id, account),
        ]
        return old, message, answers, await rows(url)

    old, message, answers, left = with_store(url, body)
    assert message.startswith(f"there is no response '{old.id}', to which")
    assert answers == [None, None, {}, False]
    assert left == [2, 3]


def test_sweeping_removes_what_expired_of_all_accounts_in_batches(url):
    async def body(port, account, other):
        now = ids.now()
        for owner in (account, other):
            for n in range(4):
                expired = response_of(owner, expires_at=now - HOUR * n)
                await port.save(expired, [item()], [item()])
        kept = [response_of(account, expires_at=now + HOUR), response_of(account)]
        for each in kept:
            await port.save(each, [item()], [])
        swept = [await port.sweep(now, 5) for _ in range(3)]
        return swept, [await port.get(each.id, account) for each in kept], await rows(url)

    swept, found, left = with_store(url, body)
    assert swept == [5, 3, 0]
    assert None not in found
    assert left == [2, 2]


def test_several_may_sweep_at_the_same_time(url):
    async def body(port, account, _):
        now = ids.now()
        for _ in range(20):
            await port.save(response_of(account, expires_at=now), [item()], [])
        async with own_port(url) as (second, _):
            swept = await asyncio.gather(*(each.sweep(now, 3) for each in (port, second) * 5))
        left = await rows(url)
        return sum(swept), left

    swept, left = with_store(url, body)
    assert swept == 20 - left[0]
    assert left[0] == left[1] <= 14  # at least one of each two went on


def test_of_items_with_one_id_the_newest_is_found(url):
    async def body(port, account, _):
        old, new, lone = item("old", id="msg_1"), item("new", id="msg_1"), item("lone")
        second = response_of(account, id="resp_1")
        first = response_of(account, id="resp_2", created_at=second.created_at - HOUR)
        await port.save(second, [new], [])
        await port.save(first, [lone], [old])
        both = await port.items(["msg_1", lone.id, "msg_1", "msg_none", "a\x00b"], account)
        await port.delete(second.id, account)
        return (
            old,
            new,
            lone,
            both,
            await port.items(["msg_1"], account),
            await port.items([], account),
        )

    old, new, lone, both, rest, none = with_store(url, body)
    assert both == {"msg_1": new, lone.id: lone}
    assert rest == {"msg_1": old}
    assert none == {}


def test_the_longest_id_that_a_caller_may_give_is_kept(url):
    rng = random.Random(1)
    id = "".join(chr(rng.randrange(0x20000, 0x2A000)) for _ in range(512))  # four bytes each

    async def body(port, account, _):
        await port.save(response_of(account), [item(id=id)], [])
        return await port.items([id], account)

    assert list(with_store(url, body)) == [id]


def test_thousands_of_items_are_found_at_once(url):
    async def body(port, account, _):
        inputs = [item() for _ in range(1200)]
        await port.save(response_of(account), inputs, [])
        return inputs, await port.items([each.id for each in inputs] + ["msg_none"] * 9000, account)

    inputs, found = with_store(url, body)
    assert found == {each.id: each for each in inputs}


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 4, 10, 11, 100])
def test_input_items_are_read_page_by_page(url, order, limit):
    async def body(port, account, _):
        inputs = [item(str(n)) for n in range(11)]
        previous, _items = await saved_chain(port, account, 1)
        response = response_of(account, previous_id=previous[0].id)
        await port.save(response, inputs, [item("not shown")])
        pages: list[Any] = []
        after = None
        while not pages or pages[-1].has_more:
            page = await port.input_items(
                response.id, account, after=after, limit=limit, order=order
            )
            pages.append(page)
            after = page.items[-1].id
        end = await port.input_items(response.id, account, after=after, limit=limit, order=order)
        return inputs, pages, end

    inputs, pages, end = with_store(url, body)
    expected = inputs if order == "asc" else inputs[::-1]
    assert [each for page in pages for each in page.items] == expected
    assert all(len(page.items) == limit for page in pages[:-1])
    assert (end.items, end.has_more) == ((), False)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_come_to_an_end_although_items_share_an_id(url, order):
    async def body(port, account, _):
        response = response_of(account)
        await port.save(response, [item(str(n), id=f"msg_{n % 2}") for n in range(6)], [])
        return await port.input_items(response.id, account, after="msg_1", limit=10, order=order)

    page = with_store(url, body)
    assert len(page.items) <= 1


@pytest.mark.parametrize("after", ["msg_none", "", "a\x00b"])
def test_an_unknown_place_in_the_list_is_the_callers_mistake(url, after):
    async def body(port, account, _):
        response, output = response_of(account), item()
        await port.save(response, [item()], [output])
        for unknown in (after, output.id):
            with pytest.raises(InvalidRequest) as caught:
                await port.input_items(response.id, account, after=unknown)
            assert (caught.value.code, caught.value.param) == ("invalid_value", "after")
        return await port.input_items("resp_none", account, after=after)

    assert with_store(url, body) is None


@pytest.mark.parametrize("id", ["", "a\x00b", "\ud800", "x" * 5000])
def test_an_id_that_no_database_can_be_asked_for_is_an_unknown_one(url, id):
    async def body(port, account, _):
        await missing(port, id, account)
        return [
            await port.get(id, account),
            await port.input_items(id, account),
            dict(await port.items([id], account)),
            await port.delete(id, account),
        ]

    assert with_store(url, body) == [None, None, {}, False]


def test_a_chain_takes_one_query_whatever_its_length(url):
    async def main():
        async with open_store(url) as store:
            account = (await store.accounts.named("acme")).id
            links, items = await saved_chain(store.responses, account, 60)
        async with own_port(url) as (port, database):
            await port.get(links[0].id, account)  # connects
            asked: list[str] = []
            event.listen(
                database.engine.sync_engine,
                "before_cursor_execute",
                lambda _c, _cursor, statement, *_: asked.append(statement),
            )
            return items, await port.chain(links[-1].id, account), asked

    items, found, asked = asyncio.run(main())
    assert found == items
    assert len(asked) == 1


def test_a_chain_that_holds_too_much_is_refused(url):
    async def body(port, account, _):
        (_first, second, third), items = await saved_chain(port, account, 3)
        size = sum(len(each.body) for each in items[:6])
        bounded = dataclasses.replace(port, max_chain_bytes=size)
        await bounded.chain(second.id, account)
        with pytest.raises(InvalidRequest, match=f"hold more than {size} bytes of items") as caught:
            await bounded.chain(third.id, account)
        return caught.value

    error = with_store(url, body)
    assert (error.code, error.param) == ("invalid_value", "previous_response_id")


def test_what_is_deleted_is_overwritten(sqlite_url, tmp_path):
    async def body(port, account, _):
        await saved_chain(port, account, 2)
        secret = response_of(account, body=b'{"instructions":"sesame-instructions"}')
        await port.save(secret, [item("sesame-in" * 2000)], [item("sesame-out")])
        await port.delete(secret.id, account)

    with_store(sqlite_url, body)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"out 1.1" in content
    assert b"sesame" not in content


def test_concurrent_saves_are_all_stored_and_share_commits(url):
    async def main():
        async with open_store(url) as store:
            account = (await store.accounts.named("acme")).id
        async with own_port(url) as (port, database):
            chains = [response_of(account) for _ in range(100)]
            async with asyncio.timeout(DEADLINE_S):
                await asyncio.gather(
                    *(port.save(each, [item(each.id)], [item("out")]) for each in chains)
                )
            commits = database.asked
        async with open_store(url) as store:
            found = [await store.responses.chain(each.id, account) for each in chains]
        return commits, chains, found

    commits, chains, found = asyncio.run(main())
    assert commits <= 3
    assert [len(each) for each in found] == [2] * 100
    assert [items[0].body for items in found] == [item(each.id).body for each in chains]


def with_failing(url, body):
    """Runs ``body(port, database, account)`` over a port whose database can fail."""

    async def main():
        async with open_store(url) as store:
            account = (await store.accounts.named("acme")).id
        async with own_port(url) as (port, database), asyncio.timeout(DEADLINE_S):
            return await body(port, database, account)

    return asyncio.run(main())


def test_all_of_a_group_fail_with_their_commit_and_later_ones_do_not(url):
    async def body(port, database, account):
        group = [response_of(account) for _ in range(20)]
        database.failing = True
        outcomes = await asyncio.gather(
            *(port.save(each, [item()], []) for each in group), return_exceptions=True
        )
        asked = database.asked
        database.failing = False
        later = response_of(account)
        await port.save(later, [item()], [])
        found = [await port.get(each.id, account) for each in (*group, later)]
        return outcomes, asked, found

    outcomes, asked, found = with_failing(url, body)
    assert [type(each) for each in outcomes] == [StoreUnavailable] * 20
    assert asked <= 2  # nobody waits for a database that was just asked in vain
    assert [each is not None for each in found] == [False] * 20 + [True]


def test_a_response_that_the_database_refuses_does_not_take_others_along(url):
    async def body(port, database, account):
        good = [response_of(account) for _ in range(3)]
        bad = [response_of("acct_none"), response_of(account, id=good[0].id + "\ud800")]
        outcomes = await asyncio.gather(
            *(port.save(each, [item()], [item()]) for each in (good[0], *bad, *good[1:])),
            return_exceptions=True,
        )
        return outcomes, [await port.chain(each.id, account) for each in good]

    outcomes, found = with_failing(url, body)
    assert [type(each).__name__ for each in outcomes] == [
        "NoneType",
        "StoreUnavailable",
        "StoreUnavailable",
        "NoneType",
        "NoneType",
    ]
    assert [len(each) for each in found] == [2, 2, 2]
    assert asyncio.run(rows(url)) == [3, 6]


@pytest.mark.parametrize("id", ["a\x00b", ids.random_base62(9000)], ids=["null", "too long"])
def test_an_id_that_only_sqlite_takes_does_not_take_others_along(url, id):
    async def body(port, database, account):
        return await asyncio.gather(
            *(port.save(response_of(account), [item(id=each)], []) for each in ("", "", id, "")),
            return_exceptions=True,
        )

    outcomes = with_failing(url, body)
    refused = StoreUnavailable if url.startswith("postgres") else type(None)
    assert [type(each) for each in outcomes] == [type(None), type(None), refused, type(None)]


def test_a_save_that_nobody_waits_for_any_more_does_not_hold_up_the_rest(url):
    async def body(port, database, account):
        kept, given_up = response_of(account), response_of(account)
        async with asyncio.TaskGroup() as tasks:
            one = tasks.create_task(port.save(given_up, [], []))
            other = tasks.create_task(port.save(kept, [], []))
            await asyncio.sleep(0)
            one.cancel()
        assert other.done()
        return one.cancelled(), await port.get(kept.id, account) is not None

    assert with_failing(url, body) == (True, True)


def test_what_is_being_saved_is_stored_when_the_store_closes(url):
    async def main():
        async with open_store(url) as store:
            account = (await store.accounts.named("acme")).id
            response = response_of(account)
            async with asyncio.TaskGroup() as tasks:
                # The store closes while the save is on its way.
                saving = tasks.create_task(store.responses.save(response, [item()], []))
                await asyncio.sleep(0)
                port = store.responses
        with pytest.raises(StoreUnavailable):
            await port.save(response_of(account), [], [])
        assert saving.done()
        async with open_store(url) as store:
            return await store.responses.get(response.id, account)

    assert asyncio.run(main()) is not None


def test_a_response_is_there_for_another_worker_when_the_save_returns(url):
    async def main():
        async with open_store(url) as one, open_store(url) as two:
            account = (await one.accounts.named("acme")).id
            previous, length = None, 0
            for turn in range(10):
                writer, reader = (one, two) if turn % 2 else (two, one)
                response = response_of(account, previous_id=previous)
                await writer.responses.save(response, [item(str(turn))], [item("out")])
                previous = response.id
                length = len(await reader.responses.chain(previous, account))
            return length

    assert asyncio.run(main()) == 20


def test_the_sweeper_goes_on_after_a_failure_and_leaves_what_is_still_kept(url):
    async def body(port, account, _):
        now = ids.now()
        expired = [response_of(account, expires_at=now) for _ in range(120)]
        kept = response_of(account, expires_at=now + HOUR)
        await asyncio.gather(*(port.save(each, [item()], []) for each in (*expired, kept)))
        failures = 2

        class Faltering:
            async def sweep(self, now, limit):
                nonlocal failures
                if failures:
                    failures -= 1
                    raise StoreUnavailable
                return await port.sweep(now, limit)

        faltering: Any = Faltering()
        async with asyncio.timeout(DEADLINE_S), Sweeper(faltering, every_s=0.02):
            while (left := await rows(url)) != [1, 1]:
                await asyncio.sleep(0.005)
        return left, failures, await port.get(kept.id, account) is not None

    assert with_store(url, body) == ([1, 1], 0, True)


def test_a_sweeper_waits_only_a_little_at_the_start_and_stops_at_once():
    async def main():
        swept: list[float] = []

        class Port:
            async def sweep(self, now, limit):
                swept.append(asyncio.get_running_loop().time())
                return 0

        port: Any = Port()
        async with asyncio.timeout(DEADLINE_S):
            began = asyncio.get_running_loop().time()
            async with Sweeper(port, every_s=3600, jitter=lambda: 1e-5):
                while not swept:
                    await asyncio.sleep(0.001)
        return swept[0] - began

    assert asyncio.run(main()) < 1
