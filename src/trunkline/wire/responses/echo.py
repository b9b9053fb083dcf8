"""A response as it begins: what was asked, told back."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from trunkline.wire.responses.requests import CreateRequest
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
        summary = asked.reasoning.summary or asked.reasoning.generate_summary
        response.reasoning = ReasoningEcho(effort=asked.reasoning.effort, summary=summary)
    if asked.text is not None:
        text = {"format": asked.text.format or Raw(b'{"type":"text"}')}
        if asked.text.verbosity is not None:
            text["verbosity"] = Raw(msgspec.json.encode(asked.text.verbosity))
        response.text = Raw(msgspec.json.encode(text))
    return response


def _given(value: str | None) -> str | UnsetType:
    """OpenAI's document knows no null for these."""
    return UNSET if value is None else value


_SAME = (
    "frequency_penalty",
    "parallel_tool_calls",
    "presence_penalty",
    "service_tier",
    "store",
    "temperature",
    "top_logprobs",
    "top_p",
    "truncation",
)
