"""Grammars of callers' schemas, choices and expressions: what they admit, and what is refused."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.engine.grammar import (
    MAX_BYTES,
    admits,
    check_grammar,
    choice_grammar,
    json_grammar,
    regex_grammar,
)
from trunkline.errors import InvalidRequest

CAP = 8
PATIENCE_S = 20.0  # no grammar here takes a second; a machine may be busy


def checked(grammar: str) -> str:
    return asyncio.run(check_grammar(grammar, param="p"))


def admitted(grammar: str, *texts: str) -> list[str]:
    async def main() -> list[str]:
        await check_grammar(grammar, param="p")
        return [text for text in texts if await admits(grammar, text)]

    return asyncio.run(main())


def refusal(grammar: str) -> str:
    with pytest.raises(InvalidRequest) as failure:
        checked(grammar)
    assert failure.value.param == "p"
    assert failure.value.message.startswith("p: ")
    assert "\n" not in failure.value.message
    assert len(failure.value.message) < 400
    return failure.value.message.removeprefix("p: ")


def schema(strict: bool = True, cap: int | None = None, /, **keywords: Any) -> str:
    return json_grammar(keywords, strict=strict, string_cap=cap)


# -------------------------------------------------------------------------------- choices and patterns


@pytest.mark.parametrize(
    "choices",
    [
        ["yes", "no"],
        ["yes", "yes, but", ""],
        ['"', "\\", "\\n", "'"],
        ["two\nlines", "tab\there", "\x00\x03\x7f"],
        ["é", "日本", "😀"],
        ["<|end|>", "<|start|>user<|message|>"],
        ["/", "%json", "start: x", "|"],
        [f"item {n}" for n in range(3000)],
        ["x" * 50_000],
    ],
)
def test_exactly_the_choices_are_admitted(choices):
    others = ["", "x", choices[0] + "x", choices[0][1:]]
    texts = [*choices[-10:], *(other for other in others if other not in choices)]
    assert admitted(choice_grammar(choices), *texts) == choices[-10:]


@settings(deadline=None)
@given(st.lists(st.text(max_size=8).filter(lambda text: "<|" not in text), min_size=1, max_size=5))
def test_whatever_the_choices_are_they_are_admitted(choices):
    assert admitted(choice_grammar(choices), *choices) == choices


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        (r"\d{3}-[a-c]+", ["123-abc"], ["12-a", "123-", "123-abcd"]),
        (r"^\d{3}$", ["123"], ["^123$", "1234"]),
        ("yes|no", ["yes", "no"], ["yesno", ""]),
        ("", [""], ["a"]),
        (".*", ["", "anything <|end|> at all"], ["two\nlines"]),
        ("[^a]*", ["", "x\ny", "\x03"], ["bab"]),
        ("a/b", ["a/b"], [r"a\/b"]),
        (r"a\/b", ["a/b"], [r"a\/b"]),
        ("[/]", ["/"], [""]),
        (r"\\/", ["\\/"], ["/"]),
        ("a\nb", ["a\nb"], ["anb"]),
        ("(?i)ja", ["JA", "ja"], ["no"]),
        (r"\p{L}+", ["élan"], ["1"]),
        (r"\$", ["$"], [""]),
        ("a #b", ["a #b"], ["a "]),
        ("a/\nstart: /b", ["a/\nstart: /b"], ["a"]),
    ],
)
def test_a_pattern_is_matched_whole(pattern, matches, others):
    assert admitted(regex_grammar(pattern), *matches, *others) == matches


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "unclosed group"),
        ("[", "unclosed character class"),
        ("\\", "lexer error"),
        (r"(\w)\1", "backreferences are not supported"),
        ("a(?=b)", "look-around"),
        (r"\bword\b", "lookarounds not supported"),
        ("a[^\\s\\S]", "nothing satisfies it"),
        ("x" * MAX_BYTES, "too large"),
    ],
)
def test_a_pattern_that_cannot_be_enforced_is_refused_with_the_reason(pattern, reason):
    assert reason in refusal(regex_grammar(pattern))


@pytest.mark.parametrize(
    "grammar", [choice_grammar(["a<|return|>b"]), regex_grammar("<.call.>|<|call|>")]
)
def test_what_would_end_the_turn_cannot_be_part_of_the_answer(grammar):
    assert "which ends the model's turn" in refusal(grammar)


# ------------------------------------------------------------------------------------------- schemas

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def test_documents_follow_the_schema_in_one_layout():
    good = '{"name": "Anna", "age": 31}'
    bad = [
        '{"name":"Anna","age":31}',
        '{"name": "Anna"}',
        '{"age": 31, "name": "Anna"}',
        "{}",
        "31",
    ]
    assert admitted(json_grammar(PERSON, strict=True), good, *bad, good + " ") == [good]


@pytest.mark.parametrize(
    ("keywords", "good", "bad"),
    [
        ({"enum": ["x", 1, None, {"k": [1]}]}, ['"x"', "1", "null", '{"k": [1]}'], ["2"]),
        ({"const": "<|end|>"}, ['"<|end|>"'], ['"x"']),
        ({"type": "integer", "minimum": 3, "exclusiveMaximum": 6}, ["3", "5"], ["2", "6", "3.5"]),
        ({"type": "integer", "multipleOf": 7, "minimum": 0}, ["0", "21"], ["22"]),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ['"ab"', '"éàü"'], ['"a"', '"abcd"']),
        ({"type": "string", "pattern": r"^[A-Z]{2}\d$"}, ['"AB1"'], ['"ab1"', '"AB1 "']),
        ({"type": "string", "format": "date"}, ['"2026-11-22"'], ['"today"', '"2026-13-22"']),
        ({"type": "string", "format": "uri"}, ['"https://x.y/?a=b"', '"mailto:a@b"'], ['"x y"']),
        ({"type": ["boolean", "null"]}, ["true", "null"], ["1"]),
        (
            {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2},
            ["[true]", "[true, false]"],
            ["[]", "[true, true, true]"],
        ),
        ({"anyOf": [{"type": "integer"}, {"const": "x"}]}, ["1", '"x"'], ['"y"']),
        ({"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 5}]}, ["4"], ["2", "6"]),
        (
            {
                "$ref": "#/$defs/n",
                "$defs": {"n": {"type": "array", "items": {"$ref": "#/$defs/n"}}},
            },
            ["[]", "[[], [[]]]"],
            ["[1]"],
        ),
        ({"properties": {"a/~b": {"const": 1}}, "required": ["a/~b"]}, ['{"a/~b": 1}'], ["{}"]),
    ],
)
@pytest.mark.parametrize("cap", [None, CAP])
@pytest.mark.parametrize("strict", [True, False])
def test_keywords_are_enforced(keywords, good, bad, cap, strict):
    assert admitted(schema(strict, cap, **keywords), *good, *bad) == good


@pytest.mark.parametrize(
    ("keywords", "broken"),
    [
        ({"type": "integer", "not": {"const": 1}}, "1"),
        ({"type": "array", "uniqueItems": True}, "[1, 1]"),
        ({"type": "array", "contains": {"const": 2}}, "[1]"),
        ({"type": "object", "propertyNames": {"pattern": "^a$"}}, '{"b": 1}'),
        ({"type": "object", "dependentRequired": {"a": ["b"]}}, '{"a": 1}'),
        ({"type": "object", "if": {}, "then": {"required": ["a"]}}, "{}"),
        ({"type": "string", "format": "iri"}, '"x"'),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "1"),
    ],
)
def test_what_no_grammar_can_enforce_is_refused_if_strict_and_left_otherwise(keywords, broken):
    assert "cannot be enforced" in refusal(schema(True, **keywords))
    assert admitted(schema(False, **keywords), broken) == [broken]


@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        ({"type": "text"}, "text"),
        ({"type": 5}, "type"),
        ({"type": ["string", {}]}, "type"),
        ({"type": "string", "minLength": "x"}, "minLength"),
        ({"type": "string", "minLength": 5, "maxLength": 2}, "Unsatisfiable"),
        ({"type": "string", "pattern": "("}, "regex"),
        ({"enum": []}, "empty"),
        ({"$ref": "#/$defs/none"}, "none"),
        ({"$ref": "https://example.com/schema"}, "example.com"),
        ({"$ref": "#"}, "nothing satisfies it"),
        ({"properties": 5}, "properties"),
        ({"$defs": 5, "$ref": "#/$defs/a"}, ""),
        ({"const": "<|return|>"}, "ends the model's turn"),
    ],
)
@pytest.mark.parametrize("cap", [None, CAP])
def test_a_schema_that_is_none_is_refused_with_the_reason(keywords, reason, cap):
    assert reason in refusal(schema(True, cap, **keywords))


# ------------------------------------------------------------------------ bounds for a tiny model


@pytest.mark.parametrize(
    ("keywords", "good", "endless"),
    [
        ({"type": "string"}, '"12345678"', '"123456789"'),
        ({"type": "string", "minLength": 9}, '"123456789"', '"1234567890"'),
        (
            {"type": "string", "format": "date-time"},
            '"2026-11-22T00:00:00Z"',
            f'"2026-11-22T00:00:00.{"0" * 60}Z"',
        ),
        ({"type": ["string", "null"]}, "null", '"123456789"'),
        ({"type": "integer"}, "-12345", "12345678901"),
        ({"type": "number"}, "1.5", "1.23456"),
        ({"type": "number", "minimum": 0}, "1.5", "1.23456"),
        ({"type": "array"}, '["a", 1, {}]', '["123456789"]'),
        ({"type": "object"}, '{"a": {"b": [1.5, true, null]}}', '{"a": "123456789"}'),
        ({"type": "object"}, "{}", f'{{"{"k" * 40}": 1}}'),
        (
            {"type": "object", "additionalProperties": {"type": "boolean"}},
            '{"a": true}',
            f'{{"{"k" * 40}": true}}',
        ),
        ({}, '{"a": "b"}', '"123456789"'),
        ({"description": "anything"}, "[]", '"123456789"'),
        ({"type": "object", "properties": {"a": True}}, '{"a": 1}', '{"a": "123456789"}'),
        ({"type": "object", "properties": {"a": {"const": 1}}}, '{"a": 1}', '{"a": 1, "b": 2}'),
        ({"$defs": {"s": {"type": "string"}}, "$ref": "#/$defs/s"}, '"1234"', '"123456789"'),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "null", '"123456789"'),
        ({"type": "array", "items": {"type": "string"}}, '["a"]', '["123456789"]'),
    ],
)
def test_a_cap_bounds_what_has_no_bound(keywords, good, endless):
    assert admitted(schema(True, CAP, **keywords), endless) == []
    assert admitted(schema(True, None, **keywords), endless) == [endless]
    assert admitted(schema(True, CAP, **keywords), good) == [good]


@pytest.mark.parametrize(
    ("keywords", "document"),
    [
        ({"type": "string", "maxLength": 12}, '"123456789012"'),
        ({"type": "string", "pattern": "^a+$"}, '"aaaaaaaaaaaa"'),
        ({"type": "object", "additionalProperties": False}, "{}"),
        ({"type": "object", "properties": {}, "additionalProperties": True}, '{"a": 1}'),
        ({"type": "object", "properties": {}, "required": ["a"]}, '{"a": 1}'),
        ({"type": "object", "properties": {}, "patternProperties": {"^a$": True}}, '{"a": 1}'),
        ({"type": "object", "properties": {}, "minProperties": 1}, '{"a": 1}'),
        ({"enum": ["longer than the cap"]}, '"longer than the cap"'),
        ({"type": "string", "const": "longer than the cap"}, '"longer than the cap"'),
        ({"type": "integer", "minimum": 5_000_000_000}, "6000000000"),
        ({"type": "number", "multipleOf": 0.00001}, "0.00001"),
        (
            {"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]},
            '{"a": 1, "b": 2}',
        ),
    ],
)
def test_bounds_of_its_own_are_kept(keywords, document):
    assert admitted(schema(True, CAP, **keywords), document) == [document]


def test_the_callers_schema_is_left_alone():
    wanted = {"type": "object", "properties": {"a": {"type": "string", "format": "uri"}}}
    before = json.dumps(wanted)
    json_grammar(wanted, strict=True, string_cap=CAP)
    assert json.dumps(wanted) == before


# --------------------------------------------------------------------------------------------- bombs


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "boolean"}
    for _ in range(depth):
        found = {"type": "object", "properties": {"a": found}, "required": ["a"]}
    return found


def combinations(kind: str) -> dict[str, Any]:
    """Eight choices of eight, eight times over: 16 million schemas."""
    return {
        "allOf": [
            {kind: [{"type": "object", "properties": {f"p{i}{k}": {}}} for k in range(8)]}
            for i in range(8)
        ]
    }


BOMBS: dict[str, dict[str, Any]] = {
    "a megabyte": {"enum": [f"{n:0100}" for n in range(10_000)]},
    "many values": {"enum": [f"{n}" for n in range(8_000)]},
    "deep": nested(60),
    "deeper": nested(150),
    "a product": combinations("anyOf"),
    "many fields": {
        "type": "object",
        "properties": {f"p{n}": {"type": "string"} for n in range(1500)},
    },
    "long arrays": {"type": "array", "items": {"type": "integer"}, "minItems": 10**6},
    "long strings": {"type": "string", "maxLength": 10**9},
    "counted pattern": {"type": "string", "pattern": "^(((a{1,99}){1,99}){1,99}){1,99}$"},
    "exponential pattern": {"type": "string", "pattern": "^[ab]*a[ab]{500}$"},
    "backtracking pattern": {"type": "string", "pattern": "^(x+x+)+y$"},
    "loops": {
        "$ref": "#/$defs/a",
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
    },
    "branching": {
        "$defs": {"a": {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/a"}}] * 50}},
        "$ref": "#/$defs/a",
    },
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("cap", [None, CAP])
def test_a_bomb_is_compiled_or_refused_in_time_while_the_loop_goes_on(name, cap):
    async def main() -> tuple[float, float]:
        longest = 0.0
        began = last = time.monotonic()

        async def tick() -> None:
            nonlocal longest, last
            while True:
                await asyncio.sleep(0.001)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()

        async with asyncio.TaskGroup() as tasks:
            ticking = tasks.create_task(tick())
            grammar = json_grammar(BOMBS[name], strict=False, string_cap=cap)
            with suppress(InvalidRequest):
                await check_grammar(grammar, param="p")
            ticking.cancel()
        return time.monotonic() - began, longest

    took, longest = asyncio.run(main())
    assert took < PATIENCE_S
    assert longest < PATIENCE_S / 4


def test_a_schema_without_a_bottom_is_no_grammar():
    with pytest.raises(RecursionError):
        json_grammar(nested(5_000), strict=True)


def test_a_large_grammar_is_refused_unseen_with_both_sizes():
    message = refusal(choice_grammar(["x" * MAX_BYTES]))
    assert message.startswith("too large to be enforced (")
    assert message.endswith(f"of {MAX_BYTES} bytes)")


def test_compiling_waits_for_nothing_in_the_loops_own_threads():
    async def main() -> str:
        loop, release = asyncio.get_running_loop(), threading.Event()
        loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
        blocking = loop.run_in_executor(None, release.wait, PATIENCE_S)
        try:
            return await check_grammar(choice_grammar(["not cached"]), param="p")
        finally:
            release.set()
            await blocking

    assert asyncio.run(main()) == choice_grammar(["not cached"])
