"""Function tools as the TypeScript-like declarations that gpt-oss was trained on.

The layout, uneven indentation included, is that of openai-harmony 0.0.8, except where that drops
what a schema says (``anyOf``, a local ``$ref``, ``const``, ``null`` and an ``enum`` without a type
become ``any`` there, examples other than strings vanish) or breaks it (comments of several lines,
quotes inside a string value).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from trunkline.errors import InvalidRequest

MAX_DEPTH = 32
"""Schemas nested deeper end in ``any``."""

MAX_REFERENCES = 64
"""References followed in one tool; further ones end in ``any``, so that a small schema stays small."""

MAX_REFERENCED_BYTES = 131_072
"""Size as JSON of all that references repeat, over all tools; beyond it they end in ``any``."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_JSON_TYPES = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "null": "null",
}

Schema = Mapping[str, Any]


def render_tools(tools: Sequence[Mapping[str, Any]]) -> str:
    """Returns the ``# Tools`` section for function tools in the chat wire format.

    Raises InvalidRequest if one is not a function, or has a name that could not stand in a header.
    """
    allowance = _Allowance()
    declarations = "".join(
        _declaration(_function(tool, f"tools[{index}]"), f"tools[{index}].function", allowance)
        for index, tool in enumerate(tools)
    )
    return (
        "# Tools\n\n## functions\n\nnamespace functions {\n\n"
        f"{declarations}}} // namespace functions"
    )


class _Allowance:
    """What references may still repeat, in bytes."""

    def __init__(self) -> None:
        self._left = MAX_REFERENCED_BYTES

    def grants(self, schema: Any) -> bool:
        self._left -= len(msgspec.json.encode(schema))
        return self._left >= 0


def _function(tool: Mapping[str, Any], param: str) -> Schema:
    function = tool.get("function")
    if tool.get("type", "function") != "function" or not isinstance(function, Mapping):
        raise InvalidRequest("only tools of type 'function' can be offered", param=f"{param}.type")
    return function


def _declaration(function: Schema, param: str, allowance: _Allowance) -> str:
    name = function.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidRequest(
            "a function's name is 1 to 128 letters, digits, '_', '-' or '.'", param=f"{param}.name"
        )
    parameters = function.get("parameters")
    if parameters is not None and not isinstance(parameters, Mapping):
        raise InvalidRequest(
            "a function's parameters are a JSON schema object",
            code="invalid_type",
            param=f"{param}.parameters",
        )
    description = "".join(_comment(function.get("description"), ""))
    argument = (
        "" if parameters is None else f"_: {_TypeWriter(parameters, allowance).type(parameters)}"
    )
    return f"{description}type {name} = ({argument}) => any;\n\n"


class _TypeWriter:
    """Writes one tool's schema as a type."""

    def __init__(self, root: Schema, allowance: _Allowance) -> None:
        self._root = root
        self._allowance = allowance
        self._references_left = MAX_REFERENCES

    def type(self, schema: Any, indent: str = "", depth: int = 0) -> str:
        """Returns the type of one schema; ``indent`` stands before each line after the first."""
        schema = self._resolved(schema)
        if schema is None or depth > MAX_DEPTH:
            return "any"
        if variants := _variants(schema, "oneOf"):
            return "".join(
                f"\n{indent} | {self._variant(variant, indent, depth, described=True)}"
                for variant in variants
            )
        if variants := _variants(schema, "anyOf"):
            return " | ".join(dict.fromkeys(self.type(v, indent, depth + 1) for v in variants))
        match schema.get("type"):
            case list() as names:
                return _type_list(names)
            case "object":
                return self._object(schema, indent, depth)
            case "array":
                items = schema.get("items")
                return "Array<any>" if items is None else f"{self.type(items, indent, depth + 1)}[]"
            case "string" if _is_enum(schema):
                values = [value for value in schema["enum"] if isinstance(value, str)]
                return _literals(values) or "string"
            case str() as name:
                return _JSON_TYPES.get(name, "any")
        if _is_enum(schema):
            return _literals(schema["enum"])
        return _json(schema["const"]) if "const" in schema else "any"

    def _object(self, schema: Schema, indent: str, depth: int) -> str:
        properties = schema.get("properties")
        required = schema.get("required")
        lines = [*_comment(schema.get("description"), indent), "{\n"]
        for name, value in properties.items() if isinstance(properties, Mapping) else ():
            optional = "" if isinstance(required, list) and name in required else "?"
            lines += self._property(f"{name}{optional}:", value, indent, depth)
        return "".join([*lines, indent, "}"])

    def _property(self, label: str, value: Any, indent: str, depth: int) -> Iterator[str]:
        schema: Schema = value if isinstance(value, Mapping) else {}
        if title := schema.get("title"):
            yield from _comment(title, indent)
            yield f"{indent}//\n"
        variants = _variants(schema, "oneOf")
        if not variants:
            yield from _comment(schema.get("description"), indent)
        yield from _examples(schema, indent)
        if not variants:
            default = f" // {_default(schema)}" if "default" in schema else ""
            inner = _nullable(schema, self.type(value, f"{indent}    ", depth + 1))
            yield f"{indent}{label} {inner},{default}\n"
            return
        yield from _comment(schema.get("description"), indent)
        if "default" in schema:
            yield f"{indent}// {_default(schema)}\n"
        yield f"{indent}{label}\n"
        for index, variant in enumerate(variants):
            # The reference leaves out the first variant's description beside the property's own.
            described = index > 0 or not schema.get("description")
            yield f"{indent} | {self._variant(variant, indent, depth, described=described)}\n"
        yield f"{indent},\n"

    def _variant(self, variant: Any, indent: str, depth: int, *, described: bool) -> str:
        schema = self._resolved(variant) or {}
        written = _nullable(schema, self.type(schema, f"{indent}   ", depth + 1))
        remarks = []
        if described and schema.get("description") and schema.get("type") != "object":
            remarks.append(_one_line(schema["description"]))
        if "default" in schema:
            remarks.append(_default(schema))
        return f"{written} // {' '.join(remarks)}" if remarks else written

    def _resolved(self, schema: Any) -> Schema | None:
        """Follows local references; None where there is no schema at their end."""
        while isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str):
            if self._references_left == 0:
                return None
            self._references_left -= 1
            schema = _look_up(self._root, schema["$ref"])
            if not self._allowance.grants(schema):
                return None
        return schema if isinstance(schema, Mapping) else None


def _look_up(root: Schema, pointer: str) -> Any:
    found: Any = root
    path = pointer.removeprefix("#").removeprefix("/")
    for step in path.split("/") if path else []:
        step = step.replace("~1", "/").replace("~0", "~")
        found = found.get(step) if isinstance(found, Mapping) else None
    return found if pointer.startswith("#") else None


def _variants(schema: Schema, keyword: str) -> list[Any]:
    variants = schema.get(keyword)
    return variants if isinstance(variants, list) else []


def _is_enum(schema: Schema) -> bool:
    return isinstance(schema.get("enum"), list) and bool(schema["enum"])


def _literals(values: list[Any]) -> str:
    return " | ".join(_json(value) for value in values)


def _type_list(names: list[Any]) -> str:
    known = [_JSON_TYPES.get(name, name) for name in names if isinstance(name, str)]
    return " | ".join(known) or "any"


def _nullable(schema: Schema, written: str) -> str:
    if schema.get("nullable") is not True or "null" in written.split(" | "):
        return written
    return f"{written} | null"


def _comment(text: Any, indent: str) -> Iterator[str]:
    if isinstance(text, str):
        for line in text.splitlines():
            yield f"{indent}// {line}\n"


def _examples(schema: Schema, indent: str) -> Iterator[str]:
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        yield f"{indent}// Examples:\n"
        for example in examples:
            yield f"{indent}// - {_json(example)}\n"


def _default(schema: Schema) -> str:
    default = schema["default"]
    if isinstance(default, str) and _is_enum(schema):
        return f"default: {_one_line(default)}"
    return f"default: {_json(default)}"


def _one_line(text: Any) -> str:
    return " ".join(str(text).splitlines())


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
