"""What ``GET /metrics`` tells: requests, times, tokens, attempts, the engine's queue and restarts.

Labels are closed sets (routes, configured providers and models), so a caller cannot grow them.
"""

from __future__ import annotations

import asyncio
import functools
import os
import struct
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector

from trunkline.api.exchange import Exchange
from trunkline.wire.chat import Usage

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable with a folder in which several processes count together."""
_TOLD_AFTER_S = 0.1  # where other processes render
_MOST_KEPT = 1000  # times, until they are told although nobody asks
_READ_AGAIN, _READ_AGAIN_AFTER_S = 50, 0.002  # a file is empty for microseconds
_Labels = Callable[..., Any]
"""What gives the one counter of a metric that has these labels."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The counters of this process; with several workers, of all of them together.

    What every request counts is added up here and told to the library when somebody asks, as each
    count costs ten times as much there. Other workers' figures are a tenth of a second old at most.
    """

    def __init__(self) -> None:
        self._began = 0
        self._counts: Counts[tuple[_Labels, tuple[str, ...]]] = Counts()
        self._times: list[tuple[_Labels, tuple[str, ...], float]] = []
        self._timer: asyncio.TimerHandle | None = None
        disable_created_metrics()  # type: ignore[no-untyped-call]
        # The library has looked at the variable when it was imported: in the parent that was too soon.
        values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        registry = None if MULTIPROCESS in os.environ else self._registry
        self._requests = functools.cache(
            Counter(
                "trunkline_requests",
                "Requests answered",
                ("method", "path", "status"),
                registry=registry,
            ).labels
        )
        self._running = Gauge(
            "trunkline_requests_running",
            "Requests being answered",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._duration = functools.cache(
            Histogram(
                "trunkline_request_duration_seconds",
                "Time from a request's arrival to its answer's end",
                ("path",),
                buckets=_SECONDS,
                registry=registry,
            ).labels
        )
        self._first_chunk = functools.cache(
            Histogram(
                "trunkline_time_to_first_token_seconds",
                "Time from a request's arrival to the first chunk of a stream",
                ("provider", "model"),
                buckets=_SECONDS,
                registry=registry,
            ).labels
        )
        self._tokens = functools.cache(
            Counter(
                "trunkline_tokens",
                "Tokens read and written; completion includes reasoning, prompt includes cached",
                ("provider", "model", "kind"),
                registry=registry,
            ).labels
        )
        self._repairs = functools.cache(
            Counter(
                "trunkline_repairs",
                "Replies of gpt-oss in which something was put right",
                ("provider", "repair"),
                registry=registry,
            ).labels
        )
        self._emulations = functools.cache(
            Counter(
                "trunkline_emulations",
                "Replies for which something was done in another way than the request asked",
                ("provider", "emulation"),
                registry=registry,
            ).labels
        )
        self._attempts = functools.cache(
            Counter(
                "trunkline_attempts",
                "Attempts at providers, by how they went",
                ("provider", "outcome"),
                registry=registry,
            ).labels
        )
        self._failovers = Counter(
            "trunkline_failovers",
            "Attempts that failed and after which another deployment was asked",
            ("provider",),
            registry=registry,
        )
        self._cooldowns = Counter(
            "trunkline_cooldowns",
            "Times that a deployment began to cool down after failures",
            ("provider",),
            registry=registry,
        )
        self._engine_running = Gauge(
            "trunkline_engine_slots_busy",
            "Completions that the embedded engines are working on",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._engine_waiting = Gauge(
            "trunkline_engine_queue",
            "Requests waiting for a slot of an embedded engine",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._engine_loads: dict[str, tuple[int, int]] = {}
        self._engine_restarts = Counter(
            "trunkline_engine_restarts",
            "Restarts of the embedded engines",
            ("reason",),
            registry=registry,
        )
        self._shared = registry is None
        if self._shared:
            MultiProcessCollector(self._registry)  # type: ignore[no-untyped-call]

    def began(self) -> None:
        """A request has arrived."""
        self._began += 1
        self._tell_soon()

    def ended(self, exchange: Exchange) -> None:
        """A request has been answered, or its client is gone."""
        self._began -= 1
        path = exchange.route or "other"
        method = exchange.method if exchange.method in _METHODS else "other"
        self._counts[self._requests, (method, path, str(exchange.status))] += 1
        self._times.append((self._duration, (path,), exchange.elapsed_s()))
        if exchange.first_chunk_s is not None:
            labels = str(exchange.provider), str(exchange.metered_model)
            self._times.append((self._first_chunk, labels, exchange.first_chunk_s))
        if len(self._times) > _MOST_KEPT:
            self._tell()
        self._tell_soon()

    def used(self, provider: str, model: str, usage: Usage) -> None:
        """A reply has told its usage."""
        for kind, count in (
            ("prompt", usage.prompt_tokens),
            ("cached", usage.cached_tokens),
            ("completion", usage.completion_tokens),
            ("reasoning", usage.reasoning_tokens),
        ):
            if count:
                self._counts[self._tokens, (provider, model, kind)] += count

    def repaired(self, provider: str, repairs: Iterable[str]) -> None:
        """Something was put right in a reply."""
        for repair in repairs:
            self._repairs(provider, repair).inc()

    def emulated(self, provider: str, emulations: Iterable[str]) -> None:
        """A provider's reply was made in another way than the request asked."""
        for emulation in emulations:
            self._emulations(provider, emulation).inc()

    def attempted(self, provider: str, outcome: str) -> None:
        """A provider has committed, or has not."""
        self._counts[self._attempts, (provider, outcome)] += 1

    def failed_over(self, provider: str) -> None:
        """After a provider's failure another one is asked."""
        self._failovers.labels(provider).inc()

    def cooling_down(self, provider: str) -> None:
        """A deployment of a provider cools down."""
        self._cooldowns.labels(provider).inc()

    def engine_load(self, model: str, running: int, waiting: int) -> None:
        """Completions run on a model's engine, and requests wait for it."""
        self._engine_loads[model] = (running, waiting)
        self._engine_running.set(sum(running for running, _ in self._engine_loads.values()))
        self._engine_waiting.set(sum(waiting for _, waiting in self._engine_loads.values()))

    def engine_restarted(self, reason: str) -> None:
        """The engine is being started again."""
        self._engine_restarts.labels(reason).inc()

    def render(self) -> bytes:
        """Returns the figures in Prometheus' text format."""
        self._tell()
        for _ in range(_READ_AGAIN):
            try:
                return generate_latest(self._registry)
            except struct.error:  # another process has made a file of its own, still empty
                time.sleep(_READ_AGAIN_AFTER_S)
        return generate_latest(self._registry)

    def _tell_soon(self) -> None:
        """Tells the other processes' pages of what is counted here."""
        if self._shared and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TOLD_AFTER_S, self._tell)

    def _tell(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        counts, self._counts = self._counts, Counts()
        times, self._times = self._times, []
        for (labels, of), count in counts.items():
            labels(*of).inc(count)
        for labels, of, seconds in times:
            labels(*of).observe(seconds)
        self._running.set(self._began)
