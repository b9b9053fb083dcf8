"""``/{provider}/v1/…``: one provider, asked for its models by its own ids.

What may be asked is chat completions, responses, embeddings and the list of models, no other path: a request is
decoded, metered and recorded here like any other, so nothing goes through that the router does not
understand. In place of ``v1`` the path of the provider's own address is taken too, as in
``/groq/openai/v1/…``: that is what clients of Hugging Face's router send.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

import msgspec
from starlette.types import Receive, Scope, Send

from trunkline.api.exchange import exchange_of
from trunkline.api.models import Model, ModelList, ShownModels
from trunkline.api.send import send_json
from trunkline.errors import (
    InvalidRequest,
    NotFound,
    UpstreamError,
    UpstreamFailed,
    UpstreamTimeout,
)
from trunkline.providers.own_models import OwnModels
from trunkline.routing import LOCAL, Catalog, Kind, Plan, Resolve

_V1 = "v1"
_MAX_QUOTED = 100


class ProviderPaths:
    """Which provider a path names. ``addresses`` are the base URLs of those that are active."""

    def __init__(self, catalog: Catalog, addresses: Mapping[str, str]) -> None:
        self._catalog = catalog
        self._prefixes = {
            name: {_V1, urlsplit(address).path.strip("/")} for name, address in addresses.items()
        }

    def provider_of(self, scope: Scope) -> str:
        """Returns the provider.

        Raises NotFound, naming those that are active, or InvalidRequest if it is known and not active
        (``provider_not_configured``).
        """
        name: str = scope["path_params"]["provider"]
        prefix: str = scope["path_params"]["prefix"]
        prefixes = self._prefixes.get(name)
        if prefixes is None:
            raise self._not_active(name)
        if prefix not in prefixes:
            raise NotFound(f"there is no such path; did you mean /{name}/{_V1}/…?")
        return name

    def resolve(self, provider: str, kind: Kind) -> Resolve:
        """Returns what understands a provider's own id of a model."""

        def own(name: str) -> Plan:
            return self._catalog.own(provider, name, kind=kind)

        return own

    def _not_active(self, name: str) -> NotFound | InvalidRequest:
        if name == _V1 or not name.isprintable():
            return NotFound("there is no such path; see GET /openapi.json")
        if reason := self._catalog.why_not(name):
            return InvalidRequest(
                f"provider '{name}' {reason}", code="provider_not_configured", param="provider"
            )
        active = ", ".join(self._prefixes) or "none"
        return NotFound(
            f"there is no provider '{name[:_MAX_QUOTED]}'; active are: {active}", param="provider"
        )


class Endpoint(Protocol):
    """What answers requests for a model, whatever understands the model's name."""

    async def serve(self, scope: Scope, receive: Receive, send: Send, resolve: Resolve) -> None: ...


class ProviderEndpoint:
    """``POST /{provider}/v1/…``: an endpoint for models of a kind by a provider's own ids."""

    def __init__(self, paths: ProviderPaths, endpoint: Endpoint, kind: Kind) -> None:
        self._paths = paths
        self._endpoint = endpoint
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        provider = self._paths.provider_of(scope)
        resolve = self._paths.resolve(provider, self._kind)
        await self._endpoint.serve(scope, receive, send, resolve)


class ProviderModels:
    """``GET /{provider}/v1/models``: what the provider says, or the engine's models."""

    def __init__(
        self, paths: ProviderPaths, shown: ShownModels, listings: Mapping[str, OwnModels]
    ) -> None:
        self._paths = paths
        self._shown = shown
        self._listings = listings

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        provider = self._paths.provider_of(scope)
        exchange = exchange_of(scope)
        if provider == LOCAL:
            await send_json(send, exchange, _listed(self._shown.all(exchange.caller.limits)))
            return
        try:
            document = await self._listings[provider].document()
        except UpstreamError as error:
            kind = UpstreamTimeout if error.timed_out else UpstreamFailed
            raise kind(f"provider '{provider}' {error.public}") from error
        document = self._shown.of(provider, document, exchange.caller.limits)
        headers = [(b"x-trunkline-provider", provider.encode())]
        await send_json(send, exchange, document, headers=headers)


def _listed(models: Sequence[Model]) -> bytes:
    own = [model for model in models if any(p.provider == LOCAL for p in model.providers)]
    return msgspec.json.encode(ModelList(data=own))
