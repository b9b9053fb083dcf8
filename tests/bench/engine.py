"""The router on the embedded engine, beside the engine alone: what it adds to a reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import processes, servers
from tests.bench.load import Loader, Result, Sample
from tests.bench.programs import Programs

TOKENS = 64
"""In every reply."""

_WARM_UP_S = 0.5


@dataclass(frozen=True, slots=True)
class Reply:
    """What streamed replies cost and how fast they came, at so many at a time.

    ``engine_us`` and ``router_us`` are microseconds of CPU per reply in the two processes.
    """

    server: str
    streams: int
    result: Result
    engine_us: float
    router_us: float

    @property
    def tokens_per_second(self) -> float:
        return self.result.per_second * TOKENS


@dataclass(frozen=True, slots=True)
class Measured:
    """``memory_mb`` is what router and engine hold after all of the load."""

    replies: list[Reply]
    memory_mb: float


def measure(
    programs: Programs,
    folder: Path,
    *,
    seconds: float,
    streams: Sequence[int],
    tell: Callable[[str], None],
) -> Measured:
    """Measures the raw engine and the router with its engine, at each number of streams."""
    loader = Loader(programs.loadgen, folder=folder)
    body = servers.engine_body(tokens=TOKENS, stream=True)
    replies = []
    raw_body = servers.raw_engine_body(body)
    with servers.raw_engine() as raw:
        loader.load(raw, raw_body, streams=4, seconds=_WARM_UP_S)
        for count in streams:
            tell(f"{raw.name}, {count} at a time")
            sample = Sample()
            result = loader.sample(sample, raw, raw_body, streams=count, seconds=seconds)
            replies.append(Reply(raw.name, count, result, sample.us_per_request, 0.0))
    with servers.router_with_engine() as router:
        loader.load(router, body, streams=4, seconds=_WARM_UP_S)
        for count in streams:
            tell(f"{router.name} on its engine, {count} at a time")
            sample = Sample()
            result = loader.sample(sample, router, body, streams=count, seconds=seconds)
            own = sample.own_us_per_request
            replies.append(
                Reply(router.name, count, result, sample.us_per_request - own, router_us=own)
            )
        return Measured(replies, processes.tree_pss_mb(router.pid))
