"""A response's output as it grows: its items, and the events that tell of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec import Struct

from trunkline import ids
from trunkline.responses.items import (
    OpenCall,
    OpenCustomCall,
    OpenFunctionCall,
    OpenItem,
    OpenMessage,
    OpenOwnCall,
    OpenReasoning,
    PartLog,
    Seal,
)
from trunkline.responses.summary import summary_of
from trunkline.wire.chat import TokenLogprob
from trunkline.wire.responses.events import (
    ErrorEvent,
    Event,
    MCPListToolsCompleted,
    MCPListToolsInProgress,
    OutputItemAdded,
    OutputItemDone,
)
from trunkline.wire.responses.output import (
    CustomToolCall,
    FunctionCall,
    ItemStatus,
    MCPCall,
    MCPFault,
    MCPListedTool,
    MCPListTools,
    OutputItem,
    WholeCall,
)
from trunkline.wire.responses.tools import Called


class ItemLog(Struct, array_like=True):
    """How an item grew; ``ended_after`` items had begun when a call that was run here ended."""

    parts: list[PartLog] = []
    ended_after: int = 0


class Log(Struct, array_like=True):
    """What the items do not tell of how they came: enough to tell the same events again.

    ``fault`` is code and type of the error that ended the response.
    """

    items: list[ItemLog]
    fault: tuple[str | None, str] | None = None


class NewId(Protocol):
    """Makes the id of an item, given the prefix of its kind."""

    def __call__(self, prefix: str, /) -> str: ...


class Output:
    """The items so far, one that grows at most, and the events that nobody has taken yet.

    ``summary`` is what ``reasoning.summary`` asks for, ``seal`` makes the reasoning's
    ``encrypted_content``.
    """

    def __init__(
        self,
        *,
        summary: str | None = None,
        seal: Seal | None = None,
        new_id: NewId = ids.new_id,
    ) -> None:
        self._summary = summary
        self._seal = seal
        self._new_id = new_id
        self._events: list[Event] = []
        self._items: dict[int, OutputItem] = {}
        self._logs: dict[int, ItemLog] = {}
        self._fault: tuple[str | None, str] | None = None
        self._begun = 0
        self._open: OpenItem | None = None
        self._running: dict[int, OpenOwnCall] = {}

    @property
    def items(self) -> list[OutputItem]:
        """The items that have ended, in their order."""
        return [self._items[index] for index in sorted(self._items)]

    @property
    def begun(self) -> int:
        """How many items there are, those that have not ended included."""
        return self._begun

    def take(self) -> list[Event]:
        """Returns the events since the last time."""
        events = self._events.copy()
        self._events.clear()  # open items hold on to this list
        return events

    def text(self, delta: str, logprobs: list[TokenLogprob]) -> None:
        """The model says more; a message and its text begin even with an empty one."""
        item = self._open
        if not isinstance(item, OpenMessage):
            item = self._begin_message()
        item.text(delta, logprobs)

    def refusal(self, delta: str) -> None:
        """The model refuses, in these words."""
        item = self._open
        if not isinstance(item, OpenMessage):
            item = self._begin_message()
        item.refusal(delta)

    def reasoning(self, delta: str) -> None:
        """The model thinks on."""
        item = self._open
        if not isinstance(item, OpenReasoning):
            self.close()
            item = self._open = OpenReasoning(
                self._events,
                self._next(),
                self._new_id("rs"),
                summary=summary_of(self._summary),
                seal=self._seal,
            )
        item.add(delta)

    def call(self, called: Called, call_id: str) -> None:
        """The model begins a call."""
        self.close()
        self._open = self._open_call(called, call_id)

    def arguments(self, delta: str) -> None:
        """The call that was begun last goes on: with more arguments, or more input."""
        if isinstance(self._open, OpenCall):
            self._open.add(delta)

    def whole(self, call: WholeCall) -> None:
        """Adds a call that is told in one piece."""
        self.close()
        begun = msgspec.structs.replace(call, status="in_progress")
        index = self._next()
        self._events += [
            OutputItemAdded(output_index=index, item=begun),
            OutputItemDone(output_index=index, item=call),
        ]
        self._ended(index, call, ItemLog())

    def run(self) -> str:
        """The arguments of a call of ours are whole; returns the id by which it is settled."""
        item = self._open
        if not isinstance(item, OpenOwnCall):
            raise TypeError("no call of ours is open")
        item.run()
        self._running[self._begun - 1] = item
        self._open = None
        return item.id

    def listed(self, server_label: str, tools: list[MCPListedTool]) -> None:
        """The tools of a server are known."""
        self.close()
        begun = MCPListTools(id=self._new_id("mcpl"), server_label=server_label)
        item = msgspec.structs.replace(begun, tools=tools)
        index = self._next()
        self._events += [
            OutputItemAdded(output_index=index, item=begun),
            MCPListToolsInProgress(item_id=item.id, output_index=index),
            MCPListToolsCompleted(item_id=item.id, output_index=index),
            OutputItemDone(output_index=index, item=item),
        ]
        self._ended(index, item, ItemLog())

    def settle(self, id: str, output: str | None, error: MCPFault | None) -> None:
        """A call of ours was run; either ``output`` or ``error`` says what came of it."""
        index, item = next((index, item) for index, item in self._running.items() if item.id == id)
        del self._running[index]
        self._ended(index, item.settle(output, error), ItemLog(item.logs, self._begun))

    def close(self, status: ItemStatus = "completed") -> None:
        """Ends the item that grows."""
        if (item := self._open) is not None:
            self._open = None
            ended = item.close(status)
            self._ended(self._begun - 1, ended, ItemLog(item.logs))

    def break_off(self) -> None:
        """Ends all items: nothing more comes."""
        self.close("incomplete")
        for index, item in sorted(self._running.items()):
            self._ended(index, item.close("incomplete"), ItemLog(item.logs, self._begun))
        self._running.clear()

    def fault(self, event: ErrorEvent) -> None:
        """An error ends the response; the event is for the caller to tell."""
        self._fault = (event.code, event.error.type)

    def log(self) -> bytes:
        """Returns what `replay` needs besides the response: about a byte for each delta."""
        return _encode_log(Log([self._logs[index] for index in sorted(self._logs)], self._fault))

    def _ended(self, index: int, item: OutputItem, log: ItemLog) -> None:
        self._items[index] = item
        self._logs[index] = log

    def _next(self) -> int:
        self._begun += 1
        return self._begun - 1

    def _begin_message(self) -> OpenMessage:
        self.close()
        item = self._open = OpenMessage(self._events, self._next(), self._new_id("msg"))
        return item

    def _open_call(self, called: Called, call_id: str) -> OpenCall:
        id = self._new_id(_PREFIXES[called.type])
        if called.type == "mcp_call":
            begun = MCPCall(
                id=id,
                server_label=called.server_label,
                name=called.name,
                arguments="",
                status="in_progress",
            )
            return OpenOwnCall(self._events, self._next(), begun)
        if called.type == "custom_tool_call":
            custom = CustomToolCall(
                id=id,
                call_id=call_id,
                name=called.name,
                namespace=called.namespace,
                input="",
                status="in_progress",
            )
            return OpenCustomCall(self._events, self._next(), custom)
        function = FunctionCall(
            id=id,
            call_id=call_id,
            name=called.name,
            namespace=called.namespace,
            arguments="",
            status="in_progress",
        )
        return OpenFunctionCall(self._events, self._next(), function)


_PREFIXES = {"function_call": "fc", "custom_tool_call": "ctc", "mcp_call": "mcp"}
_encode_log: Callable[[Log], bytes] = msgspec.msgpack.Encoder().encode
decode_log: Callable[[bytes], Log] = msgspec.msgpack.Decoder(Log).decode
