"""``GET /v1/models`` and ``GET /v1/models/{id}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from starlette.types import Receive, Scope, Send

from trunkline.api.exchange import exchange_of
from trunkline.api.send import send_json
from trunkline.routing import Catalog, Deployment


class ModelProvider(msgspec.Struct, kw_only=True):
    """Who offers a model."""

    provider: str
    context_length: int | None = None
    local: bool = False


class Model(msgspec.Struct, kw_only=True):
    """A model, as OpenAI shows it; ``providers`` in the order in which they are tried."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    providers: list[ModelProvider]
    context_length: int | None = None
    description: str | None = None


class ModelList(msgspec.Struct, kw_only=True):
    """Every model."""

    object: Literal["list"] = "list"
    data: list[Model]


class Models:
    """Lists the catalog."""

    def __init__(self, shown: Sequence[Model]) -> None:
        self._body = msgspec.json.encode(ModelList(data=list(shown)))

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        await send_json(send, exchange_of(scope), self._body)


class OneModel:
    """Shows one model, asked for with or without a suffix."""

    def __init__(self, shown: Sequence[Model], catalog: Catalog) -> None:
        self._models = {model.id: model for model in shown}
        self._catalog = catalog

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        name = scope["path_params"]["id"]
        model = self._models.get(name)  # also one that policies leave out, as all are deprecated
        if model is None:
            plan = self._catalog.resolve(name)
            # In demo mode another model answers: say which, under the name that was asked for.
            answer = self._models[plan.deployments[0].model]
            model = msgspec.structs.replace(answer, id=plan.model)
        await send_json(send, exchange_of(scope), msgspec.json.encode(model))


def shown_models(catalog: Catalog, *, created: int, descriptions: Mapping[str, str]) -> list[Model]:
    """Returns what the catalog offers; ``descriptions`` has what is known of some models by name."""
    return [
        _shown(name, deployments, created, descriptions.get(name))
        for name, deployments in catalog.models().items()
    ]


def _shown(
    name: str, deployments: Sequence[Deployment], created: int, description: str | None
) -> Model:
    contexts = [d.context for d in deployments if d.context is not None]
    organisation = name.partition("/")[0]
    return Model(
        id=name,
        created=created,
        owned_by=organisation,
        providers=[
            ModelProvider(provider=d.provider, context_length=d.context, local=d.local)
            for d in deployments
        ],
        context_length=max(contexts, default=None),
        description=description,
    )
