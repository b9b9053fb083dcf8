"""How long the router takes from its process's start to its first answers, and how much memory it has."""

from __future__ import annotations

import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import processes, servers
from tests.bench.load import KEY
from tests.serving import NANO, launched

_WITHIN_S = 30.0
_EVERY_S = 0.002


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds from the process's start to the first 200 of /health and to the engine's first answer.

    ``cpu_s`` is what router and engine used until then, ``memory_mb`` what they hold.
    """

    health_s: float
    answer_s: float
    cpu_s: float
    memory_mb: float


def measure(*, times: int) -> Start:
    """Starts the router with its engine so many times and returns the medians.

    One start before warms the file cache and makes the database, as a restart finds them.
    """
    with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
        home = Path(folder, "home")
        _start(home)
        starts = [_start(home) for _ in range(times)]
    return Start(
        health_s=statistics.median(start.health_s for start in starts),
        answer_s=statistics.median(start.answer_s for start in starts),
        cpu_s=statistics.median(start.cpu_s for start in starts),
        memory_mb=statistics.median(start.memory_mb for start in starts),
    )


def _start(home: Path) -> Start:
    port = servers.unused_port()
    question = {"model": NANO, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    began = time.monotonic()
    flags = ["--port", str(port)]
    with launched(flags=flags, environment=servers.ENVIRONMENT, home=home) as serving:
        _until(lambda: _status(port, "GET", "/health") == 200)
        health_s = time.monotonic() - began
        _until(lambda: _status(port, "POST", "/v1/chat/completions", json.dumps(question)) == 200)
        answer_s = time.monotonic() - began
        cpu_s = processes.tree_cpu_s(serving.process.pid)
        memory_mb = processes.tree_pss_mb(serving.process.pid)
        serving.stop()
    return Start(health_s, answer_s, cpu_s, memory_mb)


def _until(answered: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while not answered():
        assert time.monotonic() < deadline, f"no answer within {_WITHIN_S:g} s"
        time.sleep(_EVERY_S)


def _status(port: int, method: str, path: str, body: str | None = None) -> int | None:
    """Returns the status of an answer, None if nobody listens yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_WITHIN_S)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except OSError:
        return None
    finally:
        connection.close()
