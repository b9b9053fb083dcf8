"""Responses over HTTP in both dialects: whatever a model says is told as published, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.client import ask
from tests.responses import HEADER, Json, assert_stream, checked, dialect_of, responded, told
from tests.serving import ECHO, Serving, running, simulated_provider
from tests.simulator import Call, Script, Simulator

LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}}
WRITE = {"type": "custom", "name": "write", "format": {"type": "text"}}
FILES = {"type": "namespace", "name": "files", "description": "Files.", "tools": [LOOK]}
SEARCH = {"type": "tool_search", "execution": "client"}

# By the type of the item: the tools, what the model calls, what must be in the item, and its output.
CALLS: dict[str, tuple[list[Json], Call, Json, Any]] = {
    "function_call": ([LOOK], Call("look", '{"at": 1}'), {"arguments": '{"at": 1}'}, "seen"),
    "custom_tool_call": (
        [WRITE],
        Call("write", '{"input": "a\\n\\"b\\""}'),
        {"input": 'a\n"b"'},
        "ok",
    ),
    "namespaced": (
        [FILES],
        Call("files__look", "{}"),
        {"name": "look", "namespace": "files"},
        "seen",
    ),
    "shell_call": (
        [{"type": "shell"}],
        Call("shell", '{"commands": ["ls"]}'),
        {"action": {"commands": ["ls"], "timeout_ms": None, "max_output_length": None}},
        [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
    ),
    "local_shell_call": (
        [{"type": "local_shell"}],
        Call("local_shell", '{"command": ["ls"]}'),
        {"type": "local_shell_call"},
        "a",
    ),
    "apply_patch_call": (
        [{"type": "apply_patch"}],
        Call("apply_patch", '{"type": "delete_file", "path": "a"}'),
        {"operation": {"type": "delete_file", "path": "a"}},
        "done",
    ),
}


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    with running(config=simulated_provider(running_simulator.base_url, ECHO)) as serving:
        yield serving


@pytest.fixture(params=["openai", "open-responses"])
def headers(request: pytest.FixtureRequest) -> dict[str, str]:
    return {HEADER: request.param}


def both_ways(
    router: Serving, body: Json, headers: dict[str, str], simulator: Simulator, script: Script
) -> Json:
    """Asks twice; the stream ends in what the whole answer is. Returns the response of the stream."""
    simulator.play(script, script)
    whole = responded(router, body, headers=headers)
    last: Json = told(router, body, headers=headers)[-1]["response"]
    assert [plain(item) for item in last["output"]] == [plain(item) for item in whole["output"]]
    assert (last["status"], last["usage"]) == (whole["status"], whole["usage"])
    return last


def plain(item: Json) -> Json:
    return {name: value for name, value in item.items() if name not in ("id", "call_id")}


@pytest.mark.parametrize("kind", CALLS)
def test_a_call_goes_out_in_its_own_shape_and_its_output_comes_back(
    router: Serving, simulator: Simulator, headers: dict[str, str], kind: str
) -> None:
    tools, call, found, output = CALLS[kind]
    body: Json = {"model": ECHO, "input": "go", "tools": tools}
    response = both_ways(router, body, headers, simulator, Script(calls=(call,)))
    item = response["output"][-1]
    published = {name: value for name, value in found.items() if name != "type"}
    assert {name: item[name] for name in published} == published
    answer = {
        "type": f"{item['type'].removeprefix('openai:')}_output",
        "id": "answer_1",
        "call_id": item["call_id"],
        "status": "completed",
        "output": output,
    }
    follow = [{"role": "user", "content": "go"}, *response["output"], answer]
    again = responded(router, {**body, "input": follow, "tools": tools}, headers=headers)
    assert again["output"][-1]["type"] == "message"
    told_model = simulator.seen[-1].body["messages"]
    [made] = told_model[1]["tool_calls"]
    assert made["function"]["name"] == call.name
    assert json.loads(made["function"]["arguments"]) == json.loads(call.arguments)
    assert (told_model[2]["role"], told_model[2]["tool_call_id"]) == ("tool", item["call_id"])


def chunks(*deltas: Json, finish: str) -> Script:
    """Returns a stream of these deltas, as it goes over the wire."""
    documents = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    documents.append({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    frames = [f"data: {json.dumps({**head, **document})}\n\n" for document in documents]
    return Script(body="".join([*frames, "data: [DONE]\n\n"]), content_type="text/event-stream")


def test_a_refusal_is_a_part_of_its_own(
    router: Serving, simulator: Simulator, headers: dict[str, str]
) -> None:
    simulator.play(
        chunks({"role": "assistant"}, {"refusal": "I "}, {"refusal": "can not"}, finish="stop")
    )
    events = told(router, {"model": ECHO, "input": "go"}, headers=headers)
    assert [e["delta"] for e in events if e["type"] == "response.refusal.delta"] == [
        "I ",
        "can not",
    ]
    [message] = events[-1]["response"]["output"]
    assert message["content"] == [{"type": "refusal", "refusal": "I can not"}]


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_what_is_cut_off_is_incomplete(
    router: Serving, simulator: Simulator, headers: dict[str, str], finish: str
) -> None:
    simulator.play(chunks({"content": "Half "}, {"content": "a"}, finish=finish))
    events = told(router, {"model": ECHO, "input": "go"}, headers=headers)
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["output"][-1]["status"] == "incomplete"


def test_logprobs_and_a_summary_come_to_whom_they_were_promised(
    router: Serving, headers: dict[str, str]
) -> None:
    body = {
        "model": ECHO,
        "input": "one two",
        "include": ["message.output_text.logprobs"],
        "top_logprobs": 2,
        "reasoning": {"effort": "low", "summary": "auto"},
    }
    events = told(router, body, headers=headers)
    reasoning, message = events[-1]["response"]["output"]
    assert reasoning["summary"][0]["text"] == reasoning["content"][0]["text"]
    logprobs = message["content"][0]["logprobs"]
    assert "".join(token["token"] for token in logprobs) == message["content"][0]["text"]
    deltas = [e["logprobs"] for e in events if e["type"] == "response.output_text.delta"]
    assert [token for some in deltas for token in some] == logprobs


def test_deltas_are_padded_only_when_asked(router: Serving, headers: dict[str, str]) -> None:
    body = {"model": ECHO, "input": "one two"}
    padded = told(
        router, {**body, "stream_options": {"include_obfuscation": True}}, headers=headers
    )
    for event in padded:
        assert ("obfuscation" in event) == event["type"].endswith(".delta")
    assert not any("obfuscation" in event for event in told(router, body, headers=headers))


def test_a_call_that_is_not_allowed_is_asked_for_again(
    router: Serving, simulator: Simulator, headers: dict[str, str]
) -> None:
    other = {**LOOK, "name": "listen"}
    choice = {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "listen"}],
    }
    body = {"model": ECHO, "input": "go", "tools": [LOOK, other], "tool_choice": choice}
    simulator.play(Script(calls=(Call("look", "{}"),)), Script(calls=(Call("listen", "{}"),)))
    response = told(router, body, headers=headers)[-1]["response"]
    assert [item.get("name") for item in response["output"]] == [None, None, "listen"]
    assert response["usage"]["input_tokens"] > 1
    assert [tool["name"] for tool in response["tools"]] == ["look", "listen"]
    assert "there are: listen" in simulator.seen[-1].body["messages"][-1]["content"]


def test_a_kept_stream_is_told_again_exactly(
    router: Serving, simulator: Simulator, headers: dict[str, str]
) -> None:
    simulator.play(Script(calls=(Call("write", '{"input": "a b c"}'),)))
    events = told(router, {"model": ECHO, "input": "go", "tools": [WRITE]}, headers=headers)
    path = f"/v1/responses/{events[0]['response']['id']}"
    for after in (0, 3, len(events) - 2):
        answer = ask(router, "GET", f"{path}?stream=true&starting_after={after}", headers=headers)
        *frames, _done, _end = answer.body.decode().split("\n\n")
        rest = [json.loads(frame.partition("\ndata: ")[2]) for frame in frames]
        assert rest == events[after + 1 :]
        assert_stream(rest, dialect_of(headers), first=after + 1)
    kept = checked(ask(router, "GET", path, headers=headers), headers)
    assert kept == events[-1]["response"]
