"""The events of a response that has ended, told again exactly as they were told at first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trunkline.responses.ending import beginning, fault_event, last_event
from trunkline.responses.items import Seal, logprobs_cut
from trunkline.responses.output import ItemLog, Log, NewId, Output, decode_log
from trunkline.wire.responses.events import Event, numbered
from trunkline.wire.responses.output import (
    CustomToolCall,
    FunctionCall,
    MCPCall,
    MCPListTools,
    OutputItem,
    OutputMessage,
    OutputText,
    ReasoningItem,
    WholeCall,
)
from trunkline.wire.responses.response import Response
from trunkline.wire.responses.tools import Called


def replay(response: Response, log: bytes, *, starting_after: int = -1) -> list[Event]:
    """Returns the events of a response that has ended, numbered, after the one with this number.

    ``log`` is `Output.log` of when it was made. Of a response that was not streamed these are the
    events that it would have had.
    """
    known = decode_log(log)
    events = [*beginning(response), *_items(response, known)]
    if known.fault is not None and response.error is not None:
        code, kind = known.fault
        events.append(fault_event(code=code, kind=kind, message=response.error.message))
    events.append(last_event(response))
    numbered(events, 0)
    return events[starting_after + 1 :]


def _items(response: Response, log: Log) -> list[Event]:
    output = Output(
        summary=response.reasoning.summary if response.reasoning else None,
        seal=_sealed(response.output),
        new_id=_known_ids(response.output),
    )
    waiting: list[tuple[int, MCPCall]] = []
    for place, (item, grown) in enumerate(zip(response.output, log.items, strict=True)):
        _grow(output, item, grown)
        if isinstance(item, MCPCall) and grown.ended_after:
            output.run()
            waiting.append((grown.ended_after, item))
        while waiting and waiting[0][0] == place + 1:
            _, call = waiting.pop(0)
            if call.status == "incomplete":
                output.break_off()
            else:
                output.settle(call.id, call.output, call.error)
    return output.take()


def _grow(output: Output, item: OutputItem, log: ItemLog) -> None:
    deltas = log.parts[0].deltas if log.parts else []
    match item:
        case OutputMessage():
            for part, grown in zip(item.content, log.parts, strict=True):
                if isinstance(part, OutputText):
                    *some, rest = logprobs_cut(grown, part.logprobs)
                    output.text("", [])
                    for piece, logprobs in zip(_cut(part.text, grown.deltas), some, strict=True):
                        output.text(piece, logprobs)
                    output.text("", rest)
                else:
                    for piece in _cut(part.refusal, grown.deltas):
                        output.refusal(piece)
        case ReasoningItem():
            text = "".join(part.text for part in item.content or ())
            for piece in _cut(text, deltas):
                output.reasoning(piece)
        case FunctionCall():
            output.call(Called("function_call", item.name, item.namespace), item.call_id)
            for piece in _cut(item.arguments, deltas):
                output.arguments(piece)
        case CustomToolCall():
            output.call(Called("custom_tool_call", item.name, item.namespace), item.call_id)
            for piece in _cut(item.input, deltas):
                output.arguments(piece)
        case MCPListTools():
            output.listed(item.server_label, item.tools)
            return
        case MCPCall():
            output.call(Called("mcp_call", item.name, server_label=item.server_label), "")
            for piece in _cut(item.arguments, deltas):
                output.arguments(piece)
            if not log.ended_after:
                output.close("incomplete")
            return
        case _:
            output.whole(item)
            return
    output.close(item.status or "completed")


def _known_ids(items: Sequence[OutputItem]) -> NewId:
    """Returns what gives the items that grow their own ids again."""
    ids = iter([item.id for item in items if not isinstance(item, WholeCall)])
    return lambda _: next(ids)


def _sealed(items: Sequence[OutputItem]) -> Seal | None:
    """Returns what gives each thought its own ``encrypted_content`` again."""
    thoughts = [item.encrypted_content for item in items if isinstance(item, ReasoningItem)]
    sealed = iter([content for content in thoughts if content])
    return (lambda _: next(sealed)) if any(thoughts) else None


def _cut(text: str, lengths: list[int]) -> Iterator[str]:
    start = 0
    for length in lengths:
        yield text[start : start + length]
        start += length
