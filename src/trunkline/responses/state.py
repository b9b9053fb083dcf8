"""What a response remembers of those before it, and what it leaves to those after."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec import UNSET

from trunkline import ids
from trunkline.errors import InvalidRequest
from trunkline.store import Responses, StoredItem, StoredResponse
from trunkline.wire.responses import Item, ItemReference, Response, encode_json, kept_item


@dataclass(frozen=True, slots=True)
class Conversation:
    """The items that a response follows: those ``before`` its request, and its own ``input``."""

    before: Sequence[Item]
    input: Sequence[Item]

    @property
    def items(self) -> list[Item]:
        """All of them, oldest first."""
        return [*self.before, *self.input]


class State:
    """Conversations as they are stored, each account's for itself.

    ``keep_for`` is how long a response is kept; None is until it is deleted.
    """

    def __init__(self, responses: Responses, *, keep_for: datetime.timedelta | None) -> None:
        self._responses = responses
        self._keep_for = keep_for

    async def conversation(
        self, input: Sequence[Item], *, previous_id: str | None, account_id: str
    ) -> Conversation:
        """Returns what a request follows, its references resolved.

        Raises PreviousResponseNotFound, naming the missing link, and InvalidRequest for a reference to
        an item that is not there.
        """
        before: list[Item] = []
        if previous_id is not None:
            chain = await self._responses.chain(previous_id, account_id)
            before = [kept_item(item.body) for item in chain]
        if any(isinstance(item.meaning, ItemReference) for item in input):
            input = await self._resolved(input, before, account_id)
        return Conversation(before, input)

    async def _resolved(
        self, input: Sequence[Item], before: Sequence[Item], account_id: str
    ) -> list[Item]:
        """Puts items in the place of references; one that the chain brings already is not repeated."""
        there = {item.id for item in before}
        wanted = [
            item.id
            for item in input
            if isinstance(item.meaning, ItemReference) and item.id not in there
        ]
        stored = await self._responses.items(wanted, account_id) if wanted else {}
        resolved = []
        for item in input:
            if not isinstance(item.meaning, ItemReference):
                resolved.append(item)
            elif (found := stored.get(item.id)) is not None:
                resolved.append(kept_item(found.body, at=item.at))
            elif item.id not in there:
                raise InvalidRequest(
                    f"{item.at}.id: there is no item '{item.id[:100]}'; it is unknown or deleted, "
                    "or was made with store=false: send the item itself",
                    param=f"{item.at}.id",
                )
        return resolved

    async def keep(
        self, response: Response, conversation: Conversation, *, account_id: str, log: bytes | None
    ) -> None:
        """Stores a response that has ended; it is durable when this returns. Raises StoreUnavailable."""
        created_at = ids.now()
        await self._responses.save(
            StoredResponse(
                id=response.id,
                account_id=account_id,
                previous_id=response.previous_response_id,
                created_at=created_at,
                expires_at=None if self._keep_for is None else created_at + self._keep_for,
                body=encode_json(msgspec.structs.replace(response, output=UNSET)),
                log=log,
            ),
            [StoredItem(item.id, item.body) for item in conversation.input],
            [StoredItem(item.id, encode_json(item)) for item in response.output],
        )
