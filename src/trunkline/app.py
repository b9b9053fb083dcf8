"""The composition root: builds every object once, wires the routes, owns what must be closed.

The only module that knows all others. Nothing is found through globals: what an object needs is
passed to it here.
"""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
from starlette.types import ASGIApp

from trunkline.accounts import Gate, Keyring
from trunkline.api.chat import ChatCompletions
from trunkline.api.edge import Edge, accepted_hosts
from trunkline.api.embeddings import Embeddings
from trunkline.api.health import EngineState, Health, MetricsPage
from trunkline.api.metrics import Metrics
from trunkline.api.models import Models, OneModel, ShownModels
from trunkline.api.openapi import OpenAPI
from trunkline.api.pass_through import ProviderEndpoint, ProviderModels, ProviderPaths
from trunkline.api.receipts import Receipts
from trunkline.api.responses import Responses
from trunkline.api.routes import Endpoints, routes
from trunkline.api.run import Intake
from trunkline.api.stored_responses import InputItems, OneResponse
from trunkline.config import ProviderSettings, Settings, database_url, secret
from trunkline.engine import memory, weights
from trunkline.engine import model as engine_model
from trunkline.engine.client import EngineClient
from trunkline.engine.endpoint import Access
from trunkline.engine.model import Model
from trunkline.engine.supervisor import Supervisor
from trunkline.errors import EngineUnavailable, StartError
from trunkline.files import Files
from trunkline.providers.base import Adapter, Provider
from trunkline.providers.embeddings import OpenAIEmbeddings
from trunkline.providers.emulation import Emulating
from trunkline.providers.http import HTTPProvider
from trunkline.providers.local import LocalModels, LocalProvider
from trunkline.providers.openai import OpenAIChat
from trunkline.providers.own_models import OwnModels
from trunkline.providers.repair import is_gpt_oss
from trunkline.responses.attachments import Attachments
from trunkline.responses.sealing import Seal
from trunkline.responses.state import State
from trunkline.routing import (
    LOCAL,
    Catalog,
    Chooser,
    Deployment,
    DeploymentHealth,
    Relay,
    Sticky,
    catalog_of,
    engine_deployment,
)
from trunkline.store import Store, open_store
from trunkline.store.sweeper import Sweeper
from trunkline.transport import Client, Timeouts
from trunkline.transport.guard import Guard

Running = tuple[Model, int]
"""A model, and the process of its engine."""

_SLOW_MACHINE = 50e6  # bytes a second that it reads from disk and rearranges for its CPU


@dataclass(frozen=True, slots=True)
class Setup:
    """What is to be served: the settings, the home folder, and the engine's model, if there is one.

    ``without_engine`` says why there is none. In ``demo`` mode that model answers for every name.
    ``pulled`` are the real weights in the home folder, each for an engine of its own that starts with
    the first request for it.
    """

    settings: Settings
    home: Path
    model: Model | None
    without_engine: str | None
    demo: bool
    pulled: tuple[Model, ...] = ()

    @property
    def models(self) -> tuple[Model, ...]:
        """Every model that an engine runs, the one that starts at once first."""
        return () if self.model is None else (self.model, *self.pulled)


def set_up(settings: Settings, home: Path, *, demo: bool) -> Setup:
    """Opens the engine's model and what has been pulled, without loading them.

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
    others = (model for model in weights.pulled(home) if model.card.name != found.card.name)
    return Setup(
        settings,
        home,
        _overridden(found, settings),
        None,
        demo,
        pulled=() if demo else tuple(_overridden(model, settings) for model in others),
    )


def _overridden(found: Model, settings: Settings) -> Model:
    engine = settings.engine
    card = found.card
    if engine.temperature is not None:
        card = msgspec.structs.replace(card, temperature=engine.temperature)
    if engine.max_tokens:
        card = msgspec.structs.replace(card, max_tokens=engine.max_tokens)
    return msgspec.structs.replace(found, card=card)


def supervisor(
    setup: Setup,
    model: Model,
    *,
    metrics: Metrics,
    publish_to: Path | None = None,
    running: Callable[[], Iterable[Running]] = tuple,
) -> Supervisor:
    """Returns the supervisor of a model's engine, not started yet.

    ``running`` tells the other engines, whose memory is not available to this one.
    """
    engine = setup.settings.engine
    return Supervisor(
        model,
        slots=engine.slots,
        context=engine.context,
        threads=engine.threads,
        gpu_layers=engine.gpu_layers,
        cache_mb=engine.cache_mb,
        start_timeout_s=_with_reading(engine.start_timeout_s, model),
        stall_s=_with_reading(engine.stall_s, model),
        on_demand=model is not setup.model,
        obstacle=partial(_shortage, setup, model, running) if engine.check_memory else None,
        publish_to=publish_to,
        on_restart=metrics.engine_restarted,
    )


def _with_reading(seconds: float, model: Model) -> float:
    """Adds the time that a slow machine needs to read a model: to load it, and for its first token.

    The weights are mapped into memory, so the first prompt may be what reads them.
    """
    return seconds + model.file.size_bytes / _SLOW_MACHINE


def _shortage(setup: Setup, model: Model, running: Callable[[], Iterable[Running]]) -> str | None:
    """Returns why a model cannot be loaded now for want of memory, None if it can."""
    engine = setup.settings.engine
    available = memory.available()
    if available is not None:
        others = (memory.promised(memory.need_of(m.file, engine), pid) for m, pid in running())
        available = max(0, available - sum(others))
    return memory.shortage(model.card.name, memory.need_of(model.file, engine), available)


@dataclass(frozen=True, slots=True)
class App:
    """The ASGI application, with what the command that serves it wants to know."""

    asgi: ASGIApp
    catalog: Catalog
    store: Store


@asynccontextmanager
async def open_app(
    setup: Setup,
    *,
    engines: Mapping[str, Access],
    metrics: Metrics,
    gate: Gate | None = None,
    workers: int = 1,
) -> AsyncIterator[App]:
    """Builds one worker's application and closes what it owns in the end.

    ``engines`` tells how to get to the engine of each model; a model without one is not served.
    ``gate`` is where several workers count the requests of keys together.
    Raises StartError, ConfigError.
    """
    settings = setup.settings
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(_store(setup))
        await stack.enter_async_context(
            Sweeper(store.responses, every_s=settings.responses.sweep_interval_s)
        )
        transport = await stack.enter_async_context(Client())
        active = {
            name: provider
            for name, provider in settings.providers.items()
            if provider.active and not setup.demo
        }
        providers: dict[str, Provider] = {
            name: Emulating(
                _http_provider(
                    name, provider, settings, transport, _chat_adapter(provider, settings)
                ),
                quirks=provider.quirks,
            )
            for name, provider in active.items()
        }
        embedding_providers = {
            name: _http_provider(
                name, provider, settings, transport, _embeddings_adapter(provider, settings)
            )
            for name, provider in active.items()
        }
        served = [model for model in setup.models if model.card.name in engines]
        providers[LOCAL] = LocalModels(
            {
                model.card.name: await _local_provider(
                    stack, settings, model, engines[model.card.name], metrics, workers
                )
                for model in served
            }
        )
        catalog = catalog_of(
            settings,
            engine=next((_offer(setup, model) for model in served if model is setup.model), None),
            pulled=[_offer(setup, model) for model in served if model is not setup.model],
            demo=setup.demo,
        )
        routing = settings.routing
        health = DeploymentHealth(half_life_s=routing.half_life_s, on_cooling=metrics.cooling_down)
        chooser = Chooser(
            health=health,
            sticky=Sticky(),
            explore=routing.explore,
            cheapest_by=routing.cheapest_by,
        )
        open_relay = partial(
            Relay,
            health=health,
            request_timeout_s=routing.request_timeout_s,
            on_attempt=metrics.attempted,
            on_failover=metrics.failed_over,
        )
        relay = open_relay(providers=providers)
        embeddings = open_relay(providers=embedding_providers)
        main = engines.get(setup.model.card.name) if setup.model else None
        shown = ShownModels(
            catalog,
            condition=health.of,
            created=int(time.time()),
            descriptions=_descriptions(setup),
        )
        addresses = {name: provider.base_url for name, provider in active.items()}
        paths = ProviderPaths(catalog, ({LOCAL: ""} if served else {}) | addresses)
        listings = {
            name: _own_models(provider, settings, transport) for name, provider in active.items()
        }
        guard = await stack.enter_async_context(Guard(allow=settings.egress.allow))
        edge = _edge(
            setup,
            store,
            Attachments(fetch=guard.fetch, read_text=Files().text),
            catalog,
            chooser,
            relay,
            embeddings,
            shown,
            paths,
            listings,
            metrics,
            gate or Gate(),
            main,
        )
        yield App(edge, catalog, store)


async def _local_provider(
    stack: AsyncExitStack,
    settings: Settings,
    model: Model,
    access: Access,
    metrics: Metrics,
    workers: int,
) -> LocalProvider:
    engine = settings.engine
    client = await stack.enter_async_context(
        EngineClient(
            access.where,
            wake=access.wake,
            slots=max(1, engine.slots // workers),
            queue=engine.queue,
            start_timeout_s=_with_reading(engine.start_timeout_s, model),
            stall_s=_with_reading(engine.stall_s, model),
        )
    )
    client.admission.watch(partial(metrics.engine_load, model.card.name))
    return LocalProvider(
        client=client, card=model.card, reasoning_fields=settings.server.reasoning_fields
    )


def _offer(setup: Setup, model: Model) -> Deployment:
    return engine_deployment(
        model.card.name,
        context=min(setup.settings.engine.context, model.file.context),
        max_output=model.card.max_tokens,
        reserve=model is not setup.model,
    )


def _store(setup: Setup) -> AbstractAsyncContextManager[Store]:
    database = setup.settings.database
    return open_store(
        database_url(setup.settings, setup.home),
        pool_size=database.pool_size,
        busy_timeout_s=database.busy_timeout_s,
    )


def _state(setup: Setup, store: Store) -> State:
    days = setup.settings.responses.retention_days
    return State(store.responses, keep_for=datetime.timedelta(days=days) if days else None)


def _chat_adapter(provider: ProviderSettings, settings: Settings) -> OpenAIChat:
    return OpenAIChat(
        key=provider.key.reveal() if provider.key else None,
        secrets=provider.secrets,
        reasoning_fields=settings.server.reasoning_fields,
        quirks=provider.quirks,
        gpt_oss=[
            offer.id or model for model, offer in provider.models.items() if is_gpt_oss(model)
        ],
    )


def _embeddings_adapter(provider: ProviderSettings, settings: Settings) -> OpenAIEmbeddings:
    return OpenAIEmbeddings(
        key=provider.key.reveal() if provider.key else None,
        read_error=_chat_adapter(provider, settings).error,
        takes_encoding=provider.quirks.encoding_format,
    )


def _own_models(provider: ProviderSettings, settings: Settings, client: Client) -> OwnModels:
    return OwnModels(
        base_url=provider.base_url,
        client=client,
        timeouts=_timeouts(settings),
        read_error=_chat_adapter(provider, settings).error,
        key=provider.key.reveal() if provider.key else None,
        headers=provider.headers,
        secrets=provider.secrets,
    )


def _http_provider(
    name: str,
    provider: ProviderSettings,
    settings: Settings,
    client: Client,
    adapter: Adapter,
) -> HTTPProvider:
    return HTTPProvider(
        name=name,
        base_url=provider.base_url,
        adapter=adapter,
        client=client,
        timeouts=_timeouts(settings),
        headers=provider.headers,
    )


def _timeouts(settings: Settings) -> Timeouts:
    routing = settings.routing
    return Timeouts(
        connect_s=routing.connect_timeout_s,
        first_chunk_s=routing.first_chunk_timeout_s,
        idle_s=routing.idle_timeout_s,
        total_s=routing.total_timeout_s,
    )


def _edge(
    setup: Setup,
    store: Store,
    attachments: Attachments,
    catalog: Catalog,
    chooser: Chooser,
    relay: Relay,
    embeddings: Relay,
    shown: ShownModels,
    paths: ProviderPaths,
    listings: Mapping[str, OwnModels],
    metrics: Metrics,
    gate: Gate,
    engine: Access | None,
) -> Edge:
    server = setup.settings.server
    intake = Intake(
        catalog=catalog,
        chooser=chooser,
        requests=store.requests,
        metrics=metrics,
        params=setup.settings.routing.params,
        max_body_bytes=server.max_body_bytes,
        body_timeout_s=server.body_timeout_s,
    )
    chat = ChatCompletions(intake, relay)
    dialect = setup.settings.responses.dialect
    responses = Responses(
        intake,
        relay,
        _state(setup, store),
        attachments,
        seal=Seal(secret(setup.home, os.environ)),
        dialect=dialect,
    )
    embed = Embeddings(intake, embeddings)
    endpoints = Endpoints(
        chat=chat,
        responses=responses,
        one_response=OneResponse(store.responses, dialect=dialect),
        input_items=InputItems(store.responses),
        embeddings=embed,
        provider_chat=ProviderEndpoint(paths, chat, "chat"),
        provider_responses=ProviderEndpoint(paths, responses, "chat"),
        provider_embeddings=ProviderEndpoint(paths, embed, "embedding"),
        provider_models=ProviderModels(paths, shown, listings),
        models=Models(shown),
        one_model=OneModel(shown),
        receipts=Receipts(store.requests),
        health=Health(_engine_state(engine)),
        metrics=MetricsPage(metrics),
        openapi=OpenAPI(),
    )
    return Edge(
        routes(endpoints),
        keyring=Keyring(store.keys),
        gate=gate,
        metrics=metrics,
        hosts=accepted_hosts(server.host, server.allowed_hosts),
        access_log=server.access_log,
    )


def _descriptions(setup: Setup) -> dict[str, str]:
    demo = "; in demo mode it answers for every model name" if setup.demo else ""
    cards = (model.card for model in setup.models)
    return {card.name: card.description + demo for card in cards if card.description}


def _engine_state(engine: Access | None) -> Callable[[], EngineState]:
    def state() -> EngineState:
        if engine is None:
            return "off"
        try:
            return "starting" if engine.where() is None else "ready"
        except EngineUnavailable:
            return "off"

    return state
