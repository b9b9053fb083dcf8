"""A response as it begins: what was asked, told back."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from trunkline.wire.responses.formats import FreeText, told_flat
from trunkline.wire.responses.requests import (
    CreateRequest,
    Reasoning,
    TextOptions,
    effective_context,
)
from trunkline.wire.responses.response import ReasoningEcho, Response
from trunkline.wire.responses.tools import Offered


def response_of(
    request: CreateRequest, offered: Offered, *, id: str, created_at: int, model: str
) -> Response:
    """Returns the response as it begins, in progress and without output."""
    asked = request.parameters
    response = Response(
        id=id,
        created_at=created_at,
        status="in_progress",
        instructions=asked.instructions,
        max_output_tokens=asked.max_output_tokens,
        max_tool_calls=asked.max_tool_calls,
        metadata=asked.metadata or {},
        model=model,
        previous_response_id=asked.previous_response_id,
        prompt_cache_key=_given(asked.prompt_cache_key),
        safety_identifier=_given(asked.safety_identifier),
        tools=offered.echo,
        user=_given(asked.user),
    )
    for name in _SAME:
        value = getattr(asked, name)
        if value is not None:
            setattr(response, name, value)
    if asked.tool_choice:
        response.tool_choice = asked.tool_choice
    if asked.reasoning is not None:
        response.reasoning = _reasoning(asked.reasoning)
    if asked.text is not None or asked.response_format:
        response.text = _text(asked.text or TextOptions(), asked.response_format)
    if asked.service_tier in _TIERS:
        response.service_tier = asked.service_tier
    return response


def _given(value: str | None) -> str | UnsetType:
    """OpenAI's document knows no null for these."""
    return UNSET if value is None else value


def _reasoning(asked: Reasoning) -> ReasoningEcho:
    return ReasoningEcho(
        effort=asked.effort,
        summary=asked.summary or asked.generate_summary,
        context=UNSET if asked.context is None else effective_context(asked.context),
    )


def _text(asked: TextOptions, response_format: Raw) -> Raw:
    form: Any = asked.format or FreeText()
    if response_format:
        form = told_flat(response_format)
    text = {"format": form}
    if asked.verbosity is not None:
        text["verbosity"] = asked.verbosity
    return Raw(msgspec.json.encode(text))


# Others are asked for like these, but no response is published to have been served by them.
_TIERS = ("auto", "default", "flex", "scale", "priority")


_SAME = (
    "frequency_penalty",
    "parallel_tool_calls",
    "presence_penalty",
    "store",
    "temperature",
    "top_logprobs",
    "top_p",
    "truncation",
)
