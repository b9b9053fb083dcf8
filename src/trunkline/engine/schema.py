"""A caller's JSON schema, made fit for the engine that shall follow it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LARGEST, _SMALLEST = 1_000_000_000, 0.001
_KEY = '^[^"\\\\]{1,32}$'
_ANY = "trunkline-any"
_FORMATTED = 64  # characters that hold a value of every format
_URI, _LONGEST_URI = r"^[A-Za-z][A-Za-z0-9+.-]{0,15}:[!-~]{1,%d}$", 2000


def adapted(schema: Mapping[str, Any], *, cap: int | None) -> dict[str, Any]:
    """Returns the schema in words that the engine's llguidance knows.

    ``cap`` bounds the characters of strings that have no bound of their own, and in like manner
    numbers and undescribed values: a tiny model loops inside them. It also closes objects that
    describe their properties and do not say whether there are others. Raises RecursionError for a
    schema that is nested too deeply.
    """
    out = _within(schema, cap)
    named = out.get("$defs", {})
    if cap is not None and isinstance(named, Mapping):  # else llguidance will refuse it
        out["$defs"] = {**named, _ANY: _any_value(cap)}
    return out


# Where a schema holds further schemas: under these keys a schema, a list or a mapping of them.
# Not below allOf, where bounds of one schema may contradict another.
_ONE = ("items", "additionalProperties")
_MANY = ("anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "definitions")
_LISTED = {"enum", "const"}
_RANGES = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
_FIELDS = {"properties", "patternProperties", "$ref", "allOf", *_MANY}
_ANNOTATIONS = {"title", "description", "default", "examples", "deprecated", "$comment"}


def _within(schema: Mapping[str, Any], cap: int | None) -> dict[str, Any]:
    """Adapts a schema and those within it."""
    out = _itself(schema, cap)
    for key in _ONE:
        if key in out:
            out[key] = _element(out[key], cap)
    for key in _MANY:
        if isinstance(out.get(key), list):
            out[key] = [_element(one, cap) for one in out[key]]
    for key in _NAMED:
        if isinstance(out.get(key), Mapping):
            out[key] = {name: _element(one, cap) for name, one in out[key].items()}
    return out


def _element(schema: Any, cap: int | None) -> Any:
    if isinstance(schema, Mapping):
        return _within(schema, cap)
    return _any_reference() if schema is True and cap is not None else schema


def _itself(schema: Mapping[str, Any], cap: int | None) -> dict[str, Any]:
    out = dict(schema)
    if out.get("format") == "uri":  # llama.cpp's llguidance does not know it, the one here does
        del out["format"]
        out.setdefault("pattern", _URI % (_LONGEST_URI if cap is None else max(cap, _FORMATTED)))
    return out if cap is None or _LISTED & out.keys() else _capped(out, cap)


def _capped(schema: dict[str, Any], cap: int) -> dict[str, Any]:
    named = schema.get("type")
    kinds = named if isinstance(named, list) else [named]
    out = dict(schema)
    if "string" in kinds and not {"maxLength", "pattern"} & out.keys():
        shortest = out.get("minLength")
        least = _FORMATTED if "format" in out else shortest if isinstance(shortest, int) else 0
        out["maxLength"] = max(cap, least)
    if ("integer" in kinds or "number" in kinds) and not _RANGES & out.keys():
        out |= {"minimum": -_LARGEST, "maximum": _LARGEST}
    if "number" in kinds:
        out.setdefault("multipleOf", _SMALLEST)
    if "array" in kinds and "prefixItems" not in out:
        out.setdefault("items", _any_reference())
    if "object" in kinds and not _FIELDS & out.keys():
        value = out.get("additionalProperties", True)
        out |= {"patternProperties": {_KEY: value}, "additionalProperties": False}
    if "object" in kinds and _is_complete(out):
        out["additionalProperties"] = False
    return _any_reference() if out.keys() <= _ANNOTATIONS else out


def _is_complete(schema: Mapping[str, Any]) -> bool:
    """Whether an object's properties can be taken for all that it has."""
    properties, required = schema.get("properties"), schema.get("required", [])
    if not isinstance(properties, Mapping) or not isinstance(required, list):
        return False
    elsewhere = (_FIELDS - {"properties"}) | {"additionalProperties", "minProperties"}
    known = all(isinstance(name, str) and name in properties for name in required)
    return known and not elsewhere & schema.keys()


def _any_reference() -> dict[str, Any]:
    return {"$ref": f"#/$defs/{_ANY}"}


def _any_value(cap: int) -> dict[str, Any]:
    number = {"minimum": -_LARGEST, "maximum": _LARGEST, "multipleOf": _SMALLEST}
    return {
        "anyOf": [
            {"type": "string", "maxLength": cap},
            {"type": "number", **number},
            {"type": "boolean"},
            {"type": "null"},
            {"type": "array", "items": _any_reference(), "maxItems": 8},
            {
                "type": "object",
                "patternProperties": {_KEY: _any_reference()},
                "additionalProperties": False,
            },
        ]
    }
