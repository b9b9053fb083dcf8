"""Items become the messages of a chat: whole turns of the assistant, and outputs behind their calls."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.errors import InvalidRequest
from trunkline.responses.context import Context, context_of
from trunkline.responses.history import NO_OUTPUT
from trunkline.wire.responses import decode_create, decode_input, decode_tools, kept_item

PNG = "data:image/png;base64,iVBORw0KGgo="


def user(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **more}


def said(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def thought(text: str, **more: Any) -> dict[str, Any]:
    content = [{"type": "reasoning_text", "text": text}]
    return {"type": "reasoning", "summary": [], "content": content, **more}


def call(call_id: str = "c", **more: Any) -> dict[str, Any]:
    return {
        "type": "function_call",
        "call_id": call_id,
        "name": "look",
        "arguments": "{}",
        **more,
    }


def output(call_id: str = "c", value: Any = "42") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": value}


def chat_call(call_id: str = "c", name: str = "look", arguments: str = "{}") -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def result(call_id: str = "c", text: str = "42") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": text}


def told(
    *items: Any, before: Any = (), unseal: Any = None, **parameters: Any
) -> tuple[list[dict[str, Any]], Context]:
    """Returns what the model is told; ``before`` are items of the chain."""
    body = {"model": "m", "input": [*items], "previous_response_id": "resp_1", **parameters}
    request = decode_create(msgspec.json.encode(body), lenient=False)
    chain = [
        kept_item(item.body) for item in decode_input(msgspec.Raw(msgspec.json.encode(before)))
    ]
    offered = decode_tools(request.parameters.tools)
    found = [*chain, *decode_input(request.parameters.input)]
    context = context_of(request, offered, found, unseal=unseal)
    return msgspec.json.decode(context.fields["messages"]), context


def messages(*items: Any, **more: Any) -> list[dict[str, Any]]:
    return told(*items, **more)[0]


def refused(*items: Any, **more: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as error:
        told(*items, **more)
    return error.value


def test_each_role_is_told_in_its_place() -> None:
    assert messages(
        {"role": "system", "content": "s"},
        user(),
        said("hello"),
        {"role": "developer", "content": "d"},
        user("more"),
        instructions="first",
    ) == [
        {"role": "developer", "content": "first"},
        {"role": "system", "content": "s"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "developer", "content": "d"},
        {"role": "user", "content": "more"},
    ]


def test_parts_of_text_have_one_name_in_chat() -> None:
    parts = [
        {"type": "input_text", "text": "a"},
        {"type": "text", "text": "b"},
        {"type": "output_text", "text": "c", "annotations": []},
    ]
    assert messages({"role": "user", "content": parts}) == [
        {"role": "user", "content": [{"type": "text", "text": text} for text in "abc"]}
    ]
    refusal = {"type": "refusal", "refusal": "d"}
    assert messages({"role": "assistant", "content": [*parts, refusal]}) == [
        {"role": "assistant", "content": "abcd"}
    ]


def test_what_the_assistant_does_at_a_time_is_one_message() -> None:
    assert messages(
        user(), thought("hm"), said("I look."), call("a"), call("b"), output("b", "2"), output("a")
    ) == [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": "I look.",
            "reasoning": "hm",
            "tool_calls": [chat_call("a"), chat_call("b")],
        },
        result("a"),
        result("b", "2"),
    ]


def test_several_thoughts_and_texts_of_a_turn_are_joined() -> None:
    assert messages(user(), thought("one"), said("A"), thought("two"), said("B")) == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "A\n\nB", "reasoning": "one\n\ntwo"},
    ]


def test_calls_one_after_the_other_are_turns_of_their_own() -> None:
    assert messages(user(), call("a"), output("a"), thought("hm"), call("b"), output("b")) == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [chat_call("a")]},
        result("a"),
        {"role": "assistant", "reasoning": "hm", "tool_calls": [chat_call("b")]},
        result("b"),
    ]


def test_an_output_that_comes_late_stands_behind_its_call() -> None:
    assert messages(user(), call(), user("hurry"), output(), said("done")) == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [chat_call()]},
        result(),
        {"role": "user", "content": "hurry"},
        {"role": "assistant", "content": "done"},
    ]


def test_a_call_that_nobody_answered_is_told_as_that() -> None:
    assert messages(user(), call(), user("never mind")) == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [chat_call()]},
        result(text=NO_OUTPUT),
        {"role": "user", "content": "never mind"},
    ]


def test_what_is_said_after_a_call_that_nobody_answered_is_said_later() -> None:
    assert messages(user(), call(), said("Never mind."), thought("hm"), call("b")) == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "tool_calls": [chat_call()]},
        result(text=NO_OUTPUT),
        {
            "role": "assistant",
            "content": "Never mind.",
            "reasoning": "hm",
            "tool_calls": [chat_call("b")],
        },
        result("b", NO_OUTPUT),
    ]
    assert messages(user(), call(), said("I look."), output())[1:] == [
        {"role": "assistant", "content": "I look.", "tool_calls": [chat_call()]},
        result(),
    ]


def test_a_call_that_was_cut_off_is_told_only_if_it_was_answered() -> None:
    cut = call(arguments='{"a', status="incomplete")
    assert messages(user(), said("I"), cut, user("go on")) == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "I"},
        {"role": "user", "content": "go on"},
    ]
    assert messages(cut, output())[-1] == result()


def test_an_id_may_be_used_again_once_its_call_is_answered() -> None:
    assert messages(call(), output(value="1"), call(), output(value="2")) == [
        {"role": "assistant", "tool_calls": [chat_call()]},
        result(text="1"),
        {"role": "assistant", "tool_calls": [chat_call()]},
        result(text="2"),
    ]


def test_an_output_answers_a_call_of_the_chain_once() -> None:
    before = [user(), call()]
    assert messages(output(), before=before)[-1] == result()
    assert refused(output(), output(), before=before).param == "input[1]"
    assert refused(output(), before=[*before, output()]).param == "input[0]"
    assert "'c'" in refused(output(), before=[user()]).message


def test_a_result_made_of_parts_is_told_as_text_and_its_images_after_it() -> None:
    parts = [
        {"type": "input_text", "text": "a screen: "},
        {"type": "input_image", "image_url": PNG, "detail": "original"},
        {"type": "input_text", "text": "see?"},
    ]
    found, context = told(user(), call("a"), call("b"), output("a", parts), output("b"))
    assert found[2:] == [
        result("a", "a screen: see?"),
        result("b"),
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "(output of look, call a:)"},
                {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
            ],
        },
    ]
    assert [image.at for image in context.images] == ["input[3].output[1]"]


def test_images_are_told_with_their_detail_and_known_by_their_paths() -> None:
    image = {"type": "input_image", "image_url": PNG}
    text = {"type": "input_text", "text": "what?"}
    asked = {"role": "user", "content": [text, image, {**image, "detail": "low"}]}
    found, context = told(asked, before=[{"role": "user", "content": [image]}])
    assert found[1]["content"] == [
        {"type": "text", "text": "what?"},
        {"type": "image_url", "image_url": {"url": PNG}},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
    ]
    paths = ["previous_response_id", "input[0].content[1]", "input[0].content[2]"]
    assert [one.at for one in context.images] == paths


def test_calls_of_tools_that_the_caller_runs_are_told_as_the_functions_they_were() -> None:
    outcome = {"stdout": "a\n", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
    assert messages(
        {"type": "custom_tool_call", "call_id": "1", "name": "patch", "input": "x"},
        {"type": "shell_call", "call_id": "2", "action": {"commands": ["ls"]}},
        {"type": "function_call", "call_id": "3", "name": "a", "namespace": "ns", "arguments": ""},
        {"type": "custom_tool_call_output", "call_id": "1", "output": "done"},
        {"type": "shell_call_output", "call_id": "2", "output": [outcome]},
    ) == [
        {
            "role": "assistant",
            "tool_calls": [
                chat_call("1", "patch", '{"input":"x"}'),
                chat_call("2", "shell", '{"commands":["ls"]}'),
                chat_call("3", "ns__a", ""),
            ],
        },
        result("1", "done"),
        result("2", "a"),
        result("3", NO_OUTPUT),
    ]


# -------------------------------------------------------------------------------------- reasoning

TURNS = [user("1"), thought("old"), said("A"), user("2"), thought("new"), call(), output()]


@pytest.mark.parametrize("context", [None, "auto", "current_turn"])
def test_the_reasoning_of_the_current_turn_is_shown(context: str | None) -> None:
    assert messages(*TURNS, reasoning={"context": context}) == [
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": "2"},
        {"role": "assistant", "reasoning": "new", "tool_calls": [chat_call()]},
        result(),
    ]


def test_the_reasoning_of_all_turns_is_shown_if_asked_for() -> None:
    found = messages(*TURNS, reasoning={"context": "all_turns"})
    assert [message.get("reasoning") for message in found] == [None, "old", None, "new", None]


def test_a_turn_of_the_model_may_be_nothing_but_thought() -> None:
    lost = [user("1"), thought("cut off"), user("2")]
    assert [message["role"] for message in messages(*lost)] == ["user", "user"]
    assert messages(*lost, reasoning={"context": "all_turns"})[1] == {
        "role": "assistant",
        "content": "",
        "reasoning": "cut off",
    }


@pytest.mark.parametrize(
    ("item", "reasoning"),
    [
        ({"content": [{"type": "reasoning_text", "text": "raw"}], "encrypted_content": "x"}, "raw"),
        ({"content": [], "encrypted_content": "x"}, "opened x"),
        ({"content": None, "encrypted_content": "x"}, "opened x"),
        (
            {"encrypted_content": "x", "summary": [{"type": "summary_text", "text": "s"}]},
            "opened x",
        ),
        ({"summary": [{"type": "summary_text", "text": t} for t in "ab"]}, "a\n\nb"),
    ],
)
def test_reasoning_is_read_raw_or_sealed_or_as_its_summary(
    item: dict[str, Any], reasoning: str
) -> None:
    found = messages(
        user(),
        {"type": "reasoning", **item},
        said("A"),
        unseal=lambda sealed, *, at: f"opened {sealed}",
    )
    assert found[-1] == {"role": "assistant", "content": "A", "reasoning": reasoning}


def test_empty_reasoning_says_nothing() -> None:
    empty = {"type": "reasoning", "id": "rs_1", "summary": []}
    assert messages(user(), empty, said("A"))[-1] == {"role": "assistant", "content": "A"}


def test_sealed_reasoning_is_opened_by_its_path_and_only_where_it_is_shown() -> None:
    paths: list[str] = []

    def unseal(sealed: str, *, at: str) -> str:
        paths.append(at)
        return sealed

    sealed = {"type": "reasoning", "summary": [], "encrypted_content": "x"}
    told(sealed, user(), sealed, said("A"), unseal=unseal)
    assert paths == ["input[2].encrypted_content"]


# ------------------------------------------------------------------------------- what is sent twice


def test_what_the_chain_has_already_is_told_once() -> None:
    before = [user(id="msg_1"), said("A", id="msg_2")]
    again = [user(id="msg_1"), said("A", id="msg_2", phase="final_answer"), user("more")]
    assert [message["content"] for message in messages(*again, before=before)] == [
        "hi",
        "A",
        "more",
    ]


def test_an_id_of_the_chain_on_something_else_does_not_hide_it() -> None:
    before = [user(id="1"), said("A", id="2")]
    assert [message["content"] for message in messages(user("more", id="1"), before=before)] == [
        "hi",
        "A",
        "more",
    ]


def ran(name: str = "find", **fields: Any) -> dict[str, Any]:
    return {
        "type": "mcp_call",
        "id": f"mcp_{name}",
        "server_label": "shelf",
        "name": name,
        "arguments": '{"q":1}',
        **fields,
    }


def test_calls_that_were_run_for_the_model_are_told_with_what_came_of_them() -> None:
    asked = [
        {
            "id": f"mcp_{name}",
            "type": "function",
            "function": {"name": f"shelf__{name}", "arguments": '{"q":1}'},
        }
        for name in ("find", "look", "read")
    ]
    told = messages(
        user(),
        thought("hm"),
        ran("find", output="a book"),
        ran("look", output="", status="completed"),
        thought("well"),
        ran("read", output="once"),
        said("A"),
    )
    assert told[1:] == [
        {"role": "assistant", "reasoning": "hm", "tool_calls": asked[:2]},
        {"role": "tool", "tool_call_id": "mcp_find", "content": "a book"},
        {"role": "tool", "tool_call_id": "mcp_look", "content": ""},
        {"role": "assistant", "reasoning": "well", "tool_calls": asked[2:]},
        {"role": "tool", "tool_call_id": "mcp_read", "content": "once"},
        {"role": "assistant", "content": "A"},
    ]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("gone", "the tool failed: gone"),
        ({"type": "http_error", "code": 502, "message": "gone"}, "the tool failed: gone"),
        (
            {
                "type": "mcp_tool_execution_error",
                "content": [{"type": "text", "text": "no"}, {"type": "image"}, 1],
            },
            "the tool failed: no",
        ),
        ({"type": "new"}, "the tool failed"),
    ],
)
def test_a_call_that_failed_is_told_with_its_error(error: Any, told: str) -> None:
    *_, answer, last = messages(user(), ran(error=error, output=None), said("A"))
    assert (answer["content"], last["content"]) == (told, "A")


# --------------------------------------------------------------------------------- kept and not told

KEPT = [
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
    {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["q"]},
    {"type": "code_interpreter_call", "id": "ci_1", "container_id": "c", "code": None},
    {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": None},
    {"type": "computer_call", "id": "cu_1", "call_id": "k", "pending_safety_checks": []},
    {"type": "computer_call_output", "call_id": "k", "output": {"type": "computer_screenshot"}},
    {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": []},
    {"type": "mcp_approval_request", "id": "mcpr_1", "server_label": "s", "name": "n"},
    {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
    {"type": "mcp_call", "id": "mcp_1", "server_label": "s", "name": "n", "arguments": "{}"},
    {"type": "tool_search_call", "call_id": None, "arguments": {}},
    {"type": "tool_search_output", "call_id": None, "tools": []},
    {"type": "additional_tools", "role": "developer", "tools": []},
    {"type": "program", "id": "p_1", "call_id": "p", "code": "", "fingerprint": ""},
    {"type": "program_output", "id": "po_1", "call_id": "p", "result": "", "status": "completed"},
    {"type": "compaction", "encrypted_content": "x"},
    {"type": "compaction_trigger"},
    {"type": "configuration_update"},
]


@pytest.mark.parametrize("item", KEPT, ids=lambda item: item["type"])
def test_items_that_say_nothing_to_the_model_are_kept_as_they_are(item: dict[str, Any]) -> None:
    assert messages(user(), item, said("A"))[1:] == [{"role": "assistant", "content": "A"}]
    (kept,) = decode_input(msgspec.Raw(msgspec.json.encode([item])))
    body = msgspec.json.decode(kept.body)
    assert body == {**body, **item, "id": kept.id}
    assert body.keys() - item.keys() <= {"id", "status", "execution"}
    assert kept.id == item.get("id") or kept.id.startswith("item_")


# ------------------------------------------------------------------------------- in whatever order

_ids = st.sampled_from(["a", "b", "c"])
_items = st.lists(
    st.one_of(
        st.builds(user, st.sampled_from(["hi", ""])),
        st.just({"role": "developer", "content": "d"}),
        st.builds(said, st.sampled_from(["A", ""])),
        st.builds(thought, st.sampled_from(["hm", ""])),
        st.builds(call, _ids),
        st.builds(lambda id_: call(id_, status="incomplete"), _ids),
        st.builds(output, _ids),
        st.sampled_from(KEPT[:3]),
    ),
    min_size=1,
    max_size=12,
)


def answerable(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leaves out outputs that would answer nothing."""
    waiting, kept = Counter[str](), []
    for item in items:
        kind = item.get("type")
        if kind == "function_call":
            waiting[item["call_id"]] += 1
        elif kind == "function_call_output":
            if not waiting[item["call_id"]]:
                continue
            waiting[item["call_id"]] -= 1
        kept.append({name: value for name, value in item.items() if name != "id"})
    return kept


@given(_items, st.integers(0, 12), st.booleans())
def test_whatever_order_items_come_in_the_messages_are_such_as_providers_take(
    items: list[dict[str, Any]], cut: int, all_turns: bool
) -> None:
    kept = [{"role": "user", "content": "begin"}, *answerable(items)]
    cut = min(cut, len(kept))
    found = messages(
        *kept[cut:],
        before=kept[:cut],
        reasoning={"context": "all_turns" if all_turns else None},
    )
    waiting: list[str] = []
    for message in found:
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
            continue
        assert not waiting, "something stands between a call and its result"
        waiting = [one["id"] for one in message.get("tool_calls", ())]
        assert "content" in message or waiting
    assert not waiting
    roles = [message["role"] for message in found]
    assert ("assistant", "assistant") not in itertools.pairwise(roles)
    asked = [item for item in kept if item.get("role") == "user"]
    assert [m["content"] for m in found if m["role"] == "user"] == [a["content"] for a in asked]
    results = [item for item in kept if item.get("type") == "function_call_output"]
    told = [m for m in found if m["role"] == "tool" and m["content"] != NO_OUTPUT]
    assert len(told) == len(results)
