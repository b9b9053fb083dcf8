"""``response_format`` of a chat request, in all the ways in which clients send it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from trunkline.errors import InvalidRequest
from trunkline.wire.invalid import translated


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
    return Raw(msgspec.json.encode({"type": "json_schema", "json_schema": wanted}))


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
