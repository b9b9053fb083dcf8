"""From a presented key to a caller: asked of the store at most once in a short while."""

from __future__ import annotations

import asyncio
import hmac
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol
from weakref import WeakValueDictionary

from trunkline.accounts.keys import hash_key
from trunkline.errors import InvalidAPIKey, StoreUnavailable
from trunkline.store import NO_LIMITS, Key, Limits


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request this is, and what the key may use."""

    key_id: str
    account_id: str
    limits: Limits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the store said of one hash, good until ``fresh_until`` of the monotonic clock.

    ``expires_at`` is the key's own end, in seconds since 1970.
    """

    fresh_until: float
    caller: Caller | Literal["unknown", "revoked"]
    expires_at: float = math.inf


class Lookup(Protocol):
    """What a keyring needs of the store's keys."""

    async def by_hash(self, hash: str) -> Key | None: ...


class Keyring:
    """Authenticates callers, remembering each answer of the store for ``ttl_s``, also a negative one.

    The time to live counts from before the question is sent, so that a revoked key is refused
    everywhere ``ttl_s`` after its revocation; that is the promise of one second in every process.
    ``capacity`` bounds the answers remembered, ``timeout_s`` the wait for one.
    """

    def __init__(
        self,
        keys: Lookup,
        *,
        ttl_s: float = 0.8,
        timeout_s: float = 5.0,
        capacity: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._ttl_s = ttl_s
        self._timeout_s = timeout_s
        self._capacity = capacity
        self._clock = clock
        self._wall_clock = wall_clock
        self._answers: dict[str, _Answer] = {}  # the oldest first
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def authenticate(self, presented: str | None) -> Caller:
        """Returns whose key this is. While the answer is remembered nothing is waited for.

        Raises:
            InvalidAPIKey: it is none that counts; its ``reason`` is for the log only.
            StoreUnavailable: the store does not answer in time.
        """
        if not presented:
            raise InvalidAPIKey(reason="missing")
        hash = hash_key(presented)
        answer = self._fresh(hash) or await self._ask(hash)
        if isinstance(answer.caller, str):
            raise InvalidAPIKey(reason=answer.caller)
        if self._wall_clock() >= answer.expires_at:
            raise InvalidAPIKey(reason="expired")
        return answer.caller

    def _fresh(self, hash: str) -> _Answer | None:
        answer = self._answers.get(hash)
        return answer if answer and self._clock() < answer.fresh_until else None

    async def _ask(self, hash: str) -> _Answer:
        """Asks the store, once for all who wait for the same answer."""
        asking = self._asking.setdefault(hash, asyncio.Lock())
        try:
            async with asyncio.timeout(self._timeout_s), asking:
                return self._fresh(hash) or await self._ask_store(hash)
        except TimeoutError:
            raise StoreUnavailable from None

    async def _ask_store(self, hash: str) -> _Answer:
        fresh_until = self._clock() + self._ttl_s
        answer = _judge(hash, await self._keys.by_hash(hash), fresh_until)
        self._remember(hash, answer)
        return answer

    def _remember(self, hash: str, answer: _Answer) -> None:
        self._answers.pop(hash, None)
        self._answers[hash] = answer
        while len(self._answers) > self._capacity:
            del self._answers[next(iter(self._answers))]


def _judge(hash: str, key: Key | None, fresh_until: float) -> _Answer:
    # The index compares as it likes; what counts is compared in constant time.
    if key is None or not hmac.compare_digest(key.hash, hash):
        return _Answer(fresh_until, "unknown")
    if key.revoked_at is not None:
        return _Answer(fresh_until, "revoked")
    caller = Caller(key_id=key.id, account_id=key.account_id, limits=key.limits)
    if key.expires_at is None:
        return _Answer(fresh_until, caller)
    return _Answer(fresh_until, caller, key.expires_at.timestamp())
