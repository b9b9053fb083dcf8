"""The Chat Completions wire format: a request's parameters, and what an answer is made of.

Source: OpenAI's OpenAPI (``CreateChatCompletionRequest``, ``CreateChatCompletionResponse``), and the
extensions that open-model servers share (vLLM, OpenRouter). Structs hold what we act on; a request
also stays a ``dict[str, Raw]``, so that what we only carry survives unchanged.
"""

from __future__ import annotations

import difflib
import enum
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from trunkline.errors import InvalidRequest
from trunkline.wire.invalid import translated

# ---------------------------------------------------------------------------------------- requests

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
    IGNORED = "accepted and ignored"
    REFUSED = "refused"


class Parameter(Struct, frozen=True):
    """One top-level field: its fate at the embedded engine, and the sentence for the reference page.

    A provider over HTTP gets every known field but ``provider`` as the caller sent it.
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
    "prompt_cache_key": Parameter(_I, "the engine finds its cache by the prompt itself"),
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


_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_parameters = msgspec.json.Decoder(ChatParameters).decode
_check_syntax = msgspec.json.Decoder(Raw).decode
_EMPTY_LIST = re.compile(rb"\[\s*\]")


def decode_request(body: bytes, *, lenient: bool) -> ChatRequest:
    """Decodes the body of ``POST /v1/chat/completions``; ``messages`` stays undecoded.

    Raises InvalidRequest that names the field: for malformed JSON, wrong types, missing fields,
    values out of range and, unless ``lenient``, for names that nobody knows. Null is as absent.
    """
    try:
        fields = _decode_fields(body)
        parameters = _decode_parameters(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(_syntax_error(body) or error, of=ChatParameters) from error
    fields = {name: raw for name, raw in fields.items() if bytes(raw) != b"null"}
    unknown = fields.keys() - PARAMETERS.keys()
    if unknown and not lenient:
        raise _unknown_parameter(min(unknown))
    for name in unknown:
        del fields[name]
    if raw := fields.get("response_format"):
        fields["response_format"] = parameters.response_format = published_format(raw)
    messages = bytes(parameters.messages)
    if not messages.startswith(b"["):
        raise InvalidRequest("messages must be a list", code="invalid_type", param="messages")
    if _EMPTY_LIST.match(messages):
        raise InvalidRequest("messages must hold at least one message", param="messages")
    return ChatRequest(parameters=parameters, fields=fields, ignored=tuple(sorted(unknown)))


def _syntax_error(body: bytes) -> msgspec.DecodeError | RecursionError | None:
    """Returns what keeps a body from being JSON at all, which may stand behind a wrong type."""
    try:
        _check_syntax(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return error
    return None


def without_refused(request: ChatRequest) -> ChatRequest:
    """Leaves out what the embedded engine refuses, for a caller who asked for leniency."""
    refused = [n for n in request.fields if PARAMETERS[n].engine is Fate.REFUSED]
    if not refused:
        return request
    fields = {name: raw for name, raw in request.fields.items() if name not in refused}
    ignored = tuple(sorted({*request.ignored, *refused}))
    return msgspec.structs.replace(request, fields=fields, ignored=ignored)


def _unknown_parameter(name: str) -> InvalidRequest:
    shown = name[:100]
    near = difflib.get_close_matches(shown, PARAMETERS, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return InvalidRequest(
        f"unknown parameter '{shown}'{hint} "
        "(the header 'x-trunkline-params: lenient' leaves unknown ones out)",
        code="unknown_parameter",
        param=shown,
    )


# ---------------------------------------------------------------------------------------- messages


class FunctionCall(Struct, kw_only=True):
    """The call inside an assistant's ``tool_calls``."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    arguments: str = ""


class ToolCall(Struct, kw_only=True):
    """An element of an assistant's ``tool_calls``."""

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class Part(Struct, kw_only=True):
    """An element of a message's content list."""

    type: str
    text: str | None = None
    refusal: str | None = None


class Message(Struct, kw_only=True):
    """One message of a request."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None


_decode_messages = msgspec.json.Decoder(list[Message]).decode
_TEXT_PARTS = {"text", "refusal"}


def decode_messages(raw: Raw) -> list[Message]:
    """Decodes and checks the messages for a model that reads text only.

    Raises InvalidRequest with the path (``messages[2].content[0].type``) for wrong shapes, parts
    other than text, and tool results that answer no call.
    """
    try:
        messages = _decode_messages(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=list[Message], at="messages") from error
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        at = f"messages[{index}]"
        _check_content(message, at)
        if message.role == "tool":
            _check_tool_result(message, open_calls, at)
        open_calls.update(call.id for call in message.tool_calls or ())
    return messages


def _check_content(message: Message, at: str) -> None:
    if message.content is None and message.role != "assistant":
        raise InvalidRequest(
            f"missing '{at}.content'", code="missing_required_parameter", param=f"{at}.content"
        )
    if message.tool_calls and message.role != "assistant":
        raise InvalidRequest(
            f"{at}.tool_calls: only an assistant's message has them", param=f"{at}.tool_calls"
        )
    if not isinstance(message.content, list):
        return
    for number, part in enumerate(message.content):
        where = f"{at}.content[{number}]"
        if part.type not in _TEXT_PARTS:
            raise InvalidRequest(
                f"{where}: this model reads text only, not '{part.type[:40]}'",
                param=f"{where}.type",
            )
        if getattr(part, part.type) is None:
            raise InvalidRequest(
                f"missing '{where}.{part.type}'",
                code="missing_required_parameter",
                param=f"{where}.{part.type}",
            )


def _check_tool_result(message: Message, open_calls: set[str], at: str) -> None:
    if message.tool_call_id is None:
        raise InvalidRequest(
            f"missing '{at}.tool_call_id'",
            code="missing_required_parameter",
            param=f"{at}.tool_call_id",
        )
    if message.tool_call_id not in open_calls:
        raise InvalidRequest(
            f"{at}.tool_call_id: no earlier tool call has the id '{message.tool_call_id[:80]}', "
            "or it has its result already",
            param=f"{at}.tool_call_id",
        )
    open_calls.discard(message.tool_call_id)


# ------------------------------------------------------------------------------------------- tools


class FunctionDefinition(Struct, kw_only=True):
    """The function inside a tool."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,64}\Z")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Struct, kw_only=True):
    """An element of ``tools``."""

    function: FunctionDefinition
    type: Literal["function"] = "function"


_Tools = Annotated[list[Tool], Meta(max_length=128)]
_decode_tools: Callable[[Raw], list[Tool]] = msgspec.json.Decoder(_Tools).decode


def decode_tools(raw: Raw) -> list[Tool]:
    """Decodes ``tools``. Raises InvalidRequest for wrong shapes and for names given twice."""
    if not raw:
        return []
    try:
        tools = _decode_tools(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=list[Tool], at="tools") from error
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        if tool.function.name in seen:
            raise InvalidRequest(
                f"tools[{index}].function.name: '{tool.function.name}' is there twice",
                param=f"tools[{index}].function.name",
            )
        seen.add(tool.function.name)
    return tools


class ToolChoice(Struct, frozen=True):
    """What ``tool_choice`` comes to: the tools that may be called, and whether one must be."""

    allowed: tuple[Tool, ...]
    required: bool


class ToolName(Struct):
    """Names a function tool."""

    name: str


class AllowedTool(Struct):
    """An element of ``tool_choice.allowed_tools.tools``."""

    function: ToolName
    type: Literal["function"] = "function"


class AllowedTools(Struct):
    """``tool_choice.allowed_tools``."""

    tools: Annotated[list[AllowedTool], Meta(min_length=1)]
    mode: Literal["auto", "required"] = "auto"


class NamedToolChoice(Struct):
    """``tool_choice`` as an object."""

    type: Literal["function", "allowed_tools"]
    function: ToolName | None = None
    allowed_tools: AllowedTools | None = None


ToolChoiceParameter = Literal["none", "auto", "required"] | NamedToolChoice
"""``tool_choice``."""
_decode_choice: Callable[[Raw], str | NamedToolChoice] = msgspec.json.Decoder(
    ToolChoiceParameter
).decode


def decode_tool_choice(raw: Raw, tools: list[Tool]) -> ToolChoice:
    """Decodes ``tool_choice`` against the tools. Raises InvalidRequest if it names none of them."""
    if not raw:
        return ToolChoice(allowed=tuple(tools), required=False)
    try:
        choice = _decode_choice(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=ToolChoiceParameter, at="tool_choice") from error
    if choice == "none":
        return ToolChoice(allowed=(), required=False)
    if choice == "auto":
        return ToolChoice(allowed=tuple(tools), required=False)
    if not tools:
        raise InvalidRequest(
            "tool_choice asks for a call, but there are no tools", param="tool_choice"
        )
    if choice == "required":
        return ToolChoice(allowed=tuple(tools), required=True)
    if not isinstance(choice, NamedToolChoice):  # the three words are handled above
        raise InvalidRequest("tool_choice is not known", param="tool_choice")
    if choice.type == "function" and choice.function is not None:
        return ToolChoice(
            allowed=(_named(choice.function.name, tools, "tool_choice.function.name"),),
            required=True,
        )
    if choice.type == "allowed_tools" and choice.allowed_tools is not None:
        wanted = choice.allowed_tools
        return ToolChoice(
            allowed=tuple(
                _named(tool.function.name, tools, f"tool_choice.allowed_tools.tools[{index}]")
                for index, tool in enumerate(wanted.tools)
            ),
            required=wanted.mode == "required",
        )
    raise InvalidRequest(
        f"missing 'tool_choice.{choice.type}'",
        code="missing_required_parameter",
        param=f"tool_choice.{choice.type}",
    )


def _named(name: str, tools: Iterable[Tool], param: str) -> Tool:
    for tool in tools:
        if tool.function.name == name:
            return tool
    names = ", ".join(tool.function.name for tool in tools)
    raise InvalidRequest(
        f"{param}: no tool is named '{name[:80]}'; there are: {names}", param=param
    )


# --------------------------------------------------------------------------------- response formats


class JSONSchemaFormat(Struct, kw_only=True):
    """``response_format.json_schema``."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}\Z")]
    schema: dict[str, Any] = {}
    description: str | None = None
    strict: bool | None = None


class ResponseFormat(Struct, kw_only=True):
    """``response_format``."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JSONSchemaFormat | None = None


_decode_format = msgspec.json.Decoder(ResponseFormat).decode


class _SchemaOfObject(Struct, tag_field="type", tag="json_object"):
    schema: dict[str, Any] | None = None
    value: dict[str, Any] | None = None


_decode_schema_of_object = msgspec.json.Decoder(_SchemaOfObject).decode


def published_format(raw: Raw) -> Raw:
    """Rewrites the two other ways of sending a schema; every other format stays as it is.

    huggingface_hub's client sends a caller's ``json_schema`` to any base URL as TGI wants it,
    ``{"type": "json_object", "value": …}``; Fireworks and llama.cpp take ``"schema"`` there. Nobody
    else would notice either, and the schema would silently not hold.
    """
    try:
        found = _decode_schema_of_object(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return raw  # something else, or wrong: whoever reads it will say so
    schema = found.schema if found.schema is not None else found.value
    if schema is None:
        return raw
    wanted = {"name": "response", "schema": schema}
    return Raw(encode({"type": "json_schema", "json_schema": wanted}))


def decode_response_format(raw: Raw) -> JSONSchemaFormat | None:
    """Decodes ``response_format`` to the schema that the answer follows; None is free text."""
    if not raw:
        return None
    try:
        wanted = _decode_format(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=ResponseFormat, at="response_format") from error
    if wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return JSONSchemaFormat(name="json_object", schema={"type": "object"})
    if wanted.json_schema is None:
        raise InvalidRequest(
            "missing 'response_format.json_schema'",
            code="missing_required_parameter",
            param="response_format.json_schema",
        )
    return wanted.json_schema


# ----------------------------------------------------------------------------------------- answers


Count = Annotated[int, Meta(ge=0, le=2**53)]
"""Tokens. An upstream that reports anything else has reported nothing."""


class PromptTokensDetails(Struct, kw_only=True):
    """``usage.prompt_tokens_details``."""

    cached_tokens: Count | None = 0


class CompletionTokensDetails(Struct, kw_only=True):
    """``usage.completion_tokens_details``."""

    reasoning_tokens: Count | None = 0


class Usage(Struct, kw_only=True):
    """Token counts of one answer; ``completion_tokens`` includes the reasoning."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    total_tokens: Count = 0
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None

    @property
    def cached_tokens(self) -> int:
        return (self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0

    @property
    def reasoning_tokens(self) -> int:
        details = self.completion_tokens_details
        return (details and details.reasoning_tokens) or 0


class TopLogprob(Struct, kw_only=True):
    """An alternative at one position."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(Struct, kw_only=True):
    """One sampled token with its log-probability."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[TopLogprob] = []


class Logprobs(Struct, kw_only=True):
    """``choices[].logprobs``."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None


class FunctionDelta(Struct, kw_only=True):
    """A piece of a function call."""

    name: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET


class ToolCallDelta(Struct, kw_only=True):
    """A piece of ``tool_calls``; the first one of a call has its id, type and name."""

    index: int
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET
    function: FunctionDelta | UnsetType = UNSET


class Delta(Struct, kw_only=True):
    """What one chunk adds to a choice's message."""

    role: Literal["assistant"] | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    reasoning: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCallDelta] | UnsetType = UNSET


class ChunkChoice(Struct, kw_only=True):
    """A choice's part in a chunk."""

    index: int
    delta: Delta
    logprobs: Logprobs | None = None
    finish_reason: str | None = None


class Chunk(Struct, kw_only=True):
    """``chat.completion.chunk``."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    system_fingerprint: str | UnsetType = UNSET
    usage: Usage | UnsetType | None = UNSET


class CalledFunction(Struct, kw_only=True):
    """The function of a finished call; ``arguments`` is JSON as text."""

    name: str
    arguments: str


class MessageToolCall(Struct, kw_only=True):
    """A finished call."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


class AssistantMessage(Struct, kw_only=True):
    """``choices[].message``."""

    role: Literal["assistant"] = "assistant"
    content: str | None = None
    refusal: str | None = None
    reasoning: str | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[MessageToolCall] | UnsetType = UNSET


class Choice(Struct, kw_only=True):
    """One answer of ``chat.completion``."""

    index: int
    message: AssistantMessage
    logprobs: Logprobs | None = None
    finish_reason: str | None = None


class Completion(Struct, kw_only=True):
    """``chat.completion``."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    system_fingerprint: str | UnsetType = UNSET


encode = msgspec.json.Encoder().encode


class Report(Struct):
    """What a chunk or completion says of its usage. ``choices`` tells whether it says more."""

    usage: Usage | None = None
    choices: list[Raw] = []


_decode_report = msgspec.json.Decoder(Report).decode


def peek_report(document: bytes) -> Report | None:
    """Returns the usage that a chunk or completion reports, None if none; for the price of a search."""
    if b'"usage"' not in document:
        return None
    try:
        report = _decode_report(document)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return report if report.usage is not None else None


def peek_usage(document: bytes) -> Usage | None:
    """Returns the usage that a chunk or completion reports, None if none."""
    report = peek_report(document)
    return report.usage if report else None


_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


def with_cost(chunk: bytes, cost_usd: str) -> bytes:
    """Adds ``usage.cost`` (USD, a JSON number of exactly these digits) to a chunk that reports usage."""
    fields = _decode_object(chunk)
    usage = _decode_object(fields["usage"])
    usage["cost"] = Raw(cost_usd.encode())
    fields["usage"] = Raw(encode(usage))
    return encode(fields)


def without_usage(chunk: bytes) -> bytes:
    """Takes the usage out of a chunk that also says something else."""
    fields = _decode_object(chunk)
    del fields["usage"]
    return encode(fields)


def fold(chunks: Iterable[Chunk]) -> Completion:
    """Folds the chunks of a stream into the completion that the same request would have got whole.

    Raises ValueError if there are none.
    """
    first: Chunk | None = None
    choices: dict[int, _Folded] = {}
    usage = Usage()
    for chunk in chunks:
        first = first or chunk
        for piece in chunk.choices:
            choices.setdefault(piece.index, _Folded()).add(piece)
        if isinstance(chunk.usage, Usage):
            usage = chunk.usage
    if first is None:
        raise ValueError("no chunks to fold")
    return Completion(
        id=first.id,
        created=first.created,
        model=first.model,
        choices=[choices[index].choice(index) for index in sorted(choices)],
        usage=usage,
        system_fingerprint=first.system_fingerprint,
    )


class _Folded:
    """One choice being folded: lists of pieces, joined once."""

    def __init__(self) -> None:
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.reasoning_content: list[str] = []
        self.calls: list[tuple[str, list[str], list[str]]] = []
        self.logprobs: list[TokenLogprob] | None = None
        self.finish_reason: str | None = None

    def add(self, piece: ChunkChoice) -> None:
        delta = piece.delta
        if delta.content:
            self.content.append(delta.content)
        if delta.reasoning:
            self.reasoning.append(delta.reasoning)
        if delta.reasoning_content:
            self.reasoning_content.append(delta.reasoning_content)
        for call in delta.tool_calls or ():
            self._add_call(call)
        if piece.logprobs is not None:
            self.logprobs = self.logprobs or []
            self.logprobs.extend(piece.logprobs.content or ())
        self.finish_reason = piece.finish_reason or self.finish_reason

    def _add_call(self, delta: ToolCallDelta) -> None:
        if delta.index >= len(self.calls):
            self.calls.append((delta.id or "", [], []))
        _, names, arguments = self.calls[delta.index]
        if delta.function:
            names.append(delta.function.name or "")
            arguments.append(delta.function.arguments or "")

    def choice(self, index: int) -> Choice:
        message = AssistantMessage(
            content="".join(self.content) if self.content else None,
            reasoning="".join(self.reasoning) if self.reasoning else UNSET,
            reasoning_content="".join(self.reasoning_content) if self.reasoning_content else UNSET,
        )
        if self.calls:
            message.tool_calls = [
                MessageToolCall(
                    id=id_,
                    function=CalledFunction(name="".join(names), arguments="".join(arguments)),
                )
                for id_, names, arguments in self.calls
            ]
        logprobs = None if self.logprobs is None else Logprobs(content=self.logprobs)
        return Choice(
            index=index, message=message, logprobs=logprobs, finish_reason=self.finish_reason
        )
