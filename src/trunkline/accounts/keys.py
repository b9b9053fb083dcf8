"""API keys: how one looks, what is kept of it, how it is made and ended."""

from __future__ import annotations

import datetime
import hashlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from trunkline import ids
from trunkline.errors import TrunklineError
from trunkline.store import NO_LIMITS, Key, Limits, Store

DEFAULT_ACCOUNT = "default"
_START = "tl_"
_RANDOM_DIGITS = 30  # 178 bits
_CHECK_DIGITS = 6
_SHOWN = 7  # characters of a key that anyone may read


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the only moment when both it and its record are at hand."""

    key: str
    record: Key


def new_key() -> str:
    """Returns ``tl_`` + 30 random base62 digits + 6 of the CRC32 of all before them.

    The checksum lets scanners of leaked secrets tell a key from noise. It is no part of its strength.
    """
    start = _START + ids.random_base62(_RANDOM_DIGITS)
    return start + _checksum(start)


def has_key_shape(key: str) -> bool:
    """Whether a text looks like a key that we made; a bootstrap key need not."""
    start, checksum = key[:-_CHECK_DIGITS], key[-_CHECK_DIGITS:]
    return (
        key.startswith(_START)
        and len(start) == len(_START) + _RANDOM_DIGITS
        and checksum == _checksum(start)
    )


def hash_key(key: str) -> str:
    """Returns the SHA-256 of a key, in 64 hexadecimal digits: all that is kept of it.

    Neither salt nor a slow hash is needed: they make guessing dear where passwords are few and
    short, while a key has 178 random bits. So a key is found by its hash, in microseconds.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def record_of(
    key: str,
    *,
    account_id: str,
    name: str,
    expires_at: datetime.datetime | None = None,
    limits: Limits = NO_LIMITS,
) -> Key:
    """Returns the record to store for a key, made now."""
    return Key(
        id=ids.new_id("key"),
        account_id=account_id,
        name=name,
        hash=hash_key(key),
        prefix=_shown(key),
        created_at=ids.now(),
        expires_at=expires_at,
        limits=limits,
    )


async def create(
    store: Store,
    *,
    name: str = "",
    account: str = DEFAULT_ACCOUNT,
    expires_at: datetime.datetime | None = None,
    limits: Limits = NO_LIMITS,
) -> NewKey:
    """Makes a key for the account of that name, which is made as well if there is none."""
    key = new_key()
    owner = await store.accounts.named(account)
    record = record_of(key, account_id=owner.id, name=name, expires_at=expires_at, limits=limits)
    await store.keys.add(record)
    return NewKey(key=key, record=record)


async def revoke(store: Store, start: str) -> Key:
    """Ends the one key whose id or shown beginning starts like this, or that is this; returns what it was.

    Raises:
        TrunklineError: no key or several start so, or it is revoked already.
    """
    found = await find(store, start)
    if not await store.keys.revoke(found.id, found.account_id, ids.now()):
        raise TrunklineError(f"the key '{found.id}' is revoked already")
    return found


async def limit(store: Store, start: str, change: Callable[[Limits], Limits]) -> Key:
    """Changes what the one key may use that is meant as for `revoke`; returns it as it is now.

    Raises:
        TrunklineError: no key or several start so.
    """
    found = await find(store, start)
    limits = change(found.limits)
    await store.keys.limit(found.id, found.account_id, limits)
    return msgspec.structs.replace(found, limits=limits)


async def find(store: Store, start: str) -> Key:
    """Returns the one key whose id or shown beginning starts like this, or that is this.

    Raises:
        TrunklineError: no key or several start so.
    """
    if (whole := await store.keys.by_hash(hash_key(start))) is not None:
        return whole
    if len(start) < _SHOWN:
        raise TrunklineError(
            f"'{start}' is too short to name a key; give {_SHOWN} characters or more"
        )
    found = [
        key
        for key in await store.keys.of_all_accounts()
        if key.id.startswith(start) or key.prefix == start
    ]
    if not found:
        raise TrunklineError(f"no key starts with '{_shown(start)}…'; see 'trunkline keys ls'")
    if len(found) > 1:
        raise TrunklineError(f"{len(found)} keys start with '{start}'; give more of the id")
    return found[0]


def _checksum(start: str) -> str:
    return ids.base62(zlib.crc32(start.encode()), _CHECK_DIGITS)


def _shown(key: str) -> str:
    """Returns so much of a key as may be read by all: less if it may be short or guessable."""
    return key[:_SHOWN] if has_key_shape(key) else key[:4]
