"""``GET /v1/requests/{id}``: the receipt of one request."""

from __future__ import annotations

from typing import Literal

import msgspec
from starlette.types import Receive, Scope, Send

from trunkline.accounts import usd
from trunkline.api.exchange import exchange_of
from trunkline.api.send import send_json
from trunkline.errors import NotFound
from trunkline.store import Request, Requests


class ReceiptUsage(msgspec.Struct, kw_only=True):
    """Tokens of the request."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int


class ReceiptAttempt(msgspec.Struct, kw_only=True):
    """One try at one provider; ``outcome`` is ``committed`` or what happened.

    ``repairs`` names what was put right in the reply.
    """

    provider: str
    model: str
    outcome: str
    status: int | None
    ms: int
    repairs: list[str]


class Receipt(msgspec.Struct, kw_only=True):
    """Who asked for what, who answered, what it used and cost (USD as a decimal string)."""

    id: str
    object: Literal["request"] = "request"
    created_at: int
    api: str
    model: str
    provider: str | None
    answered_model: str | None
    attempts: list[ReceiptAttempt]
    stream: bool
    status: int
    error_code: str | None
    usage: ReceiptUsage
    cost_usd: str | None
    estimated: bool
    first_token_ms: int | None
    duration_ms: int


_UNKNOWN = "there is no such request"


class Receipts:
    """Shows an account the receipts of its own requests."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        identifier = scope["path_params"]["id"]
        if not identifier.isprintable():
            raise NotFound(_UNKNOWN, param="id")  # not every database can be asked for any text
        request = await self._requests.get(identifier, exchange.caller.account_id)
        if request is None:
            raise NotFound(_UNKNOWN, param="id")
        await send_json(send, exchange, msgspec.json.encode(_receipt(request)))


def _receipt(request: Request) -> Receipt:
    return Receipt(
        id=request.id,
        created_at=int(request.created_at.timestamp()),
        api=request.api,
        model=request.model,
        provider=request.provider,
        answered_model=request.answered_model,
        attempts=[
            msgspec.convert(a, ReceiptAttempt, from_attributes=True) for a in request.attempts
        ],
        stream=request.stream,
        status=request.status,
        error_code=request.error_code,
        usage=msgspec.convert(request, ReceiptUsage, from_attributes=True),
        cost_usd=None if request.cost_nano_usd is None else usd(request.cost_nano_usd),
        estimated=request.estimated,
        first_token_ms=request.first_token_ms,
        duration_ms=request.duration_ms,
    )
