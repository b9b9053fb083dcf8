"""The router in front of a provider, beside nginx as a bare reverse proxy: what each answer costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
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


WORKERS = (1, 2)


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
    folder: Path,
    *,
    seconds: float,
    rounds: int,
    tell: Callable[[str], None],
) -> list[Cost]:
    """Measures whatever stands in front of a provider, the raw upstream first, in turns.

    The rest of the programs that are there: nginx, the router with one worker and with two, LiteLLM,
    which is slow enough to show what it costs in one round.
    """
    loader = Loader(programs.loadgen, folder=folder)
    with ExitStack() as stack:
        enter = stack.enter_context
        fast = enter(servers.upstream(programs.upstream, chunks=CHUNKS, delay_ms=0))
        slow = enter(servers.upstream(programs.upstream, chunks=CHUNKS, delay_ms=DELAY_MS))
        made: list[Callable[[Server], AbstractContextManager[Server]]] = []
        if programs.nginx is not None:
            made.append(partial(servers.nginx, programs.nginx, folder=folder))
        made += [partial(servers.router, workers=workers) for workers in WORKERS]
        if programs.litellm is not None:
            made.append(partial(servers.litellm, programs.litellm, folder=folder))
        pairs = [(fast, slow), *((enter(make(fast)), enter(make(slow))) for make in made)]
        measured = [_Measured(bursts, paced) for bursts, paced in pairs]
        for number in range(rounds):
            for each in measured:
                if number and each.bursts.name == servers.LITELLM:
                    continue
                tell(f"CPU of {each.bursts.name}, round {number + 1} of {rounds}")
                each.take(loader, seconds=seconds, warm_up=not number)
        return [each.cost() for each in measured]


class _Measured:
    """One server, in front of an upstream that answers in bursts and of one that takes its time."""

    def __init__(self, bursts: Server, paced: Server) -> None:
        self.bursts = bursts
        self.paced = paced
        self._whole, self._burst, self._pace = Sample(), Sample(), Sample()

    def take(self, loader: Loader, *, seconds: float, warm_up: bool) -> None:
        if warm_up:
            loader.load(self.bursts, _STREAM, streams=4, seconds=_WARM_UP_S / 2)
            loader.load(self.bursts, _JSON, streams=4, seconds=_WARM_UP_S / 2)
        loader.sample(self._whole, self.bursts, _JSON, streams=STREAMS, seconds=seconds)
        loader.sample(self._burst, self.bursts, _STREAM, streams=STREAMS, seconds=seconds)
        # Every stream once: it lasts long enough.
        loader.sample(self._pace, self.paced, _STREAM, streams=STREAMS, seconds=0.1)

    def cost(self) -> Cost:
        return Cost(
            self.bursts.name,
            json_us=self._whole.us_per_request,
            burst_event_us=self._burst.us_per_event,
            paced_event_us=self._pace.us_per_event,
            memory_mb=processes.tree_pss_mb(self.bursts.pid),
        )


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
        servers.router(upstream) as router,
    ):
        loader.load(router, _STREAM, streams=4, seconds=_WARM_UP_S)
        return [speed(server, count) for server in (upstream, router) for count in streams]
