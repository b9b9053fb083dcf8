"""Who gets a slot, and who is sent away."""

from __future__ import annotations

import asyncio

import pytest

from trunkline.engine.admission import Admission
from trunkline.errors import EngineOverloaded, InvalidRequest


async def settle() -> None:
    """Lets every task that can run do so."""
    for _ in range(5):
        await asyncio.sleep(0)


async def hold(
    admission: Admission,
    name: str,
    held: list[str],
    *,
    n: int = 1,
    end: asyncio.Event | None = None,
) -> None:
    async with admission.slot(n):
        held.append(name)
        if end is not None:
            await end.wait()


def test_slots_go_to_those_who_wait_in_the_order_they_came():
    async def main():
        admission, end = Admission(slots=2, queue=8), asyncio.Event()
        held: list[str] = []
        async with asyncio.TaskGroup() as tasks:
            for name in ("a", "b", "c", "d"):
                tasks.create_task(hold(admission, name, held, end=end))
            await settle()
            figures = (list(held), admission.running, admission.waiting)
            end.set()
        return figures, held, admission.running, admission.waiting

    assert asyncio.run(main()) == ((["a", "b"], 2, 2), ["a", "b", "c", "d"], 0, 0)


def test_a_large_request_is_not_overtaken_by_small_ones():
    async def main():
        admission, end = Admission(slots=2, queue=8), asyncio.Event()
        held: list[str] = []
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hold(admission, "first", held, end=end))
            tasks.create_task(hold(admission, "large", held, n=2))
            tasks.create_task(hold(admission, "small", held))
            await settle()
            before = list(held)
            end.set()
        return before, held

    assert asyncio.run(main()) == (["first"], ["first", "large", "small"])


def test_a_full_queue_sends_away_with_a_time_to_return():
    async def main():
        admission, end = Admission(slots=1, queue=1), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hold(admission, "runs", [], end=end))
            tasks.create_task(hold(admission, "waits", [], end=end))
            await settle()
            with pytest.raises(EngineOverloaded) as refused:
                await hold(admission, "too many", [])
            end.set()
        return refused.value

    error = asyncio.run(main())
    assert (error.status, error.code, error.retry_after_s) == (429, "engine_overloaded", 1.0)


def test_more_choices_than_slots_can_never_be_served():
    with pytest.raises(InvalidRequest, match="n is 9; this engine runs 8 at a time") as refused:
        asyncio.run(hold(Admission(slots=8, queue=8), "nine", [], n=9))
    assert refused.value.param == "n"


def test_who_gives_up_while_waiting_makes_room_for_the_next():
    async def main():
        admission, end = Admission(slots=2, queue=8), asyncio.Event()
        held: list[str] = []
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(hold(admission, "first", held, end=end))
            large = tasks.create_task(hold(admission, "large", held, n=2))
            tasks.create_task(hold(admission, "small", held))
            await settle()
            large.cancel()
            await settle()
            after = list(held)
            end.set()
        return after, admission.running, admission.waiting

    assert asyncio.run(main()) == (["first", "small"], 0, 0)


def test_who_is_cancelled_in_the_moment_of_admission_gives_the_slot_back():
    async def main():
        admission = Admission(slots=1, queue=8)
        held: list[str] = []
        async with asyncio.TaskGroup() as tasks:
            async with admission.slot():
                second = tasks.create_task(hold(admission, "second", held))
                await settle()
            admitted = (admission.running, admission.waiting)
            second.cancel()
        return admitted, held, admission.running, admission.waiting

    assert asyncio.run(main()) == ((1, 0), [], 0, 0)


def test_who_gives_up_in_the_moment_a_slot_comes_free_leaves_it_to_the_next():
    async def main():
        admission, end = Admission(slots=1, queue=8), asyncio.Event()
        held: list[str] = []
        async with asyncio.TaskGroup() as tasks:
            async with admission.slot():
                second = tasks.create_task(hold(admission, "second", held))
                tasks.create_task(hold(admission, "third", held, end=end))
                await settle()
                second.cancel()
            await settle()
            after = (list(held), admission.running, admission.waiting)
            end.set()
        return after, admission.running, admission.waiting

    assert asyncio.run(main()) == ((["third"], 1, 0), 0, 0)
