"""The ways in which clients send a schema for the answer, and what becomes of each."""

from __future__ import annotations

import msgspec
import pytest

from trunkline.wire import chat

SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
PUBLISHED = {"type": "json_schema", "json_schema": {"name": "response", "schema": SCHEMA}}


def rewritten(response_format):
    body = {"model": "m", "messages": [{}], "response_format": response_format}
    request = chat.decode_request(msgspec.json.encode(body), lenient=False)
    assert request.fields["response_format"] == request.parameters.response_format
    return msgspec.json.decode(request.fields["response_format"])


@pytest.mark.parametrize("key", ["value", "schema"])
def test_a_schema_beside_json_object_becomes_a_json_schema(key):
    assert rewritten({"type": "json_object", key: SCHEMA}) == PUBLISHED


@pytest.mark.parametrize(
    "response_format",
    [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_object", "schema": None, "seen": "nowhere"},
        {"type": "json_schema", "json_schema": {"name": "mine", "schema": SCHEMA, "strict": True}},
        {"type": "json_object", "value": "not a schema"},
        {"type": "somebody's own"},
        "json",
    ],
)
def test_every_other_format_stays_as_it_came(response_format):
    assert rewritten(response_format) == response_format
