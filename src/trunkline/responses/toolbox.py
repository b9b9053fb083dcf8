"""Tools that are run here: the one seam where they plug in, and how several calls are run at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trunkline.log import get_logger
from trunkline.responses.step import ModelCall
from trunkline.wire.responses.output import (
    MCPFault,
    MCPListedTool,
    MCPProtocolError,
    MCPToolExecutionError,
)

log = get_logger()

_INTERNAL = -32603  # JSON-RPC's code for it


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call: an ``output``, or an ``error`` that the model should know of."""

    output: str | None = None
    error: MCPFault | None = None

    @property
    def told(self) -> str:
        """What the model reads."""
        match self.error:
            case None:
                return self.output or ""
            case MCPToolExecutionError(content=content):
                return f"the tool failed: {_words(content)}"
            case error:
                return f"the tool failed: {error.message}"


@dataclass(frozen=True, slots=True)
class Listing:
    """The tools of a server that are offered to the model, as they are told to the caller."""

    server_label: str
    tools: list[MCPListedTool]


def _words(content: Sequence[Any]) -> str:
    return "\n".join(str(block["text"]) for block in content if block.get("type") == "text")


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
        return Outcome(error=MCPProtocolError(_INTERNAL, "internal error"))
