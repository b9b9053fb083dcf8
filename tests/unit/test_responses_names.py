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
        ("response_format.json_schema", "text.format.json_schema"),
        ("tools[2].function.parameters", "tools[2].parameters"),
        ("temperature", "temperature"),
        ("input[1]", "input[1]"),
        (None, None),
    ],
)
def test_the_field_of_the_response_is_named(param: str | None, name: str | None) -> None:
    error = renamed(InvalidRequest(f"{param}: is wrong", param=param))
    assert error.param == name
    assert error.message == f"{name}: is wrong"
