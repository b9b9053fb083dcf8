"""Interrupting a task: what is told from what."""

from __future__ import annotations

import asyncio

from trunkline.interruption import Interruption


async def waiting(interruption: Interruption) -> bool:
    """Waits until it is interrupted; returns whether that was the interruption, and nothing else."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        return interruption.alone
    finally:
        interruption.over()
    return False


def this_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


def cancellations() -> int:
    """Returns how many times the task was cancelled and has not been told that this is over."""
    return this_task().cancelling()


def test_a_task_that_was_interrupted_goes_on():
    async def main():
        interruption = Interruption()
        asyncio.get_running_loop().call_soon(interruption.happen)
        asyncio.get_running_loop().call_soon(interruption.happen)
        alone = await waiting(interruption)
        await asyncio.sleep(0)
        return alone, cancellations()

    assert asyncio.run(main()) == (True, 0)


def test_a_task_that_is_cancelled_as_well_was_not_interrupted_alone():
    async def main():
        interruption = Interruption()
        asyncio.get_running_loop().call_soon(interruption.happen)
        asyncio.get_running_loop().call_soon(this_task().cancel)
        return await waiting(interruption), cancellations()

    assert asyncio.run(main()) == (False, 1)


def test_an_inner_one_lets_what_an_outer_one_does_through():
    async def main():
        outer, inner = Interruption(), Interruption()
        asyncio.get_running_loop().call_soon(outer.happen)
        told = [await waiting(inner), outer.alone]
        outer.over()
        return told, cancellations()

    assert asyncio.run(main()) == ([False, True], 0)
