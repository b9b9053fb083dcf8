"""``GET`` and ``DELETE /v1/responses/{id}``, and ``GET …/input_items``: responses that were kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct
from starlette.types import Receive, Scope, Send

from trunkline.api.dialect import dialect_of
from trunkline.api.exchange import Exchange, exchange_of
from trunkline.api.query import decode_query
from trunkline.api.send import send_json, send_stream
from trunkline.errors import InvalidRequest, NotFound
from trunkline.responses.replay import replay
from trunkline.store import Responses, StoredResponse
from trunkline.wire.responses import DONE, Dialect, Encoding, decode_response, encoding_of
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


class OneResponse:
    """Shows an account a response of its own, or deletes it."""

    def __init__(self, responses: Responses, *, dialect: Dialect = "openai") -> None:
        self._responses = responses
        self._dialect = dialect

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
        dialect = dialect_of(scope, self._dialect)
        encoding = encoding_of(dialect, obfuscate=bool(query.include_obfuscation))
        bodies = [item.body for item in items]
        if query.stream:
            await _replay(send, exchange, query, response, bodies, encoding)
            return
        body = put_together(response.body, bodies, query.include)
        if dialect != "openai":
            body = encoding.response(decode_response(body))
        await send_json(send, exchange, body)

    async def _delete(self, scope: Scope, send: Send) -> None:
        exchange, id = exchange_of(scope), scope["path_params"]["id"]
        decode_query(scope, DeleteQuery)
        if not await self._responses.delete(id, exchange.caller.account_id):
            raise _unknown()
        await send_json(send, exchange, msgspec.json.encode(DeletedResponse(id=id)))


async def _replay(
    send: Send,
    exchange: Exchange,
    query: RetrieveQuery,
    stored: StoredResponse,
    bodies: Sequence[bytes],
    encoding: Encoding,
) -> None:
    """Sends the events of a response once more, exactly as they were sent at first."""
    if stored.log is None:
        raise InvalidRequest("no events are kept of this response", param="stream")
    response = decode_response(put_together(stored.body, bodies, get_args(Include)))
    after = -1 if query.starting_after is None else query.starting_after
    events = replay(response, stored.log, starting_after=after)
    exchange.stream = True
    await send_stream(send, exchange, _written(encoding.events(events)))


async def _written(frames: bytes) -> AsyncGenerator[bytes, None]:
    yield frames + DONE


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
