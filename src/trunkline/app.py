"""The composition root: builds every object once, wires the routes, owns what must be closed.

The only module that knows all others. Nothing is found through globals: what an object needs is
passed to it here.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from starlette.types import ASGIApp

from trunkline.accounts import Keyring
from trunkline.api.chat import ChatCompletions
from trunkline.api.edge import Edge, accepted_hosts
from trunkline.api.health import EngineState, Health, MetricsPage
from trunkline.api.metrics import Metrics
from trunkline.api.models import Models, OneModel, shown_models
from trunkline.api.openapi import OpenAPI
from trunkline.api.receipts import Receipts
from trunkline.api.routes import Endpoints, routes
from trunkline.config import ProviderSettings, Settings, database_url
from trunkline.engine import model as engine_model
from trunkline.engine.client import EngineClient
from trunkline.engine.endpoint import Where
from trunkline.engine.model import Model
from trunkline.engine.supervisor import Supervisor
from trunkline.errors import EngineUnavailable, StartError
from trunkline.providers.base import Provider
from trunkline.providers.http import HTTPProvider
from trunkline.providers.local import LocalProvider
from trunkline.providers.openai import OpenAIChat
from trunkline.routing import LOCAL, Catalog, Deployment, Relay, catalog_of, engine_deployment
from trunkline.store import Store, open_store
from trunkline.transport import Client, Timeouts


@dataclass(frozen=True, slots=True)
class Setup:
    """What is to be served: the settings, the home folder, and the engine's model, if there is one.

    ``without_engine`` says why there is none. In ``demo`` mode that model answers for every name.
    """

    settings: Settings
    home: Path
    model: Model | None
    without_engine: str | None
    demo: bool


def set_up(settings: Settings, home: Path, *, demo: bool) -> Setup:
    """Opens the engine's model, without loading it.

    Raises StartError if the file cannot be used, or if ``demo`` mode has no engine to answer.
    """
    engine = settings.engine
    reason = engine_model.available() if engine.enabled else "[engine] enabled = false"
    if reason is not None and demo:
        raise StartError(f"demo mode needs the embedded engine, and it is off: {reason}")
    if reason is not None:
        return Setup(settings, home, None, reason, demo)
    if engine.model:
        found = engine_model.open_model(Path(engine.model), name=engine.name or None)
    else:
        found = engine_model.nano()
    return Setup(settings, home, _overridden(found, settings), None, demo)


def _overridden(found: Model, settings: Settings) -> Model:
    engine = settings.engine
    card = found.card
    if engine.temperature is not None:
        card = msgspec.structs.replace(card, temperature=engine.temperature)
    if engine.max_tokens:
        card = msgspec.structs.replace(card, max_tokens=engine.max_tokens)
    return msgspec.structs.replace(found, card=card)


def supervisor(
    setup: Setup, model: Model, *, metrics: Metrics, publish_to: Path | None = None
) -> Supervisor:
    """Returns the engine's supervisor, not started yet."""
    engine = setup.settings.engine
    return Supervisor(
        model,
        slots=engine.slots,
        context=engine.context,
        threads=engine.threads,
        gpu_layers=engine.gpu_layers,
        cache_mb=engine.cache_mb,
        start_timeout_s=engine.start_timeout_s,
        stall_s=engine.stall_s,
        publish_to=publish_to,
        on_restart=metrics.engine_restarted,
    )


@dataclass(frozen=True, slots=True)
class App:
    """The ASGI application, with what the command that serves it wants to know."""

    asgi: ASGIApp
    catalog: Catalog
    store: Store


@asynccontextmanager
async def open_app(
    setup: Setup, *, engine: Where | None, metrics: Metrics, workers: int = 1
) -> AsyncIterator[App]:
    """Builds one worker's application and closes what it owns in the end.

    ``engine`` tells where the engine is, None if there is none. Raises StartError, ConfigError.
    """
    settings = setup.settings
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(_store(setup))
        transport = await stack.enter_async_context(Client())
        providers: dict[str, Provider] = {
            name: _http_provider(name, provider, settings, transport)
            for name, provider in settings.providers.items()
            if provider.active and not setup.demo
        }
        local: Deployment | None = None
        if setup.model is not None and engine is not None:
            client = await stack.enter_async_context(_engine_client(settings, engine, workers))
            client.admission.watch(metrics.engine_load)
            card = setup.model.card
            providers[LOCAL] = LocalProvider(
                client=client, card=card, reasoning_fields=settings.server.reasoning_fields
            )
            context = min(settings.engine.context, setup.model.file.context)
            local = engine_deployment(card.name, context=context, max_output=card.max_tokens)
        catalog = catalog_of(settings, engine=local, demo=setup.demo)
        relay = Relay(providers=providers)
        yield App(_edge(setup, store, catalog, relay, metrics, engine), catalog, store)


def _store(setup: Setup) -> AbstractAsyncContextManager[Store]:
    database = setup.settings.database
    return open_store(
        database_url(setup.settings, setup.home),
        pool_size=database.pool_size,
        busy_timeout_s=database.busy_timeout_s,
    )


def _http_provider(
    name: str, provider: ProviderSettings, settings: Settings, client: Client
) -> HTTPProvider:
    routing = settings.routing
    return HTTPProvider(
        name=name,
        base_url=provider.base_url,
        adapter=OpenAIChat(
            key=provider.key.reveal() if provider.key else None,
            reasoning_fields=settings.server.reasoning_fields,
        ),
        client=client,
        timeouts=Timeouts(
            connect_s=routing.connect_timeout_s,
            first_chunk_s=routing.first_chunk_timeout_s,
            idle_s=routing.idle_timeout_s,
            total_s=routing.total_timeout_s,
        ),
        headers=provider.headers,
    )


def _engine_client(settings: Settings, where: Where, workers: int) -> EngineClient:
    engine = settings.engine
    return EngineClient(
        where,
        slots=max(1, engine.slots // workers),
        queue=engine.queue,
        start_timeout_s=engine.start_timeout_s,
        stall_s=engine.stall_s,
    )


def _edge(
    setup: Setup,
    store: Store,
    catalog: Catalog,
    relay: Relay,
    metrics: Metrics,
    engine: Where | None,
) -> Edge:
    server = setup.settings.server
    shown = shown_models(catalog, created=int(time.time()), descriptions=_descriptions(setup))
    endpoints = Endpoints(
        chat=ChatCompletions(
            catalog=catalog,
            relay=relay,
            requests=store.requests,
            metrics=metrics,
            params=setup.settings.routing.params,
            max_body_bytes=server.max_body_bytes,
            body_timeout_s=server.body_timeout_s,
        ),
        models=Models(shown),
        one_model=OneModel(shown, catalog),
        receipts=Receipts(store.requests),
        health=Health(_engine_state(engine)),
        metrics=MetricsPage(metrics),
        openapi=OpenAPI(),
    )
    return Edge(
        routes(endpoints),
        keyring=Keyring(store.keys),
        metrics=metrics,
        hosts=accepted_hosts(server.host, server.allowed_hosts),
        access_log=server.access_log,
    )


def _descriptions(setup: Setup) -> dict[str, str]:
    if setup.model is None or not setup.model.card.description:
        return {}
    card = setup.model.card
    demo = "; in demo mode it answers for every model name" if setup.demo else ""
    return {card.name: card.description + demo}


def _engine_state(where: Where | None) -> Callable[[], EngineState]:
    def state() -> EngineState:
        if where is None:
            return "off"
        try:
            return "starting" if where() is None else "ready"
        except EngineUnavailable:
            return "off"

    return state
