"""Bodies that are wrong, each with the code and the path of its error, and what large ones cost."""

from __future__ import annotations

import copy
import json
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.e2e.test_responses_items import SAMPLES
from trunkline.errors import InvalidRequest
from trunkline.responses.context import context_of
from trunkline.wire.responses import added_tools, decode_create, decode_input, decode_tools
from trunkline.wire.responses.items import MAX_ITEMS

TYPE, MISSING, VALUE = "invalid_type", "missing_required_parameter", "invalid_value"
UNKNOWN, UNSUPPORTED, JSON = "unknown_parameter", "unsupported_parameter", "invalid_json"

USER = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c", "output": "x"}
LOOK = {"type": "function", "name": "look"}
SCHEMA = {"type": "json_schema", "name": "x", "schema": {}}


def taken(body: bytes) -> None:
    """Takes a body in, as the endpoint does."""
    request = decode_create(body, lenient=False)
    items = decode_input(request.parameters.input)
    offered = decode_tools(request.parameters.tools, added_tools(items))
    context_of(request, offered, items)


def refusal(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        taken(body)
    return refused.value


def item(**fields: Any) -> dict[str, Any]:
    return {"input": [USER, fields]}


def part(*parts: Any, role: str = "user") -> dict[str, Any]:
    return {"input": [{"role": role, "content": [*parts]}]}


def image(**fields: Any) -> dict[str, Any]:
    return part({"type": "input_image", **fields})


def file(**fields: Any) -> dict[str, Any]:
    return part({"type": "input_file", **fields})


def choice(value: Any, *tools: Any) -> dict[str, Any]:
    return {"tools": [*tools] or [LOOK], "tool_choice": value}


def allowed(*tools: Any, **more: Any) -> dict[str, Any]:
    return choice({"type": "allowed_tools", "mode": "auto", "tools": [*tools], **more})


WRONG: list[tuple[dict[str, Any], str, str | None]] = [
    # Parameters.
    ({"model": None}, TYPE, "model"),
    ({"model": 1}, TYPE, "model"),
    ({"model": ""}, VALUE, "model"),
    ({"input": None}, MISSING, "input"),
    ({"input": 1}, TYPE, "input"),
    ({"input": {}}, TYPE, "input"),
    ({"input": []}, VALUE, "input"),
    ({"input": [{"role": "user", "content": "a", "id": "a\x00b"}]}, VALUE, "input[0].id"),
    ({"input": [{"role": "user", "content": "a", "id": "x" * 513}]}, VALUE, "input[0].id"),
    ({"input": [{"type": "item_reference", "id": "msg_\n"}]}, VALUE, "input[0].id"),
    ({"instructions": 1}, TYPE, "instructions"),
    ({"previous_response_id": 1}, TYPE, "previous_response_id"),
    ({"stream": "yes"}, TYPE, "stream"),
    ({"store": 0}, TYPE, "store"),
    ({"stream_options": []}, TYPE, "stream_options"),
    ({"stream_options": {"include_obfuscation": 1}}, TYPE, "stream_options.include_obfuscation"),
    ({"stream_options": {"other": 1}}, UNKNOWN, "stream_options.other"),
    ({"background": "true"}, TYPE, "background"),
    ({"include": "all"}, TYPE, "include"),
    ({"include": ["all"]}, VALUE, "include[0]"),
    ({"max_output_tokens": 0}, VALUE, "max_output_tokens"),
    ({"max_output_tokens": 1.5}, TYPE, "max_output_tokens"),
    ({"max_output_tokens": 10**30}, VALUE, "max_output_tokens"),
    ({"max_tool_calls": 0}, VALUE, "max_tool_calls"),
    ({"temperature": 2.1}, VALUE, "temperature"),
    ({"temperature": -0.1}, VALUE, "temperature"),
    ({"temperature": "hot"}, TYPE, "temperature"),
    ({"top_p": 1.1}, VALUE, "top_p"),
    ({"top_logprobs": 21}, VALUE, "top_logprobs"),
    ({"presence_penalty": 3}, VALUE, "presence_penalty"),
    ({"frequency_penalty": -3}, VALUE, "frequency_penalty"),
    ({"truncation": "middle"}, VALUE, "truncation"),
    ({"service_tier": "gold"}, VALUE, "service_tier"),
    ({"safety_identifier": "x" * 65}, VALUE, "safety_identifier"),
    ({"metadata": {"a": 1}}, TYPE, "metadata"),
    ({"metadata": {"a": "x" * 513}}, VALUE, "metadata"),
    ({"metadata": {"a" * 65: "x"}}, VALUE, "metadata"),
    ({"metadata": {str(n): "x" for n in range(17)}}, VALUE, "metadata"),
    ({"reasoning": "high"}, TYPE, "reasoning"),
    ({"reasoning": {"effort": "huge"}}, VALUE, "reasoning.effort"),
    ({"reasoning": {"summary": "long"}}, VALUE, "reasoning.summary"),
    ({"reasoning": {"context": "none"}}, VALUE, "reasoning.context"),
    ({"reasoning": {"max_tokens": 5}}, UNKNOWN, "reasoning.max_tokens"),
    ({"reasoning": {"mode": "pro"}}, UNSUPPORTED, "reasoning.mode"),
    ({"text": "json"}, TYPE, "text"),
    ({"text": {"verbosity": "none"}}, VALUE, "text.verbosity"),
    ({"text": {"form": {}}}, UNKNOWN, "text.form"),
    ({"text": {"format": "json_object"}}, TYPE, "text.format"),
    ({"text": {"format": {}}}, MISSING, "text.format.type"),
    ({"text": {"format": {"type": "xml"}}}, VALUE, "text.format.type"),
    ({"text": {"format": {"type": 1}}}, TYPE, "text.format.type"),
    ({"text": {"format": {**SCHEMA, "name": "a b"}}}, VALUE, "text.format.name"),
    ({"text": {"format": {**SCHEMA, "schema": []}}}, TYPE, "text.format.schema"),
    ({"text": {"format": {**SCHEMA, "strict": "yes"}}}, TYPE, "text.format.strict"),
    ({"text": {"format": {"type": "json_schema", "name": "x"}}}, MISSING, "text.format.schema"),
    ({"text": {"format": {**SCHEMA, "json_schema": {}}}}, UNKNOWN, "text.format.json_schema"),
    (
        {"text": {"format": SCHEMA}, "response_format": {"type": "text"}},
        VALUE,
        "response_format",
    ),
    ({"response_format": {"type": "xml"}}, VALUE, "response_format.type"),
    ({"response_format": {"type": "json_schema"}}, MISSING, "response_format.json_schema"),
    ({"stop": [1]}, TYPE, "stop[0]"),
    ({"seed": 2**64}, VALUE, "seed"),
    ({"max_tokens": 5}, UNKNOWN, "max_tokens"),
    ({"messages": []}, UNKNOWN, "messages"),
    ({"previous_response_id": "resp_1", "conversation": "conv_1"}, VALUE, "previous_response_id"),
    ({"conversation": {"id": "conv_1"}}, UNSUPPORTED, "conversation"),
    ({"background": True}, UNSUPPORTED, "background"),
    # Items.
    ({"input": [1]}, TYPE, "input[0]"),
    ({"input": [None]}, TYPE, "input[0]"),
    ({"input": [USER, {}]}, MISSING, "input[1].type"),
    ({"input": [USER, {"type": None}]}, MISSING, "input[1].type"),
    (item(type=1), TYPE, "input[1].type"),
    (item(type="banana"), VALUE, "input[1].type"),
    (item(type="acme:thing"), VALUE, "input[1].type"),
    (item(type="message"), MISSING, "input[1].role"),
    (item(role="tool", content="x"), VALUE, "input[1].role"),
    (item(role="user"), MISSING, "input[1].content"),
    (item(role="user", content=None), TYPE, "input[1].content"),
    (item(role="user", content={}), TYPE, "input[1].content"),
    (item(role="user", content="x", id=5), TYPE, "input[1].id"),
    (item(role="user", content="x", id="x" * 513), VALUE, "input[1].id"),
    (item(type="item_reference"), MISSING, "input[1].id"),
    (item(type="item_reference", id=""), VALUE, "input[1].id"),
    (item(type="reasoning", summary="x"), TYPE, "input[1].summary"),
    (item(type="reasoning", summary=[{"text": 1}]), TYPE, "input[1].summary[0].text"),
    (item(type="reasoning", encrypted_content=1), TYPE, "input[1].encrypted_content"),
    (
        {"input": [{**USER, "id": "msg_1"}, USER, {**USER, "id": "msg_1"}]},
        VALUE,
        "input[2].id",
    ),
    # Parts.
    (part(1), TYPE, "input[0].content[0]"),
    (part({}), MISSING, "input[0].content[0].type"),
    (part({"type": 1}), TYPE, "input[0].content[0].type"),
    (part({"type": "image_url"}), VALUE, "input[0].content[0].type"),
    (part({"type": "input_audio", "data": ""}), VALUE, "input[0].content[0].type"),
    (part({"type": "input_text"}), MISSING, "input[0].content[0].text"),
    (part({"type": "input_text", "text": 1}), TYPE, "input[0].content[0].text"),
    (part({"type": "input_text", "text": "a"}, 5), TYPE, "input[0].content[1]"),
    (image(), MISSING, "input[0].content[0].image_url"),
    (image(image_url={"url": "data:,"}), TYPE, "input[0].content[0].image_url"),
    (image(image_url="file:///etc/passwd"), VALUE, "input[0].content[0].image_url"),
    (image(image_url="data:,", detail="most"), VALUE, "input[0].content[0].detail"),
    (image(file_id="file-1"), UNSUPPORTED, "input[0].content[0].file_id"),
    (file(), MISSING, "input[0].content[0].file_data"),
    (file(file_id="file-1"), UNSUPPORTED, "input[0].content[0].file_id"),
    (file(file_data="data:,", file_url="https://a.b/c"), VALUE, "input[0].content[0]"),
    (file(file_url="ftp://a.b/c"), VALUE, "input[0].content[0].file_url"),
    (
        part({"type": "input_image", "image_url": "data:,"}, role="assistant"),
        VALUE,
        "input[0].content[0].type",
    ),
    (
        part({"type": "input_image", "image_url": "data:,"}, role="developer"),
        VALUE,
        "input[0].content[0].type",
    ),
    # Calls and outputs.
    (item(type="function_call", name="x", arguments="{}"), MISSING, "input[1].call_id"),
    (item(type="function_call", call_id="c", arguments="{}"), MISSING, "input[1].name"),
    (item(**{**CALL, "arguments": {}}), TYPE, "input[1].arguments"),
    (item(**{**CALL, "call_id": ""}), VALUE, "input[1].call_id"),
    (item(type="function_call_output", output="x"), MISSING, "input[1].call_id"),
    ({"input": [CALL, {**OUTPUT, "output": None}]}, TYPE, "input[1].output"),
    ({"input": [CALL, {**OUTPUT, "output": {"a": 1}}]}, TYPE, "input[1].output"),
    (
        {"input": [CALL, {**OUTPUT, "output": [{"type": "refusal", "refusal": "no"}]}]},
        VALUE,
        "input[1].output[0].type",
    ),
    (
        {"input": [CALL, {**OUTPUT, "output": [{"type": "input_image", "file_id": "f"}]}]},
        UNSUPPORTED,
        "input[1].output[0].file_id",
    ),
    (item(**OUTPUT), VALUE, "input[1]"),
    ({"input": [OUTPUT, CALL]}, VALUE, "input[0]"),
    ({"input": [CALL, OUTPUT, OUTPUT]}, VALUE, "input[2]"),
    ({"input": [CALL, {**OUTPUT, "call_id": "d"}]}, VALUE, "input[1]"),
    (item(type="shell_call_output", call_id="c", output=[]), VALUE, "input[1]"),
    (item(type="custom_tool_call", name="x", input=""), MISSING, "input[1].call_id"),
    (item(type="custom_tool_call", call_id="c", name="x"), MISSING, "input[1].input"),
    (item(type="custom_tool_call", call_id="c", name="x", input=5), TYPE, "input[1].input"),
    (item(type="shell_call", call_id="c"), MISSING, "input[1].action"),
    (item(type="shell_call", call_id="c", action="ls"), TYPE, "input[1].action"),
    (item(type="apply_patch_call", call_id="c"), MISSING, "input[1].operation"),
    (item(type="local_shell_call_output", output="x"), MISSING, "input[1].call_id"),
    # Tools and their choice.
    ({"tools": {}}, TYPE, "tools"),
    ({"tools": [1]}, TYPE, "tools[0]"),
    ({"tools": [{}]}, MISSING, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, MISSING, "tools[0].name"),
    ({"tools": [LOOK, LOOK]}, VALUE, "tools[1].name"),
    (choice("always"), VALUE, "tool_choice"),
    (choice(1), TYPE, "tool_choice"),
    ({"tool_choice": "required"}, VALUE, "tool_choice"),
    (choice({}), MISSING, "tool_choice.type"),
    (choice({"type": "banana"}), VALUE, "tool_choice.type"),
    (choice({"type": "function"}), MISSING, "tool_choice.name"),
    (choice({"type": "function", "name": 1}), TYPE, "tool_choice.name"),
    (choice({"type": "function", "name": "other"}), VALUE, "tool_choice.name"),
    (choice({"type": "function", "function": {"name": "look"}}), MISSING, "tool_choice.name"),
    (choice({"type": "custom", "name": "look"}), VALUE, "tool_choice.name"),
    (choice({"type": "web_search"}), UNSUPPORTED, "tool_choice.type"),
    (choice({"type": "file_search"}), UNSUPPORTED, "tool_choice.type"),
    (choice({"type": "shell"}), VALUE, "tool_choice.type"),
    (choice({"type": "apply_patch"}), VALUE, "tool_choice.type"),
    (choice({"type": "mcp"}), MISSING, "tool_choice.server_label"),
    (choice({"type": "mcp", "server_label": "x"}), VALUE, "tool_choice.server_label"),
    (allowed(), VALUE, "tool_choice.tools"),
    (allowed(LOOK, mode=None), MISSING, "tool_choice.mode"),
    (allowed(LOOK, mode="none"), VALUE, "tool_choice.mode"),
    (allowed({"type": "function"}), MISSING, "tool_choice.tools[0].name"),
    (allowed(LOOK, {"type": "function", "name": "other"}), VALUE, "tool_choice.tools[1].name"),
    (allowed({"type": "web_search"}, mode="required"), VALUE, "tool_choice.tools"),
]


@pytest.mark.parametrize(
    ("body", "code", "param"), WRONG, ids=[f"{n}-{one[2]}" for n, one in enumerate(WRONG)]
)
def test_what_is_wrong_is_named_with_its_path(
    body: dict[str, Any], code: str, param: str | None
) -> None:
    error = refusal(msgspec.json.encode({"model": "m", "input": "hi", **body}))
    assert (error.status, error.code, error.param) == (400, code, param), error.message
    assert (param or "") in error.message or code == UNSUPPORTED
    assert len(error.message) < 700
    assert error.message[-1] not in ".!"


def at(text: bytes) -> bytes:
    return b'{"model": "m", "input": ' + text + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"nonsense",
        at(b'"hi"')[:-1],
        at(b'"hi"') + b"}",
        at(b'"a\xffb"'),
        at(b'[{"type": "web_search_call", "id": "ws_1", "action": "\xc3\x28"}]'),
        at(b'[{"role": "user", "content": "hi", "seen": "\xed\xa0\x80"}]'),
        at(b"[" * 1000 + b"]" * 1000),
        at(b'[{"type": "mcp_call", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]"),
        b'{"model": "m", "input": "hi", "tools": ' + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b"}",
    ],
)
def test_what_is_no_json_is_refused_as_that(body: bytes) -> None:
    error = refusal(body)
    assert error.code in (JSON, TYPE)
    assert error.param in (None, "input", "tools")
    assert "JSON" in error.message or error.code == TYPE


def test_half_a_surrogate_is_refused_wherever_it_stands() -> None:
    for text in (
        b'"\\ud800"',
        b'[{"role": "user", "content": "a\\udc00b"}]',
        b'[{"type": "mcp_call", "id": "x", "name": "\\ud800"}]',
    ):
        assert refusal(at(text)).code == JSON


# ------------------------------------------------------------------------------------------- large


def seconds(body: bytes) -> float:
    """Returns what it costs to take a body in, or to refuse it, in CPU seconds."""
    before = time.process_time()
    with suppress(InvalidRequest):
        taken(body)
    return time.process_time() - before


def large(name: str) -> bytes:
    text = b"lorem ipsum dolor " * (20_000_000 // 18)
    deep: Any = {"type": "string"}
    for _ in range(150):
        deep = {"type": "object", "properties": {"a": deep}}
    wide = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(50_000)}}
    loop = {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}] * 1000}}}
    bodies: dict[str, Any] = {
        "items": {"input": [USER] * 10_000},
        "as many items as may be": {"input": [USER] * MAX_ITEMS},
        "too many items": {"input": [USER] * 100_000},
        "calls": {"input": [CALL, OUTPUT] * 5_000},
        "open calls": {"input": [CALL] * 5_000 + [OUTPUT] * 5_000},
        "text": {"input": text.decode()},
        "text in parts": part(*[{"type": "input_text", "text": "x" * 1000}] * 20_000),
        "wide characters": {"input": "日本語" * 2_000_000},
        "arguments": {"input": [{**CALL, "arguments": text.decode()}, OUTPUT]},
        "a name": {"x" * 20_000_000: 1},
        "a type": item(type="x" * 20_000_000),
        "metadata": {"metadata": {str(n): "x" for n in range(200_000)}},
        "parameters": {f"p{n}": n for n in range(100_000)},
        "deep schema": {"text": {"format": {**SCHEMA, "schema": deep}}},
        "wide schema": {"text": {"format": {**SCHEMA, "schema": wide}}},
        "looping schema": {"text": {"format": {**SCHEMA, "schema": loop}}},
        "choice": allowed(*[LOOK] * 100_000),
        "digits": {"seed": int("9" * 4000)},
    }
    return (
        msgspec.json.encode({"model": "m", "input": "hi", **bodies[name]})
        if (name != "digits")
        else json.dumps({"model": "m", "input": "hi", **bodies[name]}).encode()
    )


@pytest.mark.parametrize(
    "name",
    [
        *("items", "as many items as may be", "too many items", "calls", "open calls", "text"),
        *("text in parts", "wide characters", "arguments", "a name", "a type", "metadata"),
        *("parameters", "deep schema", "wide schema", "looping schema", "choice", "digits"),
    ],
)
def test_large_bodies_take_bounded_time(name: str) -> None:
    # A tenth to a third of a second here; what grows faster than its body would be far beyond.
    assert seconds(large(name)) < 2.0


@pytest.mark.parametrize("name", ["text", "wide characters", "a name"])
def test_large_bodies_take_bounded_memory(name: str) -> None:
    body = large(name)
    tracemalloc.start()
    try:
        seconds(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(body)


# ------------------------------------------------------------------------------------- a little wrong

_VALUES: list[Any] = [
    *(None, True, 0, -1, 1.5, 2**70, "", "x", "\0", "auto", "data:,", "https://a.b/c"),
    *([], {}, [None], [{}], {"type": None}, {"type": "function"}),
]


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yields every container in a document with each of its keys."""
    keys: Any = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key])


@given(
    st.sampled_from([sample for samples in SAMPLES.values() for sample in samples]),
    st.lists(st.tuples(st.integers(0), st.sampled_from(_VALUES)), min_size=1, max_size=3),
)
def test_items_that_are_a_little_wrong_are_taken_or_refused_by_their_path(
    sample: list[dict[str, Any]], changes: list[tuple[int, Any]]
) -> None:
    body = copy.deepcopy({"model": "m", "input": sample, "tools": [LOOK]})
    for number, value in changes:
        found = [*places(body)]
        container, key = found[number % len(found)]
        container[key] = copy.deepcopy(value)
    try:
        taken(msgspec.json.encode(body))
    except InvalidRequest as error:
        refused = error
    else:
        return
    assert refused.param or "JSON" in refused.message
    assert refused.message
