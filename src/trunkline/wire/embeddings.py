"""The Embeddings wire format: a request's parameters, and what an answer is made of.

Source: OpenAI's OpenAPI (``CreateEmbeddingRequest``, ``CreateEmbeddingResponse``). A request also stays
a ``dict[str, Raw]``, so that what we only carry survives unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from trunkline.errors import InvalidRequest
from trunkline.wire.parameters import decode_parameters

Encoding = Literal["float", "base64"]
_Text = Annotated[str, Meta(min_length=1)]
_Token = Annotated[int, Meta(ge=0)]
_Tokens = Annotated[list[_Token], Meta(min_length=1, max_length=2048)]


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

    Raises InvalidRequest as `decode_parameters` does, and for a mixture of texts and tokens.
    """
    parameters, fields, ignored = decode_parameters(
        body, _decoder, known=PARAMETERS.keys(), lenient=lenient
    )
    if isinstance(parameters.input, list) and len({type(one) for one in parameters.input}) > 1:
        raise InvalidRequest(
            "input: must hold texts, tokens, or lists of tokens, not a mixture",
            code="invalid_type",
            param="input",
        )
    return EmbeddingRequest(parameters=parameters, fields=fields, ignored=ignored)


def vectors_of(texts: Raw) -> int:
    """Returns how many vectors answer an ``input`` that has been decoded before."""
    if bytes(texts).lstrip()[:1] == b'"':
        return 1
    elements = _decode_list(texts)
    return len(elements) if bytes(elements[0])[:1] in (b'"', b"[") else 1


_decoder = msgspec.json.Decoder(EmbeddingParameters)
_decode_list = msgspec.json.Decoder(list[Raw]).decode
