"""The Embeddings wire format: a request's parameters, and what an answer is made of.

Source: OpenAI's OpenAPI (``CreateEmbeddingRequest``, ``CreateEmbeddingResponse``). A request also stays
a ``dict[str, Raw]``, so that what we only carry survives unchanged.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from trunkline.errors import InvalidRequest
from trunkline.wire.invalid import translated

Encoding = Literal["float", "base64"]
_Text = Annotated[str, Meta(min_length=1)]
_Token = Annotated[int, Meta(ge=0)]
_Tokens = Annotated[list[_Token], Meta(min_length=1, max_length=2048)]
_MAX_NAME = 100  # characters of an unknown parameter's name that are quoted


class EmbeddingParameters(Struct, kw_only=True):
    """Every known top-level field, typed and with its range."""

    model: Annotated[str, Meta(min_length=1, max_length=512)]
    input: _Text | Annotated[list[_Text | _Token | _Tokens], Meta(min_length=1, max_length=2048)]
    encoding_format: Encoding | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None
    input_type: str | None = None
    provider: Raw = Raw()


PARAMETERS: Mapping[str, str] = {
    "model": "the model's name, with an optional `:provider` or `:policy`",
    "input": "a text, a list of texts, a list of tokens, or a list of such lists; 2,048 at most",
    "encoding_format": "`float`, or `base64` of little-endian 32-bit floats, whatever the provider does",
    "dimensions": "the length of the vectors; a provider that sends others is not believed",
    "user": "sent on",
    "input_type": "sent on, for models that embed queries and documents differently",
    "provider": "the routing wishes that OpenRouter documents; never sent on",
}
"""Each top-level field, with the sentence for the reference page."""


class EmbeddingRequest(Struct, frozen=True):
    """A decoded request: its typed parameters, its fields as sent, and the names that were left out."""

    parameters: EmbeddingParameters
    fields: dict[str, Raw]
    ignored: tuple[str, ...]


class Embedding(Struct, kw_only=True):
    """``data[]``: one vector, as numbers or in base64."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Struct, kw_only=True):
    """``usage``."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(Struct, kw_only=True):
    """What ``POST /v1/embeddings`` answers."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


def decode_request(body: bytes, *, lenient: bool) -> EmbeddingRequest:
    """Decodes the body of ``POST /v1/embeddings``.

    Raises InvalidRequest that names the field: for malformed JSON, wrong types, missing fields,
    values out of range and, unless ``lenient``, for names that nobody knows. Null is as absent.
    """
    try:
        fields = _decode_fields(body)
        parameters = _decode_parameters(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(_syntax_error(body) or error, of=EmbeddingParameters) from error
    fields = {name: raw for name, raw in fields.items() if bytes(raw) != b"null"}
    unknown = fields.keys() - PARAMETERS.keys()
    if unknown and not lenient:
        raise _unknown_parameter(min(unknown))
    for name in unknown:
        del fields[name]
    if isinstance(parameters.input, list) and len({type(one) for one in parameters.input}) > 1:
        raise InvalidRequest(
            "input: must hold texts, tokens, or lists of tokens, not a mixture",
            code="invalid_type",
            param="input",
        )
    return EmbeddingRequest(parameters=parameters, fields=fields, ignored=tuple(sorted(unknown)))


def vectors_of(texts: Raw) -> int:
    """Returns how many vectors answer an ``input`` that has been decoded before."""
    if bytes(texts).lstrip()[:1] == b'"':
        return 1
    elements = _decode_list(texts)
    return len(elements) if bytes(elements[0])[:1] in (b'"', b"[") else 1


def _syntax_error(body: bytes) -> msgspec.DecodeError | RecursionError | None:
    """Returns what keeps a body from being JSON at all, which may stand behind a wrong type."""
    try:
        _check_syntax(body)
    except (msgspec.DecodeError, RecursionError) as error:
        return error
    return None


def _unknown_parameter(name: str) -> InvalidRequest:
    shown = name[:_MAX_NAME]
    near = difflib.get_close_matches(shown, PARAMETERS, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    return InvalidRequest(
        f"unknown parameter '{shown}'{hint} "
        "(the header 'x-trunkline-params: lenient' leaves unknown ones out)",
        code="unknown_parameter",
        param=shown,
    )


_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_parameters = msgspec.json.Decoder(EmbeddingParameters).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_check_syntax = msgspec.json.Decoder(Raw).decode
