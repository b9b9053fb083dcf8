"""Whatever a response puts out can come back in unchanged: in full, by reference, or behind its id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.client import ask
from tests.responses import told
from tests.serving import ECHO, NANO, Serving, running
from tests.simulator import Call, Script, Simulator

_CONFIG = """
[engine]
enabled = true
[providers.sim]
base_url = "URL"
models."sim/echo" = {}
"""

TOOLS = [
    {"type": "function", "name": name, "parameters": {"type": "object"}} for name in ("a", "b")
]


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    with running(config=_CONFIG.replace("URL", running_simulator.base_url)) as serving:
        yield serving


def whole(message: dict[str, Any], finish_reason: str = "stop") -> Script:
    """Returns the script of an answer that is written out."""
    choice = {"index": 0, "message": {"role": "assistant", **message}}
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": ECHO,
        "choices": [{**choice, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    return Script(body=json.dumps(answer), content_type="application/json")


def called(*arguments: str) -> list[dict[str, Any]]:
    return [
        {"id": f"call_{n}", "type": "function", "function": {"name": "a", "arguments": one}}
        for n, one in enumerate(arguments)
    ]


SCRIPTS: dict[str, Script] = {
    "text": Script(),
    "text alone": Script(reasoning=""),
    "odd text": Script(text='<|end|>\x00"\\ \U0001f600 \u2028', reasoning="\n"),
    "a call": Script(calls=(Call("a", '{"x": 1}'),)),
    "calls": Script(calls=(Call("a", "{}"), Call("b", '{"y": [1, {"z": null}]}'))),
    "a call of nobody": Script(calls=(Call("other", "{}"),)),
    "arguments that are no JSON": Script(calls=(Call("a", '{"x": '),)),
    "no arguments": Script(calls=(Call("a", ""),)),
    "calls without thought": Script(reasoning="", calls=(Call("a", "{}"),)),
}
WHOLE: dict[str, Script] = {
    "all at once": whole(
        {"reasoning": "hm", "content": "I look.", "tool_calls": called("{}", "{}")}, "tool_calls"
    ),
    "cut off in the text": whole({"content": "It was", "reasoning": "hm"}, "length"),
    "cut off in the thought": whole({"content": None, "reasoning": "I thi"}, "length"),
    "cut off in a call": whole({"content": "Now", "tool_calls": called('{"x": "')}, "length"),
    "filtered": whole({"content": "It"}, "content_filter"),
    "refused": whole({"content": None, "refusal": "I cannot.", "reasoning": "no"}),
}
BROKEN: dict[str, Script] = {
    "broken off in the thought": Script(cut_after=2),
    "broken off in the text": Script(cut_after=5),
    "an error in the text": Script(error_after=5),
    "broken off in a call": Script(calls=(Call("a", '{"x": 1, "y": "a long word"}'),), cut_after=5),
}
CASES = [
    *[(name, stream) for name in SCRIPTS for stream in (False, True)],
    *[(name, False) for name in WHOLE],
    *[(name, True) for name in BROKEN],
]


def answered(serving: Serving, body: dict[str, Any], *, stream: bool) -> dict[str, Any]:
    """Returns the response to a request, however it ended."""
    if stream:
        ended: dict[str, Any] = told(serving, body)[-1]["response"]
        return ended
    answer = ask(serving, "POST", "/v1/responses", body)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def outputs(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"type": "function_call_output", "call_id": item["call_id"], "output": "done"}
        for item in items
        if item["type"] == "function_call"
    ]


def replayed(serving: Serving, model: str, response: dict[str, Any]) -> None:
    """Sends a response's output back in every way there is."""
    output = response["output"]
    asked = {"role": "user", "content": "hi"}
    on = {"role": "user", "content": "go on"}
    inputs: list[list[dict[str, Any]]] = [
        [asked, *output],
        [asked, *output, on],
        [asked, *output, *outputs(output)],
        [asked, *output, *outputs(output), on],
        [*output, *output[:0], on],
    ]
    if response["status"] in ("completed", "incomplete"):
        references = [{"type": "item_reference", "id": item["id"]} for item in output]
        inputs += [[asked, *references, *outputs(output), on]]
    for items in inputs:
        body = {"model": model, "input": items, "max_output_tokens": 16}
        assert answered(serving, body, stream=False)["status"] in ("completed", "incomplete")
    if response["status"] in ("completed", "incomplete"):
        for items in ([on], [*outputs(output), on], [*output, *outputs(output), on]):
            body = {
                "model": model,
                "input": items,
                "previous_response_id": response["id"],
                "max_output_tokens": 16,
            }
            assert answered(serving, body, stream=False)["status"] in ("completed", "incomplete")


@pytest.mark.parametrize(("name", "stream"), CASES)
def test_what_a_provider_said_can_be_sent_back(
    router: Serving, simulator: Simulator, name: str, stream: bool
) -> None:
    simulator.play({**SCRIPTS, **WHOLE, **BROKEN}[name])
    body = {"model": ECHO, "input": "hi", "tools": TOOLS}
    response = answered(router, body, stream=stream)
    assert response["output"] or response["status"] == "failed"
    replayed(router, ECHO, response)
    for seen in simulator.seen:  # what any provider takes: calls have results, and ids are known
        waiting: list[str] = []
        for message in seen.body["messages"]:
            if message["role"] == "tool":
                waiting.remove(message["tool_call_id"])
            else:
                assert not waiting or message["role"] == "tool"
            waiting += [call["id"] for call in message.get("tool_calls", ())]
        assert not waiting


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"max_output_tokens": 3},
        {"reasoning": {"effort": "none"}},
        {"tools": TOOLS, "tool_choice": "required"},
        {"tools": TOOLS, "tool_choice": "required", "max_output_tokens": 6},
    ],
)
def test_what_the_engine_said_can_be_sent_back(
    router: Serving, stream: bool, more: dict[str, Any]
) -> None:
    body = {"model": NANO, "input": "Say hello.", "temperature": 0, "seed": 1, **more}
    replayed(router, NANO, answered(router, body, stream=stream))
