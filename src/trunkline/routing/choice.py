"""The choice: from the deployments that offer a model to a plan, and the record of how it came about.

What is chosen follows from the record alone (`replay`); what the record is made of, a `Chooser` gathers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from trunkline.errors import InvalidRequest
from trunkline.providers.parameters import FEATURES
from trunkline.routing import policy
from trunkline.routing.catalog import Plan
from trunkline.routing.deployment import Deployment
from trunkline.routing.health import Condition, DeploymentHealth
from trunkline.routing.needs import needs_of
from trunkline.routing.policy import NO_WISHES, Wishes
from trunkline.routing.sticky import Sticky, conversation_of
from trunkline.store import Candidate, Decision
from trunkline.wire.chat import ChatRequest

CheapestBy = Literal["blend", "output"]
"""Whether the list price that counts is of prompt and completion, or of the completion alone."""

_PINNED = "pinned"
_MEASURED = ("throughput", "latency")
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
        self._last: dict[tuple[str, str], tuple[Condition, Candidate]] = {}

    def choose(
        self,
        plan: Plan,
        request: ChatRequest,
        *,
        wishes: Wishes,
        account_id: str,
        lenient: bool = False,
    ) -> Plan:
        """Returns the plan with its deployments in the order to be tried, and its decision.

        None is left if all that could serve the request cool down. Raises InvalidRequest that says
        what removed each (``no_matching_provider``), if the filters leave none, or names the parameter
        that nobody takes (``unsupported_parameter``). A ``lenient`` request can do without most.
        """
        offers = plan.deployments
        removed = _removed(offers, request, wishes, pinned=plan.pinned, lenient=lenient)
        conversation = None
        if len(offers) > 1 or plan.pinned:
            conversation = conversation_of(request, account_id=account_id, model=plan.model)
        name = _PINNED if plan.pinned else plan.suffix or "fastest"
        measured = len(offers) > 1 and _sort(name, wishes.sort) in _MEASURED and not wishes.order
        sticky = self._sticky.provider(conversation) if conversation and measured else None
        draw = self._draw() if measured and sticky is None else None
        decision = Decision(
            policy=name,
            sort=wishes.sort,
            order=_known(wishes.order, offers) if wishes.order else (),
            only_first=wishes.only_first,
            cheapest_by=self._cheapest_by,
            draw=draw,
            explore=0.0 if draw is None else self._explore,
            sticky=sticky,
            candidates=tuple(map(self._candidate, offers, removed)),
        )
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

    def _candidate(self, deployment: Deployment, removed: str | None) -> Candidate:
        """Returns the candidate, made anew only if the deployment's condition has changed."""
        condition = self._health.of(deployment)
        if removed is not None:
            return _candidate(deployment, condition, removed)
        key = (deployment.model, deployment.provider)
        last, candidate = self._last.get(key, (None, None))
        if candidate is None or last is not condition:
            candidate = _candidate(deployment, condition, None)
            self._last[key] = (condition, candidate)
        return candidate


def _candidate(deployment: Deployment, condition: Condition, removed: str | None) -> Candidate:
    price = deployment.price
    return Candidate(
        provider=deployment.provider,
        removed=removed,
        input=price.input if price else None,
        output=price.output if price else None,
        tokens_per_s=_rounded(condition.tokens_per_s, 1),
        first_token_s=_rounded(condition.first_token_s, 4),
        slowed=condition.slowed,
        failures=condition.failures,
        cooling_s=_rounded(condition.cooling_s, 1),
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
        if (first := _first(decision, order)) is not None:
            order.remove(first)
            order.insert(0, first)
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
    """Returns who goes before the others: who holds the conversation, or is to be measured."""
    if decision.sticky is not None:
        for place in order:
            if decision.candidates[place].provider == decision.sticky:
                return place
    if decision.draw is not None and _explores(decision):
        others = order[1:]
        return others[min(int(decision.draw / decision.explore * len(others)), len(others) - 1)]
    return None


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


def _removed(
    offers: Sequence[Deployment],
    request: ChatRequest,
    wishes: Wishes,
    *,
    pinned: bool,
    lenient: bool,
) -> Sequence[str | None]:
    """Returns for each deployment what leaves it out, None for those that are left."""
    removed: list[str | None] = [None] * len(offers)
    if wishes is not NO_WISHES:
        removed = [wishes.objection(offer) for offer in offers]
        if all(removed):
            raise _nobody_left("the request's provider filters leave", offers, removed, "provider")
    if wishes.require_parameters:
        needs = needs_of(request)
        removed = [why or needs.not_taken(o) for why, o in zip(removed, offers, strict=True)]
        if all(removed):
            what = "the request's provider.require_parameters leaves"
            raise _nobody_left(what, offers, removed, "provider")
    # Who was pinned, or is the only one, is asked whatever is known of it, and says more precisely why not.
    if pinned or len(offers) == 1 or not any(offer.support or offer.context for offer in offers):
        return removed
    needs = needs_of(request, lenient=lenient)
    for place, offer in enumerate(offers):
        if removed[place] is None:
            removed[place] = needs.lacking(offer)
    if all(removed):
        if (parameter := needs.refused_by_all(offers)) is not None:
            raise _taken_by_nobody(parameter)
        raise _nobody_left("what the request needs leaves", offers, removed, "model")
    unsuited = [why or needs.unsuited(o) for why, o in zip(removed, offers, strict=True)]
    return removed if all(unsuited) else unsuited


def _taken_by_nobody(feature: str) -> InvalidRequest:
    way = " (the header 'x-trunkline-params: lenient' leaves it out)"
    return InvalidRequest(
        f"nobody who offers the model takes '{feature}'{way if FEATURES[feature].droppable else ''}",
        code="unsupported_parameter",
        param=FEATURES[feature].parameter,
    )


def _nobody_left(
    what: str, offers: Sequence[Deployment], removed: Sequence[str | None], param: str
) -> InvalidRequest:
    each = ", ".join(f"{o.provider} ({why})" for o, why in zip(offers, removed, strict=True))
    return InvalidRequest(f"{what} no deployment: {each}", code="no_matching_provider", param=param)
