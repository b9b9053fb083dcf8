"""``GET /v1/requests/{id}``: the receipt of one request."""

from __future__ import annotations

from typing import Literal

import msgspec
from starlette.types import Receive, Scope, Send

from trunkline.accounts import usd
from trunkline.api.exchange import exchange_of
from trunkline.api.send import send_json
from trunkline.errors import NotFound
from trunkline.store import Attempt, Candidate, Decision, Request, Requests


class ReceiptUsage(msgspec.Struct, kw_only=True):
    """Tokens of the request."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning_tokens: int


class ReceiptBilled(msgspec.Struct, kw_only=True):
    """What an attempt used that failed all the same: its provider will bill it."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_usd: str | None


class ReceiptAttempt(msgspec.Struct, kw_only=True):
    """One try at one provider; ``outcome`` is ``committed``, perhaps with what broke it off, or what happened.

    ``repairs`` names what was put right in the reply, ``emulations`` what was done in another way
    than asked, ``ignored`` the parameters that were left out. ``billed`` is what a failed one used, as far
    as that is known; it is no part of the receipt's ``usage`` and ``cost_usd``.
    """

    provider: str
    model: str
    outcome: str
    status: int | None
    ms: int
    repairs: list[str]
    emulations: list[str]
    ignored: list[str]
    billed: ReceiptBilled | None


class ReceiptCandidate(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A deployment as it stood before the choice; what is not known is left out.

    ``removed`` says which filter left it out, ``deferred`` why the others go before it, ``price`` is in USD per 1M tokens, ``failures`` counts
    the replies that failed since the last good one; nobody is sent there for ``cooling_s``.
    """

    provider: str
    removed: str | None = None
    deferred: str | None = None
    price: ReceiptPrice | None = None
    tokens_per_s: float | None = None
    first_token_s: float | None = None
    slowed: bool = False
    failures: int = 0
    cooling_s: float | None = None


class ReceiptPrice(msgspec.Struct, kw_only=True):
    """USD per 1M tokens, as decimal strings."""

    input: str
    output: str


class ReceiptDecision(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All that the choice depended on, and ``plan``: the providers in the order to be tried."""

    policy: str
    plan: list[str]
    candidates: list[ReceiptCandidate]
    sort: str | None = None
    order: list[str] = []
    only_first: bool = False
    cheapest_by: str = "blend"
    draw: float | None = None
    explore: float = 0.0
    sticky: str | None = None


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
    decision: ReceiptDecision | None
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
        attempts=[_attempt(attempt) for attempt in request.attempts],
        decision=None if request.decision is None else _decision(request.decision),
        stream=request.stream,
        status=request.status,
        error_code=request.error_code,
        usage=msgspec.convert(request, ReceiptUsage, from_attributes=True),
        cost_usd=None if request.cost_nano_usd is None else usd(request.cost_nano_usd),
        estimated=request.estimated,
        first_token_ms=request.first_token_ms,
        duration_ms=request.duration_ms,
    )


def _attempt(attempt: Attempt) -> ReceiptAttempt:
    billed = None
    if (used := attempt.billed) is not None:
        billed = ReceiptBilled(
            prompt_tokens=used.prompt_tokens,
            cached_tokens=used.cached_tokens,
            completion_tokens=used.completion_tokens,
            cost_usd=None if used.cost_nano_usd is None else usd(used.cost_nano_usd),
        )
    return ReceiptAttempt(
        provider=attempt.provider,
        model=attempt.model,
        outcome=attempt.outcome,
        status=attempt.status,
        ms=attempt.ms,
        repairs=list(attempt.repairs),
        emulations=list(attempt.emulations),
        ignored=list(attempt.ignored),
        billed=billed,
    )


def _decision(decision: Decision) -> ReceiptDecision:
    return ReceiptDecision(
        policy=decision.policy,
        plan=list(decision.plan),
        candidates=[_candidate(candidate) for candidate in decision.candidates],
        sort=decision.sort,
        order=list(decision.order),
        only_first=decision.only_first,
        cheapest_by=decision.cheapest_by,
        draw=decision.draw,
        explore=decision.explore,
        sticky=decision.sticky,
    )


def _candidate(candidate: Candidate) -> ReceiptCandidate:
    price = None
    if candidate.input is not None and candidate.output is not None:
        price = ReceiptPrice(input=usd(candidate.input), output=usd(candidate.output))
    return ReceiptCandidate(
        provider=candidate.provider,
        removed=candidate.removed,
        deferred=candidate.deferred,
        price=price,
        tokens_per_s=candidate.tokens_per_s,
        first_token_s=candidate.first_token_s,
        slowed=candidate.slowed,
        failures=candidate.failures,
        cooling_s=candidate.cooling_s,
    )
