"""What ``POST /v1/responses`` may ask: its parameters, each with its range and its fate."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from trunkline.errors import InvalidRequest
from trunkline.wire.chat import Effort, Fate, decode_response_format, published_format
from trunkline.wire.invalid import translated
from trunkline.wire.parameters import decode_parameters
from trunkline.wire.responses.formats import JSONSchema, TextFormat

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
ReasoningContext = Literal["auto", "current_turn", "all_turns"]
ServiceTier = Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]


_MOST = 2**31 - 1


class StreamOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """``stream_options``."""

    include_obfuscation: bool | None = None
    include_usage: bool | None = None


class Reasoning(Struct, kw_only=True, forbid_unknown_fields=True):
    """``reasoning``."""

    effort: Effort | None = None
    summary: Summary | None = None
    generate_summary: Summary | None = None
    context: ReasoningContext | None = None
    mode: Literal["standard", "pro"] | None = None


def effective_context(asked: ReasoningContext | None) -> Literal["current_turn", "all_turns"]:
    """Returns of which turns the model is shown the reasoning.

    Only some models are made for more than the current turn; who has one of these says so.
    """
    return "all_turns" if asked == "all_turns" else "current_turn"


class TextOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """``text``."""

    format: TextFormat | None = None
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
    max_tool_calls: Annotated[int, Meta(ge=1, le=_MOST)] | None = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=_MOST)] | None = None
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
    safety_identifier: Annotated[str, Meta(max_length=64)] | None = None
    service_tier: ServiceTier | None = None
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
    """One field, or something that one can ask for: its fate, and the sentence for the reference page.

    ``droppable`` is whether a caller who asked for leniency goes without it where it is refused;
    without others the answer would be to another question.
    """

    fate: Fate
    note: str = ""
    droppable: bool = True


_S, _P, _I, _R = Fate.SERVED, Fate.PASSED, Fate.IGNORED, Fate.REFUSED
_P1 = ResponsesParameter

PARAMETERS: Mapping[str, ResponsesParameter] = {
    "model": _P1(_S, "the model's name, with an optional `:provider` or `:policy`"),
    "input": _P1(_S, "a text, or a list of items"),
    "instructions": _P1(_S, "comes first, as a developer's message; not inherited by what follows"),
    "previous_response_id": _P1(_S, "its items come before `input`"),
    "conversation": _P1(_R, "send `previous_response_id`", droppable=False),
    "store": _P1(_S, "true by default; with false nothing is kept"),
    "stream": _P1(_S, "semantic events, ended by `[DONE]`"),
    "stream_options": _P1(_S),
    "background": _P1(_R, "`false` only", droppable=False),
    "background_options": _P1(_R),
    "include": _P1(_S, "what belongs to tools that do not run here is accepted and adds nothing"),
    "tools": _P1(_S, "see below"),
    "tool_choice": _P1(_S, "in every published form, see below"),
    "parallel_tool_calls": _P1(_P, "with tools; without them it means nothing"),
    "max_tool_calls": _P1(_S, "calls of tools that run here; beyond it they are not run"),
    "max_output_tokens": _P1(_P, "as `max_completion_tokens`; counts reasoning too"),
    "text": _P1(_S),
    "response_format": _P1(_P, "chat's way of saying `text.format`; not both"),
    "reasoning": _P1(_S),
    "temperature": _P1(_P),
    "top_p": _P1(_P),
    "top_logprobs": _P1(_P, "alternatives for each token, which also asks for its log-probability"),
    "presence_penalty": _P1(_P),
    "frequency_penalty": _P1(_P),
    "truncation": _P1(_S, "with `auto`, too, nothing is dropped: too long an input is an error"),
    "context_management": _P1(_R, "nothing is compacted yet"),
    "prompt": _P1(_R, "there are no stored prompts", droppable=False),
    "prompt_cache_key": _P1(_P, "the router stays at the provider that has the prompt's cache"),
    "prompt_cache_options": _P1(_P),
    "prompt_cache_retention": _P1(_P),
    "metadata": _P1(_S, "kept with the response; never sent on"),
    "user": _P1(_P),
    "safety_identifier": _P1(_P),
    "service_tier": _P1(_P),
    "moderation": _P1(_R),
    "image": _P1(_I, "only ever a matter of cost"),
    "access_programs": _P1(_R),
    "client_metadata": _P1(_I, "coding agents send it"),
    "seed": _P1(_P),
    "stop": _P1(_P),
    "top_k": _P1(_P),
    "min_p": _P1(_P),
    "repetition_penalty": _P1(_P),
    "chat_template_kwargs": _P1(_P),
    "provider": _P1(_S, "the routing wishes that OpenRouter documents; never sent on"),
}
"""Every top-level field; no other is known."""

INSIDE: Mapping[str, ResponsesParameter] = {
    "stream_options.include_obfuscation": _P1(_S, "pads deltas to hide how long they are"),
    "stream_options.include_usage": _P1(_S, "chat's; the last event has the usage in any case"),
    "text.format": _P1(_P, "as `response_format`"),
    "text.verbosity": _P1(_P, "as `verbosity`"),
    "reasoning.effort": _P1(_P, "as `reasoning_effort`"),
    "reasoning.summary": _P1(_S, "made of the raw reasoning"),
    "reasoning.generate_summary": _P1(_S, "the older name of `summary`"),
    "reasoning.context": _P1(_S, "`auto` is `current_turn`, see below"),
    "reasoning.mode": _P1(_R, "`standard` only"),
}
"""What the fields that are objects hold."""

_NEUTRAL: Mapping[str, frozenset[bytes]] = {"background": frozenset({b"false"})}
"""Values of refused fields that ask for what holds without them."""

_decoder = msgspec.json.Decoder(ResponsesParameters)
_UNDECODED = [
    field.name for field in msgspec.structs.fields(ResponsesParameters) if field.type is Raw
]


class CreateRequest(Struct, frozen=True):
    """A decoded request: its typed parameters, its fields as sent, and the names that were left out."""

    parameters: ResponsesParameters
    fields: dict[str, Raw]
    ignored: tuple[str, ...]

    @property
    def obfuscated(self) -> bool:
        """Whether deltas are to be padded."""
        options = self.parameters.stream_options
        return bool(options and options.include_obfuscation)


def decode_create(body: bytes, *, lenient: bool) -> CreateRequest:
    """Decodes the body of ``POST /v1/responses``; items and tools stay undecoded.

    Raises InvalidRequest as `decode_parameters` does, ``unsupported_parameter`` for what is not
    served, and for fields that exclude each other.
    """
    _check_encoding(body)
    parameters, fields, ignored = decode_parameters(
        body, _decoder, known=PARAMETERS.keys(), lenient=lenient
    )
    for name in _UNDECODED:
        if name not in fields:
            setattr(parameters, name, Raw())  # it may have been null
    if parameters.previous_response_id is not None and parameters.conversation:
        raise InvalidRequest(
            "previous_response_id and conversation exclude each other; send one of them",
            param="previous_response_id",
        )
    left_out = [*ignored, *_refused(parameters, fields, lenient=lenient)]
    _check_format(parameters, fields)
    if not parameters.input and parameters.previous_response_id is None:
        raise InvalidRequest("missing 'input'", code="missing_required_parameter", param="input")
    left_out += [name for name in fields if PARAMETERS[name].fate is Fate.IGNORED]
    return CreateRequest(parameters, fields, tuple(sorted(left_out)))


def _check_encoding(body: bytes) -> None:
    """Looks at all of the body: what is only kept is never decoded, and must be readable later."""
    if body.isascii():
        return
    decode = codecs.getincrementaldecoder("utf-8")().decode
    view = memoryview(body)
    try:
        for start in range(0, len(body), _PIECE):
            decode(view[start : start + _PIECE])
        decode(b"", True)
    except UnicodeDecodeError as error:
        raise translated(error) from error


_PIECE = 1 << 16  # bytes: the text of a large body need not exist as a whole


def _refused(
    parameters: ResponsesParameters, fields: dict[str, Raw], *, lenient: bool
) -> list[str]:
    """Takes out what is not served and need not be; returns the names. Raises for the rest."""
    asked = [
        name
        for name, raw in fields.items()
        if PARAMETERS[name].fate is Fate.REFUSED and bytes(raw) not in _NEUTRAL.get(name, ())
    ]
    reasoning = parameters.reasoning
    if reasoning is not None and reasoning.mode not in (None, "standard"):
        asked.append("reasoning.mode")
    for name in asked:
        parameter = PARAMETERS.get(name) or INSIDE[name]
        if not (lenient and parameter.droppable):
            raise _not_supported(name, parameter)
        fields.pop(name, None)
    return asked


def _not_supported(name: str, parameter: ResponsesParameter) -> InvalidRequest:
    note = f": {parameter.note}" if parameter.note else ""
    way = " (the header 'x-trunkline-params: lenient' leaves it out)"
    return InvalidRequest(
        f"'{name}' is not supported{note}{way if parameter.droppable else ''}",
        code="unsupported_parameter",
        param=name,
    )


def _check_format(parameters: ResponsesParameters, fields: dict[str, Raw]) -> None:
    form = None if parameters.text is None else parameters.text.format
    if isinstance(form, JSONSchema):
        form.check()
    if not parameters.response_format:
        return
    if form is not None:
        raise InvalidRequest(
            "text.format and response_format say the same thing; send one of them",
            param="response_format",
        )
    fields["response_format"] = parameters.response_format = published_format(
        parameters.response_format
    )
    decode_response_format(parameters.response_format)
