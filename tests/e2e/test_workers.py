"""``--workers 2``: one port, one engine, one set of figures, and nobody left behind."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.client import (
    alive,
    ask,
    chat,
    descendants,
    events_of,
    long_question,
    question,
    run,
    streaming,
    until,
)
from tests.serving import ECHO, Serving, launched, running, simulated_provider
from tests.simulator import Simulator

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks into /proc")


def workers_of(serving: Serving) -> list[int]:
    """Returns the living workers: what the one process that the server forked has forked."""
    _nursery, *workers = _running(serving, "serve")
    return workers


def engines_of(serving: Serving) -> list[int]:
    """Returns the living engines."""
    return _running(serving, "trunkline.engine")


def _running(serving: Serving, word: str) -> list[int]:
    return [pid for pid in descendants(serving.process.pid) if word in _command(pid)]


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def requests_of(serving: Serving, path: str) -> int:
    """Returns how many requests to a path the figures count."""
    page = ask(serving, "GET", "/metrics").body.decode()
    counts = re.findall(
        rf'^trunkline_requests_total{{[^}}]*path="{re.escape(path)}"[^}}]*}} (\S+)$',
        page,
        re.MULTILINE,
    )
    return int(sum(map(float, counts)))


@pytest.fixture
def serving(running_simulator: Simulator) -> Iterator[Serving]:
    config = simulated_provider(running_simulator.base_url, ECHO)
    with running(config=config, flags=["--workers", "2"]) as serving:
        yield serving


def test_two_workers_share_the_requests_one_engine_and_the_figures(serving: Serving) -> None:
    workers = workers_of(serving)
    for _ in range(40):
        assert ask(serving, "GET", "/v1/models").status == 200
    answers = [chat(serving, question(max_tokens=4)) for _ in range(4)]

    assert len(workers) == 2
    assert len(engines_of(serving)) == 1
    assert {answer.status for answer in answers} == {200}
    until(lambda: requests_of(serving, "/v1/models") == 40, "every request is counted")
    assert all(_cpu_ticks(worker) for worker in workers)


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])


def test_figures_that_only_some_process_knows_are_told_by_every_worker(serving: Serving) -> None:
    def pages() -> list[str]:
        return [ask(serving, "GET", "/metrics").body.decode() for _ in range(8)]

    (engine,) = engines_of(serving)
    os.kill(engine, signal.SIGKILL)
    until(lambda: len(events_of(serving, "engine_ready")) == 2, "the engine is back")
    with streaming(serving, long_question()) as stream:
        assert stream.next_event()
        while_busy = pages()
    until(lambda: "trunkline_engine_slots_busy 0.0" in pages()[0], "the slot is free again")

    for page in while_busy:
        assert 'trunkline_engine_restarts_total{reason="died"} 1.0' in page
        assert "trunkline_engine_slots_busy 1.0" in page
        assert "trunkline_engine_queue 0.0" in page


def test_a_worker_that_is_killed_comes_back(serving: Serving) -> None:
    before = workers_of(serving)
    for worker in before:
        os.kill(worker, signal.SIGKILL)
    until(lambda: len(set(workers_of(serving)) - set(before)) == 2, "both workers are back")
    until(lambda: ask(serving, "GET", "/health", key=None).status == 200, "it answers")

    assert chat(serving, question(max_tokens=4)).status == 200
    assert len(events_of(serving, "worker_died")) == 2
    assert serving.stop() == 0


def test_workers_and_engine_are_gone_after_the_parents_sigkill(serving: Serving) -> None:
    family = descendants(serving.process.pid)
    assert len(family) >= 3
    serving.process.kill()
    serving.process.wait()

    until(lambda: not any(map(alive, family)), "workers and engine are gone")


def test_the_engine_is_gone_after_the_sigkill_of_a_server_without_workers() -> None:
    with running() as serving:
        family = descendants(serving.process.pid)
        assert len(family) == 1
        serving.process.kill()
        serving.process.wait()

        until(lambda: not any(map(alive, family)), "the engine is gone")


def test_workers_share_what_the_imports_have_made(serving: Serving) -> None:
    for worker in workers_of(serving):
        rollup = Path(f"/proc/{worker}/smaps_rollup").read_text()
        kb = {line.split(":")[0]: int(line.split()[1]) for line in rollup.splitlines()[1:]}
        assert kb["Pss"] < 0.6 * kb["Rss"]


def test_a_server_without_what_forks_its_workers_ends_once_one_is_missing(serving: Serving) -> None:
    nursery, worker, _ = _running(serving, "serve")
    os.kill(nursery, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)

    assert serving.process.wait(20) == 1
    assert "the process that forks the workers has died" in serving.stderr()


def test_nobody_is_left_after_a_regular_end(serving: Serving) -> None:
    family = descendants(serving.process.pid)
    assert serving.stop() == 0

    assert not any(map(alive, family))
    assert "Traceback" not in serving.stderr()


def test_a_request_waits_while_the_engine_starts_for_all_workers(serving: Serving) -> None:
    (engine,) = engines_of(serving)
    os.kill(engine, signal.SIGKILL)
    answers = [chat(serving, question(max_tokens=4)) for _ in range(4)]

    assert {answer.status for answer in answers} == {200}


def test_workers_read_the_same_flags_environment_and_file(running_simulator: Simulator) -> None:
    config = "[engine]\nenabled = false\n" + simulated_provider(running_simulator.base_url, ECHO)
    with running(
        config=config,
        flags=["--workers", "2", "--db", "sqlite:///other.db"],
        environment={"TRUNKLINE_ROUTING_PARAMS": "lenient"},
    ) as serving:
        answers = [chat(serving, question(model=ECHO, unheard=1)) for _ in range(8)]
        assert (serving.home / "other.db").exists()
        assert run("keys", "ls", home=serving.home).returncode == 0

    assert {answer.status for answer in answers} == {200}


def test_a_start_that_fails_in_a_worker_is_told_and_ends_with_1() -> None:
    with launched(
        config="[engine]\nenabled = false\n",
        flags=["--workers", "2", "--db", "sqlite:////proc/no/database.db"],
    ) as serving:
        assert serving.process.wait(30) == 1
        assert "Traceback" not in serving.stderr()
        assert serving.stdout() == ""
