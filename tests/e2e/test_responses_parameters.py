"""The table of parameters of a response: every cell is sent, and its fate is looked at.

What is passed arrives at the provider, what is served is told back or has its effect, what is ignored
is named in a header, and what is refused is named in the error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.e2e.client import Answer, ask
from tests.serving import ECHO, Serving, running
from tests.simulator import Simulator
from trunkline.wire.chat import Fate
from trunkline.wire.responses.requests import INSIDE, PARAMETERS

TABLE = {**PARAMETERS, **INSIDE}

TOOL = {"type": "function", "name": "look", "parameters": {"type": "object"}}
CHAT_TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
NESTED = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
FLAT = {"type": "json_schema", "name": "x", "schema": SCHEMA}

_CONFIG = """
[engine]
enabled = false
[providers.sim]
base_url = "URL"
models."sim/echo" = {}
[providers.text]
base_url = "URL"
models."sim/text" = { vision = false }
[providers.bare]
base_url = "URL"
models."sim/bare" = {}
[providers.bare.quirks]
unsupported = ["verbosity", "safety_identifier", "logprobs", "top_logprobs", "reasoning_effort"]
"""


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    with running(config=_CONFIG.replace("URL", running_simulator.base_url)) as serving:
        yield serving


class Cell(msgspec.Struct, frozen=True):
    """What asks for something; what arrives at the provider of it; and what the response tells back."""

    asked: dict[str, Any]
    arrives: dict[str, Any] = {}
    told: dict[str, Any] = {}


def cell(name: str, value: Any, *, told: bool = True) -> Cell:
    """Returns that of a parameter that chat has as well, and of which the response may tell."""
    return Cell({name: value}, {name: value}, {name: value} if told else {})


CELLS: dict[str, Cell] = {
    "model": Cell({"model": f"{ECHO}:sim"}, {"model": ECHO}, {"model": f"{ECHO}:sim"}),
    "input": Cell({"input": "hello"}, {"messages": [{"role": "user", "content": "hello"}]}),
    "instructions": Cell(
        {"instructions": "be brief"},
        {
            "messages": [
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": "hi"},
            ]
        },
        {"instructions": "be brief"},
    ),
    "store": Cell({"store": False}, told={"store": False}),
    "stream_options": Cell({"stream_options": {}}),
    "stream_options.include_obfuscation": Cell({"stream_options": {"include_obfuscation": True}}),
    "stream_options.include_usage": Cell({"stream_options": {"include_usage": True}}),
    "include": Cell(
        {"include": ["message.output_text.logprobs", "web_search_call.results"]},
        {"logprobs": True},
    ),
    "tools": Cell({"tools": [TOOL]}, {"tools": [CHAT_TOOL]}),
    "tool_choice": Cell(
        {"tools": [TOOL], "tool_choice": {"type": "function", "name": "look"}},
        {"tool_choice": {"type": "function", "function": {"name": "look"}}},
        {"tool_choice": {"type": "function", "name": "look"}},
    ),
    "parallel_tool_calls": Cell(
        {"tools": [TOOL], "parallel_tool_calls": False},
        {"parallel_tool_calls": False},
        {"parallel_tool_calls": False},
    ),
    "max_tool_calls": Cell({"max_tool_calls": 3}, told={"max_tool_calls": 3}),
    "max_output_tokens": Cell(
        {"max_output_tokens": 7}, {"max_completion_tokens": 7}, {"max_output_tokens": 7}
    ),
    "text": Cell({"text": {}}, told={"text": {"format": {"type": "text"}}}),
    "text.format": Cell(
        {"text": {"format": {**FLAT, "strict": True, "description": "d"}}},
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": SCHEMA, "strict": True, "description": "d"},
            }
        },
        {"text": {"format": {**FLAT, "strict": True, "description": "d"}}},
    ),
    "text.verbosity": Cell(
        {"text": {"verbosity": "low"}},
        {"verbosity": "low"},
        {"text": {"format": {"type": "text"}, "verbosity": "low"}},
    ),
    "response_format": Cell(
        {"response_format": NESTED}, {"response_format": NESTED}, {"text": {"format": FLAT}}
    ),
    "reasoning": Cell({"reasoning": {}}),
    "reasoning.effort": Cell(
        {"reasoning": {"effort": "low"}},
        {"reasoning_effort": "low"},
        {"reasoning": {"effort": "low", "summary": None}},
    ),
    "reasoning.summary": Cell(
        {"reasoning": {"summary": "auto"}}, told={"reasoning": {"effort": None, "summary": "auto"}}
    ),
    "reasoning.generate_summary": Cell(
        {"reasoning": {"generate_summary": "concise"}},
        told={"reasoning": {"effort": None, "summary": "concise"}},
    ),
    "reasoning.context": Cell(
        {"reasoning": {"context": "auto"}},
        told={"reasoning": {"effort": None, "summary": None, "context": "current_turn"}},
    ),
    "temperature": cell("temperature", 0.5),
    "top_p": cell("top_p", 0.5),
    "top_logprobs": Cell(
        {"top_logprobs": 2}, {"logprobs": True, "top_logprobs": 2}, {"top_logprobs": 2}
    ),
    "presence_penalty": cell("presence_penalty", 0.5),
    "frequency_penalty": cell("frequency_penalty", -0.5),
    "truncation": Cell({"truncation": "auto"}, told={"truncation": "auto"}),
    "prompt_cache_key": cell("prompt_cache_key", "k"),
    "prompt_cache_options": cell("prompt_cache_options", {"mode": "auto"}, told=False),
    "prompt_cache_retention": cell("prompt_cache_retention", "24h", told=False),
    "metadata": Cell({"metadata": {"a": "b"}}, told={"metadata": {"a": "b"}}),
    "user": cell("user", "u"),
    "safety_identifier": cell("safety_identifier", "s"),
    "service_tier": cell("service_tier", "flex"),
    "image": Cell({"image": {"context_compression": True}}),
    "client_metadata": Cell({"client_metadata": {"a": "b"}}),
    "seed": cell("seed", 1, told=False),
    "stop": cell("stop", ["x"], told=False),
    "top_k": cell("top_k", 5, told=False),
    "min_p": cell("min_p", 0.1, told=False),
    "repetition_penalty": cell("repetition_penalty", 1.1, told=False),
    "chat_template_kwargs": cell("chat_template_kwargs", {"a": 1}, told=False),
    "provider": Cell({"provider": {"only": ["sim"]}}),
}

REFUSED: dict[str, dict[str, Any]] = {
    "conversation": {"conversation": "conv_1"},
    "background": {"background": True},
    "background_options": {"background_options": {"completion_window": "8h"}},
    "context_management": {"context_management": [{"type": "compaction"}]},
    "prompt": {"prompt": {"id": "pmpt_1"}},
    "moderation": {"moderation": {"model": "m"}},
    "access_programs": {"access_programs": ["x"]},
    "reasoning.mode": {"reasoning": {"mode": "pro"}},
}

# Whose tests stand elsewhere: a chain needs two requests, and a stream is read differently.
ELSEWHERE = {"previous_response_id", "stream"}


def create(serving: Serving, lenient: bool = False, **body: Any) -> Answer:
    headers = {"x-trunkline-params": "lenient"} if lenient else {}
    asked = {"model": ECHO, "input": "hi", **body}
    return ask(serving, "POST", "/v1/responses", asked, headers=headers)


def test_every_parameter_has_a_cell() -> None:
    assert CELLS.keys() | REFUSED.keys() | ELSEWHERE == TABLE.keys()
    assert {name for name, one in TABLE.items() if one.fate is Fate.REFUSED} == REFUSED.keys()
    passed = {name for name, one in TABLE.items() if one.fate is Fate.PASSED}
    assert passed <= {name for name, one in CELLS.items() if one.arrives}


@pytest.mark.parametrize("name", CELLS)
def test_what_is_asked_for_has_its_fate(router: Serving, simulator: Simulator, name: str) -> None:
    asked = CELLS[name]
    answer = create(router, **asked.asked)
    assert answer.status == 200, answer.body
    arrived = simulator.seen[-1].body
    plain = {"model", "messages", "stream"}
    assert {key: arrived.get(key) for key in asked.arrives} == asked.arrives
    assert arrived.keys() - asked.arrives.keys() - {"tools"} <= plain
    assert {key: answer.json[key] for key in asked.told} == asked.told
    ignored = TABLE[name].fate is Fate.IGNORED
    assert answer.headers.get("x-trunkline-ignored") == (name if ignored else None)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_served_is_refused_by_name(router: Serving, name: str) -> None:
    answer = create(router, **REFUSED[name])
    assert (answer.status, answer.error["code"], answer.error["param"]) == (
        400,
        "unsupported_parameter",
        name,
    )
    assert f"'{name}'" in answer.error["message"]


@pytest.mark.parametrize("name", REFUSED)
def test_the_lenient_go_without_what_does_not_change_the_question(
    router: Serving, simulator: Simulator, name: str
) -> None:
    answer = create(router, lenient=True, **REFUSED[name])
    if not TABLE[name].droppable:
        assert (answer.status, answer.error["param"]) == (400, name)
        assert "lenient" not in answer.error["message"]
        return
    assert answer.status == 200, answer.body
    assert answer.headers["x-trunkline-ignored"] == name
    assert name.partition(".")[0] not in simulator.seen[-1].body


@pytest.mark.parametrize("name", [name for name in TABLE if "." not in name and name != "model"])
def test_null_is_as_absent(router: Serving, simulator: Simulator, name: str) -> None:
    body: Any = {"input": "hi", name: None}
    if name == "input":
        body["previous_response_id"] = create(router).json["id"]
    answer = create(router, **body)
    assert answer.status == 200, answer.body
    plain = create(router).json
    different = {"id", "created_at", "completed_at", "output", "previous_response_id", "usage"}
    assert {k: v for k, v in answer.json.items() if k not in different} == {
        k: v for k, v in plain.items() if k not in different
    }
    assert simulator.seen[-2].body.keys() == simulator.seen[-1].body.keys()


def test_null_within_objects_is_as_absent(router: Serving, simulator: Simulator) -> None:
    answer = create(
        router,
        reasoning={"effort": None, "summary": None, "context": None, "mode": None},
        text={"format": None, "verbosity": None},
        stream_options={"include_obfuscation": None},
    )
    assert answer.status == 200, answer.body
    assert simulator.seen[-1].body.keys() <= {"model", "messages", "stream"}


def test_unknown_parameters_are_refused_and_left_out_for_the_lenient(router: Serving) -> None:
    refused = create(router, max_ouput_tokens=5)
    assert (refused.error["code"], refused.error["param"]) == (
        "unknown_parameter",
        "max_ouput_tokens",
    )
    assert "did you mean 'max_output_tokens'?" in refused.error["message"]
    answer = create(router, lenient=True, max_ouput_tokens=5)
    assert answer.headers["x-trunkline-ignored"] == "max_ouput_tokens"


def test_parallel_calls_are_not_spoken_of_without_tools(
    router: Serving, simulator: Simulator
) -> None:
    answer = create(router, parallel_tool_calls=False, tool_choice="auto")
    assert answer.json["parallel_tool_calls"] is False
    assert simulator.seen[-1].body.keys() <= {"model", "messages", "stream"}


@pytest.mark.parametrize("tier", ["fast", "ultrafast"])
def test_tiers_that_no_response_is_published_to_have_are_not_told_back(
    router: Serving, simulator: Simulator, tier: str
) -> None:
    answer = create(router, service_tier=tier)
    assert answer.json["service_tier"] == "default"
    assert simulator.seen[-1].body["service_tier"] == tier


def test_what_a_provider_lacks_is_named_as_the_caller_named_it(router: Serving) -> None:
    url = "data:image/png;base64,iVBORw0KGgo="
    image = {"type": "input_image", "image_url": url}
    text = {"type": "input_text", "text": "what is it?"}
    answer = create(
        router,
        model="sim/text",
        input=[{"role": "user", "content": "hi"}, {"role": "user", "content": [text, image]}],
    )
    assert (answer.status, answer.error["code"], answer.error["param"]) == (
        400,
        "invalid_value",
        "input[1].content[1]",
    )


def test_what_is_left_out_is_named_as_the_caller_named_it(router: Serving) -> None:
    hints: dict[str, Any] = {"text": {"verbosity": "low"}, "safety_identifier": "s"}
    answer = create(router, model="sim/bare", **hints)
    assert answer.headers["x-trunkline-ignored"] == "safety_identifier, text.verbosity"
    asked: dict[str, Any]
    for asked, name in (
        ({"reasoning": {"effort": "low"}}, "reasoning.effort"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"top_logprobs": 1}, "top_logprobs"),
    ):
        refused = create(router, model="sim/bare", **asked)
        assert (refused.error["code"], refused.error["param"]) == ("unsupported_parameter", name)
        assert f"'{name}'" in refused.error["message"]
        answer = create(router, lenient=True, model="sim/bare", **asked)
        assert name in answer.headers["x-trunkline-ignored"]
