"""The choice: from the deployments that offer a model to a plan, and the record of how it came about.

What is chosen follows from the record alone (`replay`); what the record is made of, a `Chooser` gathers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from trunkline.accounts.limits import objection
from trunkline.errors import NoMatchingProvider
from trunkline.providers.parameters import FEATURES
from trunkline.routing import policy
from trunkline.routing.catalog import Plan
from trunkline.routing.deployment import LOCAL, Deployment
from trunkline.routing.health import Condition, DeploymentHealth
from trunkline.routing.needs import Needs, needs_of
from trunkline.routing.policy import NO_WISHES, Wishes
from trunkline.routing.sticky import Sticky, conversation_of
from trunkline.store import NO_LIMITS, Candidate, Decision, Limits
from trunkline.wire.chat import ChatRequest
from trunkline.wire.embeddings import EmbeddingRequest

CheapestBy = Literal["blend", "output"]
"""Whether the list price that counts is of prompt and completion, or of the completion alone."""

_PINNED = "pinned"
_MEASURED = ("throughput", "latency")
_FAR = 3.0  # times faster: an answer that much sooner outweighs a prompt that is not cached
_SORTS = {"fastest": "throughput", "cheapest": "price"}


class Chooser:
    """Chooses for each request; holds what a choice depends on beside the request.

    ``explore`` is the share of requests, among those that speed decides on, that measure another
    deployment than the fastest.
    """

    def __init__(
        self,
        *,
        health: DeploymentHealth,
        sticky: Sticky,
        explore: float = 0.05,
        cheapest_by: CheapestBy = "blend",
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._health = health
        self._sticky = sticky
        self._explore = explore
        self._cheapest_by: CheapestBy = cheapest_by
        self._draw = draw
        self._last: dict[tuple[str, str, str], tuple[Condition, Candidate]] = {}

    def choose(
        self,
        plan: Plan,
        request: ChatRequest | EmbeddingRequest,
        *,
        wishes: Wishes,
        limits: Limits,
        account_id: str,
        lenient: bool = False,
    ) -> Plan:
        """Returns the plan with its deployments in the order to be tried, and its decision.

        ``limits`` are those of the caller's key. None is left if all that could serve the request
        cool down. Raises NoMatchingProvider, which says what removed each, if the filters leave none,
        or names the parameter that nobody takes (``unsupported_parameter``). A ``lenient`` request can do
        without most.
        """
        offers = plan.deployments
        removed, deferred = _filtered(plan, request, wishes=wishes, limits=limits, lenient=lenient)
        conversation = None
        if len(offers) > 1 or plan.pinned:
            conversation = conversation_of(request, account_id=account_id, model=plan.model)
        name = _PINNED if plan.pinned else plan.suffix or "fastest"
        several = len(offers) > 1 and _equals(removed, deferred) > 1
        measured = several and not wishes.order and _sort(name, wishes.sort_by) in _MEASURED
        sticky = self._sticky.provider(conversation) if conversation and measured else None
        explores = sticky is None or (conversation is not None and not conversation.begun)
        draw = self._draw() if measured and explores and self._explore else None
        decision = Decision(
            policy=name,
            sort=wishes.sort_by,
            order=_known(wishes.order, offers) if wishes.order else (),
            only_first=wishes.only_first,
            cheapest_by=self._cheapest_by,
            draw=draw,
            explore=0.0 if draw is None else self._explore,
            sticky=sticky,
            candidates=tuple(map(self._candidate, offers, removed, deferred)),
        )
        if all(removed):
            feature = needs_of(request).refused_by_all(offers)
            if feature is not None:
                raise _taken_by_nobody(feature, decision)
            raise _nobody_left(plan.model, decision, wishes)
        order = planned(decision)
        return msgspec.structs.replace(
            plan,
            deployments=tuple([offers[place] for place in order]),
            decision=_with_plan(decision, order),
            conversation=conversation,
        )

    def answered(self, plan: Plan, deployment: Deployment) -> None:
        """Takes note of who answers, for the conversation's next request.

        Whoever was only measured is not kept to: that was not the place for a conversation.
        """
        if plan.conversation is None or plan.decision is None or _explores(plan.decision):
            return
        self._sticky.answered(plan.conversation, deployment.provider)

    def _candidate(
        self, deployment: Deployment, removed: str | None, deferred: str | None
    ) -> Candidate:
        """Returns the candidate, made anew only if the deployment's condition has changed."""
        condition = self._health.of(deployment)
        if removed is not None or deferred is not None:
            return _candidate(deployment, condition, removed, deferred)
        key = deployment.place
        last, candidate = self._last.get(key, (None, None))
        if candidate is None or last is not condition:
            candidate = _candidate(deployment, condition)
            self._last[key] = (condition, candidate)
        return candidate


def _candidate(
    deployment: Deployment,
    condition: Condition,
    removed: str | None = None,
    deferred: str | None = None,
) -> Candidate:
    price = deployment.price
    return Candidate(
        provider=deployment.provider,
        removed=removed,
        deferred=None if removed else deferred,
        input=price.input if price else None,
        output=price.output if price else None,
        tokens_per_s=_rounded(condition.tokens_per_s, 1),
        first_token_s=_rounded(condition.first_token_s, 4),
        slowed=condition.slowed,
        failures=condition.failures,
        cooling_s=_rounded(condition.cooling_s, 1),
    )


def beyond(limits: Limits, offer: Deployment, *, model: str) -> str | None:
    """Returns which of a key's limits leaves a deployment out, None if none does.

    ``model`` is the name that is asked for, which in demo mode is not the deployment's own.
    """
    return objection(
        limits,
        model=model,
        provider=offer.provider,
        price=offer.price,
        behind=offer.behind,
        listed=offer.listed,
    )


def replay(decision: Decision) -> tuple[str, ...]:
    """Returns the providers in the order that follows from what was recorded: ``decision.plan``."""
    return tuple(decision.candidates[place].provider for place in planned(decision))


def planned(decision: Decision) -> list[int]:
    """Returns the places of the candidates that are to be tried, in order. A pure function."""
    candidates = decision.candidates
    pinned = decision.policy == _PINNED
    order = [
        place
        for place, one in enumerate(candidates)
        if one.removed is None and (pinned or one.cooling_s is None)
    ]
    if len(order) > 1:
        order = _sorted(decision, order)
        if decision.order:
            ranks = {provider: rank for rank, provider in enumerate(decision.order)}
            order.sort(key=lambda place: ranks.get(candidates[place].provider, len(ranks)))
        last = [place for place in order if candidates[place].deferred is not None]
        if last and len(last) < len(order):
            order = [place for place in order if candidates[place].deferred is None]
        else:
            last = []
        if (first := _first(decision, order)) is not None:
            order.remove(first)
            order.insert(0, first)
        order += last
    return order[:1] if decision.only_first else order


def _sort(policy_name: str, sort: str | None) -> str | None:
    """Returns by what candidates are sorted; None keeps the order that the policy began with."""
    if sort is not None:
        return sort
    return _SORTS.get(policy_name)


def _sorted(decision: Decision, order: list[int]) -> list[int]:
    candidates = decision.candidates
    key: Callable[[Candidate], Any]
    match _sort(decision.policy, decision.sort):
        case "price":
            key = policy.by_output_price if decision.cheapest_by == "output" else policy.by_price
        case "throughput":
            key = policy.by_throughput
        case "latency":
            key = policy.by_latency
        case _:
            return order
    order = sorted(order, key=[key(candidate) for candidate in candidates].__getitem__)
    return _slowed_after_unmeasured(candidates, order) if key is policy.by_throughput else order


def _slowed_after_unmeasured(candidates: Sequence[Candidate], order: list[int]) -> list[int]:
    """Lets those whose speed is not known go before the first that is much slower than it was."""
    slowed = [place for place in order if candidates[place].slowed]
    if not slowed:
        return order
    slow = order.index(slowed[0])
    unknown = [place for place in order if candidates[place].tokens_per_s is None]
    known = [place for place in order[slow:] if candidates[place].tokens_per_s is not None]
    return [*order[:slow], *unknown, *known]


def _first(decision: Decision, order: Sequence[int]) -> int | None:
    """Returns who goes before the others: who is to be measured, or holds the conversation."""
    if decision.draw is not None and _explores(decision) and len(order) > 1:
        others = order[1:]
        return others[min(int(decision.draw / decision.explore * len(others)), len(others) - 1)]
    for place in order:
        if decision.candidates[place].provider == decision.sticky:
            return None if _left_behind(decision, place, order) else place
    return None


def _left_behind(decision: Decision, place: int, order: Sequence[int]) -> bool:
    """Whether another is so much better that it pays to leave a prompt cache for it."""
    candidates = decision.candidates
    if _sort(decision.policy, decision.sort) == "latency":
        own, others = candidates[place].first_token_s, [candidates[o].first_token_s for o in order]
        return own is not None and own > _FAR * min(one for one in others if one is not None)
    speed, speeds = candidates[place].tokens_per_s, [candidates[o].tokens_per_s or 0 for o in order]
    return speed is not None and speed * _FAR < max(speeds)


def _explores(decision: Decision) -> bool:
    return decision.draw is not None and decision.draw < decision.explore


def _with_plan(decision: Decision, order: Sequence[int]) -> Decision:
    chosen = tuple([decision.candidates[place].provider for place in order])
    return msgspec.structs.replace(decision, plan=chosen)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _known(order: Sequence[str], offers: Sequence[Deployment]) -> tuple[str, ...]:
    """Leaves out whoever does not offer the model: a caller's words do not belong on a receipt."""
    providers = {offer.provider for offer in offers}
    return tuple([provider for provider in dict.fromkeys(order) if provider in providers])


def _filtered(
    plan: Plan,
    request: ChatRequest | EmbeddingRequest,
    *,
    wishes: Wishes,
    limits: Limits,
    lenient: bool,
) -> tuple[Sequence[str | None], Sequence[str | None]]:
    """Returns for each deployment which filter leaves it out, and why it is asked last; else None."""
    offers = plan.deployments
    removed: Sequence[str | None] = (None,) * len(offers)
    deferred = removed
    by_name = any(offer.deprecated or offer.reserve for offer in offers)
    if by_name and not plan.pinned:
        removed = [_deprecated(plan, offer, wishes) for offer in offers]
    if limits is not NO_LIMITS:
        removed = [
            r or beyond(limits, o, model=plan.model) for r, o in zip(removed, offers, strict=True)
        ]
    if wishes is not NO_WISHES:
        removed = [r or wishes.objection(o) for r, o in zip(removed, offers, strict=True)]
    # Who was pinned, or is alone, is asked whatever is known of it, and says more precisely why not.
    several, strictly = len(offers) > 1 and not plan.pinned, bool(wishes.require_parameters)
    if (several or strictly) and any(o.support or o.context or o.dimensions for o in offers):
        needs = needs_of(request, lenient=lenient)
        deferred = [needs.not_taken(o) for o in offers]
        removed = _unable(removed, offers, needs)
        if strictly:
            removed = [r or d for r, d in zip(removed, deferred, strict=True)]
    if by_name and not _asks_for_own(plan, wishes):
        removed = _reserved(removed, offers, wishes)
    return removed, deferred


def _equals(removed: Sequence[str | None], deferred: Sequence[str | None]) -> int:
    """Returns among how many the order decides: those before the deferred, or these."""
    first = sum(not (r or d) for r, d in zip(removed, deferred, strict=True))
    return first or removed.count(None)


def _unable(
    removed: Sequence[str | None], offers: Sequence[Deployment], needs: Needs
) -> Sequence[str | None]:
    """Leaves out who lacks what the request needs, or is too short for it unless all are."""
    able = [r or needs.lacking(o) for r, o in zip(removed, offers, strict=True)]
    suited = [r or needs.too_long(o) for r, o in zip(able, offers, strict=True)]
    return able if all(suited) else suited


def _deprecated(plan: Plan, offer: Deployment, wishes: Wishes) -> str | None:
    if not offer.deprecated or wishes.asks_for(offer.provider):
        return None
    return f"deprecated, so it must be asked for as '{plan.model}:{offer.provider}'"


def _asks_for_own(plan: Plan, wishes: Wishes) -> bool:
    return plan.suffix == LOCAL or wishes.asks_for(LOCAL)


def _reserved(
    removed: Sequence[str | None], offers: Sequence[Deployment], wishes: Wishes
) -> list[str | None]:
    """Leaves out the reserve while others are left: who pulled weights asked for no slow failover."""
    others = any(r is None and not o.reserve for r, o in zip(removed, offers, strict=True))
    why = f"kept in reserve, so it must be asked for as ':{LOCAL}'"
    return [
        why if r is None and o.reserve and others and not wishes.asks_for(o.provider) else r
        for r, o in zip(removed, offers, strict=True)
    ]


def _taken_by_nobody(feature: str, decision: Decision) -> NoMatchingProvider:
    way = " (the header 'x-trunkline-params: lenient' leaves it out)"
    return NoMatchingProvider(
        f"nobody who offers the model takes '{feature}'{way if FEATURES[feature].droppable else ''}",
        code="unsupported_parameter",
        param=FEATURES[feature].parameter,
        decision=decision,
    )


def _nobody_left(model: str, decision: Decision, wishes: Wishes) -> NoMatchingProvider:
    each = ", ".join(f"{one.provider} ({one.removed})" for one in decision.candidates)
    return NoMatchingProvider(
        f"the filters leave nobody to ask for '{model}': {each}",
        param="model" if wishes is NO_WISHES else "provider",
        decision=decision,
    )
