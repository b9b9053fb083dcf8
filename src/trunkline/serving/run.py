"""``trunkline serve``: one process that does everything, or a parent with an engine and N workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from trunkline import app
from trunkline.accounts import FirstKey, ensure_first_key, shared_file
from trunkline.api.metrics import MULTIPROCESS, Metrics
from trunkline.app import Setup
from trunkline.config import database_url
from trunkline.engine.endpoint import Access
from trunkline.engine.supervisor import Supervisor
from trunkline.routing import Catalog
from trunkline.serving.nursery import Nursery, apart, nursery
from trunkline.serving.server import Server, bind, on_signals
from trunkline.serving.worker import loop_factory, work
from trunkline.serving.workers import Assignment, Workers
from trunkline.store import Store, load_drivers, open_store

_SETTLE_S = (
    1.0  # a model that fails this early, or is ready this early, is reported before the banner
)


@dataclass(frozen=True, slots=True)
class Started:
    """What the banner tells."""

    url: str
    setup: Setup
    catalog: Catalog
    key: FirstKey


def serve(
    setup: Setup,
    *,
    bootstrap_key: str | None,
    announce: Callable[[Started], None],
) -> None:
    """Serves until a signal ends it.

    ``announce`` is called once requests are accepted. Raises StartError or ConfigError if it cannot
    start, or if the engine's model turns out to be unusable.
    """
    server = setup.settings.server
    with ExitStack() as stack:
        forks = None
        if server.workers > 1:
            url = database_url(setup.settings, setup.home)
            load_drivers(url)
            apart(lambda: asyncio.run(_migrate(url)))
            forks = stack.enter_context(nursery(partial(work, setup)))
        listener = stack.enter_context(contextlib.closing(bind(server.host, server.port)))
        run = _Run(setup, listener, bootstrap_key, announce)
        main = run.alone() if forks is None else run.with_workers(forks)
        stack.enter_context(contextlib.suppress(asyncio.CancelledError))
        runner = stack.enter_context(asyncio.Runner(loop_factory=loop_factory()))
        runner.run(_until_signal(main))


async def _migrate(url: str) -> None:
    """Makes the tables if it can at once; what that imports is 15 MB, which nobody needs later."""
    async with open_store(url, busy_timeout_s=0):
        pass


async def _until_signal(main: Coroutine[Any, Any, None]) -> None:
    """Runs ``main``; a signal that it does not handle itself, as it starts and ends, cancels it."""
    task = asyncio.current_task()
    assert task is not None
    with on_signals(task.cancel):
        await main


class _Run:
    def __init__(
        self,
        setup: Setup,
        listener: socket.socket,
        bootstrap_key: str | None,
        announce: Callable[[Started], None],
    ) -> None:
        self._setup = setup
        self._listener = listener
        self._bootstrap_key = bootstrap_key
        self._announce = announce

    async def alone(self) -> None:
        metrics = Metrics()
        async with (
            self._engines(metrics) as engines,
            app.open_app(self._setup, engines=_accesses(engines), metrics=metrics) as router,
        ):
            started = await self._started(router.store, router.catalog)
            main = self._main(engines)
            await _settled(main)
            settings = self._setup.settings.server
            server = Server(
                router.asgi,
                head_timeout_s=settings.body_timeout_s,
                drain_s=settings.drain_s,
                on_started=lambda: self._announce(started),
            )
            async with _watched(main):
                with on_signals(server.stop):
                    await server.serve(self._listener)

    async def with_workers(self, forks: Nursery) -> None:
        with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
            os.environ[MULTIPROCESS] = folder
            metrics = Metrics()
            async with self._engines(metrics, publish_in=Path(folder, "engine")) as engines:
                # Migrates, and makes the first key, before several workers would want to.
                async with app.open_app(
                    self._setup, engines=_accesses(engines), metrics=metrics
                ) as router:
                    started = await self._started(router.store, router.catalog)
                main = self._main(engines)
                await _settled(main)
                count = self._setup.settings.server.workers
                assignment = Assignment(
                    metrics_folder=folder,
                    endpoint_files={
                        name: str(engine.publish_to) for name, engine in engines.items()
                    },
                    gate_file=str(shared_file(Path(folder, "gate"), workers=count)),
                )
                workers = Workers(
                    forks,
                    self._listener,
                    assignment,
                    count=count,
                    drain_s=self._setup.settings.server.drain_s,
                    wake=lambda name: engines[name].wake(),
                )

                def stop() -> None:
                    self._listener.close()  # else its backlog would go on taking connections
                    workers.stop()

                async with _watched(main):
                    with on_signals(stop):
                        await workers.run(on_started=lambda: self._announce(started))

    @asynccontextmanager
    async def _engines(
        self, metrics: Metrics, *, publish_in: Path | None = None
    ) -> AsyncIterator[dict[str, Supervisor]]:
        """Supervises an engine for each model, by the model's name."""
        engines: dict[str, Supervisor] = {}
        async with AsyncExitStack() as stack:
            for number, model in enumerate(self._setup.models):
                engines[model.card.name] = await stack.enter_async_context(
                    app.supervisor(
                        self._setup,
                        model,
                        metrics=metrics,
                        publish_to=publish_in and publish_in / f"{number}.json",
                        running=lambda: [
                            (engine.model, engine.pid)
                            for engine in engines.values()
                            if engine.pid is not None
                        ],
                    )
                )
            yield engines

    def _main(self, engines: dict[str, Supervisor]) -> Supervisor | None:
        """The engine that starts at once."""
        return engines[self._setup.model.card.name] if self._setup.model else None

    async def _started(self, store: Store, catalog: Catalog) -> Started:
        key = await ensure_first_key(store, self._setup.home, self._bootstrap_key)
        host, port = self._listener.getsockname()[:2]
        shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104
        shown = f"[{shown}]" if ":" in shown else shown
        return Started(f"http://{shown}:{port}", self._setup, catalog, key)


def _accesses(engines: dict[str, Supervisor]) -> dict[str, Access]:
    return {name: Access(engine.endpoint, engine.wake) for name, engine in engines.items()}


async def _settled(engine: Supervisor | None) -> None:
    """Waits a moment for the engine. Raises StartError if its model cannot be used."""
    if engine is None:
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_SETTLE_S):
            await engine.started()


@asynccontextmanager
async def _watched(engine: Supervisor | None) -> AsyncIterator[None]:
    """Ends what is inside if the engine's model turns out to be unusable, and raises why."""
    if engine is None:
        yield
        return
    try:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(engine.started())
            yield
            watching.cancel()
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
