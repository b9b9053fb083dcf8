"""Revoking a key: which one is meant, and how soon every process refuses it."""

import asyncio
import time

import pytest

from trunkline.accounts import Keyring, create, revoke
from trunkline.errors import InvalidAPIKey, TrunklineError
from trunkline.store import open_store

PROMISE_S = 1.0
DEADLINE_S = 10.0


def test_a_revoked_key_is_refused_everywhere_within_a_second(url):
    async def accepted(keyring, key):
        try:
            await keyring.authenticate(key)
        except InvalidAPIKey as error:
            return error.reason != "revoked"
        return True

    async def main():
        async with open_store(url) as one, open_store(url) as two:
            made = await create(one)
            keyrings = [Keyring(one.keys), Keyring(two.keys)]
            for keyring in keyrings:
                await keyring.authenticate(made.key)
            await revoke(one, made.record.id)
            revoked = time.monotonic()
            async with asyncio.timeout(DEADLINE_S):
                while keyrings:
                    asked = time.monotonic()
                    keyrings = [ring for ring in keyrings if await accepted(ring, made.key)]
                    assert not keyrings or asked - revoked <= PROMISE_S
                    await asyncio.sleep(0.01)

    asyncio.run(main())


@pytest.mark.parametrize(
    "name",
    [
        lambda made: made.record.id,
        lambda made: made.record.id[:-4],
        lambda made: made.record.prefix,
        lambda made: made.key,
    ],
    ids=["id", "beginning of the id", "beginning of the key", "key"],
)
def test_a_key_can_be_named_in_four_ways(sqlite_url, name):
    async def main():
        async with open_store(sqlite_url) as store:
            await create(store)
            made = await create(store)
            ended = await revoke(store, name(made))
            return made, ended, await store.keys.of_all_accounts()

    made, ended, everything = asyncio.run(main())
    assert ended == made.record
    assert [key.revoked_at is not None for key in everything] == [
        key.id == made.record.id for key in everything
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "too short"),
        ("key_", "too short"),
        ("key_0000000000", "no key starts with 'key_"),
        ("tl_" + "z" * 36, r"no key starts with 'tl_z"),
    ],
)
def test_a_name_of_no_key_is_refused(sqlite_url, name, message):
    async def main():
        async with open_store(sqlite_url) as store:
            await create(store)
            await revoke(store, name)

    with pytest.raises(TrunklineError, match=message) as caught:
        asyncio.run(main())
    assert "z" * 10 not in caught.value.message


def test_a_name_of_several_keys_ends_none(sqlite_url):
    async def main():
        async with open_store(sqlite_url) as store:
            made = [await create(store) for _ in range(2)]
            with pytest.raises(TrunklineError, match="2 keys start with"):
                await revoke(store, made[0].record.id[:7])
            return await store.keys.of_all_accounts()

    assert [key.revoked_at for key in asyncio.run(main())] == [None, None]


def test_a_key_is_not_revoked_twice(sqlite_url):
    async def main():
        async with open_store(sqlite_url) as store:
            made = await create(store)
            await revoke(store, made.record.id)
            await revoke(store, made.record.id)

    with pytest.raises(TrunklineError, match="is revoked already"):
        asyncio.run(main())
