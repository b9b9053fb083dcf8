"""The response object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from trunkline.wire.responses.output import OutputItem

ResponseStatus = Literal["completed", "failed", "in_progress", "cancelled", "queued", "incomplete"]


class InputTokensDetails(Struct, kw_only=True):
    """``usage.input_tokens_details``; no provider tells what it wrote to its cache."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(Struct, kw_only=True):
    """``usage.output_tokens_details``."""

    reasoning_tokens: int = 0


class ResponseUsage(Struct, kw_only=True):
    """Tokens of all model calls of a response; ``cost`` is in USD, a JSON number of exact digits."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int
    cost: Raw | UnsetType = UNSET


class IncompleteDetails(Struct):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens", "content_filter"]


class ResponseFault(Struct):
    """``error``: its codes are a closed list, so every fault of ours is one of these two."""

    code: Literal["server_error", "rate_limit_exceeded"]
    message: str


class ReasoningEcho(Struct, kw_only=True):
    """``reasoning``: what was asked; ``context`` is what became of it."""

    effort: str | None = None
    summary: str | None = None
    context: str | UnsetType = UNSET


class Response(Struct, kw_only=True):
    """What ``POST /v1/responses`` answers; every event of its life carries the whole of it.

    Keys that OpenAI requires are always there; those that it leaves optional and that are not known,
    as ``usage`` before the end, are absent. What Open Responses requires beyond is the dialect's.
    """

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: ResponseStatus
    background: bool = False
    completed_at: int | None = None
    error: ResponseFault | None = None
    frequency_penalty: float = 0.0
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] = {}
    model: str
    output: list[OutputItem] = []
    parallel_tool_calls: bool = True
    presence_penalty: float = 0.0
    previous_response_id: str | None = None
    prompt_cache_key: str | UnsetType = UNSET
    reasoning: ReasoningEcho | None = None
    safety_identifier: str | UnsetType = UNSET
    service_tier: str = "default"
    store: bool = True
    temperature: float = 1.0
    text: Raw = Raw(b'{"format":{"type":"text"}}')
    tool_choice: Raw = Raw(b'"auto"')
    tools: list[Raw] = []
    top_logprobs: int = 0
    top_p: float = 1.0
    truncation: Literal["auto", "disabled"] = "disabled"
    usage: ResponseUsage | UnsetType = UNSET
    user: str | UnsetType = UNSET


decode_response: Callable[[bytes], Response] = msgspec.json.Decoder(Response).decode
"""Reads a response that was kept."""
