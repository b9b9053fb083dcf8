"""Output items while they grow: each begins, grows by deltas and is closed, and every change is an event.

Which events an item has, and in which order, is decided here and nowhere else: a stream and its replay
come from the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET, Struct

from trunkline.responses.growth import Growth
from trunkline.responses.summary import Summary
from trunkline.wire.chat import TokenLogprob
from trunkline.wire.responses.events import (
    ContentPartAdded,
    ContentPartDone,
    CustomToolCallInputDelta,
    CustomToolCallInputDone,
    Event,
    FunctionCallArgumentsDelta,
    FunctionCallArgumentsDone,
    MCPCallArgumentsDelta,
    MCPCallArgumentsDone,
    MCPCallCompleted,
    MCPCallFailed,
    MCPCallInProgress,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    OutputTextDone,
    ReasoningTextDelta,
    ReasoningTextDone,
    RefusalDelta,
    RefusalDone,
    SummaryPartAdded,
    SummaryPartDone,
    SummaryTextDelta,
    SummaryTextDone,
)
from trunkline.wire.responses.output import (
    CustomToolCall,
    FunctionCall,
    ItemStatus,
    MCPCall,
    MCPFault,
    OutputItem,
    OutputMessage,
    OutputText,
    ReasoningItem,
    ReasoningText,
    Refusal,
    SummaryText,
)

Seal = Callable[[str], str]
"""Makes ``encrypted_content`` of reasoning."""


class PartLog(Struct, array_like=True):
    """How a text grew: the lengths of its deltas, and how many logprobs came with each if any did."""

    deltas: list[int]
    tokens: list[int] = []


class OpenMessage:
    """A message: parts of text and of refusal, one after the other."""

    def __init__(self, events: list[Event], index: int, id: str) -> None:
        self.logs: list[PartLog] = []
        self._events = events
        self._index = index
        self._id = id
        self._parts: list[OutputText | Refusal] = []
        self._part: _OpenText | _OpenRefusal | None = None
        begun = OutputMessage(id=id, status="in_progress")
        events.append(OutputItemAdded(output_index=index, item=begun))

    def text(self, delta: str, logprobs: list[TokenLogprob]) -> None:
        part = self._part
        if not isinstance(part, _OpenText):
            self._close_part()
            part = self._part = _OpenText(self._events, self._id, self._index, len(self._parts))
        part.add(delta, logprobs)

    def refusal(self, delta: str) -> None:
        part = self._part
        if not isinstance(part, _OpenRefusal):
            self._close_part()
            part = self._part = _OpenRefusal(self._events, self._id, self._index, len(self._parts))
        part.add(delta)

    def close(self, status: ItemStatus) -> OutputItem:
        self._close_part()
        item = OutputMessage(id=self._id, status=status, content=self._parts)
        self._events.append(OutputItemDone(output_index=self._index, item=item))
        return item

    def _close_part(self) -> None:
        if self._part is None:
            return
        part, log = self._part.close()
        self._parts.append(part)
        self.logs.append(log)
        self._events.append(
            ContentPartDone(
                item_id=self._id,
                output_index=self._index,
                content_index=len(self._parts) - 1,
                part=part,
            )
        )
        self._part = None


class _OpenText:
    def __init__(self, events: list[Event], id: str, index: int, place: int) -> None:
        self._events = events
        self._id = id
        self._index = index
        self._place = place
        self._growth = Growth()
        self._logprobs: list[TokenLogprob] = []
        self._counts: list[int] = []
        self._waiting: list[TokenLogprob] = []
        events.append(
            ContentPartAdded(
                item_id=id, output_index=index, content_index=place, part=OutputText(text="")
            )
        )

    def add(self, delta: str, logprobs: list[TokenLogprob]) -> None:
        """Adds text; logprobs without any belong to the text that follows, as with half a character."""
        if logprobs:
            self._logprobs += logprobs
            logprobs = self._waiting = self._waiting + logprobs
        if not delta:
            return
        if self._waiting:
            logprobs, self._waiting = self._waiting, []
        if self._logprobs:
            self._counts.append(len(logprobs))
        self._growth.add(delta)
        self._events.append(
            OutputTextDelta(
                item_id=self._id,
                output_index=self._index,
                content_index=self._place,
                delta=delta,
                logprobs=logprobs,
            )
        )

    def close(self) -> tuple[OutputText, PartLog]:
        text = self._growth.text()
        self._events.append(
            OutputTextDone(
                item_id=self._id,
                output_index=self._index,
                content_index=self._place,
                text=text,
                logprobs=self._logprobs,
            )
        )
        deltas = self._growth.lengths()
        if self._counts:  # the first deltas may have come without
            self._counts = [0] * (len(deltas) - len(self._counts)) + self._counts
        return OutputText(text=text, logprobs=self._logprobs), PartLog(deltas, self._counts)


class _OpenRefusal:
    def __init__(self, events: list[Event], id: str, index: int, place: int) -> None:
        self._events = events
        self._id = id
        self._index = index
        self._place = place
        self._growth = Growth()
        events.append(
            ContentPartAdded(
                item_id=id, output_index=index, content_index=place, part=Refusal(refusal="")
            )
        )

    def add(self, delta: str) -> None:
        self._growth.add(delta)
        self._events.append(
            RefusalDelta(
                item_id=self._id,
                output_index=self._index,
                content_index=self._place,
                delta=delta,
            )
        )

    def close(self) -> tuple[Refusal, PartLog]:
        text = self._growth.text()
        self._events.append(
            RefusalDone(
                item_id=self._id,
                output_index=self._index,
                content_index=self._place,
                refusal=text,
            )
        )
        return Refusal(refusal=text), PartLog(self._growth.lengths())


class OpenReasoning:
    """A thought; its summary grows beside it if one is wanted, and it is sealed in the end."""

    def __init__(
        self,
        events: list[Event],
        index: int,
        id: str,
        *,
        summary: Summary | None,
        seal: Seal | None,
    ) -> None:
        self.logs: list[PartLog] = []
        self._events = events
        self._index = index
        self._id = id
        self._growth = Growth()
        self._summary = summary
        self._summarized: Growth | None = None
        self._seal = seal
        begun = ReasoningItem(id=id, content=[], status="in_progress")
        events.append(OutputItemAdded(output_index=index, item=begun))
        events.append(
            ContentPartAdded(
                item_id=id, output_index=index, content_index=0, part=ReasoningText(text="")
            )
        )

    def add(self, delta: str) -> None:
        self._growth.add(delta)
        self._events.append(
            ReasoningTextDelta(
                item_id=self._id, output_index=self._index, content_index=0, delta=delta
            )
        )
        if self._summary is not None and (told := self._summary.feed(delta)):
            self._summarize(told)

    def close(self, status: ItemStatus) -> OutputItem:
        text = self._growth.text()
        self.logs = [PartLog(self._growth.lengths())]
        part = ReasoningText(text=text)
        self._events += [
            ReasoningTextDone(
                item_id=self._id, output_index=self._index, content_index=0, text=text
            ),
            ContentPartDone(item_id=self._id, output_index=self._index, content_index=0, part=part),
        ]
        item = ReasoningItem(
            id=self._id,
            summary=self._close_summary(),
            content=[part],
            encrypted_content=UNSET if self._seal is None else self._seal(text),
            status=status,
        )
        self._events.append(OutputItemDone(output_index=self._index, item=item))
        return item

    def _summarize(self, told: str) -> None:
        if self._summarized is None:
            self._summarized = Growth()
            self._events.append(
                SummaryPartAdded(
                    item_id=self._id,
                    output_index=self._index,
                    summary_index=0,
                    part=SummaryText(text=""),
                )
            )
        self._summarized.add(told)
        self._events.append(
            SummaryTextDelta(
                item_id=self._id, output_index=self._index, summary_index=0, delta=told
            )
        )

    def _close_summary(self) -> list[SummaryText]:
        if self._summarized is None:
            return []
        part = SummaryText(text=self._summarized.text())
        self._events += [
            SummaryTextDone(
                item_id=self._id, output_index=self._index, summary_index=0, text=part.text
            ),
            SummaryPartDone(item_id=self._id, output_index=self._index, summary_index=0, part=part),
        ]
        return [part]


class OpenFunctionCall:
    """A call of a function of the caller's, whose arguments grow."""

    def __init__(self, events: list[Event], index: int, begun: FunctionCall) -> None:
        self.logs: list[PartLog] = []
        self._events = events
        self._index = index
        self._begun = begun
        self._growth = Growth()
        events.append(OutputItemAdded(output_index=index, item=begun))

    def add(self, delta: str) -> None:
        self._growth.add(delta)
        self._events.append(
            FunctionCallArgumentsDelta(
                item_id=self._begun.id, output_index=self._index, delta=delta
            )
        )

    def close(self, status: ItemStatus) -> OutputItem:
        text = self._growth.text()
        self.logs = [PartLog(self._growth.lengths())]
        item = msgspec.structs.replace(self._begun, arguments=text, status=status)
        self._events += [
            FunctionCallArgumentsDone(
                item_id=item.id, output_index=self._index, name=item.name, arguments=text
            ),
            OutputItemDone(output_index=self._index, item=item),
        ]
        return item


class OpenCustomCall:
    """A call of a custom tool of the caller's, whose input grows."""

    def __init__(self, events: list[Event], index: int, begun: CustomToolCall) -> None:
        self.logs: list[PartLog] = []
        self._events = events
        self._index = index
        self._begun = begun
        self._growth = Growth()
        events.append(OutputItemAdded(output_index=index, item=begun))

    def add(self, delta: str) -> None:
        self._growth.add(delta)
        self._events.append(
            CustomToolCallInputDelta(item_id=self._begun.id, output_index=self._index, delta=delta)
        )

    def close(self, status: ItemStatus) -> OutputItem:
        text = self._growth.text()
        self.logs = [PartLog(self._growth.lengths())]
        item = msgspec.structs.replace(self._begun, input=text, status=status)
        self._events += [
            CustomToolCallInputDone(item_id=item.id, output_index=self._index, input=text),
            OutputItemDone(output_index=self._index, item=item),
        ]
        return item


class OpenOwnCall:
    """A call that is run here: its arguments grow, then it waits for what comes of it."""

    def __init__(self, events: list[Event], index: int, begun: MCPCall) -> None:
        self.logs: list[PartLog] = []
        self.id = begun.id
        self._events = events
        self._index = index
        self._call = begun
        self._growth = Growth()
        events += [
            OutputItemAdded(output_index=index, item=begun),
            MCPCallInProgress(item_id=self.id, output_index=index),
        ]

    def add(self, delta: str) -> None:
        self._growth.add(delta)
        self._events.append(
            MCPCallArgumentsDelta(item_id=self.id, output_index=self._index, delta=delta)
        )

    def run(self) -> None:
        """The arguments are whole."""
        self._end_arguments()

    def settle(self, output: str | None, error: MCPFault | None) -> OutputItem:
        """It was run; there is an output or an error."""
        failed = error is not None
        item = msgspec.structs.replace(
            self._call, output=output, error=error, status="failed" if failed else "completed"
        )
        kind = MCPCallFailed if failed else MCPCallCompleted
        self._events += [
            kind(item_id=self.id, output_index=self._index),
            OutputItemDone(output_index=self._index, item=item),
        ]
        return item

    def close(self, status: ItemStatus) -> OutputItem:
        """Nothing comes of it any more."""
        if not self.logs:
            self._end_arguments()
        item = msgspec.structs.replace(self._call, status="incomplete")
        self._events.append(OutputItemDone(output_index=self._index, item=item))
        return item

    def _end_arguments(self) -> None:
        text = self._growth.text()
        self.logs = [PartLog(self._growth.lengths())]
        self._call = msgspec.structs.replace(self._call, arguments=text)
        self._events.append(
            MCPCallArgumentsDone(item_id=self.id, output_index=self._index, arguments=text)
        )


OpenItem = OpenMessage | OpenReasoning | OpenFunctionCall | OpenCustomCall | OpenOwnCall
OpenCall = OpenFunctionCall | OpenCustomCall | OpenOwnCall


def logprobs_cut(log: PartLog, logprobs: Sequence[TokenLogprob]) -> list[list[TokenLogprob]]:
    """Returns the logprobs of each delta, and after them those that came with none."""
    cut, start = [], 0
    for count in log.tokens or [0] * len(log.deltas):
        cut.append(list(logprobs[start : start + count]))
        start += count
    return [*cut, list(logprobs[start:])]
