"""The ports: what the layers above may ask of the store.

Any of the asynchronous methods raises StoreUnavailable if the database does not answer. A query
that takes an id takes the account as well, and answers as if nothing were there for another's.
The methods that look across accounts say so in their names; they serve the operator's command line.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from trunkline.store.records import (
    Account,
    ItemPage,
    Key,
    Limits,
    Request,
    StoredItem,
    StoredResponse,
)


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


class Responses(Protocol):
    """Responses and their items. What has expired is not there, whether or not it was swept away."""

    async def save(
        self,
        response: StoredResponse,
        inputs: Sequence[StoredItem],
        outputs: Sequence[StoredItem],
    ) -> None:
        """Stores a new response with its items; it is durable when this returns.

        Raises StoreUnavailable also if the database refuses it, as one whose account is not there.
        """
        ...

    async def get(self, id: str, account_id: str) -> tuple[StoredResponse, list[StoredItem]] | None:
        """Returns a response and its output items."""
        ...

    async def chain(self, id: str, account_id: str) -> list[StoredItem]:
        """Returns the items of a response and of all before it, the oldest response's first.

        Of each response the input comes before the output. It takes one query, whatever the length.

        Raises:
            PreviousResponseNotFound: one of them is not there; the message names it.
            InvalidRequest: they hold too many bytes to be continued.
        """
        ...

    async def items(self, ids: Sequence[str], account_id: str) -> Mapping[str, StoredItem]:
        """Returns the items of those ids that there are; the newest where several have one id."""
        ...

    async def input_items(
        self,
        id: str,
        account_id: str,
        *,
        after: str | None = None,
        limit: int = 20,
        order: Literal["asc", "desc"] = "desc",
    ) -> ItemPage | None:
        """Returns some of a response's own input items, those that follow the item ``after``.

        Raises InvalidRequest if there is no such item.
        """
        ...

    async def delete(self, id: str, account_id: str) -> bool:
        """Removes a response and its items for good; False if there is none."""
        ...

    async def sweep(self, now: datetime.datetime, limit: int) -> int:
        """Removes up to ``limit`` responses of all accounts that have expired; returns how many."""
        ...


@dataclass(frozen=True, slots=True)
class Store:
    """Everything durable; each attribute is one small port."""

    accounts: Accounts
    keys: Keys
    requests: Requests
    responses: Responses
