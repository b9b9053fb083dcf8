"""Schemas are the caller's, and may be none: whoever adapts one must not stumble over it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.engine.schema import adapted
from trunkline.providers.schemas import narrowed

RULES = ("item_schemas", "single_types", "few_variants", "closed", "required")
WHOLE: dict[str, Any] = {
    "type": ["object", "null"],
    "properties": {
        "a": {"type": "array", "items": True, "prefixItems": [{}]},
        "b": {"anyOf": [{"type": "string", "maxLength": 3, "format": "uri"}, {"enum": [1]}] * 4},
    },
    "required": ["a"],
    "$defs": {"x": {"type": "number", "minimum": 1}},
    "allOf": [{"$ref": "#/$defs/x"}],
    "patternProperties": {"a": {}},
    "additionalProperties": False,
}
ODD: list[Any] = [None, True, 0, 1.5, "", "object", [], {}, [None], [[]], [{}], ["a", {}], {"a": 1}]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {}}, "required": [[[]]]},
        {"type": ["object", []], "properties": {}},
        {"anyOf": 5},
    ],
)
def test_what_is_no_schema_is_left_to_whoever_checks_it(schema: dict[str, Any]) -> None:
    adapted(schema, cap=20)
    narrowed(schema, RULES)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


@given(st.lists(st.tuples(st.integers(0), st.sampled_from(ODD)), min_size=1, max_size=4))
def test_anything_may_stand_anywhere(changes: list[tuple[int, Any]]) -> None:
    schema = copy.deepcopy(WHOLE)
    for number, value in changes:
        if found := [*places(schema)]:
            container, key = found[number % len(found)]
            container[key] = copy.deepcopy(value)
    adapted(schema, cap=None)
    adapted(schema, cap=20)
    narrowed(schema, RULES)
