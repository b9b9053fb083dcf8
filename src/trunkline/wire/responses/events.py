"""The events of a streamed response, as published, and how each is written.

One Struct an event. What arrives together is numbered and written together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from trunkline.wire.chat import TokenLogprob
from trunkline.wire.responses.output import OutputItem, Part
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


Encode = Callable[[Iterable[Event]], bytes]
"""How events are written in one of the two published dialects."""

DONE = b"data: [DONE]\n\n"

encode_json = msgspec.json.Encoder().encode


def encode(events: Iterable[Event]) -> bytes:
    """Writes events with OpenAI's names, all in one piece for one write."""
    return b"".join(
        [b"event: %b\ndata: %b\n\n" % (_name(event), encode_json(event)) for event in events]
    )


_NAMES: dict[type[Event], bytes] = {}


def _name(event: Event) -> bytes:
    kind = type(event)
    name = _NAMES.get(kind)
    if name is None:
        tag: Any = kind.__struct_config__.tag
        name = _NAMES[kind] = str(tag).encode()
    return name
