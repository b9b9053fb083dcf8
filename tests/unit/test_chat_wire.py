"""The chat wire format: what a request may be, what is said of one that is not, and folding."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import InvalidRequest
from trunkline.wire import chat

GOOD = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
EFFORTS = "none, minimal, low, medium, high, xhigh, max"
NAME = "^[a-zA-Z0-9_-]{1,64}$"


def decode(*, lenient: bool = False, **fields: Any) -> chat.ChatRequest:
    return chat.decode_request(json.dumps({**GOOD, **fields}).encode(), lenient=lenient)


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def refusal(function, *args, **kwargs) -> tuple[str, str | None, str]:
    with pytest.raises(InvalidRequest) as failure:
        function(*args, **kwargs)
    assert failure.value.status == 400
    return failure.value.code, failure.value.param, failure.value.message


# --------------------------------------------------------------------------------------- the fields


@pytest.mark.parametrize(
    ("name", "value", "code", "rule"),
    [
        ("temperature", 3, "invalid_value", "must be at most 2"),
        ("temperature", -0.5, "invalid_value", "must be at least 0"),
        ("temperature", "hot", "invalid_type", "must be a number, not a string"),
        ("repetition_penalty", 0, "invalid_value", "must be more than 0"),
        ("n", 0, "invalid_value", "must be at least 1"),
        ("n", 129, "invalid_value", "must be at most 128"),
        ("n", 1.5, "invalid_type", "must be an integer, not a number"),
        ("n", True, "invalid_type", "must be an integer, not true or false"),
        ("max_tokens", 0, "invalid_value", "must be at least 1"),
        ("max_completion_tokens", "5", "invalid_type", "must be an integer, not a string"),
        ("seed", 2**63, "invalid_value", "must be at most 9223372036854775807"),
        ("stop", 5, "invalid_type", "must be a string or a list, not an integer"),
        ("stop", ["a"] * 17, "invalid_value", "must have at most 16 elements"),
        ("stream", "yes", "invalid_type", "must be true or false, not a string"),
        ("stream_options", [], "invalid_type", "must be an object, not a list"),
        ("logit_bias", {"1": 200}, "invalid_value", "must be at most 100"),
        ("top_logprobs", 21, "invalid_value", "must be at most 20"),
        ("model", "", "invalid_value", "must not be empty"),
        ("model", None, "invalid_type", "must be a string, not null"),
        ("model", "x" * 513, "invalid_value", "must have at most 512 characters"),
        ("reasoning_effort", "some", "invalid_value", f"must be one of {EFFORTS}, not 'some'"),
        ("verbosity", "mute", "invalid_value", "must be one of low, medium, high, not 'mute'"),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(name, value, code, rule):
    assert refusal(decode, **{name: value}) == (code, name, f"{name}: {rule}")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"stop": ["a", 1]}, "stop[1]", "invalid_type"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "invalid_type"),
        ({"reasoning": {"effort": "x"}}, "reasoning.effort", "invalid_value"),
        ({"reasoning": {"budget": 5}}, "reasoning.budget", "unknown_parameter"),
        ({"modalities": ["text", 1]}, "modalities[1]", "invalid_type"),
    ],
)
def test_a_field_within_a_field_is_named_by_its_path(fields, param, code):
    assert refusal(decode, **fields)[:2] == (code, param)


@pytest.mark.parametrize("name", sorted(chat.PARAMETERS.keys() - {"model", "messages"}))
def test_null_is_as_absent(name):
    nothing: dict[str, Any] = {name: None}
    assert decode(**nothing).fields.keys() == {"model", "messages"}


def test_every_typed_field_is_a_known_parameter():
    fields = {field.encode_name for field in msgspec.structs.fields(chat.ChatParameters)}
    assert fields == chat.PARAMETERS.keys()


def test_an_unknown_parameter_is_refused_with_the_closest_name():
    code, param, message = refusal(decode, temprature=1)
    assert (code, param) == ("unknown_parameter", "temprature")
    assert "did you mean 'temperature'?" in message
    assert "did you mean" not in refusal(decode, zzz=1)[2]


def test_an_unknown_parameter_is_named_in_part_if_it_is_long():
    _, param, message = refusal(decode, **{"x" * 10_000: 1})
    assert param is not None
    assert len(param) == 100
    assert len(message) < 300


def test_leniency_leaves_unknown_parameters_out_and_tells_which():
    request = decode(lenient=True, zzz=1, aaa=2, temperature=1)
    assert request.ignored == ("aaa", "zzz")
    assert request.fields.keys() == {"model", "messages", "temperature"}


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"", "invalid_json", None),
        (b"{", "invalid_json", None),
        (b'{"model": "m",}', "invalid_json", None),
        (b"\xff", "invalid_json", None),
        (b'{"model": "\xff", "messages": []}', "invalid_json", None),
        (b'{"model": "m", "messages": [], "temperature": NaN}', "invalid_json", None),
        (b'{"model": 5, "messages": [', "invalid_json", None),
        (b'{"model": "m", "messages": %b' % (b"[" * 100_000), "invalid_json", None),
        (b"[]", "invalid_type", None),
        (b"null", "invalid_type", None),
        (b"{}", "missing_required_parameter", "model"),
        (b'{"model": "m"}', "missing_required_parameter", "messages"),
        (b'{"model": "m", "messages": null}', "invalid_type", "messages"),
        (b'{"model": "m", "messages": "hi"}', "invalid_type", "messages"),
        (b'{"model": "m", "messages": []}', "invalid_value", "messages"),
        (b'{"model": "m", "messages": [%b]}' % (b" " * 50), "invalid_value", "messages"),
        (b'{"model": "m", "messages": [1], "temperature": 1e999}', "invalid_value", "temperature"),
    ],
)
def test_a_body_that_is_no_request_is_told_what_it_is(body, code, param):
    assert refusal(chat.decode_request, body, lenient=False)[:2] == (code, param)


def test_a_body_may_be_indented_as_deeply_as_one_likes():
    body = json.dumps(GOOD, indent=40).encode()
    assert chat.decode_request(body, lenient=False).parameters.model == "m"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.sampled_from(sorted(chat.PARAMETERS)), JSON)
def test_whatever_stands_in_a_field_it_is_taken_or_refused_by_name(name, value):
    refused: list[str | None] = []
    try:
        request = decode(**{name: value})
        chat.decode_messages(request.parameters.messages)
        tools = chat.decode_tools(request.parameters.tools)
        chat.decode_tool_choice(request.parameters.tool_choice, tools)
        chat.decode_response_format(request.parameters.response_format)
    except InvalidRequest as error:
        refused.append(error.param)
    assert all(param and param.startswith(name) for param in refused)


# ----------------------------------------------------------------------------------------- messages

CALL = {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
ASKED = {"role": "assistant", "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "a.txt"}
ROLES = "system, developer, user, assistant, tool"


@pytest.mark.parametrize(
    ("messages", "code", "param", "says"),
    [
        ([1], "invalid_type", "[0]", "must be an object, not an integer"),
        ([{}], "missing_required_parameter", "[0].role", "missing"),
        ([{"role": "bot"}], "invalid_value", "[0].role", f"must be one of {ROLES}, not 'bot'"),
        ([{"role": "user"}], "missing_required_parameter", "[0].content", "missing"),
        (
            [{"role": "user", "content": 5}],
            "invalid_type",
            "[0].content",
            "must be a string or a list",
        ),
        ([{"role": "user", "content": ["x"]}], "invalid_type", "[0].content[0]", "an object"),
        (
            [{"role": "user", "content": [{"type": "text"}]}],
            "missing_required_parameter",
            "[0].content[0].text",
            "missing",
        ),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
            "invalid_value",
            "[0].content[0].type",
            "reads text only, not 'image_url'",
        ),
        ([{**RESULT, "tool_call_id": None}], "missing_required_parameter", "[0].tool_call_id", ""),
        ([RESULT], "invalid_value", "[0].tool_call_id", "no earlier tool call has the id 'c1'"),
        ([ASKED, RESULT, RESULT], "invalid_value", "[2].tool_call_id", "has its result already"),
        (
            [{"role": "user", "content": "x", "tool_calls": [CALL]}],
            "invalid_value",
            "[0].tool_calls",
            "only an assistant's",
        ),
        (
            [{**ASKED, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": {}}}]}],
            "invalid_type",
            "[0].tool_calls[0].function.arguments",
            "must be a string, not an object",
        ),
        (
            [{**ASKED, "tool_calls": [{**CALL, "type": "custom"}]}],
            "invalid_value",
            "[0].tool_calls[0].type",
            "must be function, not 'custom'",
        ),
    ],
)
def test_a_wrong_message_is_named_by_its_path(messages, code, param, says):
    found = refusal(chat.decode_messages, raw(messages))
    assert found[:2] == (code, f"messages{param}")
    assert says in found[2]


def test_messages_that_are_not_utf_8_are_not_json():
    broken = msgspec.Raw(b'[{"role": "user", "content": "\xff"}]')
    assert refusal(chat.decode_messages, broken)[:2] == ("invalid_json", "messages")


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": []}],
        [{"role": "user", "content": [{"type": "text", "text": "a"}] * 500}],
        [{"role": "assistant"}],
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
        [{"role": "assistant", "content": "x", "annotations": [], "audio": None}],
        [ASKED, RESULT, ASKED, RESULT],
        [{"role": "user", "content": "hi"}] * 5000,
    ],
)
def test_a_message_may_be_empty_in_parts_or_have_what_others_know(messages):
    assert len(chat.decode_messages(raw(messages))) == len(messages)


# -------------------------------------------------------------------------------------------- tools


def tool(name: str, **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}


TOOLS = [tool("ls"), tool("rm")]


@pytest.mark.parametrize(
    ("tools", "code", "param"),
    [
        ({}, "invalid_type", "tools"),
        ([tool(f"t{n}") for n in range(129)], "invalid_value", "tools"),
        ([{"type": "web_search"}], "invalid_value", "tools[0].type"),
        ([{"type": "function"}], "missing_required_parameter", "tools[0].function"),
        ([tool("ls"), tool("two words")], "invalid_value", "tools[1].function.name"),
        ([tool("")], "invalid_value", "tools[0].function.name"),
        ([tool("ls"), tool("ls")], "invalid_value", "tools[1].function.name"),
        ([tool("ls", parameters=[])], "invalid_type", "tools[0].function.parameters"),
    ],
)
def test_a_wrong_tool_is_named_by_its_path(tools, code, param):
    assert refusal(chat.decode_tools, raw(tools))[:2] == (code, param)


def chosen(choice: Any, tools: Any = TOOLS) -> tuple[list[str], bool]:
    found = chat.decode_tool_choice(
        msgspec.Raw() if choice is None else raw(choice), chat.decode_tools(raw(tools))
    )
    return [tool.function.name for tool in found.allowed], found.required


def allowed(mode: str, *names: str) -> dict[str, Any]:
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [*map(tool, names)]}}


@pytest.mark.parametrize(
    ("choice", "outcome"),
    [
        (None, (["ls", "rm"], False)),
        ("auto", (["ls", "rm"], False)),
        ("none", ([], False)),
        ("required", (["ls", "rm"], True)),
        (tool("rm"), (["rm"], True)),
        (allowed("auto", "rm"), (["rm"], False)),
        (allowed("required", "rm", "ls"), (["rm", "ls"], True)),
    ],
)
def test_a_tool_choice_comes_to_the_tools_that_may_be_called(choice, outcome):
    assert chosen(choice) == outcome


@pytest.mark.parametrize(
    ("choice", "code", "param"),
    [
        ("some", "invalid_value", "tool_choice"),
        (5, "invalid_type", "tool_choice"),
        ({}, "missing_required_parameter", "tool_choice.type"),
        ({"type": "function"}, "missing_required_parameter", "tool_choice.function"),
        ({"type": "allowed_tools"}, "missing_required_parameter", "tool_choice.allowed_tools"),
        (tool("mv"), "invalid_value", "tool_choice.function.name"),
        (allowed("auto", "ls", "mv"), "invalid_value", "tool_choice.allowed_tools.tools[1]"),
        (allowed("maybe", "ls"), "invalid_value", "tool_choice.allowed_tools.mode"),
        (allowed("required"), "invalid_value", "tool_choice.allowed_tools.tools"),
    ],
)
def test_a_wrong_tool_choice_is_named_by_its_path(choice, code, param):
    assert refusal(chosen, choice)[:2] == (code, param)


@pytest.mark.parametrize("choice", ["required", tool("ls"), allowed("auto", "ls")])
def test_a_call_cannot_be_asked_for_without_tools(choice):
    assert refusal(chosen, choice, [])[:2] == ("invalid_value", "tool_choice")


def test_a_tool_that_is_not_there_is_named_with_those_that_are():
    assert "no tool is named 'mv'; there are: ls, rm" in refusal(chosen, tool("mv"))[2]


# --------------------------------------------------------------------------------- response formats


@pytest.mark.parametrize(
    ("wanted", "code", "param"),
    [
        ([], "invalid_type", ""),
        ({"type": "xml"}, "invalid_value", ".type"),
        ({"type": "json_schema"}, "missing_required_parameter", ".json_schema"),
        (
            {"type": "json_schema", "json_schema": {}},
            "missing_required_parameter",
            ".json_schema.name",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "a b"}},
            "invalid_value",
            ".json_schema.name",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "schema": 5}},
            "invalid_type",
            ".json_schema.schema",
        ),
    ],
)
def test_a_wrong_response_format_is_named_by_its_path(wanted, code, param):
    found = refusal(chat.decode_response_format, raw(wanted))
    assert found[:2] == (code, f"response_format{param}")


def test_a_pattern_that_does_not_match_is_shown():
    wanted = {"type": "json_schema", "json_schema": {"name": "a b"}}
    assert refusal(chat.decode_response_format, raw(wanted))[2].endswith(f"must match {NAME}")


def test_a_response_format_comes_to_a_schema_or_to_none():
    assert chat.decode_response_format(msgspec.Raw()) is None
    assert chat.decode_response_format(raw({"type": "text"})) is None
    found = chat.decode_response_format(raw({"type": "json_object"}))
    assert found is not None
    assert found.schema == {"type": "object"}


# ------------------------------------------------------------------------------------ usage and cost

CHUNK = b'{"id":"c","choices":[{"index":0}],"usage":{"prompt_tokens":3,"completion_tokens":2}}'
LAST = b'{"id":"c","choices":[],"usage":{"prompt_tokens":3,"prompt_tokens_details":null}}'


def test_a_chunk_without_usage_is_not_even_decoded():
    assert chat.peek_report(b"not JSON at all") is None


@pytest.mark.parametrize(
    "chunk", [b'{"usage":null}', b'{"choices":[{"delta":{"content":"\\"usage\\""}}]}', b'{"usage"']
)
def test_a_chunk_that_only_mentions_usage_reports_none(chunk):
    assert chat.peek_report(chunk) is None
    assert chat.peek_usage(chunk) is None


def test_a_report_tells_the_usage_and_whether_there_is_more():
    report = chat.peek_report(CHUNK)
    assert report is not None
    assert report.usage is not None
    assert (report.usage.prompt_tokens, report.usage.completion_tokens) == (3, 2)
    assert report.choices
    last = chat.peek_report(LAST)
    assert last is not None
    assert not last.choices


def test_usage_details_that_are_missing_count_nothing():
    usage = chat.peek_usage(LAST)
    assert usage is not None
    assert (usage.cached_tokens, usage.reasoning_tokens) == (0, 0)


def test_the_cost_keeps_exactly_its_digits():
    priced = chat.with_cost(CHUNK, "0.000000000300")
    assert b'"cost":0.000000000300' in priced
    assert json.loads(priced)["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "cost": 3e-10,
    }
    assert json.loads(priced)["choices"] == [{"index": 0}]


def test_usage_that_nobody_asked_for_is_taken_out_of_a_chunk_that_says_more():
    assert json.loads(chat.without_usage(CHUNK)) == {"id": "c", "choices": [{"index": 0}]}


# ------------------------------------------------------------------------------------------- folding


def chunk(index: int = 0, *, finish: str | None = None, **delta: Any) -> chat.Chunk:
    choice = chat.ChunkChoice(index=index, delta=chat.Delta(**delta), finish_reason=finish)
    return chat.Chunk(id="c1", created=1, model="m", choices=[choice])


def call_delta(index: int, arguments: str, **first: Any) -> list[chat.ToolCallDelta]:
    name = {"name": first.pop("name")} if first else {}
    function = chat.FunctionDelta(arguments=arguments, **name)
    return [chat.ToolCallDelta(index=index, function=function, **first)]


def test_a_stream_folds_into_the_completion_that_it_was():
    usage = chat.Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    last = chat.Chunk(id="c1", created=1, model="m", choices=[], usage=usage)
    folded = chat.fold(
        [
            chunk(role="assistant", content=""),
            chunk(reasoning="I ", reasoning_content="I "),
            chunk(1, role="assistant", content=""),
            chunk(reasoning="see.", reasoning_content="see."),
            chunk(content="a"),
            chunk(1, content="x"),
            chunk(content="b"),
            chunk(tool_calls=call_delta(0, "", id="c", name="ls", type="function")),
            chunk(tool_calls=call_delta(0, '{"a"')),
            chunk(tool_calls=call_delta(0, ": 1}")),
            chunk(tool_calls=call_delta(1, "{}", id="d", name="rm", type="function")),
            chunk(finish="tool_calls"),
            chunk(1, finish="stop"),
            last,
        ]
    )
    first, second = folded.choices
    message = first.message
    assert (folded.id, folded.usage, folded.object) == ("c1", usage, "chat.completion")
    assert (message.content, message.reasoning, message.reasoning_content) == (
        "ab",
        "I see.",
        "I see.",
    )
    assert isinstance(message.tool_calls, list)
    assert [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls] == [
        ("c", "ls", '{"a": 1}'),
        ("d", "rm", "{}"),
    ]
    assert (first.finish_reason, second.message.content, second.finish_reason) == (
        "tool_calls",
        "x",
        "stop",
    )


def test_what_a_stream_never_said_is_not_in_the_completion():
    body = json.loads(chat.encode(chat.fold([chunk(role="assistant", content=""), chunk()])))
    assert body["choices"][0]["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
    }


def test_log_probabilities_fold_in_order():
    def spoken(token: str) -> chat.Chunk:
        found = chunk(content=token)
        found.choices[0].logprobs = chat.Logprobs(
            content=[chat.TokenLogprob(token=token, logprob=-1.0)]
        )
        return found

    (choice,) = chat.fold([spoken("a"), chunk(content="?"), spoken("b")]).choices
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert [one.token for one in choice.logprobs.content] == ["a", "b"]


def test_nothing_cannot_be_folded():
    with pytest.raises(ValueError, match="no chunks"):
        chat.fold([])


@pytest.mark.parametrize("count", ["-5", "100000000000000000000", "1" + "0" * 400, '"7"', "1.5"])
def test_a_count_that_is_none_is_no_usage(count):
    assert chat.peek_usage(b'{"usage": {"prompt_tokens": %b}}' % count.encode()) is None


def test_what_a_caller_wrote_is_quoted_in_part():
    for body in (
        b'{"model": "m", "messages": [1], "%b": 1}' % (b"k" * 1_000_000),
        b'{"model": "m", "messages": [1], "reasoning": {"%b": 1}}' % (b"k" * 1_000_000),
    ):
        with pytest.raises(InvalidRequest) as refused:
            chat.decode_request(body, lenient=False)
        assert len(refused.value.message) < 1000
        assert len(refused.value.param or "") < 1000


@pytest.mark.parametrize("name", ["a\n", "a b", "", "é"])
def test_a_name_is_letters_digits_and_little_else_to_its_end(name):
    with pytest.raises(InvalidRequest):
        chat.decode_tools(raw([{"type": "function", "function": {"name": name}}]))
