"""Load on one server: how much CPU an answer took there, how many came, and how fast."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tests.bench import processes

KEY = "sk-bench-0123456789"
_RUNS_OVER_S = 60.0  # beyond the time that was asked for


class Quantiles(msgspec.Struct):
    """In milliseconds."""

    p50: float
    p99: float


class Result(msgspec.Struct):
    """What the load generator counted."""

    requests: int
    failed: int
    broken: int
    unfinished: int
    seconds: float
    events: int
    first_byte_ms: Quantiles
    whole_ms: Quantiles

    @property
    def per_second(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


@dataclass(frozen=True, slots=True)
class Server:
    """Something that answers POST requests on loopback; ``pid`` is the root of its process tree."""

    name: str
    port: int
    pid: int
    path: str = "/v1/chat/completions"
    headers: tuple[str, ...] = (f"Authorization: Bearer {KEY}",)


@dataclass(slots=True)
class Sample:
    """Load results of one server with the CPU seconds that it used meanwhile; adds up over rounds.

    ``own_cpu_s`` is the root process alone, ``cpu_s`` all of its tree.
    """

    cpu_s: float = 0.0
    own_cpu_s: float = 0.0
    results: list[Result] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return sum(result.requests for result in self.results)

    @property
    def events(self) -> int:
        return sum(result.events for result in self.results)

    @property
    def us_per_request(self) -> float:
        return self.cpu_s / self.requests * 1e6

    @property
    def own_us_per_request(self) -> float:
        return self.own_cpu_s / self.requests * 1e6

    @property
    def us_per_event(self) -> float:
        return self.cpu_s / self.events * 1e6


class Failed(Exception):
    """A server did not answer every request with 200 and its whole body: there is nothing to report."""


class Loader:
    """Runs the load generator. ``folder`` is for the bodies that it reads."""

    def __init__(self, loadgen: Path, *, folder: Path) -> None:
        self._loadgen = loadgen
        self._body = folder / "body.json"

    def sample(
        self, into: Sample, server: Server, body: bytes, *, streams: int, seconds: float
    ) -> Result:
        """Loads the server and adds to the sample. Raises Failed."""
        own_before, before = processes.cpu_s(server.pid), processes.tree_cpu_s(server.pid)
        result = self.load(server, body, streams=streams, seconds=seconds)
        into.cpu_s += processes.tree_cpu_s(server.pid) - before
        into.own_cpu_s += processes.cpu_s(server.pid) - own_before
        into.results.append(result)
        return result

    def load(self, server: Server, body: bytes, *, streams: int, seconds: float) -> Result:
        """Keeps so many requests going for that long. Raises Failed."""
        self._body.write_bytes(body)
        headers = "".join(f"{line}\r\n" for line in server.headers)
        finished = subprocess.run(
            [
                *(self._loadgen, str(server.port), server.path, self._body, headers),
                *(str(streams), str(seconds)),
            ],
            capture_output=True,
            text=True,
            timeout=seconds + _RUNS_OVER_S,
            check=False,
        )
        if finished.returncode:
            raise Failed(f"{server.name}: {finished.stderr.strip()}")
        result = msgspec.json.decode(finished.stdout, type=Result)
        if not result.requests or result.failed or result.broken or result.unfinished:
            raise Failed(f"{server.name}: {finished.stdout.strip()}")
        return result
