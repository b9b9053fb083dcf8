"""What the router holds out: a crowd of paced streams at a time, and very many requests in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import processes, servers
from tests.bench.load import Loader, Sample
from tests.bench.programs import Programs
from tests.bench.provider import CHUNKS, DELAY_MS

CROWD = 200
_EVENTS = CHUNKS + 4  # the role before the tokens; finish reason, usage and [DONE] after them
_AT_A_TIME = 32
_JSON = servers.chat_body(servers.UPSTREAM_MODEL, stream=False)
_STREAM = servers.chat_body(servers.UPSTREAM_MODEL, stream=True)


@dataclass(frozen=True, slots=True)
class Crowd:
    """So many streams at a time, each event when its turn is.

    Lateness is that of a stream's end, the events of which were due 20 ms apart; ``cores`` is how much
    of a core the router used, of what load generator and upstream left it.
    """

    server: str
    events_per_second: float
    lost: int
    late_p50_ms: float
    late_p99_ms: float
    cores: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Growth:
    """Memory of a router after so many requests."""

    server: str
    requests: int
    memory_mb: float


def measure_crowd(
    programs: Programs, folder: Path, *, workers: int, tell: Callable[[str], None]
) -> Crowd:
    """Runs every stream once."""
    loader = Loader(programs.loadgen, folder=folder)
    with (
        servers.upstream(programs.upstream, chunks=CHUNKS, delay_ms=DELAY_MS) as upstream,
        servers.router(upstream, workers=workers) as router,
    ):
        tell(f"{CROWD} paced streams through {router.name}")
        loader.load(router, _JSON, streams=_AT_A_TIME, seconds=0.5)
        sample = Sample()
        result = loader.sample(sample, router, _STREAM, streams=CROWD, seconds=0.1)
        due_ms = CHUNKS * DELAY_MS
        return Crowd(
            router.name,
            events_per_second=result.events / result.seconds,
            lost=result.requests * _EVENTS - result.events,
            late_p50_ms=result.whole_ms.p50 - due_ms,
            late_p99_ms=result.whole_ms.p99 - due_ms,
            cores=sample.cpu_s / result.seconds,
            memory_mb=processes.tree_pss_mb(router.pid),
        )


def measure_growth(
    programs: Programs,
    folder: Path,
    *,
    requests: int,
    steps: int,
    workers: int,
    tell: Callable[[str], None],
) -> list[Growth]:
    """Makes so many JSON requests and looks at the memory after each part of them."""
    loader = Loader(programs.loadgen, folder=folder)
    with (
        servers.upstream(programs.upstream, chunks=CHUNKS, delay_ms=0) as upstream,
        servers.router(upstream, workers=workers) as router,
    ):
        growth = [Growth(router.name, 0, processes.tree_pss_mb(router.pid))]
        made, per_second = 0, 0.0
        for step in range(1, steps + 1):
            tell(f"{requests:,} requests through {router.name}, {step} of {steps}")
            until = requests * step // steps
            while made < until:
                seconds = (until - made) / per_second if per_second else 1.0
                result = loader.load(
                    router, _JSON, streams=_AT_A_TIME, seconds=min(max(seconds, 0.1), 10.0)
                )
                made, per_second = made + result.requests, result.per_second
            growth.append(Growth(router.name, made, processes.tree_pss_mb(router.pid)))
        return growth
