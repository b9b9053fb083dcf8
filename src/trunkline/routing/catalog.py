"""The catalog: which deployments offer a model, and what a model's name asks for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import chain

import msgspec

from trunkline.accounts.pricing import Price
from trunkline.config import (
    ModelSettings,
    ProviderSettings,
    Quirks,
    Settings,
    known,
    lacks_key,
    refreshed,
)
from trunkline.errors import InvalidRequest, ModelNotFound, NoMatchingProvider
from trunkline.ids import now
from trunkline.providers.parameters import engine_support, support_of
from trunkline.routing import policy
from trunkline.routing.deployment import LOCAL, Abilities, Deployment, Kind
from trunkline.routing.policy import POLICIES, Policy
from trunkline.routing.sticky import Conversation
from trunkline.store import Candidate, Decision

WELL_KNOWN = frozenset([*known.providers(), *known.routes()])
"""Providers that a suffix may name although the configuration does not."""

_PATHS: Mapping[Kind, str] = {"chat": "/v1/chat/completions", "embedding": "/v1/embeddings"}
_MAX_NAME = 256  # characters; a longer name is no model's, and is not compared or quoted whole


class Plan(msgspec.Struct, frozen=True):
    """What the relay is to try, in order; of the catalog, what there is to choose from.

    ``decision`` says how it was chosen, ``conversation`` which one the request belongs to.
    """

    asked: str
    model: str
    suffix: str | None
    deployments: tuple[Deployment, ...]
    decision: Decision | None = None
    conversation: Conversation | None = None

    @property
    def pinned(self) -> bool:
        """Whether the suffix names the one provider that may answer."""
        return self.suffix is not None and self.suffix not in POLICIES


Resolve = Callable[[str], Plan]
"""What a model's name lets choose from."""


class Catalog:
    """Every deployment there is, by the name of its model.

    ``inactive`` says of each configured provider that may not be used why, as an end of the sentence
    "provider 'x' …". ``through`` are deployments at a router of providers, by the provider that it is
    to pass the request to, and ``own_only`` such that are reached by the router's own ids alone. In
    ``demo`` mode the first deployment answers for every ``org/name``.
    """

    def __init__(
        self,
        deployments: Iterable[Deployment],
        *,
        inactive: Mapping[str, str] | None = None,
        through: Mapping[str, Sequence[Deployment]] | None = None,
        own_only: Iterable[Deployment] = (),
        preferred: Sequence[str] = (),
        demo: bool = False,
    ) -> None:
        by_model: dict[str, list[Deployment]] = {}
        for deployment in deployments:
            by_model.setdefault(deployment.model, []).append(deployment)
        self._by_model = {model: tuple(found) for model, found in by_model.items()}
        self._offers: dict[Kind, dict[str, tuple[Deployment, ...]]] = {
            kind: _of_kind(kind, by_model) for kind in _PATHS
        }
        self._active = {d.provider for found in by_model.values() for d in found}
        self._inactive = dict(inactive or {})
        self._through = dict(through or {})
        self._own: dict[tuple[str, str], Deployment] = {}
        offers = chain.from_iterable([*by_model.values(), *self._through.values()])
        for deployment in (*offers, *own_only):
            self._own.setdefault((deployment.provider, deployment.upstream_model), deployment)
        self._demo = demo
        self._policies: dict[str, Policy] = {
            # What is measured, and prices, order them for each request: see choice.py.
            "fastest": policy.as_configured,
            "cheapest": policy.as_configured,
            "preferred": policy.preferring(preferred),
            "local": policy.local,
        }

    def models(self) -> Mapping[str, tuple[Deployment, ...]]:
        """Returns each public model with the deployments that offer it."""
        return self._by_model

    def resolve(self, name: str, *, kind: Kind | None = "chat") -> Plan:
        """Returns what a model's name with an optional ``:policy`` or ``:provider`` lets choose from.

        None is any ``kind``. Raises ModelNotFound with the closest names, InvalidRequest if the model is
        of another kind or the provider it names cannot be asked (``provider_not_configured``), or
        NoMatchingProvider if nobody is left.
        """
        if not name.isprintable():
            raise self._unknown(name)
        model, suffix = self._split(name)
        if self._demo and (answer := self._demo_deployment(model)) and kind != "embedding":
            return Plan(name, model, suffix, (answer,))
        if suffix is not None and suffix not in self._policies:
            self._check_provider(suffix)
        offers = (self._by_model if kind is None else self._offers[kind]).get(model)
        if offers is None:
            raise self._of_another_kind(model) if model in self._by_model else self._unknown(model)
        chosen = self._chosen(model, suffix, offers)
        if not chosen:
            raise _nobody_left(model, suffix, offers)
        return Plan(name, model, suffix, tuple(chosen))

    def own(self, provider: str, identifier: str, *, kind: Kind) -> Plan:
        """Returns the plan that asks an active provider for a model by the provider's own id.

        Of an id that is not in the catalog nothing is known, its price neither. Raises ModelNotFound
        if nobody else could know it: for the embedded engine.
        """
        deployment = self.offer(provider, identifier, kind=kind)
        if deployment.kind != kind:
            raise self._of_another_kind(deployment.model)
        return Plan(identifier, deployment.model, provider, (deployment,))

    def offer(self, provider: str, identifier: str, *, kind: Kind = "chat") -> Deployment:
        """Returns what a provider's own id means there; of the ``kind`` if it is not in the catalog.

        Raises ModelNotFound as `own` does.
        """
        deployment = self._own.get((provider, identifier))
        if deployment is not None:
            return deployment
        if provider == LOCAL or not identifier.isprintable():
            raise self._unknown(identifier)
        return Deployment(
            model=identifier,
            kind=kind,
            provider=provider,
            upstream_model=identifier,
            listed=False,
            behind=_behind(provider, identifier),
        )

    def why_not(self, provider: str) -> str:
        """Says why a known provider cannot be asked itself, as an end of "provider 'x' …".

        Empty if nobody knows it.
        """
        if provider in self._through:
            router = self._through[provider][0].provider
            return f"is only reached through {router}; ask for 'model:{provider}' under /v1"
        if not self._knows(provider):
            return ""
        return self._inactive.get(provider, f"is not configured; add [providers.{provider}]")

    def _chosen(
        self, model: str, suffix: str | None, offers: Sequence[Deployment]
    ) -> Sequence[Deployment]:
        if suffix in self._through:
            return [d for d in self._through[suffix] if d.model == model]
        return self._policy(suffix)(offers)

    def _split(self, name: str) -> tuple[str, str | None]:
        """Splits at the last colon if a policy or a known provider follows; else it is the id's."""
        model, colon, suffix = name.rpartition(":")
        if colon and model and (suffix in self._policies or self._knows(suffix)):
            return model, suffix
        return name, None

    def _knows(self, provider: str) -> bool:
        return provider in self._active or provider in self._inactive or provider in WELL_KNOWN

    def _policy(self, suffix: str | None) -> Policy:
        if suffix is None:
            return self._policies["fastest"]
        return self._policies.get(suffix) or policy.pinned(suffix)

    def _check_provider(self, provider: str) -> None:
        if provider in self._active or provider in self._through:
            return
        reason = self._inactive.get(provider, f"is not configured; add [providers.{provider}]")
        raise InvalidRequest(
            f"provider '{provider}' {reason}", code="provider_not_configured", param="model"
        )

    def _demo_deployment(self, model: str) -> Deployment | None:
        organisation, _, rest = model.partition("/")
        if model in self._by_model or (organisation and rest):
            return next((d for offers in self._by_model.values() for d in offers), None)
        return None

    def _of_another_kind(self, model: str) -> InvalidRequest:
        kind = self._by_model[model][0].kind
        does = "answers conversations" if kind == "chat" else "makes embeddings"
        return InvalidRequest(
            f"'{_shortened(model)}' {does}; send the request to POST {_PATHS[kind]}", param="model"
        )

    def _unknown(self, model: str) -> ModelNotFound:
        near: list[str] = []
        if len(model) <= _MAX_NAME:
            by_lower = {known.lower(): known for known in self._by_model}
            found = difflib.get_close_matches(model.lower(), by_lower, n=3)
            near = [by_lower[lower] for lower in found]
        hint = f"did you mean {_either(near)}? " if near else ""
        return ModelNotFound(
            f"unknown model '{_shortened(model)}'; {hint}see GET /v1/models", param="model"
        )


def catalog_of(
    settings: Settings,
    *,
    engine: Deployment | None,
    pulled: Sequence[Deployment] = (),
    demo: bool = False,
    today: date | None = None,
) -> Catalog:
    """Returns the catalog of a configuration, the embedded engine's model, if it runs, and pulled ones.

    In ``demo`` mode the engine's model is all there is: providers and pulled models are not used.
    ``today`` decides what is deprecated; without it that is the present day in UTC.
    """
    own = [engine] if engine is not None else []
    if demo:
        return Catalog(own, demo=True)
    today = today or now().date()
    deployments = [
        deployment_of(model, offer, name, provider, today)
        for name, provider in settings.providers.items()
        if provider.active
        for model, offer in provider.models.items()
    ]
    not_configured = {
        name: lacks_key(name, env_keys=settings.routing.env_keys) for name in known.providers()
    }
    why = {name: provider.why_not(name) for name, provider in settings.providers.items()}
    passed_on = dict(_passed_on(settings, deployments))
    configured = [slug for slug in passed_on if slug in settings.providers]
    own_only = [one for slug in configured for one in passed_on.pop(slug)]
    return Catalog(
        [*own, *deployments, *pulled],
        inactive={name: reason for name, reason in (not_configured | why).items() if reason},
        through=passed_on,
        own_only=own_only,
        preferred=settings.routing.preferred,
    )


def deployment_of(
    model: str, offer: ModelSettings, name: str, provider: ProviderSettings, today: date
) -> Deployment:
    """Returns the deployment of a model at the provider of that name."""
    gone = offer.deprecated
    kind = offer.kind or known.kinds().get(model, "chat")
    return Deployment(
        model=model,
        kind=kind,
        provider=name,
        upstream_model=offer.id or model,
        price=_price(offer, kind),
        context=offer.context,
        dimensions=offer.dimensions,
        max_output=offer.max_output,
        local=provider.local,
        reserve=provider.reserve,
        deprecated=gone if isinstance(gone, bool) else gone <= today,
        abilities=_abilities(offer),
        support=support_of(provider.quirks, offer),
        behind=_behind(name),
    )


def engine_deployment(
    model: str, *, context: int, max_output: int | None = None, reserve: bool = False
) -> Deployment:
    """Returns the embedded engine's deployment of a model, which costs nothing."""
    return Deployment(
        model=model,
        provider=LOCAL,
        upstream_model=model,
        price=Price(input=0, output=0),
        context=context,
        max_output=max_output,
        local=True,
        reserve=reserve,
        support=engine_support(),
    )


def _behind(provider: str, identifier: str = "") -> tuple[str, ...]:
    """Returns to whom a provider may pass requests for one of its ids on, if it is a router."""
    one = known.providers().get(provider)
    routes = one.routes if one else ()
    slug = identifier.rpartition(":")[2]
    return (slug,) if slug in routes else routes


def _passed_on(
    settings: Settings, deployments: Sequence[Deployment]
) -> Iterator[tuple[str, Sequence[Deployment]]]:
    """Yields each provider that an active router knows, and what the router passes on to it.

    The router takes what the provider charges, so where that is known the price is the provider's.
    """
    for slug, router in known.routes().items():
        at_router = [d for d in deployments if d.provider == router]
        if at_router:
            live = settings.said_by(router)
            said = live.through.get(slug, {}) if live else {}
            quirks = settings.providers[router].quirks
            yield slug, [_at_router(deployment, slug, said, quirks) for deployment in at_router]


def _at_router(
    deployment: Deployment, slug: str, said: Mapping[str, refreshed.Facts], quirks: Quirks
) -> Deployment:
    offer = known.offers(slug).get(deployment.model)
    facts = refreshed.over(offer.settings if offer else ModelSettings(), said.get(deployment.model))
    return msgspec.structs.replace(
        deployment,
        upstream_model=f"{deployment.upstream_model}:{slug}",
        behind=(slug,),
        price=_price(facts, deployment.kind) or deployment.price,
        abilities=_abilities(offer.settings) if offer else deployment.abilities,
        support=support_of(quirks, offer.settings) if offer else deployment.support,
    )


def _abilities(offer: ModelSettings) -> Abilities:
    return Abilities(
        tools=offer.tools,
        structured=offer.structured,
        structured_with_tools=offer.structured_with_tools,
        vision=offer.vision,
        efforts=offer.efforts,
    )


def _price(offer: ModelSettings, kind: Kind) -> Price | None:
    output = 0 if kind == "embedding" else offer.output  # a vector has no tokens
    if offer.input is None or output is None:
        return None
    return Price(input=offer.input, output=output, cached_input=offer.cached_input)


def _of_kind(
    kind: Kind, by_model: Mapping[str, Sequence[Deployment]]
) -> dict[str, tuple[Deployment, ...]]:
    found = {m: tuple([d for d in offers if d.kind == kind]) for m, offers in by_model.items()}
    return {model: offers for model, offers in found.items() if offers}


def _nobody_left(
    model: str, suffix: str | None, offers: Sequence[Deployment]
) -> NoMatchingProvider:
    providers = ", ".join(offer.provider for offer in offers)
    what = "no local deployment" if suffix == LOCAL else f"provider '{suffix}' does not offer"
    verb = " offers" if suffix == LOCAL else ""
    why = "not local" if suffix == LOCAL else f"not '{suffix}'"
    candidates = [Candidate(provider=offer.provider, removed=why) for offer in offers]
    return NoMatchingProvider(
        f"{what}{verb} '{_shortened(model)}'; it is offered by {providers}",
        param="model",
        decision=Decision(
            policy=LOCAL if suffix == LOCAL else "pinned", candidates=tuple(candidates)
        ),
    )


def _either(names: Sequence[str]) -> str:
    return " or ".join(f"'{name}'" for name in names)


def _shortened(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
