"""Errors of the chat completion under a response name the response's fields."""

from __future__ import annotations

import pytest

from trunkline.errors import InvalidRequest
from trunkline.wire.responses import renamed


@pytest.mark.parametrize(
    ("param", "name"),
    [
        ("messages", "input"),
        ("messages[3].content[0].type", "input"),
        ("max_completion_tokens", "max_output_tokens"),
        ("response_format.type", "text.format.type"),
        ("response_format.json_schema.schema", "text.format.schema"),
        ("logprobs", "include"),
        ("tool_choice.function.name", "tool_choice.name"),
        ("tools[2].function.parameters", "tools[2].parameters"),
        ("temperature", "temperature"),
        ("input[1]", "input[1]"),
        (None, None),
    ],
)
def test_the_field_of_the_response_is_named(param: str | None, name: str | None) -> None:
    error = renamed(
        InvalidRequest(f"{param}: is wrong", param=param), sent={"tools", "tool_choice"}
    )
    assert error.param == name
    assert error.message == f"{name}: is wrong"


@pytest.mark.parametrize(
    ("param", "sent", "name"),
    [
        ("response_format.json_schema.schema", {"response_format"}, None),
        ("max_tokens", {"max_tokens"}, None),
        ("logprobs", {"top_logprobs"}, "top_logprobs"),
    ],
)
def test_what_the_caller_sent_keeps_its_name(param: str, sent: set[str], name: str | None) -> None:
    error = renamed(InvalidRequest(f"{param}: is wrong", param=param), sent=sent)
    assert error.param == (name or param)
