"""Engines that start with the first request for them, and those that may not start at all."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from trunkline.engine.client import Completion, EngineClient
from trunkline.engine.endpoint import endpoint_file
from trunkline.engine.memory import Need, promised
from trunkline.engine.model import NANO, Model, nano, open_model
from trunkline.engine.supervisor import Supervisor
from trunkline.errors import EngineUnavailable, StartError

PATIENCE_S = 20.0


@asynccontextmanager
async def sleeping(
    model: Model | None = None, **options: Any
) -> AsyncIterator[tuple[Supervisor, EngineClient]]:
    supervisor = Supervisor(model or nano(), on_demand=True, threads=1, **options)
    async with (
        supervisor,
        EngineClient(supervisor.endpoint, wake=supervisor.wake, slots=8, queue=8) as client,
    ):
        yield supervisor, client


async def ask(client: EngineClient) -> int:
    """Returns how many pieces a short reply came in."""
    start = (await client.wait_ready()).markers["<|start|>"]
    completion = Completion(prompt=[start, "user"], temperature=0, max_tokens=4)
    async with client.complete(completion) as reads:
        return len([piece async for read in reads for piece in read])


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_it_sleeps_until_somebody_asks_and_then_answers_everybody():
    async def main():
        async with sleeping() as (supervisor, client):
            for _ in range(10):
                await asyncio.sleep(0)
            before = (supervisor.state, supervisor.pid, supervisor.endpoint())
            pieces = await asyncio.gather(ask(client), ask(client))
            return before, pieces, supervisor.state, supervisor.pid

    before, pieces, state, pid = asyncio.run(main())
    assert before == ("asleep", None, None)
    assert pieces[0] == pieces[1] > 1
    assert (state, pid is None) == ("ready", False)


def test_one_that_died_comes_back_without_being_asked():
    async def main():
        async with sleeping() as (supervisor, client):
            endpoint = await client.wait_ready()
            os.kill(endpoint.pid, signal.SIGKILL)
            await until(lambda: supervisor.pid not in (None, endpoint.pid))
            return await ask(client)

    assert asyncio.run(main()) > 1


def test_what_stands_against_a_start_is_told_and_looked_at_again_later():
    async def main():
        problems = ["it does not fit"]
        async with sleeping(obstacle=lambda: problems[0] if problems else None, rest_s=0.2) as (
            supervisor,
            client,
        ):
            for _ in range(2):
                with pytest.raises(EngineUnavailable, match="it does not fit"):
                    await client.wait_ready()
            problems.clear()
            await until(lambda: supervisor.state == "asleep")
            return await ask(client)

    assert asyncio.run(main()) > 1


def test_one_that_cannot_come_back_sleeps_again():
    async def main():
        problems: list[str] = []
        async with sleeping(obstacle=lambda: problems[0] if problems else None, rest_s=0.05) as (
            supervisor,
            client,
        ):
            endpoint = await client.wait_ready()
            problems.append("another engine has the memory now")
            os.kill(endpoint.pid, signal.SIGKILL)
            await until(lambda: supervisor.state == "asleep")
            with pytest.raises(EngineUnavailable, match="another engine has the memory now"):
                await client.wait_ready()

    asyncio.run(main())


def test_a_model_that_was_removed_is_off_and_is_found_when_it_is_back(tmp_path: Path):
    path = tmp_path / "model.gguf"
    shutil.copy(NANO, path)
    model = open_model(path)
    path.unlink()

    async def main():
        async with sleeping(model, rest_s=0.2) as (supervisor, client):
            with pytest.raises(EngineUnavailable, match="its operator finds why in the log"):
                await client.wait_ready()
            shutil.copy(NANO, path)
            await until(lambda: supervisor.state == "asleep")
            return await ask(client)

    assert asyncio.run(main()) > 1


def test_one_that_starts_at_once_fails_the_start_if_something_stands_against_it():
    async def main():
        async with Supervisor(nano(), obstacle=lambda: "it does not fit") as supervisor:
            with pytest.raises(StartError, match=r"^it does not fit$"):
                await supervisor.started()
            with pytest.raises(EngineUnavailable, match="it does not fit"):
                supervisor.endpoint()

    asyncio.run(main())


def test_others_follow_by_the_endpoint_file(tmp_path: Path):
    path = tmp_path / "engine.json"

    async def main():
        async with (
            Supervisor(nano(), on_demand=True, threads=1, publish_to=path) as supervisor,
            EngineClient(endpoint_file(path), wake=supervisor.wake, slots=1, queue=1) as client,
        ):
            assert endpoint_file(path)() is None
            return await ask(client)

    assert asyncio.run(main()) > 1


def test_others_are_told_at_once_by_the_endpoint_file_that_it_cannot_start(tmp_path: Path):
    path = tmp_path / "model.gguf"
    shutil.copy(NANO, path)
    model = open_model(path)
    path.unlink()
    where = endpoint_file(tmp_path / "engine.json")

    async def main():
        async with (
            Supervisor(
                model, on_demand=True, threads=1, publish_to=tmp_path / "engine.json"
            ) as supervisor,
            EngineClient(where, wake=supervisor.wake, slots=1, queue=1) as client,
        ):
            with pytest.raises(EngineUnavailable, match="its operator finds why in the log"):
                async with asyncio.timeout(PATIENCE_S):
                    await client.wait_ready()
            await until(lambda: supervisor.pid is None)
            with pytest.raises(EngineUnavailable, match="its operator finds why in the log"):
                where()

    asyncio.run(main())


def test_what_an_engine_has_of_its_own_is_not_promised_to_it_again():
    need = Need(weights=10**9, cache=0, work=0)

    async def main():
        async with sleeping() as (supervisor, client):
            await client.wait_ready()
            assert supervisor.pid is not None
            return promised(need, supervisor.pid)

    assert 0 < asyncio.run(main()) < need.total
