"""A request and what came before it, as the body of a chat completion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from trunkline.wire.responses.items import (
    CallOutputItem,
    FunctionCallItem,
    InputPart,
    Item,
    Message,
    ReasoningInput,
)
from trunkline.wire.responses.requests import CreateRequest
from trunkline.wire.responses.tools import Offered

_encode = msgspec.json.Encoder().encode

_PASSED = (
    "model",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "parallel_tool_calls",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "user",
    "seed",
    "stop",
    "top_k",
    "min_p",
    "repetition_penalty",
    "chat_template_kwargs",
    "provider",
)
"""Fields that chat has as well, under the same name."""


def chat_fields(request: CreateRequest, offered: Offered, items: Sequence[Item]) -> dict[str, Raw]:
    """Returns a chat completion's top-level fields, but for ``stream``.

    ``items`` are those of the chain, then the request's own.
    """
    parameters = request.parameters
    fields = {name: request.fields[name] for name in _PASSED if name in request.fields}
    added: dict[str, Any] = {"messages": messages(parameters.instructions, items)}
    if parameters.max_output_tokens is not None:
        added["max_completion_tokens"] = parameters.max_output_tokens
    if parameters.reasoning and parameters.reasoning.effort is not None:
        added["reasoning_effort"] = parameters.reasoning.effort
    if offered.chat:
        added["tools"] = offered.chat
        if parameters.tool_choice:
            added["tool_choice"] = parameters.tool_choice
    return fields | {name: Raw(_encode(value)) for name, value in added.items()}


def messages(instructions: str | None, items: Iterable[Item]) -> list[dict[str, Any]]:
    """Returns the chat messages of a conversation.

    Reasoning, text and calls that follow each other are one message of the assistant.
    """
    out: list[dict[str, Any]] = []
    if instructions is not None:
        out.append({"role": "developer", "content": instructions})
    for item in items:
        match item.meaning:
            case Message(role="assistant", content=content):
                turn = _assistant(out, without="content")
                turn["content"] = content if isinstance(content, str) else _text(content)
            case Message(role=role, content=content):
                out.append(
                    {
                        "role": role,
                        "content": content if isinstance(content, str) else _parts(content),
                    }
                )
            case ReasoningInput(content=thought):
                if text := "".join(part.text for part in thought or ()):
                    _assistant(out, without="reasoning")["reasoning"] = text
            case FunctionCallItem() as call:
                _assistant(out).setdefault("tool_calls", []).append(
                    {
                        "id": call.call_id,
                        "type": "function",
                        "function": {"name": call.name, "arguments": call.arguments},
                    }
                )
            case CallOutputItem(call_id=call_id, output=output):
                text = output if isinstance(output, str) else _text(output)
                out.append({"role": "tool", "tool_call_id": call_id, "content": text})
    return out


def _assistant(out: list[dict[str, Any]], *, without: str = "") -> dict[str, Any]:
    if not out or out[-1]["role"] != "assistant" or without in out[-1]:
        out.append({"role": "assistant"})
    return out[-1]


def _text(parts: Iterable[InputPart]) -> str:
    return "".join(part.text or part.refusal or "" for part in parts)


def _parts(parts: Sequence[InputPart]) -> str | list[dict[str, Any]]:
    if len(parts) == 1 and parts[0].text is not None:
        return parts[0].text  # what every provider takes
    return [{"type": "text", "text": part.text or ""} for part in parts]
