"""Tools of a response: what the model sees of each, and what its calls become."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import Raw

from tests.turns import Model, call, ends, tell, turn_of, words
from trunkline.errors import InvalidRequest
from trunkline.wire.responses import decode_tools
from trunkline.wire.responses.client_tools import (
    Unwrapping,
    chat_call,
    chat_name,
    chat_output,
    whole_call,
)
from trunkline.wire.responses.tools import Called

FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object"}}
CUSTOM = {"type": "custom", "name": "write", "description": "Writes."}


def raw(value: Any) -> Raw:
    return Raw(json.dumps(value).encode())


def offered(*tools: Any, added: Any = ()) -> Any:
    return decode_tools(raw(list(tools)), [(path, raw(some)) for path, some in added])


def functions(of: Any) -> dict[str, Any]:
    return {tool["function"]["name"]: tool["function"] for tool in of.chat}


def refused(*tools: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        offered(*tools)
    return caught.value


# ------------------------------------------------------------------------------------------ what is offered


def test_a_function_is_told_back_with_all_that_must_be_there():
    told = offered(FUNCTION)
    assert functions(told) == {"look": {"name": "look", "parameters": {"type": "object"}}}
    assert json.loads(bytes(told.echo[0])) == {
        "type": "function",
        "name": "look",
        "description": None,
        "parameters": {"type": "object"},
        "strict": False,
    }
    strict = offered({**FUNCTION, "strict": True, "description": None})
    assert functions(strict)["look"]["strict"] is True
    assert json.loads(bytes(strict.echo[0]))["strict"] is True


def test_a_custom_tool_is_a_function_of_one_text_with_its_grammar_described():
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: /a+/"}
    told = offered({**CUSTOM, "format": grammar})
    function = functions(told)["write"]
    assert function["parameters"]["required"] == ["input"]
    assert function["description"].startswith("Writes.")
    assert "lark grammar:\nstart: /a+/" in function["description"]
    assert told.names["write"] == Called("custom_tool_call", "write")


def test_a_namespace_is_flattened_and_its_names_are_given_back():
    space = {"type": "namespace", "name": "files", "description": "d", "tools": [FUNCTION, CUSTOM]}
    told = offered(FUNCTION, space)
    assert list(functions(told)) == ["look", "files__look", "files__write"]
    assert told.names["files__look"] == Called("function_call", "look", "files")
    assert told.names["files__write"] == Called("custom_tool_call", "write", "files")
    assert told.chat_name("custom_tool_call", "write", "files") == "files__write"


def test_a_namespace_is_told_back_as_published():
    tools = [{**FUNCTION, "strict": None}, {**CUSTOM, "description": None, "format": None}]
    space = {"type": "namespace", "name": "files", "description": "d", "tools": tools}
    told = tell(turn_of(tools=[space]), [*words("Hi"), *ends()])
    function, custom = told.shown()[0]["response"]["tools"][0]["tools"]
    assert (function["strict"], function["description"]) == (False, None)
    assert custom == {"type": "custom", "name": "write"}


def test_a_name_that_does_not_fit_is_cut_the_same_way_every_time():
    long = "a" * 60
    assert len(chat_name("b" * 60, long)) == 64
    assert chat_name("b" * 60, long) == chat_name("b" * 60, long) != chat_name("b" * 61, long)
    assert chat_name("look", "my files!").startswith("my_files___look_")


def test_two_tools_never_have_one_name():
    space = {"type": "namespace", "name": "files", "description": "d", "tools": [FUNCTION]}
    told = offered(
        {**FUNCTION, "name": "files__look"}, space, {**CUSTOM, "name": "shell"}, {"type": "shell"}
    )
    assert len(functions(told)) == 4
    assert set(told.names.values()) == {
        Called("function_call", "files__look"),
        Called("function_call", "look", "files"),
        Called("custom_tool_call", "shell"),
        Called("shell_call", "shell"),
    }


def test_what_the_input_brings_is_offered_once_and_not_told_back():
    search = {"type": "tool_search", "execution": "client"}
    told = offered(FUNCTION, search, added=[("input[3].tools", [FUNCTION, CUSTOM])])
    assert list(functions(told)) == ["look", "tool_search", "write"]
    assert len(told.echo) == 2


@pytest.mark.parametrize("kind", ["web_search", "web_search_preview", "tool_search"])
def test_what_nobody_runs_and_agents_always_send_is_left_out(kind):
    told = offered(FUNCTION, {"type": kind})
    assert list(functions(told)) == ["look"]
    assert told.ignored == [f"tools[1] ({kind})"]


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "file_search", "vector_store_ids": []}, "tools[0].type"),
        ({"type": "mcp", "server_label": "x"}, "tools[0].type"),
        ({"type": "shell", "environment": {"type": "container_auto"}}, "tools[0].environment"),
        (
            {"type": "namespace", "name": "n", "tools": [{"type": "shell"}]},
            "tools[0].tools[0].type",
        ),
    ],
)
def test_what_is_not_served_is_refused_by_its_path(tool, param):
    error = refused(tool)
    assert (error.code, error.param) == ("unsupported_parameter", param)


@pytest.mark.parametrize(
    ("tools", "param"),
    [
        ([FUNCTION, FUNCTION], "tools[1].name"),
        ([{"type": "shell"}, {"type": "shell"}], "tools[1].type"),
        ([{"type": "function"}], "tools[0].name"),
        ([{**FUNCTION, "parameters": 5}], "tools[0].parameters"),
        (
            [{"type": "namespace", "name": "n", "tools": [{"type": "function"}]}],
            "tools[0].tools[0].name",
        ),
        ([{"type": "custom", "name": "x", "format": {"type": "xml"}}], "tools[0].format.type"),
        ([{**FUNCTION, "name": f"f{n}"} for n in range(129)], "tools"),
    ],
)
def test_what_is_wrong_is_refused_by_its_path(tools, param):
    assert refused(*tools).param == param


# ---------------------------------------------------------------------------------------- custom tools


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "",
        'a "quote" \\ and\n\ttabs',
        "é\u2028😀\x00",
        "*** Begin Patch\n+x\n*** End Patch",
    ],
)
@pytest.mark.parametrize("ascii", [True, False])
def test_a_text_comes_out_of_its_wrapping_wherever_it_is_cut(text, ascii):
    arguments = json.dumps({"input": text}, ensure_ascii=ascii)
    for cut in range(len(arguments) + 1):
        unwrapping = Unwrapping()
        pieces = [unwrapping.feed(arguments[:cut]), unwrapping.feed(arguments[cut:])]
        assert "".join(pieces) + unwrapping.end() == text
    one_by_one = Unwrapping()
    assert "".join(map(one_by_one.feed, arguments)) + one_by_one.end() == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("*** Begin Patch", "*** Begin Patch"),
        ('"only a string"', "only a string"),
        ('{"patch": "other name"}', "other name"),
        ('{"about": 1, "input": "second"}', "second"),
        ('{"input": {"a": 1}}', '{"a":1}'),
        ('{"a": "x", "b": "y"}', '{"a": "x", "b": "y"}'),
        ('{"input": "cut o', "cut o"),
        ('{"input": "lone \\ud83d half"}', "lone \ufffd half"),
        ('{"input": "bad \\u12 escape"}', "bad \\u12 escape"),
        ("{}", ""),
    ],
)
def test_a_model_that_wraps_otherwise_is_taken_at_its_word(arguments, text):
    for cut in range(len(arguments) + 1):
        unwrapping = Unwrapping()
        told = unwrapping.feed(arguments[:cut]) + unwrapping.feed(arguments[cut:])
        assert told + unwrapping.end() == text


def test_the_input_of_a_custom_tool_is_streamed_unwrapped():
    told = tell(
        turn_of(tools=[CUSTOM]),
        [*call("write", '{"input": "a', " \\", 'n b"}'), *ends("tool_calls")],
    )
    deltas = [event["delta"] for event in told.shown() if event["type"].endswith("input.delta")]
    assert deltas == ["a", " ", "\n b"]
    assert told.item()["type"] == "custom_tool_call"
    assert told.item()["input"] == "a \n b"


def test_a_call_in_a_namespace_says_so():
    space = {"type": "namespace", "name": "files", "description": "d", "tools": [FUNCTION]}
    told = tell(turn_of(tools=[space]), [*call("files__look", "{}"), *ends("tool_calls")])
    assert (told.item()["name"], told.item()["namespace"]) == ("look", "files")
    assert (
        "namespace"
        not in tell(turn_of(tools=[FUNCTION]), [*call("look", "{}"), *ends("tool_calls")]).item()
    )


# ----------------------------------------------------------------------------------- shells and patches


@pytest.mark.parametrize(
    ("kind", "arguments", "found"),
    [
        (
            "shell",
            {"commands": ["ls"], "timeout_ms": 10},
            {"action": {"commands": ["ls"], "timeout_ms": 10, "max_output_length": None}},
        ),
        (
            "shell",
            {"command": "ls"},
            {"action": {"commands": ["ls"], "timeout_ms": None, "max_output_length": None}},
        ),
        (
            "local_shell",
            {"command": "ls -l", "env": None},
            {
                "action": {
                    "type": "exec",
                    "command": ["bash", "-lc", "ls -l"],
                    "env": {},
                    "timeout_ms": None,
                    "user": None,
                    "working_directory": None,
                }
            },
        ),
        (
            "apply_patch",
            {"type": "create_file", "path": "a", "diff": "+b"},
            {"operation": {"type": "create_file", "path": "a", "diff": "+b"}},
        ),
        (
            "apply_patch",
            {"operation": {"type": "delete_file", "path": "a"}},
            {"operation": {"type": "delete_file", "path": "a"}},
        ),
    ],
)
def test_a_call_that_the_caller_runs_has_its_own_item(kind, arguments, found):
    said = [*call(kind, json.dumps(arguments)[:5], json.dumps(arguments)[5:]), *ends("tool_calls")]
    item = tell(turn_of(tools=[{"type": kind}]), said).item()
    assert item["type"] == f"{kind}_call"
    assert item["status"] == "completed"
    assert {name: item[name] for name in found} == found


def test_a_search_for_tools_has_its_arguments_as_an_object():
    tool = {"type": "tool_search", "execution": "client"}
    said = [*call("tool_search", '{"query": "q"}'), *ends("tool_calls")]
    item = tell(turn_of(tools=[tool]), said).item()
    assert (item["arguments"], item["execution"]) == ({"query": "q"}, "client")


@pytest.mark.parametrize("arguments", ["[]", "{", '{"commands": [1]}', '{"timeout_ms": 1}'])
def test_arguments_that_make_no_call_say_why(arguments):
    with pytest.raises(ValueError, match="arguments"):
        whole_call("shell_call", "id", "call", arguments)


def test_a_shell_call_that_is_cut_off_is_left_out():
    told = tell(
        turn_of(tools=[{"type": "shell"}]), [*words("I"), *call("shell", '{"com'), *ends("length")]
    )
    assert [item["type"] for item in told.shown()[-1]["response"]["output"]] == ["message"]
    assert told.response.status == "incomplete"


def test_a_message_before_a_refused_call_ends_all_the_same():
    model = Model(
        [[*words("I"), *call("nope", "{}"), *ends("tool_calls")], [*words("Ah"), *ends()]]
    )
    told = tell(turn_of(tools=[FUNCTION]), model=model)
    texts = [item["content"][0]["text"] for item in told.shown()[-1]["response"]["output"]]
    assert texts == ["I ", "Ah "]


# -------------------------------------------------------------------------------------------- in history


@pytest.mark.parametrize(
    ("item", "name", "arguments"),
    [
        (
            {"type": "custom_tool_call", "name": "write", "input": 'a "b"'},
            "write",
            {"input": 'a "b"'},
        ),
        (
            {"type": "custom_tool_call", "name": "write", "namespace": "files", "input": ""},
            "files__write",
            {"input": ""},
        ),
        (
            {
                "type": "local_shell_call",
                "action": {"type": "exec", "command": ["ls"], "user": None},
            },
            "local_shell",
            {"command": ["ls"]},
        ),
        (
            {"type": "shell_call", "action": {"commands": ["ls"], "timeout_ms": None}},
            "shell",
            {"commands": ["ls"]},
        ),
        (
            {"type": "apply_patch_call", "operation": {"type": "delete_file", "path": "a"}},
            "apply_patch",
            {"type": "delete_file", "path": "a"},
        ),
        ({"type": "tool_search_call", "arguments": {"query": "q"}}, "tool_search", {"query": "q"}),
    ],
)
def test_a_call_in_the_history_is_what_the_model_had_called(item, name, arguments):
    called = chat_call(item["type"], json.dumps(item).encode())
    assert (called[0], json.loads(called[1])) == (name, arguments)


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"type": "local_shell_call_output", "output": "done"}, "done"),
        (
            {
                "type": "shell_call_output",
                "output": [
                    {"stdout": "a\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}},
                    {"stdout": "", "stderr": "no\n", "outcome": {"type": "exit", "exit_code": 2}},
                    {"stdout": "", "stderr": "", "outcome": {"type": "timeout"}},
                ],
            },
            "a\n\nno\n(exit code 2)\n\n(timed out)",
        ),
        (
            {"type": "apply_patch_call_output", "status": "failed", "output": "no such file"},
            "failed\nno such file",
        ),
        (
            {
                "type": "tool_search_output",
                "tools": [FUNCTION, {"type": "namespace", "name": "n", "tools": [CUSTOM]}],
            },
            "found: look, n__write",
        ),
    ],
)
def test_an_output_in_the_history_is_told_as_text(item, text):
    assert chat_output(item["type"], json.dumps(item).encode()) == text
