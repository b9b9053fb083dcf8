"""Tools that are run here: the one seam where they plug in, and how several calls are run at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from trunkline.log import get_logger
from trunkline.responses.step import ModelCall

log = get_logger()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call: an ``output``, or an ``error`` that the model should know of."""

    output: str | None = None
    error: str | None = None

    @property
    def told(self) -> str:
        """What the model reads."""
        return f"the tool failed: {self.error}" if self.error is not None else self.output or ""


class Toolbox(Protocol):
    """Runs the calls whose `Called` is ``ours``. Whoever makes it closes it."""

    async def run(self, call: ModelCall, /) -> Outcome:
        """Runs one call; may be asked for several at once. It bounds its own time."""
        ...


async def run_all(toolbox: Toolbox | None, calls: Sequence[ModelCall]) -> dict[str, Outcome]:
    """Runs calls at once; returns what came of each, by its id, in their order."""
    if not calls or toolbox is None:
        return {}
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_run(toolbox, call)) for call in calls]
    return {call.id: task.result() for call, task in zip(calls, tasks, strict=True)}


async def _run(toolbox: Toolbox, call: ModelCall) -> Outcome:
    """A tool that fails tells the model so; it does not end the response."""
    try:
        return await toolbox.run(call)
    except Exception as error:  # noqa: BLE001  # whatever a tool raises
        log.error("tool_failed", error=type(error).__name__)  # its words may quote the arguments
        return Outcome(error="internal error")
