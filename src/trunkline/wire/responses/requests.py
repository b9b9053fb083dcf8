"""What ``POST /v1/responses`` may ask: its parameters, each with its range and its fate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from trunkline.errors import InvalidRequest
from trunkline.wire.chat import Effort, Fate
from trunkline.wire.parameters import decode_parameters

Include = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]

Summary = Literal["auto", "concise", "detailed"]


class StreamOptions(Struct, kw_only=True):
    """``stream_options``."""

    include_obfuscation: bool | None = None
    include_usage: bool | None = None


class Reasoning(Struct, kw_only=True, forbid_unknown_fields=True):
    """``reasoning``."""

    effort: Effort | None = None
    summary: Summary | None = None
    generate_summary: Summary | None = None
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    mode: Literal["standard", "pro"] | None = None


class TextOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """``text``."""

    format: Raw = Raw()
    verbosity: Literal["low", "medium", "high"] | None = None


Metadata = Annotated[
    dict[
        Annotated[str, Meta(max_length=64)],
        Annotated[str, Meta(max_length=512)],
    ],
    Meta(max_length=16),
]


class ResponsesParameters(Struct, kw_only=True):
    """Every known top-level field, typed and with its range; an empty ``Raw`` is absent."""

    model: Annotated[str, Meta(min_length=1, max_length=512)]
    input: Raw = Raw()
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: Raw = Raw()
    store: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    background: bool | None = None
    background_options: Raw = Raw()
    include: list[Include] | None = None
    tools: Raw = Raw()
    tool_choice: Raw = Raw()
    parallel_tool_calls: bool | None = None
    max_tool_calls: Annotated[int, Meta(ge=1)] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1)] | None = None
    text: TextOptions | None = None
    response_format: Raw = Raw()
    reasoning: Reasoning | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    context_management: Raw = Raw()
    prompt: Raw = Raw()
    prompt_cache_key: str | None = None
    prompt_cache_options: Raw = Raw()
    prompt_cache_retention: str | None = None
    metadata: Metadata | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    moderation: Raw = Raw()
    image: Raw = Raw()
    access_programs: Raw = Raw()
    client_metadata: Raw = Raw()

    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=16)] | None = None
    top_k: Annotated[int, Meta(ge=-1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=2)] | None = None
    chat_template_kwargs: Raw = Raw()
    provider: Raw = Raw()


class ResponsesParameter(Struct, frozen=True):
    """One top-level field: its fate, and the sentence for the reference page."""

    fate: Fate
    note: str


_S, _P, _E, _I, _R = Fate.SERVED, Fate.PASSED, Fate.EMULATED, Fate.IGNORED, Fate.REFUSED
_P1 = ResponsesParameter

PARAMETERS: Mapping[str, ResponsesParameter] = {
    "model": _P1(_S, "the model's name, with an optional `:provider` or `:policy`"),
    "input": _P1(_S, "a text, or a list of items"),
    "instructions": _P1(_S, "comes first, as a developer's message; not inherited by what follows"),
    "previous_response_id": _P1(_S, "its items come before `input`"),
    "conversation": _P1(_R, "send `previous_response_id`"),
    "store": _P1(_S, "true by default; with false nothing is kept"),
    "stream": _P1(_S, "semantic events, ended by `[DONE]`"),
    "stream_options": _P1(_S, "`include_obfuscation` pads deltas"),
    "background": _P1(_R, "`false` only"),
    "background_options": _P1(_R, ""),
    "include": _P1(_S, "what belongs to tools that are not run here is accepted and adds nothing"),
    "tools": _P1(_S, "see below"),
    "tool_choice": _P1(_S, "in every published form"),
    "parallel_tool_calls": _P1(_P, ""),
    "max_tool_calls": _P1(_S, "calls of tools that run here; beyond it they are not run"),
    "max_output_tokens": _P1(_P, "counts reasoning too"),
    "text": _P1(_P, "`format` as chat's `response_format`; `verbosity`"),
    "response_format": _P1(_P, "chat's name of `text.format`"),
    "reasoning": _P1(_P, "`effort`; `summary` is made of the raw reasoning"),
    "temperature": _P1(_P, ""),
    "top_p": _P1(_P, ""),
    "top_logprobs": _P1(_P, 'with `include: ["message.output_text.logprobs"]`'),
    "presence_penalty": _P1(_P, ""),
    "frequency_penalty": _P1(_P, ""),
    "truncation": _P1(_S, "nothing is ever dropped: too long an input is an error"),
    "context_management": _P1(_R, ""),
    "prompt": _P1(_R, "there are no stored prompts"),
    "prompt_cache_key": _P1(_P, "the router stays at the provider that has the prompt's cache"),
    "prompt_cache_options": _P1(_I, "each provider caches as it does"),
    "prompt_cache_retention": _P1(_I, ""),
    "metadata": _P1(_S, "kept with the response"),
    "user": _P1(_P, ""),
    "safety_identifier": _P1(_P, ""),
    "service_tier": _P1(_P, ""),
    "moderation": _P1(_R, ""),
    "image": _P1(_I, "only ever a matter of cost"),
    "access_programs": _P1(_R, ""),
    "client_metadata": _P1(_I, "coding agents send it"),
    "seed": _P1(_P, ""),
    "stop": _P1(_P, ""),
    "top_k": _P1(_P, ""),
    "min_p": _P1(_P, ""),
    "repetition_penalty": _P1(_P, ""),
    "chat_template_kwargs": _P1(_P, ""),
    "provider": _P1(_S, "the routing wishes that OpenRouter documents"),
}

_decoder = msgspec.json.Decoder(ResponsesParameters)


class CreateRequest(Struct, frozen=True):
    """A decoded request: its typed parameters, its fields as sent, and the names that were left out."""

    parameters: ResponsesParameters
    fields: dict[str, Raw]
    ignored: tuple[str, ...]


def decode_create(body: bytes, *, lenient: bool) -> CreateRequest:
    """Decodes the body of ``POST /v1/responses``; items and tools stay undecoded.

    Raises InvalidRequest as `decode_parameters` does, and ``unsupported_parameter`` for what is not
    served.
    """
    parameters, fields, ignored = decode_parameters(
        body, _decoder, known=PARAMETERS.keys(), lenient=lenient
    )
    if parameters.previous_response_id is not None and parameters.conversation:
        raise InvalidRequest(
            "previous_response_id and conversation exclude each other; send one of them",
            param="previous_response_id",
        )
    _check_served(parameters, fields)
    return CreateRequest(parameters, fields, ignored)


def _check_served(parameters: ResponsesParameters, fields: Mapping[str, Raw]) -> None:
    for name in fields:
        if PARAMETERS[name].fate is not Fate.REFUSED:
            continue
        if name == "background" and not parameters.background:
            continue
        note = PARAMETERS[name].note
        raise InvalidRequest(
            f"'{name}' is not supported{note and ': '}{note}",
            code="unsupported_parameter",
            param=name,
        )
