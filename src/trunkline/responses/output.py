"""A response's output as it grows: its items, and the events that tell of it."""

from __future__ import annotations

import msgspec

from trunkline import ids
from trunkline.wire.chat import TokenLogprob
from trunkline.wire.responses.events import (
    ContentPartAdded,
    ContentPartDone,
    Event,
    FunctionCallArgumentsDelta,
    FunctionCallArgumentsDone,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    OutputTextDone,
    ReasoningTextDelta,
    ReasoningTextDone,
)
from trunkline.wire.responses.output import (
    FunctionCall,
    ItemStatus,
    OutputItem,
    OutputMessage,
    OutputText,
    ReasoningItem,
    ReasoningText,
)
from trunkline.wire.responses.tools import Called


class Output:
    """The items so far, one open at most, and the events that nobody has taken yet.

    Items are begun, grow by deltas and are closed, and every change is an event.
    """

    def __init__(self) -> None:
        self.items: list[OutputItem] = []
        self._events: list[Event] = []
        self._open: OpenItem | None = None

    def take(self) -> list[Event]:
        """Returns the events since the last time."""
        events = self._events.copy()
        self._events.clear()  # open items hold on to this list
        return events

    def text(self, delta: str, logprobs: list[TokenLogprob]) -> None:
        """The model says more."""
        item = self._open
        if not isinstance(item, OpenText):
            self.close()
            item = self._open = OpenText(self._events, len(self.items))
        item.add(delta, logprobs)

    def reasoning(self, delta: str) -> None:
        """The model thinks on."""
        item = self._open
        if not isinstance(item, OpenReasoning):
            self.close()
            item = self._open = OpenReasoning(self._events, len(self.items))
        item.add(delta)

    def call(self, called: Called, call_id: str) -> None:
        """The model begins a call."""
        self.close()
        self._open = OpenCall(self._events, len(self.items), called, call_id)

    def arguments(self, delta: str) -> None:
        """The call that was begun last goes on."""
        if isinstance(self._open, OpenCall):
            self._open.add(delta)

    def close(self, status: ItemStatus = "completed") -> None:
        """Ends the open item."""
        if self._open is not None:
            self.items.append(self._open.close(status))
            self._open = None


class OpenText:
    """A message that grows."""

    def __init__(self, events: list[Event], index: int) -> None:
        self._events = events
        self._index = index
        self._id = ids.new_id("msg")
        self._pieces: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        begun = OutputMessage(id=self._id, status="in_progress")
        events.append(OutputItemAdded(output_index=index, item=begun))
        events.append(
            ContentPartAdded(
                item_id=self._id, output_index=index, content_index=0, part=OutputText(text="")
            )
        )

    def add(self, delta: str, logprobs: list[TokenLogprob]) -> None:
        self._pieces.append(delta)
        self._logprobs += logprobs
        self._events.append(
            OutputTextDelta(
                item_id=self._id,
                output_index=self._index,
                content_index=0,
                delta=delta,
                logprobs=logprobs,
            )
        )

    def close(self, status: ItemStatus) -> OutputItem:
        text = "".join(self._pieces)
        part = OutputText(text=text, logprobs=self._logprobs)
        item = OutputMessage(id=self._id, status=status, content=[part])
        self._events += [
            OutputTextDone(
                item_id=self._id,
                output_index=self._index,
                content_index=0,
                text=text,
                logprobs=self._logprobs,
            ),
            ContentPartDone(item_id=self._id, output_index=self._index, content_index=0, part=part),
            OutputItemDone(output_index=self._index, item=item),
        ]
        return item


class OpenReasoning:
    """A thought that grows."""

    def __init__(self, events: list[Event], index: int) -> None:
        self._events = events
        self._index = index
        self._id = ids.new_id("rs")
        self._pieces: list[str] = []
        begun = ReasoningItem(id=self._id, content=[], status="in_progress")
        events.append(OutputItemAdded(output_index=index, item=begun))
        events.append(
            ContentPartAdded(
                item_id=self._id, output_index=index, content_index=0, part=ReasoningText(text="")
            )
        )

    def add(self, delta: str) -> None:
        self._pieces.append(delta)
        self._events.append(
            ReasoningTextDelta(
                item_id=self._id, output_index=self._index, content_index=0, delta=delta
            )
        )

    def close(self, status: ItemStatus) -> OutputItem:
        text = "".join(self._pieces)
        part = ReasoningText(text=text)
        item = ReasoningItem(id=self._id, content=[part], status=status)
        self._events += [
            ReasoningTextDone(
                item_id=self._id, output_index=self._index, content_index=0, text=text
            ),
            ContentPartDone(item_id=self._id, output_index=self._index, content_index=0, part=part),
            OutputItemDone(output_index=self._index, item=item),
        ]
        return item


class OpenCall:
    """A call whose arguments grow."""

    def __init__(self, events: list[Event], index: int, called: Called, call_id: str) -> None:
        self._events = events
        self._index = index
        self._pieces: list[str] = []
        self._begun = FunctionCall(
            id=ids.new_id("fc"),
            call_id=call_id,
            name=called.name,
            namespace=called.namespace,
            arguments="",
            status="in_progress",
        )
        events.append(OutputItemAdded(output_index=index, item=self._begun))

    def add(self, delta: str) -> None:
        self._pieces.append(delta)
        self._events.append(
            FunctionCallArgumentsDelta(
                item_id=self._begun.id, output_index=self._index, delta=delta
            )
        )

    def close(self, status: ItemStatus) -> OutputItem:
        arguments = "".join(self._pieces)
        item = msgspec.structs.replace(self._begun, arguments=arguments, status=status)
        self._events += [
            FunctionCallArgumentsDone(
                item_id=item.id, output_index=self._index, name=item.name, arguments=arguments
            ),
            OutputItemDone(output_index=self._index, item=item),
        ]
        return item


OpenItem = OpenText | OpenReasoning | OpenCall
