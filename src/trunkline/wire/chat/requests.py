"""What a chat request may ask: its parameters, each with its range and its fate."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from trunkline.errors import InvalidRequest
from trunkline.wire.chat.formats import published_format
from trunkline.wire.parameters import decode_parameters

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class StreamOptions(Struct, kw_only=True):
    """``stream_options``."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ReasoningOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """``reasoning``, as OpenRouter documents it."""

    effort: Effort | None = None
    enabled: bool | None = None
    exclude: bool | None = None
    max_tokens: int | None = None


class ChatParameters(Struct, kw_only=True):
    """Every known top-level field, typed and with its range.

    ``Raw`` where only a provider looks inside; an empty one is absent.
    """

    model: Annotated[str, Meta(min_length=1, max_length=512)]
    messages: Raw

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=16)] | None = None
    presence_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-2, le=2)] | None = None
    logit_bias: (
        Annotated[dict[str, Annotated[float, Meta(ge=-100, le=100)]], Meta(max_length=1024)] | None
    ) = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: Raw = Raw()
    tool_choice: Raw = Raw()
    parallel_tool_calls: bool | None = None
    response_format: Raw = Raw()
    reasoning_effort: Effort | None = None

    user: str | None = None
    metadata: Raw = Raw()
    store: bool | None = None
    service_tier: str | None = None
    prediction: Raw = Raw()
    prompt_cache_key: str | None = None
    prompt_cache_options: Raw = Raw()
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    verbosity: Literal["low", "medium", "high"] | None = None

    audio: Raw = Raw()
    modalities: list[str] | None = None
    moderation: Raw = Raw()
    functions: Raw = Raw()
    function_call: Raw = Raw()
    web_search_options: Raw = Raw()

    top_k: Annotated[int, Meta(ge=-1)] | None = None
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(gt=0, le=2)] | None = None
    reasoning: ReasoningOptions | None = None
    chat_template_kwargs: Raw = Raw()
    provider: Raw = Raw()
    guided_json: Raw = Raw()
    guided_choice: Raw = Raw()
    guided_regex: str | None = None
    guided_grammar: Raw = Raw()


class Fate(enum.StrEnum):
    """What becomes of a parameter."""

    SERVED = "served"
    PASSED = "passed"
    RENAMED = "renamed"
    EMULATED = "emulated"
    IGNORED = "accepted and ignored"
    REFUSED = "refused"


class Parameter(Struct, frozen=True):
    """One top-level field: its fate at the embedded engine, and the sentence for the reference page.

    What becomes of it at a provider over HTTP stands in providers/parameters.py.
    """

    engine: Fate
    note: str


_S, _I, _R = Fate.SERVED, Fate.IGNORED, Fate.REFUSED

PARAMETERS: Mapping[str, Parameter] = {
    "model": Parameter(_S, "the model's name, with an optional `:provider` or `:policy`"),
    "messages": Parameter(_S, "text only at the engine; images, audio and files are refused there"),
    "stream": Parameter(_S, "server-sent events, ended by `[DONE]`"),
    "stream_options": Parameter(
        _S, "`include_usage`; `include_obfuscation` is accepted and ignored"
    ),
    "max_tokens": Parameter(
        _S, "the older name of `max_completion_tokens`; the smaller one counts"
    ),
    "max_completion_tokens": Parameter(_S, "counts reasoning too"),
    "temperature": Parameter(_S, "omitted: the model's own default"),
    "top_p": Parameter(_S, "omitted: 1"),
    "n": Parameter(_S, "at the engine at most its slots, or a worker's share of them"),
    "seed": Parameter(_S, "choice k samples with seed + k"),
    "stop": Parameter(_S, "looked for in the answer, not in the reasoning"),
    "presence_penalty": Parameter(_S, ""),
    "frequency_penalty": Parameter(_S, ""),
    "logit_bias": Parameter(_S, "token ids of the model that answers"),
    "logprobs": Parameter(_S, "of the final channel"),
    "top_logprobs": Parameter(_S, "with `logprobs`"),
    "tools": Parameter(_S, "function tools; arguments follow the schema by grammar"),
    "tool_choice": Parameter(
        _S, "`none`, `auto`, `required`, a named function, or `allowed_tools`: enforced"
    ),
    "parallel_tool_calls": Parameter(
        _S, "the engine makes one call a turn, which satisfies both values"
    ),
    "response_format": Parameter(
        _S, "`text`, `json_object`, `json_schema`: by grammar, also beside tools"
    ),
    "reasoning_effort": Parameter(
        _S, "`minimal` is served as `low`, `xhigh` and `max` as `high`; `none` skips the reasoning"
    ),
    "user": Parameter(_I, ""),
    "metadata": Parameter(_I, ""),
    "store": Parameter(_I, "chat completions are never stored"),
    "service_tier": Parameter(_I, ""),
    "prediction": Parameter(_I, "only ever a matter of speed"),
    "prompt_cache_key": Parameter(
        _I, "the engine finds its cache by the prompt; the router stays at the provider that has it"
    ),
    "prompt_cache_options": Parameter(_I, "the engine caches every prompt"),
    "prompt_cache_retention": Parameter(_I, ""),
    "safety_identifier": Parameter(_I, ""),
    "verbosity": Parameter(_I, "gpt-oss has no such control"),
    "audio": Parameter(_R, "text in, text out"),
    "modalities": Parameter(_S, '`["text"]` only'),
    "moderation": Parameter(_R, "the engine has no moderation model"),
    "functions": Parameter(_R, "the older form: send `tools`"),
    "function_call": Parameter(_R, "the older form: send `tool_choice`"),
    "web_search_options": Parameter(_R, "the engine reaches no network"),
    "top_k": Parameter(_S, "0 and -1 switch it off, the default"),
    "min_p": Parameter(_S, "0 switches it off, the default"),
    "repetition_penalty": Parameter(_S, "1 switches it off, the default"),
    "reasoning": Parameter(_S, "`effort`, `enabled`, `exclude`; `max_tokens` is refused by name"),
    "chat_template_kwargs": Parameter(
        _S, "`reasoning_effort`, `enable_thinking` and `model_identity`; others are refused by name"
    ),
    "provider": Parameter(_S, "the routing wishes that OpenRouter documents; never sent on"),
    "guided_json": Parameter(_S, "as `response_format` of type `json_schema`"),
    "guided_choice": Parameter(_S, "the answer is one of the strings"),
    "guided_regex": Parameter(_S, "the answer matches the expression"),
    "guided_grammar": Parameter(_R, "send a JSON schema or a regular expression"),
}


class ChatRequest(Struct, frozen=True):
    """A decoded request: its typed parameters, its fields as sent, and the names that were left out."""

    parameters: ChatParameters
    fields: dict[str, Raw]
    ignored: tuple[str, ...]


_decoder = msgspec.json.Decoder(ChatParameters)
_EMPTY_LIST = re.compile(rb"\[\s*\]")


def decode_request(body: bytes, *, lenient: bool) -> ChatRequest:
    """Decodes the body of ``POST /v1/chat/completions``; ``messages`` stays undecoded.

    Raises InvalidRequest as `decode_parameters` does, and for messages that are no list or empty.
    """
    parameters, fields, ignored = decode_parameters(
        body, _decoder, known=PARAMETERS.keys(), lenient=lenient
    )
    if raw := fields.get("response_format"):
        fields["response_format"] = parameters.response_format = published_format(raw)
    messages = bytes(parameters.messages)
    if not messages.startswith(b"["):
        raise InvalidRequest("messages must be a list", code="invalid_type", param="messages")
    if _EMPTY_LIST.match(messages):
        raise InvalidRequest("messages must hold at least one message", param="messages")
    return ChatRequest(parameters=parameters, fields=fields, ignored=ignored)


def request_of(fields: dict[str, Raw]) -> ChatRequest:
    """Returns the request that these top-level fields make, which are known to be right."""
    parameters = _decoder.decode(msgspec.json.encode(fields))
    return ChatRequest(parameters=parameters, fields=fields, ignored=())
