"""``GET /v1/models`` and ``GET /v1/models/{id}``: OpenAI's fields, and Hugging Face's beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType
from starlette.types import Receive, Scope, Send

from trunkline.accounts import Price, usd
from trunkline.api.exchange import exchange_of
from trunkline.api.send import send_json
from trunkline.errors import ModelNotFound
from trunkline.routing import Catalog, Condition, Deployment, beyond
from trunkline.store import NO_LIMITS, Limits

_T = TypeVar("_T")


class Pricing(msgspec.Struct, kw_only=True):
    """USD per 1M tokens."""

    input: float
    output: float


class ModelProvider(msgspec.Struct, kw_only=True):
    """Who offers a model; what is not known is left out.

    ``status`` is ``error`` while the provider cools down after failures. ``first_token_latency_ms``
    and ``throughput`` (tokens per second) are what this worker has measured.
    """

    provider: str
    status: Literal["live", "error"]
    context_length: int | UnsetType = UNSET
    pricing: Pricing | UnsetType = UNSET
    supports_tools: bool | UnsetType = UNSET
    supports_structured_output: bool | UnsetType = UNSET
    first_token_latency_ms: float | UnsetType = UNSET
    throughput: float | UnsetType = UNSET
    local: bool = False


class Architecture(msgspec.Struct, kw_only=True):
    """What a model reads and writes."""

    input_modalities: list[str]
    output_modalities: list[str]


class Model(msgspec.Struct, kw_only=True):
    """A model, as OpenAI shows it; ``providers`` in the order in which they are tried at first.

    ``dimensions`` is the length of an embedding model's vectors, the most it can make.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    architecture: Architecture
    providers: list[ModelProvider]
    context_length: int | None = None
    dimensions: int | UnsetType = UNSET
    description: str | None = None


class ModelList(msgspec.Struct, kw_only=True):
    """Every model."""

    object: Literal["list"] = "list"
    data: list[Model]


class ShownModels:
    """The catalog as callers see it at this moment.

    ``condition`` tells how a deployment stands; ``descriptions`` has what is known of some models by
    name.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        condition: Callable[[Deployment], Condition],
        created: int,
        descriptions: Mapping[str, str],
    ) -> None:
        self._catalog = catalog
        self._condition = condition
        self._created = created
        self._descriptions = descriptions

    def all(self, limits: Limits = NO_LIMITS) -> list[Model]:
        """Returns every model that a key with these limits may use, with whom it may ask for it."""
        models = self._catalog.models().items()
        return [
            self._shown(n, left) for n, offers in models if (left := _within(limits, n, offers))
        ]

    def one(self, name: str, limits: Limits = NO_LIMITS) -> Model:
        """Returns one model, named with or without a suffix.

        Raises as `Catalog.resolve` does, and ModelNotFound if a key with these limits may not use it.
        """
        models = self._catalog.models()
        if offers := models.get(name):  # also one that policies leave out, as all are deprecated
            return self._shown(name, self._allowed(limits, name, offers))
        plan = self._catalog.resolve(name, kind=None)
        self._allowed(limits, plan.model, plan.deployments)
        # In demo mode another model answers: say which, under the name that was asked for.
        answering = plan.deployments[0].model
        left = self._allowed(limits, plan.model, models[answering])
        return msgspec.structs.replace(self._shown(answering, left), id=plan.model)

    def of(self, provider: str, document: bytes, limits: Limits) -> bytes:
        """Returns a provider's own list of models without those that are beyond a key's limits."""
        if limits is NO_LIMITS:
            return document
        said = msgspec.json.decode(document)
        entries = said.get("data") if isinstance(said, dict) else said
        if not isinstance(entries, list):
            return msgspec.json.encode(ModelList(data=[]))
        left = [one for one in entries if self._may_be_told(provider, one, limits)]
        return msgspec.json.encode(left if isinstance(said, list) else {**said, "data": left})

    def _may_be_told(self, provider: str, entry: Any, limits: Limits) -> bool:
        identifier = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(identifier, str) or not identifier.isprintable():
            return False
        offer = self._catalog.offer(provider, identifier)
        return beyond(limits, offer, model=offer.model) is None

    def _allowed(
        self, limits: Limits, name: str, offers: Sequence[Deployment]
    ) -> Sequence[Deployment]:
        left = _within(limits, name, offers)
        if not left:
            raise ModelNotFound(
                f"this key may not use '{name}'; GET /v1/models lists what it may", param="model"
            )
        return left

    def _shown(self, name: str, deployments: Sequence[Deployment]) -> Model:
        contexts = [d.context for d in deployments if d.context is not None]
        return Model(
            id=name,
            created=self._created,
            owned_by=name.partition("/")[0],
            architecture=_architecture(deployments),
            providers=[_provider(d, self._condition(d)) for d in deployments],
            context_length=max(contexts, default=None),
            dimensions=_known(max((d.dimensions or 0 for d in deployments), default=0) or None),
            description=self._descriptions.get(name),
        )


class Models:
    """Lists the catalog."""

    def __init__(self, shown: ShownModels) -> None:
        self._shown = shown

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        shown = self._shown.all(exchange.caller.limits)
        await send_json(send, exchange, msgspec.json.encode(ModelList(data=shown)))


class OneModel:
    """Shows one model, asked for with or without a suffix."""

    def __init__(self, shown: ShownModels) -> None:
        self._shown = shown

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        exchange = exchange_of(scope)
        model = self._shown.one(scope["path_params"]["id"], exchange.caller.limits)
        await send_json(send, exchange, msgspec.json.encode(model))


def _within(limits: Limits, name: str, offers: Sequence[Deployment]) -> Sequence[Deployment]:
    if limits is NO_LIMITS:
        return offers
    return [offer for offer in offers if beyond(limits, offer, model=name) is None]


def _architecture(deployments: Sequence[Deployment]) -> Architecture:
    sees = any(d.abilities is not None and d.abilities.vision for d in deployments)
    embeds = any(d.kind == "embedding" for d in deployments)
    return Architecture(
        input_modalities=["text", "image"] if sees else ["text"],
        output_modalities=["embeddings" if embeds else "text"],
    )


def _provider(deployment: Deployment, condition: Condition) -> ModelProvider:
    abilities = deployment.abilities
    first_s, speed = condition.first_token_s, condition.tokens_per_s
    return ModelProvider(
        provider=deployment.provider,
        status="live" if condition.cooling_s is None else "error",
        context_length=_known(deployment.context),
        pricing=_pricing(deployment.price) if deployment.price else UNSET,
        supports_tools=_known(abilities.tools if abilities else None),
        supports_structured_output=_known(abilities.structured if abilities else None),
        first_token_latency_ms=UNSET if first_s is None else round(first_s * 1000, 1),
        throughput=UNSET if speed is None else round(speed, 1),
        local=deployment.local,
    )


def _pricing(price: Price) -> Pricing:
    """Shows the digits of the price: they are few enough for a float to come out with the same ones."""
    return Pricing(input=float(usd(price.input)), output=float(usd(price.output)))


def _known(value: _T | None) -> _T | UnsetType:
    return UNSET if value is None else value
