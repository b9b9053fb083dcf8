"""Policies: pure functions that order deployments or leave some out. The relay tries what remains.

Sorting is stable, so policies compose by being applied one after the other. Those of the catalog know
deployments; those by price and by what was measured are keys of the candidates on a receipt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Literal

import msgspec
from msgspec import Raw, Struct

from trunkline.errors import InvalidRequest
from trunkline.routing.deployment import Deployment
from trunkline.store import Candidate
from trunkline.wire.invalid import translated

SortBy = Literal["price", "throughput", "latency"]
"""What candidates are sorted by."""

Policy = Callable[[Sequence[Deployment]], Sequence[Deployment]]

POLICIES = frozenset({"fastest", "cheapest", "preferred", "local"})
"""The suffixes that are no provider's name."""

_NANO = 1_000_000_000
_MOST_USD = 1_000_000


def as_configured(deployments: Sequence[Deployment]) -> Sequence[Deployment]:
    """Keeps the order of the configuration, the embedded engine first."""
    return deployments


def local(deployments: Sequence[Deployment]) -> Sequence[Deployment]:
    """Keeps those on one's own machines."""
    return [deployment for deployment in deployments if deployment.local]


def preferring(providers: Sequence[str]) -> Policy:
    """Returns the policy that puts these providers first, in this order."""
    ranks = {provider: rank for rank, provider in enumerate(providers)}

    def preferred(deployments: Sequence[Deployment]) -> Sequence[Deployment]:
        return sorted(deployments, key=lambda d: ranks.get(d.provider, len(ranks)))

    return preferred


def pinned(provider: str) -> Policy:
    """Returns the policy that keeps one provider."""

    def pin(deployments: Sequence[Deployment]) -> Sequence[Deployment]:
        return [deployment for deployment in deployments if deployment.provider == provider]

    return pin


def by_price(candidate: Candidate) -> tuple[bool, int]:
    """Puts the lowest list price first, at three prompt tokens to one completion token; unpriced last."""
    if candidate.input is None or candidate.output is None:
        return True, 0
    return False, 3 * candidate.input + candidate.output


def by_output_price(candidate: Candidate) -> tuple[bool, int]:
    """Puts the lowest list price of completion tokens first; unpriced last."""
    return candidate.output is None, candidate.output or 0


def by_throughput(candidate: Candidate) -> tuple[bool, float, float]:
    """Puts the most tokens per second first, among equals the earliest first token; unmeasured last."""
    speed = candidate.tokens_per_s
    return speed is None, -(speed or 0.0), _unless_unknown(candidate.first_token_s)


def by_latency(candidate: Candidate) -> tuple[float, float]:
    """Puts the earliest first token first, among equals the most tokens per second; unmeasured last."""
    return _unless_unknown(candidate.first_token_s), -(candidate.tokens_per_s or 0.0)


def _unless_unknown(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds


class MaxPrice(Struct, frozen=True, forbid_unknown_fields=True):
    """The most that 1M tokens may cost, in USD. Prices of anything else are not known here."""

    prompt: Decimal | None = None
    completion: Decimal | None = None
    request: Any = None
    image: Any = None
    audio: Any = None


class Sort(Struct, frozen=True, forbid_unknown_fields=True):
    """The longer form of ``sort``. All candidates offer one model, so ``partition`` changes nothing."""

    by: SortBy | None = None
    partition: Literal["model", "none"] | None = None


class Wishes(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``provider`` object of a request, as OpenRouter documents it.

    Source: https://openrouter.ai/docs/guides/routing/provider-selection. A field typed ``Any`` is
    known but cannot be honoured; `decode_wishes` refuses it by name unless it asks for nothing.
    """

    order: list[str] | None = None
    only: list[str] | None = None
    ignore: list[str] | None = None
    sort: SortBy | Sort | None = None
    max_price: MaxPrice | None = None
    allow_fallbacks: bool | None = None
    require_parameters: bool | None = None
    data_collection: Literal["allow", "deny"] | None = None
    zdr: bool | None = None
    quantizations: Any = None
    enforce_distillable_text: Any = None
    preferred_min_throughput: Any = None
    preferred_max_latency: Any = None

    @property
    def sort_by(self) -> SortBy | None:
        """By what the candidates are to be sorted, None to leave that to the policy."""
        return self.sort.by if isinstance(self.sort, Sort) else self.sort

    @property
    def only_first(self) -> bool:
        """Whether nobody may be asked but whoever comes first."""
        return self.allow_fallbacks is False and not self.order

    def asks_for(self, provider: str) -> bool:
        """Whether the request names a provider that it wants asked."""
        return provider in (self.only or ()) or provider in (self.order or ())

    def objection(self, deployment: Deployment) -> str | None:
        """Returns what in these wishes leaves a deployment out, None if nothing does."""
        provider = deployment.provider
        if self.only is not None and provider not in self.only:
            return "not in provider.only"
        if self.ignore is not None and provider in self.ignore:
            return "in provider.ignore"
        if self.allow_fallbacks is False and self.order and provider not in self.order:
            return "not in provider.order, without fallbacks"
        if self.max_price is not None and not _affordable(deployment, self.max_price):
            return "above provider.max_price" if deployment.price else "without a list price"
        return None


NO_WISHES = Wishes()


def decode_wishes(raw: Raw | bytes | None) -> Wishes:
    """Decodes the request's ``provider`` object; absent is no wishes.

    Raises InvalidRequest that names the field: for a wrong shape, or for what this router knows but
    cannot honour.
    """
    if raw is None:
        return NO_WISHES
    try:
        wishes = _decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=Wishes, at="provider") from error
    _check_prices(wishes.max_price)
    for name in _unhonoured(wishes):
        raise InvalidRequest(
            f"'provider.{name}' is known but not supported here; leave it out",
            code="unsupported_parameter",
            param=f"provider.{name}",
        )
    return wishes


def _check_prices(most: MaxPrice | None) -> None:
    if most is None:
        return
    for name, price in {"prompt": most.prompt, "completion": most.completion}.items():
        if price is not None and not (price.is_finite() and 0 <= price <= _MOST_USD):
            raise InvalidRequest(
                f"provider.max_price.{name}: must be a price in USD, 0 to {_MOST_USD}",
                param=f"provider.max_price.{name}",
            )


def _unhonoured(wishes: Wishes) -> list[str]:
    asked = {
        "max_price.request": wishes.max_price and wishes.max_price.request,
        "max_price.image": wishes.max_price and wishes.max_price.image,
        "max_price.audio": wishes.max_price and wishes.max_price.audio,
        "data_collection": wishes.data_collection == "deny",
        "zdr": wishes.zdr,
        "quantizations": wishes.quantizations,
        "enforce_distillable_text": wishes.enforce_distillable_text,
        "preferred_min_throughput": wishes.preferred_min_throughput,
        "preferred_max_latency": wishes.preferred_max_latency,
    }
    return [name for name, value in asked.items() if value]


def _affordable(deployment: Deployment, most: MaxPrice) -> bool:
    if most.prompt is None and most.completion is None:
        return True
    price = deployment.price
    return (
        price is not None
        and (most.prompt is None or price.input <= most.prompt * _NANO)
        and (most.completion is None or price.output <= most.completion * _NANO)
    )


_decode = msgspec.json.Decoder(Wishes).decode
