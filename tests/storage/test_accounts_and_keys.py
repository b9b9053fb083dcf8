"""The ports of accounts and keys, over both databases."""

import asyncio
import datetime
from typing import Any

import pytest

from trunkline import ids
from trunkline.store import NO_LIMITS, Key, Limits, Rate, open_store


def key_of(account_id: str, **changes) -> Key:
    values: dict[str, Any] = {
        "id": ids.new_id("key"),
        "account_id": account_id,
        "name": "",
        "hash": ids.random_base62(43),
        "prefix": "tl_Ab12",
        "created_at": ids.now(),
    }
    return Key(**(values | changes))


def test_an_account_is_made_when_it_is_first_named(url):
    async def main():
        async with open_store(url) as store:
            made = await store.accounts.named("acme")
            again = await store.accounts.named("acme")
            return made, again, await store.accounts.all_accounts()

    made, again, everyone = asyncio.run(main())
    assert made == again
    assert made.id.startswith("acct_")
    assert everyone == [made]


def test_two_that_name_an_account_at_the_same_time_get_the_same_one(url):
    async def main():
        async with open_store(url) as store:
            return await asyncio.gather(*(store.accounts.named("acme") for _ in range(5)))

    assert len({account.id for account in asyncio.run(main())}) == 1


def test_a_key_comes_back_as_it_was_stored(url):
    async def main():
        async with open_store(url) as store:
            account = await store.accounts.named("acme")
            key = key_of(
                account.id,
                name="laptop – café",
                expires_at=datetime.datetime(2031, 1, 2, 3, 4, 5, 678_901, tzinfo=datetime.UTC),
            )
            added = await store.keys.add(key)
            return key, added, await store.keys.by_hash(key.hash), await store.keys.by_hash("none")

    key, added, found, missing = asyncio.run(main())
    assert added
    assert found == key
    assert missing is None


LIMITS = Limits(
    models=("openai/*", "sim/echo"),
    deny_models=("openai/gpt-oss-20b",),
    providers=("groq", "local"),
    deny_providers=("novita",),
    max_input=150_000_000,
    max_output=None,
    concurrency=4,
    rate=Rate(60, 60),
)


def test_what_a_key_may_use_is_stored_with_it_and_can_be_changed(url):
    async def main():
        async with open_store(url) as store:
            account, other = [await store.accounts.named(name) for name in ("acme", "other")]
            key, free = key_of(account.id, limits=LIMITS), key_of(account.id)
            await store.keys.add(key)
            await store.keys.add(free)
            stored = await store.keys.of_account(account.id)
            foreign = await store.keys.limit(key.id, other.id, NO_LIMITS)
            kept = await store.keys.by_hash(key.hash)
            changed = await store.keys.limit(key.id, account.id, Limits(concurrency=1))
            lifted = await store.keys.limit(free.id, account.id, NO_LIMITS)
            now = await store.keys.of_all_accounts()
        found = {one.id: one.limits for one in now}
        same = {one.id: one for one in stored} == {key.id: key, free.id: free}
        return same, foreign, kept == key, changed, lifted, found[key.id], found[free.id]

    same, foreign, kept, changed, lifted, limited, free = asyncio.run(main())
    assert (same, foreign, kept, changed, lifted) == (True, False, True, True, True)
    assert limited == Limits(concurrency=1)
    assert free is NO_LIMITS


def test_a_key_of_a_known_hash_is_not_stored_again(url):
    async def main():
        async with open_store(url) as store:
            account = await store.accounts.named("acme")
            first = key_of(account.id)
            await store.keys.add(first)
            added = await store.keys.add(key_of(account.id, hash=first.hash, name="other"))
            return first, added, await store.keys.of_all_accounts()

    first, added, everything = asyncio.run(main())
    assert not added
    assert everything == [first]


def test_of_many_that_add_the_first_key_one_succeeds(url):
    async def main():
        async with open_store(url) as store, open_store(url) as other:
            account = await store.accounts.named("acme")
            added = await asyncio.gather(
                *(each.keys.add_first(key_of(account.id)) for each in (store, other) * 3)
            )
            return added, await store.keys.of_all_accounts()

    added, everything = asyncio.run(main())
    assert sorted(added) == [False] * 5 + [True]
    assert len(everything) == 1


def test_keys_are_listed_by_account_and_oldest_first(url):
    async def main():
        async with open_store(url) as store:
            acme, other = [(await store.accounts.named(name)).id for name in ("acme", "other")]
            keys = [key_of(owner, id=f"key_{n}") for n, owner in enumerate((acme, other, acme))]
            for key in reversed(keys):
                await store.keys.add(key)
            return keys, await store.keys.of_account(acme), await store.keys.of_all_accounts()

    keys, of_acme, everything = asyncio.run(main())
    assert of_acme == [keys[0], keys[2]]
    assert everything == keys


def test_a_key_is_revoked_once_and_only_by_its_account(url):
    at = ids.now()

    async def main():
        async with open_store(url) as store:
            acme, other = [(await store.accounts.named(name)).id for name in ("acme", "other")]
            key = key_of(acme)
            await store.keys.add(key)
            by_other = await store.keys.revoke(key.id, other, at)
            first = await store.keys.revoke(key.id, acme, at)
            second = await store.keys.revoke(key.id, acme, ids.now())
            return by_other, first, second, await store.keys.by_hash(key.hash)

    by_other, first, second, key = asyncio.run(main())
    assert (by_other, first, second) == (False, True, False)
    assert key is not None
    assert key.revoked_at == at


def test_what_was_stored_is_there_at_the_next_start(url):
    async def main():
        async with open_store(url) as store:
            made = await store.accounts.named("acme")
        async with open_store(url) as store:
            return made, await store.accounts.named("acme")

    made, found = asyncio.run(main())
    assert made == found


def test_a_database_in_memory_serves_many_tasks():
    async def main():
        async with open_store("sqlite://") as store:
            return await asyncio.gather(*(store.accounts.named(f"a{n}") for n in range(20)))

    assert len({account.id for account in asyncio.run(main())}) == 20


@pytest.mark.parametrize("spelling", ["postgres://", "postgresql://", "postgresql+asyncpg://"])
def test_postgres_urls_are_taken_in_every_spelling(postgres_url, spelling):
    async def main():
        async with open_store(spelling + postgres_url.split("://")[1]) as store:
            return await store.accounts.named("acme")

    assert asyncio.run(main()).name == "acme"
