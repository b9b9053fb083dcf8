"""Keys: their shape, the cache of callers, and the words of ``trunkline keys``."""

import asyncio
import datetime
import zlib

import pytest
import typer

from trunkline import ids
from trunkline.accounts import Caller, Keyring, hash_key, new_key, record_of
from trunkline.accounts.keys import has_key_shape
from trunkline.cli.keys import account_name, moment
from trunkline.errors import InvalidAPIKey, StoreUnavailable
from trunkline.store import Key


class Clock:
    """Time that passes when told to."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Questions:
    """The one query that the keyring sends: counted, and held back on demand."""

    def __init__(self, *records: Key) -> None:
        self.records = {record.hash: record for record in records}
        self.asked: list[str] = []
        self.gate: asyncio.Event | None = None

    async def by_hash(self, hash: str) -> Key | None:
        self.asked.append(hash)
        if self.gate is not None:
            await self.gate.wait()
        return self.records.get(hash)


def record(key: str, **changes) -> Key:
    made = record_of(key, account_id="acct_1", name="")
    return Key(**{name: changes.get(name, getattr(made, name)) for name in made.__struct_fields__})


async def reason(keyring: Keyring, presented: str | None) -> str:
    with pytest.raises(InvalidAPIKey) as caught:
        await keyring.authenticate(presented)
    return caught.value.reason


def test_a_new_key_has_its_shape_and_checksum():
    key = new_key()
    assert key.startswith("tl_")
    assert len(key) == 39
    assert key[-6:] == ids.base62(zlib.crc32(key[:33].encode()), 6)
    assert has_key_shape(key)
    assert new_key() != key


_SHAPED = "tl_" + "0" * 30 + ids.base62(zlib.crc32(b"tl_" + b"0" * 30), 6)


@pytest.mark.parametrize(
    "text", ["", "tl_", "sk-1234567890123456", f"tl_{'A' * 36}", f"{_SHAPED}x", _SHAPED[:-1]]
)
def test_other_texts_do_not_have_the_shape(text):
    assert not has_key_shape(text)


def test_only_a_hash_and_a_recognisable_beginning_of_a_key_are_recorded():
    key = new_key()
    made = record_of(key, account_id="acct_1", name="laptop")
    assert made.hash == hash_key(key)
    assert made.prefix == key[:7]
    assert key not in repr(made)


def test_little_is_shown_of_a_key_that_somebody_chose():
    assert record_of("correct-horse-battery", account_id="a", name="").prefix == "corr"


def test_a_key_need_not_have_the_shape_to_be_accepted():
    key = record("any text of sixteen or more")
    caller = asyncio.run(Keyring(Questions(key)).authenticate("any text of sixteen or more"))
    assert caller == Caller(key_id=key.id, account_id="acct_1")


def test_the_four_refusals_differ_in_their_reason_only():
    at = ids.now()
    revoked, expired = new_key(), new_key()
    keyring = Keyring(Questions(record(revoked, revoked_at=at), record(expired, expires_at=at)))
    presented = {"missing": None, "unknown": new_key(), "revoked": revoked, "expired": expired}

    async def refusal(key):
        with pytest.raises(InvalidAPIKey) as caught:
            await keyring.authenticate(key)
        return caught.value

    errors = {name: asyncio.run(refusal(key)) for name, key in presented.items()}
    assert {name: error.reason for name, error in errors.items()} == {n: n for n in presented}
    assert len({error.message for error in errors.values()}) == 1
    assert asyncio.run(reason(keyring, "")) == "missing"


def test_the_store_is_asked_once_within_the_time_to_live():
    clock, key = Clock(), new_key()
    keys = Questions(record(key))
    keyring = Keyring(keys, ttl_s=0.8, clock=clock)

    async def main():
        await keyring.authenticate(key)
        clock.now += 0.79
        await keyring.authenticate(key)
        assert len(keys.asked) == 1
        clock.now += 0.01
        await keyring.authenticate(key)
        assert len(keys.asked) == 2

    asyncio.run(main())


def test_an_unknown_key_is_remembered_as_briefly_as_a_known_one():
    clock, key = Clock(), new_key()
    keys = Questions()
    keyring = Keyring(keys, ttl_s=0.8, clock=clock)

    async def main():
        assert await reason(keyring, key) == "unknown"
        made = record(key)
        keys.records[made.hash] = made
        assert await reason(keyring, key) == "unknown"
        clock.now += 0.8
        await keyring.authenticate(key)
        assert len(keys.asked) == 2

    asyncio.run(main())


def test_the_time_to_live_counts_from_before_the_question():
    clock, key = Clock(), new_key()
    keys = Questions(record(key))
    keyring = Keyring(keys, ttl_s=0.8, clock=clock)

    async def main():
        keys.gate = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keyring.authenticate(key))
            await asyncio.sleep(0)  # the question is out
            clock.now += 0.8
            keys.gate.set()
        await keyring.authenticate(key)
        assert len(keys.asked) == 2

    asyncio.run(main())


def test_a_remembered_key_expires_at_its_moment():
    wall, key = Clock(1_900_000_000.0), new_key()
    end = datetime.datetime.fromtimestamp(wall.now + 0.5, datetime.UTC)
    keyring = Keyring(Questions(record(key, expires_at=end)), clock=Clock(), wall_clock=wall)

    async def main():
        await keyring.authenticate(key)
        wall.now += 0.5
        assert await reason(keyring, key) == "expired"

    asyncio.run(main())


def test_many_who_present_one_key_share_one_question():
    key = new_key()
    keys = Questions(record(key))
    keyring = Keyring(keys)

    async def main():
        keys.gate = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            callers = [tasks.create_task(keyring.authenticate(key)) for _ in range(20)]
            await asyncio.sleep(0)
            keys.gate.set()
        assert len({caller.result() for caller in callers}) == 1
        assert len(keys.asked) == 1

    asyncio.run(main())


def test_a_caller_who_hangs_up_does_not_take_the_question_from_the_others():
    key = new_key()
    keys = Questions(record(key))
    keyring = Keyring(keys)

    async def main():
        keys.gate = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(keyring.authenticate(key))
            second = tasks.create_task(keyring.authenticate(key))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.sleep(0)
            keys.gate.set()
        assert first.cancelled()
        assert second.result().account_id == "acct_1"

    asyncio.run(main())


def test_a_store_that_does_not_answer_in_time_is_reported_as_such():
    keys = Questions()
    keyring = Keyring(keys, timeout_s=0.01)

    async def main():
        keys.gate = asyncio.Event()
        with pytest.raises(StoreUnavailable):
            await keyring.authenticate(new_key())

    asyncio.run(main())


def test_no_more_answers_are_remembered_than_the_capacity():
    keys = Questions()
    keyring = Keyring(keys, capacity=2, clock=Clock())

    async def main():
        for key in ("a" * 16, "b" * 16, "c" * 16, "c" * 16, "b" * 16, "a" * 16):
            assert await reason(keyring, key) == "unknown"

    asyncio.run(main())
    assert keys.asked == [hash_key(letter * 16) for letter in "abca"]


@pytest.mark.parametrize(("text", "hours"), [("30d", 720), ("12h", 12), ("1d", 24)])
def test_a_span_ends_a_key_that_long_from_now(text, hours):
    before = ids.now()
    end = moment(text)
    span = datetime.timedelta(hours=hours)
    assert before + span <= end <= ids.now() + span


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("2999-01-31", "2999-01-31T00:00:00+00:00"),
        ("2999-01-31T12:30", "2999-01-31T12:30:00+00:00"),
        ("2999-01-31T12:30:00+02:00", "2999-01-31T10:30:00+00:00"),
    ],
)
def test_an_iso_date_ends_a_key_at_that_moment_in_utc(text, end):
    assert moment(text) == datetime.datetime.fromisoformat(end)
    assert moment(text).tzinfo is datetime.UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "30",
        "-1d",
        "1y",
        "2001-01-01",
        "0d",
        "9999999d",
        "9999-12-31T23:59-23:00",
        "0001-01-01T00:00+23:00",
    ],
)
def test_what_is_no_future_moment_is_refused(text):
    with pytest.raises(typer.BadParameter):
        moment(text)


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "a\x00"])
def test_an_account_needs_a_name_that_can_be_read(text):
    with pytest.raises(typer.BadParameter):
        account_name(text)
