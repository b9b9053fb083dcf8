"""The ports: what the layers above may ask of the store.

Any of the asynchronous methods raises StoreUnavailable if the database does not answer. A query
that takes an id takes the account as well, and answers as if nothing were there for another's.
The methods that look across accounts say so in their names; they serve the operator's command line.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trunkline.store.records import Account, Key, Limits, Request


class Accounts(Protocol):
    async def named(self, name: str) -> Account:
        """Returns the account of that name, made now if there was none."""
        ...

    async def all_accounts(self) -> Sequence[Account]:
        """Returns every account, oldest first."""
        ...


class Keys(Protocol):
    async def add(self, key: Key) -> bool:
        """Stores a key; False, and nothing changed, if one of the same hash is there already."""
        ...

    async def add_first(self, key: Key) -> bool:
        """Stores a key if there is none at all; of two that try at the same time one succeeds."""
        ...

    async def exist(self) -> bool:
        """Whether there is any key at all."""
        ...

    async def by_hash(self, hash: str) -> Key | None:
        """Returns the key of that hash, also an expired or a revoked one."""
        ...

    async def of_account(self, account_id: str) -> Sequence[Key]:
        """Returns an account's keys, oldest first."""
        ...

    async def of_all_accounts(self) -> Sequence[Key]:
        """Returns every key, oldest first."""
        ...

    async def revoke(self, id: str, account_id: str, at: datetime.datetime) -> bool:
        """Ends a key for good; False if there is no such key or it was revoked before."""
        ...

    async def limit(self, id: str, account_id: str, limits: Limits) -> bool:
        """Sets what a key may use, in place of what was set before; False if there is no such key."""
        ...


class Requests(Protocol):
    def add(self, request: Request) -> None:
        """Hands a receipt to the writer and returns at once; it is readable within a second.

        Never fails: what a failing database makes impossible to store is logged and dropped.
        """
        ...

    async def get(self, id: str, account_id: str) -> Request | None:
        """Returns one receipt of an account."""
        ...

    async def of_any_account(self, id: str) -> Request | None:
        """Returns one receipt, whoever's it is."""
        ...


@dataclass(frozen=True, slots=True)
class Store:
    """Everything durable; each attribute is one small port."""

    accounts: Accounts
    keys: Keys
    requests: Requests
