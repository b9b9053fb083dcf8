"""The smallest value that a JSON schema accepts, for the schemas that tests write."""

from __future__ import annotations

from typing import Any


def satisfying(schema: dict[str, Any], root: dict[str, Any] | None = None) -> Any:
    """Returns a value that satisfies the schema. Patterns and conditionals are not understood."""
    root = schema if root is None else root
    match schema:
        case {"$ref": str(path)}:
            return satisfying(_followed(path, root), root)
        case {"const": value} | {"enum": [value, *_]} | {"default": value}:
            return value
        case {"anyOf": [first, *_]} | {"oneOf": [first, *_]}:
            return satisfying(first, root)
        case {"allOf": parts}:
            return satisfying({name: value for part in parts for name, value in part.items()}, root)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            properties = schema.get("properties", {})
            return {
                name: satisfying(properties.get(name, {}), root)
                for name in schema.get("required", properties)
            }
        case "array":
            return [satisfying(schema.get("items", {}), root)] * schema.get("minItems", 0)
        case "string":
            return _STRINGS.get(schema.get("format", ""), "text").ljust(
                schema.get("minLength", 0), "x"
            )[: schema.get("maxLength")]
        case "integer":
            return int(_number(schema))
        case "number":
            return _number(schema)
        case "boolean":
            return True
        case _:
            return None


_STRINGS = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "time": "03:04:05Z",
    "email": "a@example.com",
    "uri": "https://example.com/",
}


def _number(schema: dict[str, float]) -> float:
    step = schema.get("multipleOf", 1)
    low = max(schema.get("minimum", -1e300), schema.get("exclusiveMinimum", -1e300) + step)
    if low > 0:
        return -(-low // step) * step
    high = min(schema.get("maximum", 1e300), schema.get("exclusiveMaximum", 1e300) - step)
    return high // step * step if high < 0 else 0


def _followed(path: str, root: dict[str, Any]) -> dict[str, Any]:
    found: Any = root
    for step in path.removeprefix("#").split("/"):
        found = found[step] if step else found
    assert isinstance(found, dict)
    return found
