"""What responses remember: chains, branches, references, and what is kept of none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.client import Answer, ask, receipt, run, streaming
from tests.responses import told
from tests.serving import ECHO, Serving, running
from tests.simulator import Call, Script, Simulator
from tests.simulator.script import error

_CONFIG = """
[engine]
enabled = false
[providers.sim]
base_url = "URL"
models."sim/echo" = {}
[providers.frail]
base_url = "URL"
models."sim/frail" = {}
"""


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    with running(config=_CONFIG.replace("URL", running_simulator.base_url)) as serving:
        yield serving


def create(serving: Serving, input: Any, *, key: str = "", **more: Any) -> Answer:
    return ask(serving, "POST", "/v1/responses", {"model": ECHO, "input": input, **more}, key=key)


def sent(simulator: Simulator) -> list[tuple[str, str]]:
    """Returns role and text of the messages that the provider was sent last."""
    return [(one["role"], one["content"]) for one in simulator.seen[-1].body["messages"]]


def test_a_chain_is_told_whole_and_may_branch(router: Serving, simulator: Simulator) -> None:
    first = create(router, "one", instructions="be brief").json
    second = create(router, "two", previous_response_id=first["id"]).json
    assert second["previous_response_id"] == first["id"]
    answered = first["output"][-1]["content"][0]["text"]
    # Instructions are not inherited.
    assert sent(simulator) == [("user", "one"), ("assistant", answered), ("user", "two")]

    create(router, "three", previous_response_id=second["id"])
    assert [text for role, text in sent(simulator) if role == "user"] == ["one", "two", "three"]
    create(router, "other", previous_response_id=first["id"])
    assert [text for role, text in sent(simulator) if role == "user"] == ["one", "other"]


def test_items_are_found_by_reference_without_a_chain(
    router: Serving, simulator: Simulator
) -> None:
    first = create(router, "one").json
    message = first["output"][-1]
    follow = [
        {"role": "user", "content": "one"},
        {"type": "item_reference", "id": message["id"]},
        {"role": "user", "content": "two"},
    ]
    assert create(router, follow).status == 200
    text = message["content"][0]["text"]
    assert sent(simulator) == [("user", "one"), ("assistant", text), ("user", "two")]
    # One that the chain brings already is not told twice.
    assert create(router, follow[1:], previous_response_id=first["id"]).status == 200
    assert sent(simulator) == [("user", "one"), ("assistant", text), ("user", "two")]


def test_nothing_is_kept_of_a_response_that_is_not_stored(router: Serving) -> None:
    first = create(router, "one", store=False).json
    assert first["store"] is False
    refused = create(router, "two", previous_response_id=first["id"])
    assert (refused.status, refused.error["code"]) == (400, "previous_response_not_found")
    assert refused.error["param"] == "previous_response_id"
    assert first["id"] in refused.error["message"]
    reference = {"type": "item_reference", "id": first["output"][-1]["id"]}
    refused = create(router, [reference])
    assert (refused.status, refused.error["param"]) == (400, "input[0].id")


def test_what_fails_is_an_error_if_whole_and_a_failed_response_if_streamed(
    router: Serving, simulator: Simulator
) -> None:
    simulator.play(error(500), error(500), Script(cut_after=3))
    refused = create(router, "one", model="sim/frail:frail")
    assert (refused.status, refused.error["code"]) == (502, "upstream_failed")

    nobody = told(router, {"model": "sim/frail:frail", "input": "one"})
    assert [event["type"] for event in nobody] == [
        "response.created",
        "response.in_progress",
        "error",
        "response.failed",
    ]
    assert nobody[-2]["code"] == "upstream_failed"
    assert nobody[-1]["response"]["error"]["code"] == "server_error"

    cut = told(router, {"model": "sim/frail:frail", "input": "one two three four five"})
    assert [event["type"] for event in cut[-2:]] == ["error", "response.failed"]
    assert (cut[-2]["code"], cut[-2]["error"]["type"]) == ("upstream_failed", "upstream_error")
    assert cut[-1]["response"]["output"][-1]["status"] == "incomplete"


def again(serving: Serving, id: str, query: str = "") -> list[Any]:
    """Returns the events of a kept response as they are told again."""
    answer = ask(serving, "GET", f"/v1/responses/{id}?stream=true{query}")
    assert answer.status == 200, answer.body
    *frames, done, end = answer.body.decode().split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    return [json.loads(frame.partition("\ndata: ")[2]) for frame in frames]


def test_a_kept_response_is_streamed_again_exactly_and_from_anywhere(router: Serving) -> None:
    first = told(router, {"model": ECHO, "input": "one two three"})
    id = first[0]["response"]["id"]
    assert again(router, id) == first
    for number in range(-1, len(first)):
        assert again(router, id, f"&starting_after={max(number, 0)}") == first[max(number, 0) + 1 :]
    whole = create(router, "one two three").json
    replayed = again(router, whole["id"])
    assert replayed[-1]["response"] == whole
    assert [e["sequence_number"] for e in replayed] == list(range(len(replayed)))


def test_a_failed_stream_is_kept_and_told_again(router: Serving, simulator: Simulator) -> None:
    simulator.play(error(500))
    first = told(router, {"model": "sim/frail:frail", "input": "one"})
    assert first[-1]["type"] == "response.failed"
    assert again(router, first[0]["response"]["id"]) == first


def test_sealed_reasoning_comes_back_to_the_model_and_only_for_its_account(
    router: Serving, simulator: Simulator
) -> None:
    asked: Any = {"store": False, "include": ["reasoning.encrypted_content"]}
    simulator.play(Script(reasoning="I think so.", calls=(Call("a", "{}"),)))
    tool = {"type": "function", "name": "a", "parameters": {"type": "object"}}
    first = create(router, "one", tools=[tool], **asked).json
    reasoning, call = first["output"]
    sealed = {"type": "reasoning", "id": reasoning["id"], "summary": []}
    sealed["encrypted_content"] = reasoning["encrypted_content"]
    assert "I think so" not in reasoning["encrypted_content"]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "1"}
    follow = [{"role": "user", "content": "one"}, sealed, call, result]
    assert create(router, follow, tools=[tool], **asked).status == 200
    told_model = simulator.seen[-1].body["messages"][1]
    assert told_model["reasoning"] == "I think so."

    other = run("keys", "create", "--account", "other", home=router.home).stdout.strip()
    refused = create(router, follow, key=other, tools=[tool], **asked)
    assert (refused.status, refused.error["param"]) == (400, "input[1].encrypted_content")


def test_the_dialect_is_the_headers_or_the_configurations(router: Serving) -> None:
    header = {"x-responses-dialect": "open-responses"}
    events = told(router, {"model": ECHO, "input": "one"}, headers=header)
    assert "response.reasoning.delta" in {event["type"] for event in events}
    refused = ask(
        router,
        "POST",
        "/v1/responses",
        {"model": ECHO, "input": "one"},
        headers={"x-responses-dialect": "esperanto"},
    )
    assert (refused.status, refused.error["param"]) == (400, "x-responses-dialect")


def test_tools_that_nobody_runs_are_left_out_and_named(router: Serving) -> None:
    answer = create(router, "one", tools=[{"type": "web_search"}])
    assert answer.status == 200
    assert answer.headers["x-trunkline-ignored"] == "tools[0] (web_search)"


def test_a_receipt_has_the_attempts_of_every_model_call(
    router: Serving, simulator: Simulator
) -> None:
    simulator.play(Script(calls=(Call("b", "{}"),)), error(500))
    tools = [{"type": "function", "name": n, "parameters": {"type": "object"}} for n in "ab"]
    allowed = {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "a"}],
    }
    body = {"model": "sim/frail:frail", "input": "one", "tools": tools, "tool_choice": allowed}
    with streaming(router, body, path="/v1/responses") as stream:
        *_, last, _done = stream.events()
        kept = receipt(router, stream.headers["x-request-id"])
    assert json.loads(last.partition("\ndata: ")[2])["type"] == "response.failed"
    outcomes = [attempt["outcome"] for attempt in kept["attempts"]]
    assert outcomes[0] == "committed"
    assert outcomes[1].startswith("failed")
