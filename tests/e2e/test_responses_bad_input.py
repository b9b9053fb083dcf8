"""Bodies that are wrong or huge, over HTTP: the envelope and its path, soon, and the server goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.client import Answer, ask
from tests.serving import ECHO, NANO, Serving, running
from tests.simulator import Script, Simulator

_CONFIG = """
[engine]
enabled = true
[providers.sim]
base_url = "URL"
models."sim/echo" = {}
models."sim/plain" = { structured = false, tools = false }
"""
OBJECT = {"type": "object"}


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    with running(config=_CONFIG.replace("URL", running_simulator.base_url)) as serving:
        yield serving
        assert "Traceback" not in serving.stderr()


def create(serving: Serving, body: Any, model: str = ECHO) -> Answer:
    if isinstance(body, dict):
        body = json.dumps({"model": model, "input": "hi", **body}).encode()
    return ask(serving, "POST", "/v1/responses", body)


def form(schema: Any) -> dict[str, Any]:
    return {"text": {"format": {"type": "json_schema", "name": "x", "schema": schema}}}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"{", "invalid_json", None),
        (b'{"model": "m", "input": "a\xff"}', "invalid_json", None),
        (b'{"model": "m", "input": ' + b"[" * 1000 + b"]" * 1000 + b"}", "invalid_json", None),
        ({"input": [{"type": "banana"}]}, "invalid_value", "input[0].type"),
        ({"input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
        ({"max_output_tokens": -1}, "invalid_value", "max_output_tokens"),
        ({"reasoning": {"effort": "huge"}}, "invalid_value", "reasoning.effort"),
        ({"background": True}, "unsupported_parameter", "background"),
        ({"model": "unknown/model"}, "model_not_found", "model"),
    ],
)
def test_the_envelope_names_what_is_wrong(
    router: Serving, simulator: Simulator, body: Any, code: str, param: str | None
) -> None:
    answer = create(router, body)
    assert (answer.error["code"], answer.error["param"]) == (code, param), answer.body
    assert answer.error["type"] == "invalid_request_error"
    assert simulator.seen == []


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("body", "model", "param"),
    [
        (form({"type": "nonsense"}), NANO, "text.format.schema"),
        (form({"type": "nonsense"}), "sim/plain", "text.format.schema"),
        (form({"$ref": "https://a.b/c"}), NANO, "text.format.schema"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "nonsense"}},
                }
            },
            NANO,
            "response_format.json_schema.schema",
        ),
        (
            {"tools": [{"type": "function", "name": "a", "parameters": {"type": "nonsense"}}]},
            NANO,
            "tools[0].parameters",
        ),
        (
            {"tools": [{"type": "function", "name": "a", "parameters": OBJECT}]},
            "sim/plain",
            "tools",
        ),
        ({"input": "word " * 30_000}, NANO, "input"),
    ],
)
def test_what_only_whoever_answers_can_tell_is_named_as_it_was_sent(
    router: Serving, body: dict[str, Any], model: str, param: str, stream: bool
) -> None:
    answer = create(router, {**body, "stream": stream}, model)
    assert (answer.status, answer.error["param"]) == (400, param), answer.body


@pytest.mark.parametrize(
    "schema",
    [
        deep(40),
        deep(300),
        {"$ref": "#"},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(20_000)}},
        {"type": "string", "pattern": "(a+)+$" * 50},
        {"enum": ["x" * 1000] * 1000},
    ],
    ids=["deep", "deeper", "itself", "a loop", "wide", "a pattern", "an enum"],
)
@pytest.mark.parametrize("model", [NANO, "sim/plain"])
def test_schemas_that_are_bombs_end_soon(
    router: Serving, simulator: Simulator, schema: Any, model: str
) -> None:
    begun = time.monotonic()
    answer = create(router, {**form(schema), "max_output_tokens": 16}, model)
    # Some can be followed; whoever cannot says so, or did not manage to.
    assert answer.status in (200, 400, 502), answer.body
    if answer.status == 400:
        assert answer.error["param"] == "text.format.schema", answer.body
    assert time.monotonic() - begun < 20
    assert ask(router, "GET", "/health").status == 200


@pytest.mark.parametrize(
    "body",
    [
        {"input": [{"role": "user", "content": "hi"}] * 10_000},
        {"input": "lorem ipsum " * 1_700_000},
        {"input": [{"type": "web_search_call", "action": {"query": "q" * 1000}}] * 5_000 + ["x"]},
        {"metadata": {str(n): "x" for n in range(100_000)}},
    ],
    ids=["10,000 items", "20 MB of text", "items that are kept", "metadata"],
)
def test_large_bodies_are_answered_soon(
    router: Serving, simulator: Simulator, body: dict[str, Any]
) -> None:
    simulator.play(Script(text="ok"))
    begun = time.monotonic()
    answer = create(router, body)
    assert answer.status in (200, 400), answer.body[:300]
    assert time.monotonic() - begun < 20
    assert ask(router, "GET", "/health").status == 200
    simulator.reset()


def test_a_body_that_is_too_large_is_refused_before_it_is_read(router: Serving) -> None:
    answer = create(router, {"input": "x" * 34_000_000})
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")
