"""Checking a value against a caller's schema: what holds, what does not, and that neither runs away."""

from __future__ import annotations

import time

import pytest

from trunkline.errors import InvalidRequest
from trunkline.providers.schema_check import SchemaCheck

OBJECT = {
    "type": "object",
    "properties": {"a": {"$ref": "#/$defs/small"}, "b": {"type": "array", "items": {"enum": [1]}}},
    "additionalProperties": False,
    "$defs": {"small": {"type": "integer", "maximum": 3}},
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (OBJECT, {"a": 3, "b": [1, 1]}),
        ({"type": "string", "pattern": "^a+$"}, "aaa"),
        ({"type": "string", "pattern": "b"}, "abc"),
        ({"pattern": "b"}, 7),
        (
            {"type": "object", "patternProperties": {"^x": {}}, "additionalProperties": False},
            {"x": 1},
        ),
        ({"pattern": "(?=a)a"}, "what the grammars cannot read is not checked"),
    ],
)
def test_what_satisfies_a_schema_has_no_problem(schema, value):
    assert SchemaCheck(schema).problem(value) is None


@pytest.mark.parametrize(
    ("schema", "value", "problem"),
    [
        (OBJECT, {"a": 4}, '["a"]: 4 is greater than the maximum of 3'),
        (OBJECT, {"b": [1, 2]}, '["b"][1]: 2 is not one of [1]'),
        (OBJECT, [], "the document: [] is not of type 'object'"),
        (OBJECT, {"c": 1}, "the document: Additional properties are not allowed"),
        ({"type": "string", "pattern": "^a+$"}, "ab", "the document: 'ab' does not match '^a+$'"),
    ],
)
def test_what_does_not_is_told_where_and_why(schema, value, problem):
    found = SchemaCheck(schema).problem(value)
    assert found is not None
    assert found.startswith(problem)


def test_a_pattern_that_would_take_for_ever_elsewhere_takes_no_time():
    began = time.process_time()
    assert SchemaCheck({"pattern": "^(a+)+$"}).problem("a" * 40 + "!") is not None
    assert time.process_time() - began < 5


def test_a_schema_that_asks_for_steps_without_end_is_given_up():
    levels = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    schema = {"$ref": "#/$defs/d0", "$defs": {**levels, "d40": {}}}
    with pytest.raises(InvalidRequest, match="too long to check"):
        SchemaCheck(schema).problem(1)
    with pytest.raises(InvalidRequest, match="too long to check"):
        SchemaCheck({"$ref": "#"}).problem(1)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": 7}, "is not valid"),
        ({"description": "x" * 200_000}, "is too large"),
    ],
)
def test_a_schema_that_is_none_is_refused(schema, reason):
    with pytest.raises(InvalidRequest, match=reason) as caught:
        SchemaCheck(schema)
    assert caught.value.param == "response_format.json_schema.schema"


MANY = 20_000


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"uniqueItems": True}, [{"a": number} for number in range(MANY)]),
        ({"items": {"enum": [*range(MANY)]}}, [*range(MANY)]),
        ({"items": {"enum": [{"k": n} for n in range(9000)]}}, [{"k": n} for n in range(9000)]),
    ],
)
def test_much_is_compared_in_one_pass(schema, value):
    started = time.thread_time()
    assert SchemaCheck(schema).problem(value) is None
    assert time.thread_time() - started < 5.0


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"unevaluatedItems": False, "contains": {}}, [*range(MANY)]),
        ({"unevaluatedProperties": False, "allOf": [{}]}, {str(n): n for n in range(MANY)}),
    ],
)
def test_what_has_to_be_compared_with_everything_is_bounded(schema, value):
    with pytest.raises(InvalidRequest, match="takes too long to check"):
        SchemaCheck(schema).problem(value)


@pytest.mark.parametrize(
    ("schema", "value", "right"),
    [
        ({"uniqueItems": True}, [1, 1.0], False),
        ({"uniqueItems": True}, [1, True, "1", [1], {"a": 1}], True),
        ({"uniqueItems": True}, [{"a": 1, "b": 2}, {"b": 2.0, "a": 1}], False),
        ({"uniqueItems": False}, [1, 1], True),
        ({"uniqueItems": True}, "no list", True),
        ({"enum": [1, None, {"a": [1, 2]}]}, 1.0, True),
        ({"enum": [1, None, {"a": [1, 2]}]}, {"a": [1.0, 2]}, True),
        ({"enum": [1, None, {"a": [1, 2]}]}, True, False),
        ({"enum": [1, None, {"a": [1, 2]}]}, {"a": [2, 1]}, False),
        ({"enum": []}, None, False),
    ],
)
def test_what_is_equal_is_as_json_schema_has_it(schema, value, right):
    assert (SchemaCheck(schema).problem(value) is None) is right
