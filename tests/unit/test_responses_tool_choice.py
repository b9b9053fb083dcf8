"""What the forms of ``tool_choice`` come to, against the tools that are offered."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trunkline.wire.responses.tool_choice import Choice, decode_tool_choice
from trunkline.wire.responses.tools import Called, Offered

OFFERED = Offered(
    chat=[],
    echo=[],
    names={
        "look": Called("function_call", "look"),
        "ns__look": Called("function_call", "look", "ns"),
        "ns__close": Called("function_call", "close", "ns"),
        "patch": Called("custom_tool_call", "patch"),
        "shell": Called("shell_call", "shell"),
        "local_shell": Called("local_shell_call", "local_shell"),
        "apply_patch": Called("apply_patch_call", "apply_patch"),
    },
)
LOOK = {"type": "function", "name": "look"}


def chosen(choice: Any, offered: Offered = OFFERED) -> Choice:
    return decode_tool_choice(msgspec.Raw(msgspec.json.encode(choice)), offered)


def function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def allowed(mode: str, *tools: Any) -> Choice:
    return chosen({"type": "allowed_tools", "mode": mode, "tools": [*tools]})


def test_nothing_is_said_where_nothing_is_asked() -> None:
    assert decode_tool_choice(msgspec.Raw(), OFFERED) == Choice()


@pytest.mark.parametrize("word", ["none", "auto", "required"])
def test_the_words_are_those_of_chat(word: str) -> None:
    assert chosen(word) == Choice(word)


@pytest.mark.parametrize("word", ["none", "auto"])
def test_without_tools_there_is_nothing_to_choose(word: str) -> None:
    assert chosen(word, Offered([], [], {})) == Choice()


@pytest.mark.parametrize(
    ("choice", "name"),
    [
        (LOOK, "look"),
        ({"type": "function", "name": "look", "namespace": "ns"}, "ns__look"),
        ({"type": "function", "name": "close"}, "ns__close"),
        ({"type": "function", "name": "ns__close"}, "ns__close"),
        ({"type": "custom", "name": "patch"}, "patch"),
        ({"type": "shell"}, "shell"),
        ({"type": "local_shell"}, "local_shell"),
        ({"type": "apply_patch"}, "apply_patch"),
    ],
)
def test_a_tool_is_found_by_what_it_is_called(choice: dict[str, Any], name: str) -> None:
    assert chosen(choice) == Choice(function(name))


def test_allowed_tools_are_a_rule_for_whoever_reads_the_answer() -> None:
    names = frozenset({"look", "patch"})
    tools = [LOOK, {"type": "custom", "name": "patch"}]
    assert allowed("auto", *tools) == Choice("auto", names)
    assert allowed("required", *tools) == Choice("required", names)


def test_the_one_tool_that_is_allowed_and_required_is_a_named_one() -> None:
    assert allowed("required", LOOK, LOOK) == Choice(function("look"), frozenset({"look"}))


def test_tools_that_do_not_run_here_may_be_allowed_and_are_not_called() -> None:
    search = {"type": "web_search"}
    assert allowed("auto", LOOK, search) == Choice("auto", frozenset({"look"}))
    assert allowed("auto", search) == Choice("none")
    assert allowed("required", LOOK, search) == Choice(function("look"), frozenset({"look"}))
