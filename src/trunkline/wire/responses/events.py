"""The events of a streamed response, as published: one Struct each. How they are written is `dialects`'s."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET, Struct, UnsetType

from trunkline.wire.chat import TokenLogprob
from trunkline.wire.responses.output import OutputItem, Part, SummaryText
from trunkline.wire.responses.response import Response


class Event(Struct, kw_only=True, tag_field="type"):
    """What happens to a response; numbered from 0 without gaps."""

    sequence_number: int = -1


class ResponseCreated(Event, tag="response.created"):
    response: Response


class ResponseInProgress(Event, tag="response.in_progress"):
    response: Response


class ResponseCompleted(Event, tag="response.completed"):
    response: Response


class ResponseIncomplete(Event, tag="response.incomplete"):
    response: Response


class ResponseFailed(Event, tag="response.failed"):
    response: Response


class OutputItemAdded(Event, tag="response.output_item.added"):
    output_index: int
    item: OutputItem


class OutputItemDone(Event, tag="response.output_item.done"):
    output_index: int
    item: OutputItem


class ContentPartAdded(Event, tag="response.content_part.added"):
    item_id: str
    output_index: int
    content_index: int
    part: Part


class ContentPartDone(Event, tag="response.content_part.done"):
    item_id: str
    output_index: int
    content_index: int
    part: Part


class OutputTextDelta(Event, tag="response.output_text.delta"):
    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: list[TokenLogprob] = []
    obfuscation: str | UnsetType = UNSET


class OutputTextDone(Event, tag="response.output_text.done"):
    item_id: str
    output_index: int
    content_index: int
    text: str
    logprobs: list[TokenLogprob] = []


class RefusalDelta(Event, tag="response.refusal.delta"):
    item_id: str
    output_index: int
    content_index: int
    delta: str
    obfuscation: str | UnsetType = UNSET


class RefusalDone(Event, tag="response.refusal.done"):
    item_id: str
    output_index: int
    content_index: int
    refusal: str


class ReasoningTextDelta(Event, tag="response.reasoning_text.delta"):
    item_id: str
    output_index: int
    content_index: int
    delta: str
    obfuscation: str | UnsetType = UNSET


class ReasoningTextDone(Event, tag="response.reasoning_text.done"):
    item_id: str
    output_index: int
    content_index: int
    text: str


class SummaryPartAdded(Event, tag="response.reasoning_summary_part.added"):
    item_id: str
    output_index: int
    summary_index: int
    part: SummaryText


class SummaryPartDone(Event, tag="response.reasoning_summary_part.done"):
    item_id: str
    output_index: int
    summary_index: int
    part: SummaryText


class SummaryTextDelta(Event, tag="response.reasoning_summary_text.delta"):
    item_id: str
    output_index: int
    summary_index: int
    delta: str
    obfuscation: str | UnsetType = UNSET


class SummaryTextDone(Event, tag="response.reasoning_summary_text.done"):
    item_id: str
    output_index: int
    summary_index: int
    text: str


class FunctionCallArgumentsDelta(Event, tag="response.function_call_arguments.delta"):
    item_id: str
    output_index: int
    delta: str
    obfuscation: str | UnsetType = UNSET


class FunctionCallArgumentsDone(Event, tag="response.function_call_arguments.done"):
    item_id: str
    output_index: int
    name: str
    arguments: str


class CustomToolCallInputDelta(Event, tag="response.custom_tool_call_input.delta"):
    item_id: str
    output_index: int
    delta: str
    obfuscation: str | UnsetType = UNSET


class CustomToolCallInputDone(Event, tag="response.custom_tool_call_input.done"):
    item_id: str
    output_index: int
    input: str


class MCPListToolsInProgress(Event, tag="response.mcp_list_tools.in_progress"):
    item_id: str
    output_index: int


class MCPListToolsCompleted(Event, tag="response.mcp_list_tools.completed"):
    item_id: str
    output_index: int


class MCPCallArgumentsDelta(Event, tag="response.mcp_call_arguments.delta"):
    item_id: str
    output_index: int
    delta: str
    obfuscation: str | UnsetType = UNSET


class MCPCallArgumentsDone(Event, tag="response.mcp_call_arguments.done"):
    item_id: str
    output_index: int
    arguments: str


class MCPCallInProgress(Event, tag="response.mcp_call.in_progress"):
    item_id: str
    output_index: int


class MCPCallCompleted(Event, tag="response.mcp_call.completed"):
    item_id: str
    output_index: int


class MCPCallFailed(Event, tag="response.mcp_call.failed"):
    item_id: str
    output_index: int


class ErrorDetails(Struct, kw_only=True):
    """``error`` as Open Responses has it."""

    type: str
    code: str | None
    message: str
    param: str | None


class ErrorEvent(Event, tag="error"):
    """A failure: flat as OpenAI has it, and in an object as Open Responses has it."""

    code: str | None
    message: str
    param: str | None
    error: ErrorDetails


Ended = ResponseCompleted | ResponseIncomplete | ResponseFailed
"""The last event of a response, whole."""

DeltaEvent = (
    OutputTextDelta
    | RefusalDelta
    | ReasoningTextDelta
    | SummaryTextDelta
    | FunctionCallArgumentsDelta
    | CustomToolCallInputDelta
    | MCPCallArgumentsDelta
)
"""The events that may be padded."""


def numbered(events: Iterable[Event], first: int) -> int:
    """Numbers events; returns the number of the one that follows."""
    for event in events:
        event.sequence_number = first
        first += 1
    return first
