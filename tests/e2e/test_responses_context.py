"""What the model is told and may do, seen at the provider: reasoning, log-probabilities, allowed tools."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.client import ask
from tests.responses import responded, told
from tests.serving import ECHO, Serving, running, simulated_provider
from tests.simulator import Call, Script, Simulator

TOOLS = [
    {"type": "function", "name": name, "parameters": {"type": "object"}} for name in ("a", "b", "c")
]


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    config = "[engine]\nenabled = false\n" + simulated_provider(running_simulator.base_url, ECHO)
    with running(config=config) as serving:
        yield serving


def create(serving: Serving, input: Any, **more: Any) -> dict[str, Any]:
    return responded(serving, {"model": ECHO, "input": input, **more})


def thoughts(simulator: Simulator) -> list[str | None]:
    """Returns the reasoning of each message of the assistant that the provider was sent last."""
    messages = simulator.seen[-1].body["messages"]
    return [one.get("reasoning") for one in messages if one["role"] == "assistant"]


def result(call: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call["call_id"], "output": "1"}


@pytest.mark.parametrize("stored", [True, False])
def test_reasoning_comes_back_within_a_turn_and_after_it_if_asked_for(
    router: Serving, simulator: Simulator, stored: bool
) -> None:
    """Over the chain, or sealed by the caller, who keeps nothing else of it."""
    sealed = {} if stored else {"store": False, "include": ["reasoning.encrypted_content"]}
    history: list[Any] = []
    previous: str | None = None

    def step(new: list[Any], script: Script, **more: Any) -> dict[str, Any]:
        nonlocal previous
        simulator.play(script)
        history.extend(new)
        asked = {"input": new if stored else history, "previous_response_id": previous}
        response = create(router, tools=TOOLS, **asked, **sealed, **more)
        previous = response["id"] if stored else None
        for item in response["output"]:
            known = item["type"] == "reasoning" and not stored
            history.append({**item, "content": None} if known else item)
        return response

    first = step([{"role": "user", "content": "hi"}], Script(calls=(Call("a", "{}"),)))
    step([result(first["output"][-1])], Script(reasoning="So it is 1.", calls=()))
    assert thoughts(simulator) == ["Let me think."]

    step([{"role": "user", "content": "and now?"}], Script(calls=()))
    assert thoughts(simulator) == [None, None]
    step(
        [{"role": "user", "content": "now?"}],
        Script(calls=()),
        reasoning={"context": "all_turns"},
    )
    assert thoughts(simulator) == ["Let me think.", "So it is 1.", "Let me think."]


@pytest.mark.parametrize(
    "asked",
    [
        {"include": ["message.output_text.logprobs"]},
        {"top_logprobs": 2},
        {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
    ],
)
def test_log_probabilities_come_if_either_asks_for_them(
    router: Serving, asked: dict[str, Any]
) -> None:
    whole = create(router, "hi", **asked)
    assert whole["output"][-1]["content"][0]["logprobs"]
    last = told(router, {"model": ECHO, "input": "hi", **asked})[-1]["response"]
    assert last["output"][-1]["content"][0]["logprobs"]
    assert create(router, "hi")["output"][-1]["content"][0]["logprobs"] == []


def test_tools_that_are_not_allowed_are_seen_and_not_called(
    router: Serving, simulator: Simulator
) -> None:
    names = [{"type": "function", "name": name} for name in ("a", "b")]
    choice = {"type": "allowed_tools", "mode": "auto", "tools": names}
    simulator.play(Script(calls=(Call("b", "{}"),)))
    allowed = create(router, "hi", tools=TOOLS, tool_choice=choice)
    body = simulator.seen[-1].body
    assert [tool["function"]["name"] for tool in body["tools"]] == ["a", "b", "c"]
    assert body.get("tool_choice") == "auto"
    assert allowed["output"][-1]["name"] == "b"
    assert allowed["tool_choice"] == choice

    simulator.play(Script(calls=(Call("c", "{}"),)), Script(calls=(Call("a", "{}"),)))
    corrected = create(router, "hi", tools=TOOLS, tool_choice=choice)
    calls = [item for item in corrected["output"] if item["type"] == "function_call"]
    assert [call["name"] for call in calls] == ["a"]


def test_the_one_tool_that_is_allowed_and_required_is_asked_for_by_name(
    router: Serving, simulator: Simulator
) -> None:
    choice = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "b"}],
    }
    created = create(router, "hi", tools=TOOLS, tool_choice=choice)
    assert created["output"][-1]["name"] == "b"
    wanted = {"type": "function", "function": {"name": "b"}}
    assert simulator.seen[-1].body["tool_choice"] == wanted


def test_sealed_reasoning_of_somebody_else_is_refused_where_it_would_be_shown(
    router: Serving,
) -> None:
    foreign = {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAABo"}
    asked = {"role": "user", "content": "hi"}
    answer = ask(router, "POST", "/v1/responses", {"model": ECHO, "input": [asked, foreign]})
    assert (answer.status, answer.error["param"]) == (400, "input[1].encrypted_content")
    create(router, [foreign, asked])
