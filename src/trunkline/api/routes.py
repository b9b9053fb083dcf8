"""The route table and nothing else: the API on one page."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass

from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from trunkline.api.chat import ChatCompletions
from trunkline.api.embeddings import Embeddings
from trunkline.api.health import Health, MetricsPage
from trunkline.api.models import Models, OneModel
from trunkline.api.openapi import OpenAPI
from trunkline.api.pass_through import ProviderEndpoint, ProviderModels
from trunkline.api.receipts import Receipts
from trunkline.api.responses import Responses
from trunkline.api.stored_responses import InputItems, OneResponse

_PROVIDER = "/{provider}/{prefix:path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """What the routes lead to; each is an ASGI application."""

    chat: ChatCompletions
    responses: Responses
    one_response: OneResponse
    input_items: InputItems
    embeddings: Embeddings
    models: Models
    one_model: OneModel
    receipts: Receipts
    provider_chat: ProviderEndpoint
    provider_responses: ProviderEndpoint
    provider_embeddings: ProviderEndpoint
    provider_models: ProviderModels
    health: Health
    metrics: MetricsPage
    openapi: OpenAPI


def routes(endpoints: Endpoints) -> Routes:
    """Returns the routes. Paths that they do not know are answered in OpenAI's envelope by the edge."""
    return Routes(
        [
            Route("/v1/chat/completions", endpoints.chat, methods=["POST"]),
            Route("/v1/responses", endpoints.responses, methods=["POST"]),
            Route("/v1/responses/{id}", endpoints.one_response, methods=["GET", "DELETE"]),
            Route("/v1/responses/{id}/input_items", endpoints.input_items, methods=["GET"]),
            Route("/v1/embeddings", endpoints.embeddings, methods=["POST"]),
            Route("/v1/models", endpoints.models, methods=["GET"]),
            Route("/v1/models/{id:path}", endpoints.one_model, methods=["GET"]),
            Route("/v1/requests/{id}", endpoints.receipts, methods=["GET"]),
            Route("/health", endpoints.health, methods=["GET"]),
            Route("/metrics", endpoints.metrics, methods=["GET"]),
            Route("/openapi.json", endpoints.openapi, methods=["GET"]),
            Route(f"{_PROVIDER}/chat/completions", endpoints.provider_chat, methods=["POST"]),
            Route(f"{_PROVIDER}/responses", endpoints.provider_responses, methods=["POST"]),
            Route(f"{_PROVIDER}/embeddings", endpoints.provider_embeddings, methods=["POST"]),
            Route(f"{_PROVIDER}/models", endpoints.provider_models, methods=["GET"]),
        ]
    )


class Routes:
    """Finds a path that holds no parameter at once; for the others a router tries one after the other."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = routes
        self._router = Router(routes, redirect_slashes=False)
        self._exact: dict[tuple[str | None, str], Route] = {
            (method, route.path): route
            for route in routes
            if not route.param_convertors
            for method in route.methods or ()
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        route = self._exact.get((scope.get("method"), scope["path"]))
        if route is None:
            return self._router(scope, receive, send)
        scope["route"] = route
        return route.app(scope, receive, send)
