"""Items as they are kept: published and whole, whatever form they came in."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trunkline.wire.responses import decode_input, kept_item
from trunkline.wire.responses.items import TYPES_OF_ITEMS, CallOutputItem, ItemReference


def kept(*items: Any) -> list[dict[str, Any]]:
    found = decode_input(msgspec.Raw(msgspec.json.encode([*items])))
    for item in found:
        again = kept_item(item.body)
        assert (again.id, again.type, again.body) == (item.id, item.type, item.body)
        # Kept once more, nothing changes.
        (third,) = decode_input(msgspec.Raw(b"[" + item.body + b"]"))
        assert third.body == item.body
    return [msgspec.json.decode(item.body) for item in found]


def test_a_text_is_a_message_of_the_user() -> None:
    (item,) = decode_input(msgspec.Raw(b'"hi \\u00e9"'))
    assert item.at == "input"
    assert msgspec.json.decode(item.body) == {
        "type": "message",
        "id": item.id,
        "role": "user",
        "content": [{"type": "input_text", "text": "hi é"}],
        "status": "completed",
    }


def test_easy_messages_are_kept_as_messages() -> None:
    easy, said = kept(
        {"role": "system", "content": "s"}, {"role": "assistant", "content": "a", "id": None}
    )
    assert easy["content"] == [{"type": "input_text", "text": "s"}]
    assert said["content"] == [
        {"type": "output_text", "text": "a", "annotations": [], "logprobs": []}
    ]
    assert easy["id"].startswith("msg_")
    assert said["id"].startswith("msg_")


def test_parts_get_what_is_published_to_be_there() -> None:
    text = {"type": "input_text", "text": "a"}
    image = {"type": "input_image", "image_url": "data:,"}
    user, assistant = kept(
        {"role": "user", "content": [text, image, {**image, "detail": "low"}]},
        {
            "type": "message",
            "role": "assistant",
            "content": [text, {**text, "type": "output_text"}],
        },
    )
    assert user["content"] == [text, {**image, "detail": "auto"}, {**image, "detail": "low"}]
    said = {"type": "output_text", "text": "a", "annotations": [], "logprobs": []}
    assert assistant["content"] == [said, said]


def test_items_get_what_is_published_to_be_there_and_lose_their_nulls() -> None:
    call, output, reasoning = kept(
        {
            "type": "function_call",
            "id": None,
            "call_id": "c",
            "name": "look",
            "arguments": "{}",
            "status": None,
            "parsed_arguments": {"a": [1]},
        },
        {"type": "function_call_output", "id": "fco_1", "call_id": "c", "output": "x"},
        {"type": "reasoning", "id": "rs_1", "content": None, "encrypted_content": None},
    )
    assert call["id"].startswith("fc_")
    assert (call["status"], call["parsed_arguments"]) == ("completed", {"a": [1]})
    assert output == {
        "type": "function_call_output",
        "id": "fco_1",
        "call_id": "c",
        "output": "x",
        "status": "completed",
    }
    assert reasoning == {"type": "reasoning", "id": "rs_1", "summary": []}


@pytest.mark.parametrize("head", [{"type": "item_reference"}, {"type": None}, {}])
def test_a_reference_needs_no_type(head: dict[str, Any]) -> None:
    (item,) = decode_input(msgspec.Raw(msgspec.json.encode([{**head, "id": "msg_1"}])))
    assert (item.meaning, item.type) == (ItemReference(id="msg_1"), "item_reference")


def test_the_output_of_a_custom_tool_is_an_output() -> None:
    body = {"type": "custom_tool_call_output", "call_id": "c", "output": "x"}
    (item,) = decode_input(msgspec.Raw(msgspec.json.encode([body])))
    assert item.meaning == CallOutputItem(call_id="c", output="x")


def test_every_published_type_is_known() -> None:
    assert len(TYPES_OF_ITEMS) == 28 + 3  # of output, and of input alone


def test_a_null_where_it_is_published_stays() -> None:
    (item,) = kept({"type": "code_interpreter_call", "id": "ci_1", "code": None, "outputs": None})
    assert item == {"type": "code_interpreter_call", "id": "ci_1", "code": None, "outputs": None}
