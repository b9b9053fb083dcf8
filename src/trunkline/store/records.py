"""Records: what the store keeps, as the layers above see it.

Times are aware datetimes in UTC, to the microsecond; money is an integer of nano-dollars (10⁻⁹ USD).
"""

from __future__ import annotations

import datetime

import msgspec


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever owns keys, and pays. ``name`` is unique in an installation."""

    id: str
    name: str
    created_at: datetime.datetime


class Rate(msgspec.Struct, frozen=True):
    """So many requests in so many seconds."""

    requests: int
    seconds: int


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a key may use; what is empty or None is not limited.

    Names of models and providers may hold ``*``; what is denied is denied although it is allowed as
    well. Prices are the most that 1M tokens may cost, in nano-dollars.
    """

    models: tuple[str, ...] = ()
    deny_models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    deny_providers: tuple[str, ...] = ()
    max_input: int | None = None
    max_output: int | None = None
    concurrency: int | None = None
    rate: Rate | None = None

    @property
    def counted(self) -> bool:
        """Whether its requests must be counted."""
        return self.concurrency is not None or self.rate is not None


NO_LIMITS = Limits()


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without the key itself: ``hash`` is what remains of it.

    ``prefix`` is its beginning, for people to recognise it by. A key counts until the first of
    ``revoked_at`` and ``expires_at``.
    """

    id: str
    account_id: str
    name: str
    hash: str
    prefix: str
    created_at: datetime.datetime
    expires_at: datetime.datetime | None = None
    revoked_at: datetime.datetime | None = None
    limits: Limits = NO_LIMITS


class Billed(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt used that failed all the same; ``cost_nano_usd`` as in a `Request`."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cost_nano_usd: int | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try at one deployment: ``outcome`` is ``committed``, with what broke the reply off, or what failed.

    ``model`` is the provider's own id; ``status`` its HTTP status, if it came to one; ``ms`` how
    long the attempt took to commit or to fail; ``repairs`` names what was put right in its reply,
    ``emulations`` what was done in another way than asked, ``ignored`` parameters that were left out.
    ``billed`` is what a failed one used, as far as its provider said so; it is not part of the request's
    own usage and cost.
    """

    provider: str
    model: str
    outcome: str
    status: int | None = None
    ms: int
    repairs: tuple[str, ...] = ()
    emulations: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    billed: Billed | None = None


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A deployment as it stood when one was chosen; what is not known is left out.

    ``removed`` says which filter left it out, ``deferred`` why the others go before it. ``input`` and ``output`` are list prices in nano-dollars
    per 1M tokens, ``tokens_per_s`` and ``first_token_s`` what was measured; ``slowed`` says that it is
    less than half as fast as it was, ``failures`` how many replies have failed since the last good one.
    ``cooling_s`` is for how many seconds nobody is sent there.
    """

    provider: str
    removed: str | None = None
    deferred: str | None = None
    input: int | None = None
    output: int | None = None
    tokens_per_s: float | None = None
    first_token_s: float | None = None
    slowed: bool = False
    failures: int = 0
    cooling_s: float | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that a choice depended on, and the choice: ``plan`` follows from the rest alone.

    ``policy`` is ``fastest``, ``cheapest``, ``preferred``, ``local`` or ``pinned``; ``sort``, ``order``
    and ``only_first`` are the request's wishes. ``draw`` is a random number from 0 up to 1: below
    ``explore`` the request measures another deployment. ``sticky`` is the provider that answered the
    conversation last. ``candidates`` stand in the order that the policy began with.
    """

    policy: str
    sort: str | None = None
    order: tuple[str, ...] = ()
    only_first: bool = False
    cheapest_by: str = "blend"
    draw: float | None = None
    explore: float = 0.0
    sticky: str | None = None
    candidates: tuple[Candidate, ...] = ()
    plan: tuple[str, ...] = ()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The receipt of one request: who asked for what, who answered, what it used and cost.

    ``provider`` and ``answered_model`` are None if no provider committed; ``cost_nano_usd`` is None
    if the price is not known; ``estimated`` says that the usage was not reported but counted by us.
    ``decision`` is None on receipts from before decisions were kept.
    """

    id: str
    account_id: str
    key_id: str
    created_at: datetime.datetime
    api: str
    model: str
    provider: str | None = None
    answered_model: str | None = None
    attempts: tuple[Attempt, ...] = ()
    decision: Decision | None = None
    stream: bool
    status: int
    error_code: str | None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano_usd: int | None = None
    estimated: bool = False
    first_token_ms: int | None = None
    duration_ms: int


class StoredResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A response of the Responses API, without its items, which are stored beside it.

    ``body`` is the final ``Response`` as a JSON object without ``output``; ``log`` is whatever an exact
    replay of its stream needs, and nothing to the store. It counts as gone from ``expires_at`` on; None
    keeps it until it is deleted.
    """

    id: str
    account_id: str
    previous_id: str | None = None
    created_at: datetime.datetime
    expires_at: datetime.datetime | None = None
    body: bytes
    log: bytes | None = None


class StoredItem(msgspec.Struct, frozen=True):
    """An item that went into a response or came out of it; ``body`` is its JSON object."""

    id: str
    body: bytes


class ItemPage(msgspec.Struct, frozen=True):
    """A part of a list of items; ``has_more`` says whether others follow in the order asked for."""

    items: tuple[StoredItem, ...]
    has_more: bool
