"""Kept responses as they are shown again: put together, in pages, and with what was asked to be included."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from trunkline.wire.responses.requests import Include
from trunkline.wire.responses.retrieval import listed, put_together, shown

EVERYTHING = get_args(Include)

LOGPROB = {"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}
# By what is included: an item that has it, and the item for those who did not ask for it.
HIDDEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "file_search_call.results": (
        {"type": "file_search_call", "queries": ["q"], "results": [{"text": "t"}]},
        {"type": "file_search_call", "queries": ["q"]},
    ),
    "web_search_call.results": (
        {"type": "web_search_call", "results": [{"url": "u"}]},
        {"type": "web_search_call"},
    ),
    "web_search_call.action.sources": (
        {"type": "web_search_call", "action": {"type": "search", "sources": [{"url": "u"}]}},
        {"type": "web_search_call", "action": {"type": "search"}},
    ),
    "message.input_image.image_url": (
        {
            "type": "message",
            "content": [
                {"type": "input_text", "text": "image_url"},
                {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,AA"},
            ],
        },
        {
            "type": "message",
            "content": [
                {"type": "input_text", "text": "image_url"},
                {"type": "input_image", "detail": "auto"},
            ],
        },
    ),
    "computer_call_output.output.image_url": (
        {"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": "u"}},
        {"type": "computer_call_output", "output": {"type": "computer_screenshot"}},
    ),
    "code_interpreter_call.outputs": (
        {"type": "code_interpreter_call", "outputs": [{"type": "logs", "logs": "1"}]},
        {"type": "code_interpreter_call", "outputs": None},
    ),
    "reasoning.encrypted_content": (
        {"type": "reasoning", "summary": [], "encrypted_content": "tl1.x"},
        {"type": "reasoning", "summary": []},
    ),
    "message.output_text.logprobs": (
        {"type": "message", "content": [{"type": "output_text", "text": "a", "logprobs": [LOGPROB]}]},
        {"type": "message", "content": [{"type": "output_text", "text": "a", "logprobs": []}]},
    ),
}  # fmt: skip


def test_the_table_is_whole() -> None:
    assert HIDDEN.keys() == set(EVERYTHING)


@pytest.mark.parametrize("name", EVERYTHING)
def test_what_is_included_shows_to_those_only_who_ask_for_it(name: Include) -> None:
    whole, without = HIDDEN[name]
    body = json.dumps(whole).encode()
    assert shown(body, EVERYTHING) == body
    assert json.loads(shown(body, [name])) == whole
    assert json.loads(shown(body, [])) == without
    assert json.loads(shown(body, [other for other in EVERYTHING if other != name])) == without


@pytest.mark.parametrize(
    "item",
    [
        {"type": "message", "content": "results sources image_url outputs"},
        {"type": "message", "content": [None, 1, {"type": "input_text"}], "logprobs": 1},
        {"type": "function_call_output", "output": [{"type": "input_image", "image_url": "u"}]},
        {"type": "function_call", "arguments": '{"encrypted_content":"x"}', "outputs": 1},
        {"type": "compaction", "encrypted_content": "tl1.x"},
        {"type": "web_search_call", "action": None, "sources": ["mine"]},
        {"type": "mcp_call", "results": ["x"]},
        {"encrypted_content": "of no type"},
    ],
)
def test_nothing_else_is_hidden(item: dict[str, Any]) -> None:
    assert json.loads(shown(json.dumps(item).encode(), [])) == item


def test_a_response_is_put_together_with_its_items() -> None:
    items = [json.dumps(whole).encode() for whole, _ in HIDDEN.values()]
    body = b'{"id":"resp_1","object":"response"}'
    bare = json.loads(put_together(body, items, []))
    full = json.loads(put_together(body, items, EVERYTHING))
    assert list(bare) == ["id", "object", "output"]
    assert bare["output"] == [without for _, without in HIDDEN.values()]
    assert full["output"] == [whole for whole, _ in HIDDEN.values()]
    assert json.loads(put_together(body, [], [])) == {**json.loads(body), "output": []}


def test_a_page_tells_its_first_and_its_last_item() -> None:
    items = [("msg_1", b'{"type":"message"}'), ("rs_2", b'{"type":"reasoning"}')]
    assert json.loads(listed(items, [], has_more=True)) == {
        "object": "list",
        "data": [{"type": "message"}, {"type": "reasoning"}],
        "first_id": "msg_1",
        "last_id": "rs_2",
        "has_more": True,
    }


def test_the_ids_of_an_empty_page_are_empty() -> None:
    assert json.loads(listed([], [], has_more=False)) == {
        "object": "list",
        "data": [],
        "first_id": "",
        "last_id": "",
        "has_more": False,
    }
