"""Output items: what a response is made of, as published."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Raw, Struct, UnsetType

from trunkline.wire.chat import TokenLogprob

ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputText(Struct, kw_only=True, tag_field="type", tag="output_text"):
    """A message's part of text."""

    text: str
    annotations: list[Any] = []
    logprobs: list[TokenLogprob] = []


class Refusal(Struct, kw_only=True, tag_field="type", tag="refusal"):
    """A message's part in which the model refuses."""

    refusal: str


class ReasoningText(Struct, kw_only=True, tag_field="type", tag="reasoning_text"):
    """A reasoning item's part: what the model thought, as it thought it."""

    text: str


class SummaryText(Struct, kw_only=True, tag_field="type", tag="summary_text"):
    """A part of a reasoning item's summary."""

    text: str


Part = OutputText | Refusal | ReasoningText


class OutputMessage(Struct, kw_only=True, tag_field="type", tag="message"):
    """What the model says."""

    id: str
    status: ItemStatus
    role: Literal["assistant"] = "assistant"
    content: list[OutputText | Refusal] = []


class ReasoningItem(Struct, kw_only=True, tag_field="type", tag="reasoning"):
    """What the model thought; ``encrypted_content`` is the same, sealed, for callers who keep it."""

    id: str
    summary: list[SummaryText] = []
    content: list[ReasoningText] | UnsetType = UNSET
    encrypted_content: str | UnsetType = UNSET
    status: ItemStatus | UnsetType = UNSET


class FunctionCall(Struct, kw_only=True, tag_field="type", tag="function_call"):
    """A call of a function that the caller runs; ``arguments`` is JSON as text."""

    id: str
    call_id: str
    name: str
    arguments: str
    status: ItemStatus
    namespace: str | UnsetType = UNSET


class CustomToolCall(Struct, kw_only=True, tag_field="type", tag="custom_tool_call"):
    """A call of a custom tool, whose input is free text."""

    id: str
    call_id: str
    name: str
    input: str
    status: ItemStatus
    namespace: str | UnsetType = UNSET


OutputItem = OutputMessage | ReasoningItem | FunctionCall | CustomToolCall | Raw
"""An item of ``output``; ``Raw`` are those of the tools that clients run in their own shapes."""
