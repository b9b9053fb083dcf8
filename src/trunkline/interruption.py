"""Interrupting one's own task for one reason, and telling that reason from others.

What `asyncio.timeout` does for a time, this does for anything, for less than half the price.
"""

from __future__ import annotations

import asyncio


class Interruption:
    """Made by the task that ``happen`` is to interrupt, which must call ``over`` in the end."""

    __slots__ = ("_before", "_task", "happened")

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._before = task.cancelling()
        self.happened = False

    def happen(self) -> None:
        """Cancels the task, once."""
        if not self.happened:
            self.happened = True
            self._task.cancel()

    @property
    def alone(self) -> bool:
        """Whether the task was cancelled for this and for nothing else."""
        return self.happened and self._task.cancelling() == self._before + 1

    def over(self) -> None:
        """Lets the task go on: what has happened has been seen to."""
        if self.happened:
            self._task.uncancel()
