"""JSON schemas in the forms and within the rules of providers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from trunkline.config import Quirks
from trunkline.wire.chat import JSONSchemaFormat

_encode = msgspec.json.encode
_MOST_VARIANTS = 5
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_MAPS = ("properties", "$defs", "definitions")
_SINGLE = ("items", "not", "if", "then", "else", "contains")


def formatted(wanted: JSONSchemaFormat, quirks: Quirks) -> dict[str, Raw]:
    """Returns the fields that ask a provider for replies of this schema."""
    schema = wanted.schema
    if wanted.strict and quirks.schema_rules:
        schema = narrowed(schema, quirks.schema_rules) or schema
    match quirks.schema_form:
        case "json_object":
            return _format(type="json_object", schema=schema)
        case "value":
            return _format(type="json_object", value=schema)
        case "flat":
            return _format(type="json_schema", schema=schema)
        case "guided_json":
            return {"guided_json": Raw(_encode(schema))}
    named: dict[str, Any] = {"name": wanted.name, "schema": schema}
    if wanted.description is not None:
        named["description"] = wanted.description
    if wanted.strict is not None and quirks.strict_schemas:
        named["strict"] = wanted.strict
    return _format(type="json_schema", json_schema=named)


def _format(**fields: Any) -> dict[str, Raw]:
    return {"response_format": Raw(_encode(fields))}


def narrowed(schema: Mapping[str, Any], rules: Collection[str]) -> dict[str, Any] | None:
    """Returns a schema within the rules whose every document satisfies the given one, None if there is none.

    Objects lose what was allowed beyond their properties, and optional properties become required.
    """
    try:
        return _narrowed(schema, frozenset(rules))
    except (_CannotNarrow, RecursionError):
        return None


class _CannotNarrow(Exception):
    """The rules leave no useful schema."""


def _narrowed(schema: Mapping[str, Any], rules: frozenset[str]) -> dict[str, Any]:
    found = {key: _inside(key, value, rules) for key, value in schema.items()}
    if "item_schemas" in rules and found.get("items") is True:
        del found["items"]
    if "single_types" in rules and isinstance(found.get("type"), list):
        found = _one_type_each(found, rules)
    variants = found.get("anyOf")
    if "few_variants" in rules and isinstance(variants, list) and len(variants) > _MOST_VARIANTS:
        raise _CannotNarrow
    return _object(found, rules) if _is_object(found) else found


def _inside(key: str, value: Any, rules: frozenset[str]) -> Any:
    if key in _LISTS and isinstance(value, list):
        return [_narrowed(one, rules) if isinstance(one, dict) else one for one in value]
    if key in _MAPS and isinstance(value, dict):
        return {
            name: _narrowed(one, rules) if isinstance(one, dict) else one
            for name, one in value.items()
        }
    return _narrowed(value, rules) if key in _SINGLE and isinstance(value, dict) else value


def _one_type_each(schema: dict[str, Any], rules: frozenset[str]) -> dict[str, Any]:
    """Writes ``type: [a, b]`` as a choice between schemas of one type."""
    if "anyOf" in schema or not _are_names(schema["type"]):
        raise _CannotNarrow
    kept: dict[str, Any] = {
        key: schema[key] for key in ("title", "description", "default") if key in schema
    }
    rest = {key: value for key, value in schema.items() if key not in kept and key != "type"}
    return {**kept, "anyOf": [_narrowed(one, rules) for one in _of_each_type(schema["type"], rest)]}


_WORDS = {
    "object": ("properties", "required", "additionalProperties", "patternProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}


def _of_each_type(types: list[Any], rest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    special = {word for words in _WORDS.values() for word in words}
    for name in types:
        own = _WORDS.get("number" if name == "integer" else name, ())
        yield {"type": name} | {
            key: value for key, value in rest.items() if key in own or key not in special
        }


def _is_object(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "object" or "properties" in schema


def _object(schema: dict[str, Any], rules: frozenset[str]) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if not isinstance(properties, dict) or not _are_names(required):
        raise _CannotNarrow
    if "closed" in rules and schema.get("additionalProperties") is not False:
        # A map of names that are not known is what would be lost: nothing could be said any more.
        if (
            not properties
            or not set(required) <= properties.keys()
            or "patternProperties" in schema
        ):
            raise _CannotNarrow
        schema["additionalProperties"] = False
    if "required" in rules:
        schema["required"] = [*properties]
    return schema


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
