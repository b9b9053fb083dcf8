"""``GET`` and ``DELETE /v1/responses/{id}``, and ``GET …/input_items``: responses that were kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from starlette.types import Receive, Scope, Send

from trunkline.api.exchange import Exchange, exchange_of
from trunkline.api.query import decode_query
from trunkline.api.send import send_json
from trunkline.errors import InvalidRequest, NotFound
from trunkline.store import Responses, StoredItem, StoredResponse
from trunkline.wire.responses.requests import Include
from trunkline.wire.responses.retrieval import listed, put_together


class RetrieveQuery(Struct, kw_only=True):
    """What ``GET /v1/responses/{id}`` may ask."""

    include: list[Include] = []
    stream: bool = False
    starting_after: Annotated[int, Meta(ge=0)] | None = None
    include_obfuscation: bool | None = None


class ListQuery(Struct, kw_only=True):
    """What ``GET /v1/responses/{id}/input_items`` may ask."""

    after: str | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Literal["asc", "desc"] = "desc"
    include: list[Include] = []


class DeleteQuery(Struct):
    """What ``DELETE /v1/responses/{id}`` may ask: nothing."""


class DeletedResponse(Struct, kw_only=True):
    """What ``DELETE /v1/responses/{id}`` answers."""

    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


Replay = Callable[
    [Send, Exchange, RetrieveQuery, StoredResponse, list[StoredItem]], Awaitable[None]
]
"""Sends the events of a response once more."""


class OneResponse:
    """Shows an account a response of its own, or deletes it."""

    def __init__(self, responses: Responses, *, replay: Replay | None = None) -> None:
        self._responses = responses
        self._replay = replay

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        if scope["method"] == "DELETE":
            await self._delete(scope, send)
        else:
            await self._show(scope, send)

    async def _show(self, scope: Scope, send: Send) -> None:
        exchange, id = exchange_of(scope), scope["path_params"]["id"]
        query = decode_query(scope, RetrieveQuery)
        if query.starting_after is not None and not query.stream:
            raise InvalidRequest(
                "starting_after is for streams only; send stream=true as well",
                param="starting_after",
            )
        found = await self._responses.get(id, exchange.caller.account_id)
        if found is None:
            raise _unknown()
        response, items = found
        if query.stream:
            await self._stream(send, exchange, query, response, items)
            return
        body = put_together(response.body, [item.body for item in items], query.include)
        await send_json(send, exchange, body)

    async def _stream(
        self,
        send: Send,
        exchange: Exchange,
        query: RetrieveQuery,
        response: StoredResponse,
        items: list[StoredItem],
    ) -> None:
        if self._replay is None:
            raise InvalidRequest(
                "stream is not supported here yet; leave it out for the whole response",
                code="unsupported_parameter",
                param="stream",
            )
        await self._replay(send, exchange, query, response, items)

    async def _delete(self, scope: Scope, send: Send) -> None:
        exchange, id = exchange_of(scope), scope["path_params"]["id"]
        decode_query(scope, DeleteQuery)
        if not await self._responses.delete(id, exchange.caller.account_id):
            raise _unknown()
        await send_json(send, exchange, msgspec.json.encode(DeletedResponse(id=id)))


class InputItems:
    """Lists the items that were sent as the input of a response."""

    def __init__(self, responses: Responses) -> None:
        self._responses = responses

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        exchange, id = exchange_of(scope), scope["path_params"]["id"]
        query = decode_query(scope, ListQuery)
        page = await self._responses.input_items(
            id,
            exchange.caller.account_id,
            after=query.after,
            limit=query.limit,
            order=query.order,
        )
        if page is None:
            raise _unknown()
        items = [(item.id, item.body) for item in page.items]
        await send_json(send, exchange, listed(items, query.include, has_more=page.has_more))


def _unknown() -> NotFound:
    """Returns the same for an unknown id, for another account's, and for what is there no more."""
    return NotFound("there is no such response", param="id")
