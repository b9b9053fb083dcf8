"""The router in front of a provider, beside nginx as a bare reverse proxy: what each answer costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench import processes, servers
from tests.bench.load import Loader, Result, Sample, Server
from tests.bench.programs import Programs

CHUNKS = 200
DELAY_MS = 20.0
STREAMS = 32
"""At a time, where CPU is measured."""

_WARM_UP_S = 1.0
_JSON = servers.chat_body(servers.UPSTREAM_MODEL, stream=False)
_STREAM = servers.chat_body(servers.UPSTREAM_MODEL, stream=True)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one server used: microseconds of CPU, and MB of memory after all of it."""

    server: str
    json_us: float
    burst_event_us: float
    paced_event_us: float
    memory_mb: float


@dataclass(frozen=True, slots=True)
class Speed:
    """What came through at so many streams at a time."""

    server: str
    streams: int
    json: Result
    stream: Result

    @property
    def tokens_per_second(self) -> float:
        return self.stream.per_second * CHUNKS


def measure_cost(
    programs: Programs,
    nginx: str | None,
    folder: Path,
    *,
    seconds: float,
    rounds: int,
    tell: Callable[[str], None],
) -> list[Cost]:
    """Measures the raw upstream, nginx if there is one, and the router, in turns."""
    loader = Loader(programs.loadgen, folder=folder)
    with ExitStack() as stack:
        fast = stack.enter_context(servers.upstream(programs.upstream, chunks=CHUNKS, delay_ms=0))
        slow = stack.enter_context(
            servers.upstream(programs.upstream, chunks=CHUNKS, delay_ms=DELAY_MS)
        )
        pairs = [(fast, slow)]
        if nginx is not None:
            pairs.append(
                (
                    stack.enter_context(
                        servers.nginx(nginx, upstream=fast, folder=folder / "fast")
                    ),
                    stack.enter_context(
                        servers.nginx(nginx, upstream=slow, folder=folder / "slow")
                    ),
                )
            )
        pairs.append(
            (
                stack.enter_context(servers.router(upstream=fast, engine=False)),
                stack.enter_context(servers.router(upstream=slow, engine=False)),
            )
        )
        samples = [(Sample(), Sample(), Sample()) for _ in pairs]
        for number in range(rounds):
            for (bursts, paced), (whole, burst, pace) in zip(pairs, samples, strict=True):
                tell(f"CPU of {bursts.name}, round {number + 1} of {rounds}")
                if not number:
                    loader.load(bursts, _STREAM, streams=4, seconds=_WARM_UP_S / 2)
                    loader.load(bursts, _JSON, streams=4, seconds=_WARM_UP_S / 2)
                loader.sample(whole, bursts, _JSON, streams=STREAMS, seconds=seconds)
                loader.sample(burst, bursts, _STREAM, streams=STREAMS, seconds=seconds)
                # Every stream once: it lasts long enough.
                loader.sample(pace, paced, _STREAM, streams=STREAMS, seconds=0.1)
        return [
            Cost(
                bursts.name,
                json_us=whole.us_per_request,
                burst_event_us=burst.us_per_event,
                paced_event_us=pace.us_per_event,
                memory_mb=processes.tree_pss_mb(bursts.pid),
            )
            for (bursts, _), (whole, burst, pace) in zip(pairs, samples, strict=True)
        ]


def measure_speed(
    programs: Programs,
    folder: Path,
    *,
    seconds: float,
    streams: Sequence[int],
    tell: Callable[[str], None],
) -> list[Speed]:
    """Measures the raw upstream and the router in front of it, at each number of streams."""
    loader = Loader(programs.loadgen, folder=folder)

    def speed(server: Server, count: int) -> Speed:
        tell(f"speed of {server.name}, {count} at a time")
        whole = loader.load(server, _JSON, streams=count, seconds=seconds)
        stream = loader.load(server, _STREAM, streams=count, seconds=seconds)
        return Speed(server.name, count, whole, stream)

    with (
        servers.upstream(programs.upstream, chunks=CHUNKS, delay_ms=0) as upstream,
        servers.router(upstream=upstream, engine=False) as router,
    ):
        loader.load(router, _STREAM, streams=4, seconds=_WARM_UP_S)
        return [speed(server, count) for server in (upstream, router) for count in streams]
