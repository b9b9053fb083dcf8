"""Items of every published type are taken in, kept as published, and can be sent again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.published import OPENAI_RESPONSES, as_json_schema, validator
from tests.e2e.client import ask
from tests.serving import ECHO, Serving, running, simulated_provider
from tests.simulator import Simulator
from trunkline.wire.responses.items import TYPES_OF_ITEMS

Json = dict[str, Any]
PNG = "data:image/png;base64,iVBORw0KGgo="
TEXT = {"type": "input_text", "text": "a"}
CALL = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
CUSTOM = {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "x"}
SHELL = {"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}}
LOCAL = {
    "type": "local_shell_call",
    "id": "lsh_1",
    "call_id": "c",
    "action": {"type": "exec", "command": ["ls"], "env": {}},
    "status": "completed",
}
PATCH = {
    "type": "apply_patch_call",
    "call_id": "c",
    "status": "completed",
    "operation": {"type": "delete_file", "path": "a"},
}
SEARCH = {
    "type": "tool_search_call",
    "call_id": "c",
    "arguments": {"query": "q"},
    "execution": "client",
}
FOUND = {"type": "tool_search_output", "call_id": "c", "execution": "client"}
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": None}
OUTCOME = {"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}

# Each with what must come before it, as a caller may send it: ids and statuses only where they must be.
SAMPLES: dict[str, list[list[Json]]] = {
    "message": [
        [{"role": "user", "content": "hi"}],
        [{"role": "system", "content": "hi"}],
        [{"role": "assistant", "content": "hi", "phase": "commentary"}],
        [
            {
                "type": "message",
                "role": "user",
                "content": [TEXT, {"type": "input_image", "image_url": PNG}],
            }
        ],
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
        [{"role": "assistant", "content": [{"type": "output_text", "text": "a"}]}],
        [{"role": "user", "content": [{"type": "input_file", "file_data": "YWJj"}]}],
    ],
    "reasoning": [
        [{"type": "reasoning", "summary": []}],
        [{"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]}],
        [
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "s"}],
                "content": None,
            }
        ],
    ],
    "function_call": [[CALL], [{**CALL, "namespace": "ns", "status": "completed", "id": "fc_1"}]],
    "function_call_output": [
        [CALL, {"type": "function_call_output", "call_id": "c", "output": "x"}],
        [CALL, {"type": "function_call_output", "call_id": "c", "output": [TEXT]}],
    ],
    "custom_tool_call": [[CUSTOM]],
    "custom_tool_call_output": [
        [CUSTOM, {"type": "custom_tool_call_output", "call_id": "c", "output": "x"}]
    ],
    "shell_call": [[SHELL]],
    "shell_call_output": [
        [SHELL, {"type": "shell_call_output", "call_id": "c", "output": [OUTCOME]}]
    ],
    "local_shell_call": [[LOCAL]],
    "local_shell_call_output": [
        [LOCAL, {"type": "local_shell_call_output", "id": "lso_1", "call_id": "c", "output": "x"}]
    ],
    "apply_patch_call": [[PATCH]],
    "apply_patch_call_output": [
        [PATCH, {"type": "apply_patch_call_output", "call_id": "c", "status": "completed"}]
    ],
    "web_search_call": [
        [
            {
                "type": "web_search_call",
                "id": "ws_1",
                "status": "completed",
                "action": {"type": "search", "query": "q"},
            }
        ]
    ],
    "file_search_call": [
        [{"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["q"]}]
    ],
    "code_interpreter_call": [
        [
            {
                "type": "code_interpreter_call",
                "id": "ci_1",
                "status": "completed",
                "container_id": "cntr_1",
                "code": None,
                "outputs": None,
            }
        ]
    ],
    "image_generation_call": [
        [{"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": None}]
    ],
    "computer_call": [
        [
            {
                "type": "computer_call",
                "id": "cu_1",
                "call_id": "k",
                "action": {"type": "screenshot"},
                "pending_safety_checks": [],
                "status": "completed",
            }
        ]
    ],
    "computer_call_output": [
        [
            {
                "type": "computer_call_output",
                "call_id": "k",
                "output": {"type": "computer_screenshot", "image_url": PNG},
            }
        ]
    ],
    "mcp_list_tools": [
        [{"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": []}]
    ],
    "mcp_call": [
        [
            {
                "type": "mcp_call",
                "id": "mcp_1",
                "server_label": "s",
                "name": "n",
                "arguments": "{}",
                "output": "x",
            }
        ]
    ],
    "mcp_approval_request": [
        [
            {
                "type": "mcp_approval_request",
                "id": "mcpr_1",
                "server_label": "s",
                "name": "n",
                "arguments": "{}",
            }
        ]
    ],
    "mcp_approval_response": [
        [{"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True}]
    ],
    "tool_search_call": [
        [{"type": "tool_search_call", "arguments": {}, "execution": "server"}],
        [SEARCH],
    ],
    "tool_search_output": [
        [{"type": "tool_search_output", "tools": [], "execution": "server"}],
        [SEARCH, {**FOUND, "tools": [TOOL]}],
    ],
    "additional_tools": [
        [{"type": "additional_tools", "role": "developer", "tools": []}],
        [{"type": "additional_tools", "role": "developer", "tools": [TOOL]}],
    ],
    "program": [
        [{"type": "program", "id": "prog_1", "call_id": "p", "code": "x", "fingerprint": "f"}]
    ],
    "program_output": [
        [
            {
                "type": "program_output",
                "id": "po_1",
                "call_id": "p",
                "result": "x",
                "status": "completed",
            }
        ]
    ],
    "compaction": [[{"type": "compaction", "encrypted_content": "x"}]],
    "compaction_trigger": [[{"type": "compaction_trigger"}]],
    "configuration_update": [[{"type": "configuration_update"}]],
}
CASES = [(kind, n) for kind, samples in SAMPLES.items() for n in range(len(samples))]

# The document has no item of these types in lists, or asks of them for a key that it does not have.
UNLISTED = {"compaction_trigger", "configuration_update", "mcp_approval_response"}


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    config = "[engine]\nenabled = false\n" + simulated_provider(running_simulator.base_url, ECHO)
    with running(config=config) as serving:
        yield serving


def test_there_is_a_sample_of_every_type() -> None:
    assert SAMPLES.keys() | {"item_reference"} == TYPES_OF_ITEMS


@pytest.mark.parametrize(("kind", "number"), CASES)
def test_an_item_is_kept_as_published_and_can_be_sent_again(
    router: Serving, simulator: Simulator, kind: str, number: int
) -> None:
    sample = [{"role": "user", "content": "begin"}, *SAMPLES[kind][number]]
    created = ask(router, "POST", "/v1/responses", {"model": ECHO, "input": sample})
    assert created.status == 200, created.body
    told = simulator.seen[-1].body["messages"]
    path = (
        f"/v1/responses/{created.json['id']}/input_items"
        "?order=asc&include[]=message.input_image.image_url"
        "&include[]=computer_call_output.output.image_url"
        "&include[]=code_interpreter_call.outputs"
    )
    listed = ask(router, "GET", path).json
    if kind not in UNLISTED:
        published = as_json_schema(json.loads(OPENAI_RESPONSES.read_text()))
        faults = [e.message for e in validator(published, "ResponseItemList").iter_errors(listed)]
        assert not faults
    assert [item["type"] for item in listed["data"]] == [
        item.get("type", "message") for item in sample
    ]
    for kept, sent in zip(listed["data"], sample, strict=True):
        same = sent.keys() - (
            {"content", "action"} if kind.startswith("shell_call") else {"content"}
        )
        assert {k: kept[k] for k in same if sent[k] is not None} == {
            k: sent[k] for k in same if sent[k] is not None
        }
        assert kept["id"]

    again = ask(router, "POST", "/v1/responses", {"model": ECHO, "input": listed["data"]})
    assert again.status == 200, again.body
    assert simulator.seen[-1].body["messages"] == told
    follow = {"model": ECHO, "input": "on", "previous_response_id": created.json["id"]}
    assert ask(router, "POST", "/v1/responses", follow).status == 200
    assert simulator.seen[-1].body["messages"][: len(told) - 1] == told[: len(told) - 1]


def test_tools_that_stand_in_the_input_are_offered_from_then_on(
    router: Serving, simulator: Simulator
) -> None:
    other = {**TOOL, "name": "other"}
    body = {
        "model": ECHO,
        "tools": [TOOL],
        "input": [
            {"type": "additional_tools", "role": "developer", "tools": [TOOL, other]},
            SEARCH,
            {**FOUND, "tools": [{**TOOL, "name": "third"}]},
            {"role": "user", "content": "hi"},
        ],
        "tool_choice": {"type": "function", "name": "third"},
    }
    created = ask(router, "POST", "/v1/responses", body)
    assert created.status == 200, created.body
    assert offered(simulator) == ["look", "other", "third"]
    assert [tool["name"] for tool in created.json["tools"]] == ["look"]
    call = created.json["output"][-1]
    assert call["name"] == "third"
    follow = {
        "model": ECHO,
        "previous_response_id": created.json["id"],
        "input": [{"type": "function_call_output", "call_id": call["call_id"], "output": "x"}],
    }
    assert ask(router, "POST", "/v1/responses", follow).status == 200
    assert offered(simulator) == ["look", "other", "third"]


def offered(simulator: Simulator) -> list[str]:
    return [tool["function"]["name"] for tool in simulator.seen[-1].body["tools"]]


def test_a_tool_in_the_input_that_is_wrong_is_named(router: Serving) -> None:
    wrong = {"type": "additional_tools", "role": "developer", "tools": [TOOL, {"type": "function"}]}
    answer = ask(router, "POST", "/v1/responses", {"model": ECHO, "input": [wrong]})
    assert answer.error["param"] == "input[0].tools[1].name"


def test_types_may_have_the_prefix_of_the_other_dialect(
    router: Serving, simulator: Simulator
) -> None:
    call = {**CUSTOM, "type": "openai:custom_tool_call"}
    output = {"type": "openai:custom_tool_call_output", "call_id": "c", "output": "x"}
    created = ask(router, "POST", "/v1/responses", {"model": ECHO, "input": [call, output]})
    assert created.status == 200, created.body
    assert [one["role"] for one in simulator.seen[-1].body["messages"]] == ["assistant", "tool"]
    path = f"/v1/responses/{created.json['id']}/input_items?order=asc"
    kept = ask(router, "GET", path).json["data"]
    assert [one["type"] for one in kept] == ["custom_tool_call", "custom_tool_call_output"]
