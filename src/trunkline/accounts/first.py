"""The first key of an installation, without which nobody could make a request."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trunkline.accounts.keys import DEFAULT_ACCOUNT, hash_key, new_key, record_of
from trunkline.config import KEY_FILE, MIN_KEY, create_private, first_key, replace_private
from trunkline.errors import ConfigError, StartError
from trunkline.log import get_logger
from trunkline.store import Store

log = get_logger()


@dataclass(frozen=True, slots=True)
class FirstKey:
    """``created`` says whether this start made it; ``key`` is None if this home does not hold it.

    That is so when the database got its first key from another home, or the file was deleted.
    """

    created: bool
    key: str | None


async def ensure_first_key(store: Store, home: Path, bootstrap: str | None) -> FirstKey:
    """Sees to it that there is a key, and that ``home/key`` (0600) holds it; safe to repeat.

    On an empty installation a key is made for the account ``default``. ``bootstrap``, the value of
    TRUNKLINE_BOOTSTRAP_KEY, takes its place; changed later, the new one is added and the old one
    stays valid until it is revoked.

    Raises:
        ConfigError: ``bootstrap`` is too short or could not be sent in a header.
        StartError: ``home/key`` cannot be read or written.
    """
    if bootstrap:
        return await _adopt(store, home, bootstrap)
    if await store.keys.exist():
        return FirstKey(created=False, key=first_key(home))
    key = _publish(home / KEY_FILE)
    account = await store.accounts.named(DEFAULT_ACCOUNT)
    if await store.keys.add_first(record_of(key, account_id=account.id, name="first")):
        return FirstKey(created=True, key=key)
    if await store.keys.by_hash(hash_key(key)) is not None:
        return FirstKey(created=False, key=key)  # another process of this home came first
    # Another home came first: this key never counted.
    (home / KEY_FILE).unlink(missing_ok=True)
    return FirstKey(created=False, key=None)


async def _adopt(store: Store, home: Path, bootstrap: str) -> FirstKey:
    _check(bootstrap)
    account = await store.accounts.named(DEFAULT_ACCOUNT)
    record = record_of(bootstrap, account_id=account.id, name="bootstrap")
    created = await store.keys.add(record)
    if not created:
        await _warn_if_revoked(store, record.hash)
    _replace(home / KEY_FILE, bootstrap)
    return FirstKey(created=created, key=bootstrap)


def _check(bootstrap: str) -> None:
    if len(bootstrap) < MIN_KEY:
        raise ConfigError(
            f"TRUNKLINE_BOOTSTRAP_KEY is too short; give {MIN_KEY} characters or more, best random ones"
        )
    if not (bootstrap.isascii() and bootstrap.isprintable()) or bootstrap != bootstrap.strip():
        raise ConfigError(
            "TRUNKLINE_BOOTSTRAP_KEY must be printable ASCII, without spaces around it"
        )


async def _warn_if_revoked(store: Store, hash: str) -> None:
    known = await store.keys.by_hash(hash)
    if known is not None and known.revoked_at is not None:
        log.warning(
            "bootstrap_key_revoked", key_id=known.id, fix="set another TRUNKLINE_BOOTSTRAP_KEY"
        )


def _publish(path: Path) -> str:
    """Puts a new key into a file that is not there yet; of two that try, both get the same key."""
    try:
        create_private(path, _content(new_key()))
    except OSError as error:
        raise _not_written(path, error) from error
    key = first_key(path.parent)
    if key is None:
        raise StartError(f"'{path}' vanished while we started; start again")
    return key


def _replace(path: Path, key: str) -> None:
    try:
        if not path.exists() or path.read_bytes() != _content(key):
            replace_private(path, _content(key))
    except OSError as error:
        raise _not_written(path, error) from error


def _content(key: str) -> bytes:
    return f"{key}\n".encode()


def _not_written(path: Path, error: OSError) -> StartError:
    return StartError(
        f"cannot write '{path}': {error.strerror}; make the folder writable or set TRUNKLINE_HOME"
    )
