"""The first key of an installation: made once, kept in ``home/key``, or brought along."""

import asyncio
import stat

import pytest

from trunkline.accounts import (
    FirstKey,
    Keyring,
    create,
    ensure_first_key,
    hash_key,
    revoke,
)
from trunkline.config import first_key
from trunkline.errors import ConfigError, InvalidAPIKey, StartError
from trunkline.store import open_store

BOOTSTRAP = "a bootstrap key of mine".replace(" ", "-")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def ensured(url, home, bootstrap=None):
    async def main():
        async with open_store(url) as store:
            return await ensure_first_key(store, home, bootstrap)

    return asyncio.run(main())


def authenticated(url, key):
    async def main():
        async with open_store(url) as store:
            return await Keyring(store.keys).authenticate(key)

    return asyncio.run(main())


def known(url):
    async def main():
        async with open_store(url) as store:
            return await store.keys.of_all_accounts()

    return asyncio.run(main())


def test_an_empty_installation_gets_a_key_that_only_its_owner_can_read(url, home):
    first = ensured(url, home)
    assert first.created
    assert first.key is not None
    assert (home / "key").read_text() == f"{first.key}\n"
    assert stat.S_IMODE((home / "key").stat().st_mode) == 0o600
    assert [each.name for each in home.iterdir()] == ["key"]
    authenticated(url, first.key)


def test_later_starts_change_nothing(url, home):
    first = ensured(url, home)
    assert ensured(url, home) == FirstKey(created=False, key=first.key)
    assert len(known(url)) == 1


def test_starters_at_the_same_time_agree_on_one_key(url, home):
    async def main():
        async with open_store(url) as one, open_store(url) as two:
            return await asyncio.gather(
                *(ensure_first_key(store, home, None) for store in (one, two, one, two))
            )

    outcomes = asyncio.run(main())
    assert {outcome.key for outcome in outcomes} == {first_key(home)}
    assert sum(outcome.created for outcome in outcomes) == 1
    assert [key.hash for key in known(url)] == [hash_key(outcomes[0].key)]


def test_a_second_home_on_one_database_keeps_no_key_that_does_not_count(url, home, tmp_path):
    async def main():
        async with open_store(url) as one, open_store(url) as two:
            return await asyncio.gather(
                ensure_first_key(one, home, None), ensure_first_key(two, tmp_path / "other", None)
            )

    outcomes = asyncio.run(main())
    assert sorted(outcome.created for outcome in outcomes) == [False, True]
    assert [outcome.key is None for outcome in outcomes] == [not each.created for each in outcomes]
    assert len(known(url)) == 1


def test_a_start_that_was_cut_off_after_writing_the_file_is_completed(url, home):
    home.mkdir()
    (home / "key").write_text("tl_left-by-the-first-start\n")
    first = ensured(url, home)
    assert first == FirstKey(created=True, key="tl_left-by-the-first-start")
    authenticated(url, first.key)


def test_a_database_with_keys_gets_no_first_one(url, home):
    async def main():
        async with open_store(url) as store:
            await create(store)
            return await ensure_first_key(store, home, None)

    assert asyncio.run(main()) == FirstKey(created=False, key=None)
    assert not (home / "key").exists()


def test_a_bootstrap_key_takes_the_place_of_the_first_one(url, home):
    assert ensured(url, home, BOOTSTRAP) == FirstKey(created=True, key=BOOTSTRAP)
    assert ensured(url, home, BOOTSTRAP) == FirstKey(created=False, key=BOOTSTRAP)
    assert ensured(url, home) == FirstKey(created=False, key=BOOTSTRAP)
    assert (home / "key").read_text() == f"{BOOTSTRAP}\n"
    assert stat.S_IMODE((home / "key").stat().st_mode) == 0o600
    assert [key.hash for key in known(url)] == [hash_key(BOOTSTRAP)]
    authenticated(url, BOOTSTRAP)


def test_a_changed_bootstrap_key_is_added_to_the_old_one(url, home):
    first = ensured(url, home)
    assert ensured(url, home, BOOTSTRAP) == FirstKey(created=True, key=BOOTSTRAP)
    assert first_key(home) == BOOTSTRAP
    assert authenticated(url, first.key).account_id == authenticated(url, BOOTSTRAP).account_id


def test_a_bootstrap_key_that_was_revoked_stays_so(url, home):
    async def main():
        async with open_store(url) as store:
            await ensure_first_key(store, home, BOOTSTRAP)
            await revoke(store, BOOTSTRAP)
            return await ensure_first_key(store, home, BOOTSTRAP)

    assert not asyncio.run(main()).created
    with pytest.raises(InvalidAPIKey):
        authenticated(url, BOOTSTRAP)


@pytest.mark.parametrize(
    "bootstrap", ["fifteen-letters", " with spaces around it ", "schlüssel-für-alle"]
)
def test_a_bootstrap_key_that_cannot_serve_is_refused(sqlite_url, home, bootstrap):
    with pytest.raises(ConfigError, match="TRUNKLINE_BOOTSTRAP_KEY"):
        ensured(sqlite_url, home, bootstrap)
    assert known(sqlite_url) == []


@pytest.mark.parametrize("bootstrap", [None, BOOTSTRAP])
def test_a_home_that_cannot_be_written_is_named(sqlite_url, home, bootstrap):
    home.touch()
    with pytest.raises(StartError, match=rf"'{home}/key'"):
        ensured(sqlite_url, home, bootstrap)


def test_a_file_without_a_key_is_named(sqlite_url, home):
    home.mkdir()
    (home / "key").touch()
    with pytest.raises(StartError, match=rf"'{home}/key' holds no key; delete it"):
        ensured(sqlite_url, home)
