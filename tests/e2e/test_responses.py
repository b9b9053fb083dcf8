"""``POST /v1/responses`` over the embedded engine and over a provider, whole and as events."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, get_args

import pytest

from tests.e2e.client import ask, receipt, streaming
from tests.responses import HEADER, Dialect, checked, responded, told
from tests.serving import ECHO, NANO, Serving, running
from tests.simulator import Script, Simulator

_CONFIG = """
[engine]
enabled = true
[providers.sim]
base_url = "URL"
models."sim/echo" = { id = "sim/echo", input = 1.0, output = 2.0 }
"""


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    with running(config=_CONFIG.replace("URL", running_simulator.base_url)) as serving:
        yield serving


@pytest.mark.parametrize("model", [NANO, ECHO])
def test_a_text_comes_whole_and_as_events(router: Serving, model: str) -> None:
    body = {"model": model, "input": "Say hello to the world.", "temperature": 0}
    whole = ask(router, "POST", "/v1/responses", body)
    events = told(router, body)

    assert checked(whole)["status"] == "completed"
    assert whole.json["output"][-1]["content"][0]["type"] == "output_text"
    first, last = events[0], events[-1]
    assert (first["type"], last["type"]) == ("response.created", "response.completed")
    assert last["response"].keys() == whole.json.keys()
    assert last["response"].keys() - first["response"].keys() == {"usage"}
    deltas = [e["delta"] for e in events if e["type"] == "response.output_text.delta"]
    said = last["response"]["output"][-1]["content"][0]["text"]
    assert "".join(deltas) == said == whole.json["output"][-1]["content"][0]["text"]
    kept = receipt(router, whole.headers["x-request-id"])
    assert kept["api"] == "responses"
    assert kept["usage"]["completion_tokens"] == whole.json["usage"]["output_tokens"]


@pytest.mark.parametrize("dialect", get_args(Dialect))
def test_what_a_response_cost_is_in_its_usage_and_stays_there(
    router: Serving, dialect: Dialect
) -> None:
    body, headers = {"model": ECHO, "input": "What does it cost?"}, {HEADER: dialect}
    whole = ask(router, "POST", "/v1/responses", body, headers=headers)
    cost = Decimal(whole.headers["x-trunkline-cost-usd"])
    streamed = told(router, body, headers=headers)[-1]["response"]

    assert cost > 0
    for response in (checked(whole, headers), streamed):
        assert Decimal(str(response["usage"]["cost"])) == cost
        kept = ask(router, "GET", f"/v1/responses/{response['id']}", headers=headers)
        assert kept.json["usage"] == response["usage"]


def test_a_reply_that_breaks_off_is_on_the_receipt_with_what_it_cost(
    router: Serving, running_simulator: Simulator
) -> None:
    kept = []
    asks: dict[str, dict[str, Any]] = {
        "/v1/responses": {"input": "one two three"},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "one two three"}]},
    }
    for path, asked in asks.items():
        running_simulator.play(Script(cut_after=3))
        with streaming(router, {"model": ECHO, **asked}, path=path) as stream:
            stream.read()
        kept.append(receipt(router, stream.headers["x-request-id"]))
    ours, chat = kept
    assert ours["usage"]["completion_tokens"] == chat["usage"]["completion_tokens"] > 0
    assert ours["estimated"]
    assert Decimal(ours["cost_usd"]) > 0


def test_a_function_call_goes_out_and_its_output_comes_back(router: Serving) -> None:
    tool = {"type": "function", "name": "lookup", "parameters": {"type": "object"}}
    body = {"model": ECHO, "input": "look it up", "tools": [tool], "tool_choice": "required"}
    called = responded(router, body)
    call = called["output"][-1]
    assert (call["type"], call["name"], call["status"]) == ("function_call", "lookup", "completed")
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "42"}
    events = told(
        router,
        {
            "model": ECHO,
            "input": [{"role": "user", "content": "look it up"}, *called["output"], output],
        },
    )
    assert events[-1]["response"]["output"][-1]["type"] == "message"
