"""The turn loop: what a response tells of what a model says, and what the model is told of its calls."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tests.turns import Model, call, ends, tell, turn_of, words
from trunkline.errors import RateLimited, UpstreamError
from trunkline.responses.toolbox import Listing, Outcome
from trunkline.wire.responses.output import MCPListedTool, MCPToolExecutionError
from trunkline.wire.responses.tools import Called

FUNCTION = {"type": "function", "name": "look", "parameters": {"type": "object"}}
OTHER = {"type": "function", "name": "listen", "parameters": {"type": "object"}}


def types(told):
    return [event["type"].removeprefix("response.") for event in told.shown()]


# ------------------------------------------------------------------------------------ items and parts


def test_an_item_and_its_part_begin_grow_and_end():
    told = tell(turn_of(), [*words("Hello there"), *ends()])
    assert types(told) == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert told.item()["content"] == [
        {"type": "output_text", "text": "Hello there ", "annotations": [], "logprobs": []}
    ]


def test_the_first_event_has_the_whole_response_but_for_what_is_not_known_yet():
    told = tell(turn_of(metadata={"a": "b"}), [*words("Hi"), *ends()])
    first, last = told.shown()[0]["response"], told.shown()[-1]["response"]
    assert last.keys() - first.keys() == {"usage"}
    differs = {name for name in first if first[name] != last[name]}
    assert differs == {"status", "completed_at", "output"}


def test_reasoning_text_and_a_call_are_items_in_their_order():
    turn = turn_of(tools=[FUNCTION])
    told = tell(
        turn,
        [*words("Hm", name="reasoning"), *words("Wait"), *call("look", '{"at":', "1}"), *ends()],
    )
    assert [item["type"] for item in told.shown()[-1]["response"]["output"]] == [
        "reasoning",
        "message",
        "function_call",
    ]
    assert told.item() | {"id": ""} == {
        "id": "",
        "type": "function_call",
        "call_id": "call_0123456789abcdef0123",
        "name": "look",
        "arguments": '{"at":1}',
        "status": "completed",
    }


def test_a_message_may_hold_text_and_a_refusal():
    told = tell(turn_of(), [*words("Well"), *words("I can not", name="refusal"), *ends()])
    assert [part["type"] for part in told.item()["content"]] == ["output_text", "refusal"]
    assert [e["content_index"] for e in told.shown() if e["type"].endswith("part.added")] == [0, 1]
    assert told.item()["content"][1]["refusal"] == "I can not "


def test_pieces_of_two_calls_may_be_mixed():
    turn = turn_of(tools=[FUNCTION, OTHER])
    one, other = call("look", '{"a', '":1}'), call("listen", '{"b', '":2}', index=1, id="")
    mixed = [piece for pair in zip(one, other, strict=True) for piece in pair]
    told = tell(turn, [*mixed, *ends("tool_calls")])
    first, second = told.item(0), told.item(1)
    assert (first["name"], first["arguments"]) == ("look", '{"a":1}')
    assert (second["name"], second["arguments"]) == ("listen", '{"b":2}')
    assert first["call_id"] != second["call_id"]


def test_only_the_first_call_counts_where_calls_must_not_be_parallel():
    turn = turn_of(tools=[FUNCTION, OTHER], parallel_tool_calls=False)
    told = tell(turn, [*call("look", "{}"), *call("listen", "{}", index=1), *ends("tool_calls")])
    assert [item["name"] for item in told.shown()[-1]["response"]["output"]] == ["look"]


@pytest.mark.parametrize("places", [(0, 0), (1, 2), (0, 10**12), (-1, 0)])
def test_calls_are_told_apart_whatever_their_places_are(places):
    turn = turn_of(tools=[FUNCTION, OTHER])
    one = call("look", '{"a', '":1}', index=places[0])
    other = call("listen", '{"b', '":2}', index=places[1], id="call_abcdefghijklmnopqrst")
    told = tell(turn, [*one, *other, *ends("tool_calls")])
    assert [
        (item["name"], item["arguments"]) for item in told.shown()[-1]["response"]["output"]
    ] == [
        ("look", '{"a":1}'),
        ("listen", '{"b":2}'),
    ]
    single = tell(
        turn_of(tools=[FUNCTION, OTHER], parallel_tool_calls=False),
        [*one, *other, *ends("tool_calls")],
    )
    assert [item["arguments"] for item in single.shown()[-1]["response"]["output"]] == ['{"a":1}']


def test_a_call_without_arguments_has_an_empty_object():
    told = tell(turn_of(tools=[FUNCTION]), [*call("look"), *ends("tool_calls")])
    assert told.item()["arguments"] == "{}"


@pytest.mark.parametrize("id", ["", "call_0", "functions.look:0"])
def test_an_id_that_may_come_again_is_replaced(id):
    told = tell(turn_of(tools=[FUNCTION]), [*call("look", "{}", id=id), *ends("tool_calls")])
    assert told.item()["call_id"].startswith("call_")
    assert len(told.item()["call_id"]) > 20


def test_two_calls_never_have_one_id():
    turn = turn_of(tools=[FUNCTION, OTHER])
    told = tell(turn, [*call("look", "{}"), *call("listen", "{}", index=1), *ends("tool_calls")])
    assert told.item(0)["call_id"] == "call_0123456789abcdef0123" != told.item(1)["call_id"]


def test_an_answer_without_a_word_has_a_message_all_the_same():
    told = tell(turn_of(), [*words("Hm", name="reasoning"), *ends()])
    assert told.response.status == "completed"
    assert told.item()["type"] == "message"
    assert told.item()["content"][0]["text"] == ""


def test_logprobs_are_told_to_whom_they_were_promised():
    token = {"token": "Hi", "logprob": -0.5, "top_logprobs": [{"token": "Ho", "logprob": -1.0}]}
    chunk = {"index": 0, "delta": {"content": "Hi"}, "logprobs": {"content": [token]}}
    said = [{"choices": [chunk]}, *ends()]
    told = tell(dataclasses.replace(turn_of(), logprobs=True), said)
    [logprob] = told.item()["content"][0]["logprobs"]
    assert (logprob["bytes"], logprob["top_logprobs"][0]["bytes"]) == ([72, 105], [72, 111])
    [delta] = [e for e in told.shown() if e["type"].endswith("text.delta")]
    assert delta["logprobs"] == [logprob]
    assert tell(turn_of(), said).item()["content"][0]["logprobs"] == []


def test_logprobs_without_text_go_with_the_text_that_follows():
    def chunk(content, *tokens):
        logprobs = {"content": [{"token": token, "logprob": -1.0} for token in tokens]}
        return {"choices": [{"index": 0, "delta": {"content": content}, "logprobs": logprobs}]}

    turn = dataclasses.replace(turn_of(), logprobs=True)
    told = tell(turn, [chunk("", "half"), chunk("é", "other"), *ends()])
    [delta] = [e for e in told.shown() if e["type"].endswith("text.delta")]
    assert [one["token"] for one in delta["logprobs"]] == ["half", "other"]


# --------------------------------------------------------------------------------- summaries and seals


def test_a_summary_is_made_of_the_reasoning():
    turn = turn_of(reasoning={"summary": "auto"})
    told = tell(turn, [*words("Two plus two", name="reasoning"), *words("4"), *ends()])
    assert told.item(0)["summary"] == [{"type": "summary_text", "text": "Two plus two "}]
    deltas = [e["delta"] for e in told.shown() if e["type"].endswith("summary_text.delta")]
    assert deltas == ["Two ", "plus ", "two "]


def test_a_concise_summary_has_the_first_sentence_of_each_paragraph():
    thought = "We must add. 2 and 2 it is.\n\nSo: 4! Done."
    turn = turn_of(reasoning={"summary": "concise"})
    for cut in range(1, len(thought)):
        pieces = [{"reasoning": thought[:cut]}, {"reasoning": thought[cut:]}]
        told = tell(turn, [*pieces, *words("4"), *ends()])
        assert told.response.output[0].summary[0].text == "We must add.\n\nSo: 4!"


def test_reasoning_is_sealed_and_shown():
    turn = dataclasses.replace(turn_of(), seal=lambda text: f"sealed {text}")
    told = tell(turn, [*words("Hm", name="reasoning"), *words("4"), *ends()])
    thought = told.item(0)
    assert thought["encrypted_content"] == "sealed Hm "
    assert thought["content"] == [{"type": "reasoning_text", "text": "Hm "}]
    added = told.shown()[2]["item"]
    assert "encrypted_content" not in added


# ------------------------------------------------------------------------------- cut off, and broken off


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_what_is_cut_off_is_incomplete_and_says_why(finish, reason):
    told = tell(turn_of(), [*words("Half a"), *ends(finish)])
    last = told.shown()[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": reason}
    assert last["response"]["completed_at"] is None
    assert told.item()["status"] == "incomplete"


def test_a_call_that_is_cut_off_is_incomplete():
    told = tell(turn_of(tools=[FUNCTION]), [*words("I"), *call("look", '{"a'), *ends("length")])
    assert (told.item()["status"], told.item()["arguments"]) == ("incomplete", '{"a')
    assert told.item(0)["status"] == "completed"
    assert told.response.status == "incomplete"


def test_a_failure_ends_the_open_item_and_is_told_in_both_shapes():
    error = UpstreamError("secret words", retryable=True, public="the stream broke off")
    told = tell(turn_of(), [*words("Half a"), error])
    *_, fault, last = told.shown()
    assert (fault["type"], fault["code"], fault["message"], fault["param"]) == (
        "error",
        "upstream_failed",
        "the stream broke off",
        None,
    )
    assert fault["error"] == {
        "type": "upstream_error",
        "code": "upstream_failed",
        "message": "the stream broke off",
        "param": None,
    }
    assert last["response"]["error"] == {"code": "server_error", "message": "the stream broke off"}
    assert told.item()["status"] == "incomplete"
    assert told.failures == [error]


def test_what_a_failed_response_used_is_told_as_far_as_it_is_known():
    error = UpstreamError("gone", retryable=True)
    known = {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 1}}
    told = tell(turn_of(), [known, *words("Half a"), error])
    assert told.shown()[-1]["response"]["usage"]["total_tokens"] == 5
    assert "usage" not in tell(turn_of(), [*words("Half a"), error]).shown()[-1]["response"]


def test_a_limit_in_the_middle_is_told_as_one():
    told = tell(turn_of(), [*words("Half a"), RateLimited("too fast")])
    assert told.response.error.code == "rate_limit_exceeded"


def test_what_fails_before_anybody_answers_is_raised():
    with pytest.raises(UpstreamError):
        tell(turn_of(), [UpstreamError("no", retryable=True)])


def test_counts_that_are_none_and_logprobs_of_another_shape_say_nothing():
    turn = dataclasses.replace(turn_of(), logprobs=True)
    odd = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "logprobs": {"content": [5]}}]}
    counts = {"choices": [], "usage": {"prompt_tokens": "many"}}
    told = tell(turn, [odd, *ends(usage=None), counts])
    assert told.response.status == "completed"
    assert told.item()["content"][0]["logprobs"] == []


def test_usage_may_come_under_another_name():
    counts = {"choices": [], "x_groq": {"usage": {"prompt_tokens": 4, "completion_tokens": 1}}}
    told = tell(turn_of(), [*words("Hi"), *ends(usage=None), counts])
    assert told.response.usage.total_tokens == 5


def test_a_reply_that_is_no_chat_completion_is_a_failure():
    told = tell(turn_of(), [{"choices": [{"delta": 5}]}])
    assert told.response.status == "failed"


# ---------------------------------------------------------------------------- calls that must not be made


def test_a_call_that_is_not_allowed_is_not_passed_on_and_the_model_is_told_once():
    turn = turn_of(tools=[FUNCTION, OTHER], allowed=["listen"])
    model = Model([[*call("look", "{}"), *ends("tool_calls")], [*words("All right"), *ends()]])
    told = tell(turn, model=model)
    assert [item["type"] for item in told.shown()[-1]["response"]["output"]] == ["message"]
    *_, said, answer = model.messages()
    assert said["tool_calls"][0]["function"]["name"] == "look"
    assert answer["tool_call_id"] == said["tool_calls"][0]["id"]
    assert "'look' may not be called now; there are: listen" in answer["content"]
    assert told.response.usage.input_tokens == 6


def test_a_tool_that_nobody_offered_is_no_call_either():
    model = Model([[*call("run", "{}"), *ends("tool_calls")], [*words("Sorry"), *ends()]])
    told = tell(turn_of(tools=[FUNCTION]), model=model)
    assert told.item()["type"] == "message"
    assert "'run' does not exist; there are: look" in model.messages()[-1]["content"]


def test_a_model_that_insists_fails_the_response():
    turn = turn_of(tools=[FUNCTION], allowed=[], tool_choice="none")
    wrong = [*call("look", "{}"), *ends("tool_calls")]
    told = tell(turn, wrong, wrong)
    assert told.response.status == "failed"
    assert "no tool may be called now" in told.response.error.message
    assert told.response.output == []
    assert told.response.usage.total_tokens == 16


def test_a_call_beside_one_that_is_not_allowed_ends_the_turn():
    turn = turn_of(tools=[FUNCTION, OTHER], allowed=["look"])
    told = tell(turn, [*call("listen", "{}"), *call("look", "{}", index=1), *ends("tool_calls")])
    assert [item["name"] for item in told.shown()[-1]["response"]["output"]] == ["look"]


def test_arguments_that_make_no_item_are_asked_for_again():
    turn = turn_of(tools=[{"type": "apply_patch"}])
    good = '{"type":"delete_file","path":"a.txt"}'
    model = Model(
        [
            [*call("apply_patch", '{"path":"a.txt"}'), *ends("tool_calls")],
            [*call("apply_patch", good), *ends("tool_calls")],
        ]
    )
    told = tell(turn, model=model)
    assert told.item()["operation"] == {"type": "delete_file", "path": "a.txt"}
    assert "do not fit" in model.messages()[-1]["content"]


# ------------------------------------------------------------------------------------ calls that are ours


class Shelf:
    """Own tools that tell what they were called with; ``fail`` does not work, ``slow`` waits for the last."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def run(self, call):
        self.ran.append(call.name)
        if call.name == "fail":
            raise ValueError("a secret")
        return Outcome(output=f"{call.name} {call.arguments}")


NAMES = {name: Called("mcp_call", name, server_label="shelf") for name in ("find", "fail")}


def own_turn(shelf, **asked):
    turn = turn_of(tools=[FUNCTION], **asked)
    return dataclasses.replace(turn, names={**turn.names, **NAMES}, tools=shelf)


def test_our_calls_are_run_and_the_model_goes_on():
    shelf = Shelf()
    model = Model(
        [
            [*words("Hm", name="reasoning"), *call("find", '{"a":1}'), *ends("tool_calls")],
            [*words("Found"), *ends()],
        ]
    )
    told = tell(own_turn(shelf, tool_choice="required"), model=model)
    assert types(told)[6:14] == [
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "mcp_call.in_progress",
        "mcp_call_arguments.delta",
        "mcp_call_arguments.done",
        "mcp_call.completed",
        "output_item.done",
    ]
    assert told.item(1)["output"] == 'find {"a":1}'
    assert told.item(1)["server_label"] == "shelf"
    *_, said, answer = model.messages()
    assert said["reasoning"] == "Hm "
    assert answer["content"] == 'find {"a":1}'
    assert "tool_choice" not in model.asked[-1]
    usage = told.response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (6, 10, 16)
    assert usage.input_tokens_details.cached_tokens == 2
    assert usage.output_tokens_details.reasoning_tokens == 4


def test_several_calls_are_settled_in_their_order_and_a_failing_one_tells_the_model():
    shelf = Shelf()
    model = Model(
        [
            [*call("fail", "{}"), *call("find", "{}", index=1, id=""), *ends("tool_calls")],
            [*words("So"), *ends()],
        ]
    )
    told = tell(own_turn(shelf), model=model)
    assert [told.item(0)["status"], told.item(1)["status"]] == ["failed", "completed"]
    assert told.item(0)["output"] is None
    assert told.item(0)["error"] == {
        "type": "mcp_protocol_error",
        "code": -32603,
        "message": "internal error",
    }
    assert [m["content"] for m in model.messages()[-2:]] == [
        "the tool failed: internal error",
        "find {}",
    ]
    done = [e["output_index"] for e in told.shown() if e["type"] == "response.output_item.done"]
    assert done == [0, 1, 2]


def test_a_tool_that_says_it_failed_tells_the_model_in_its_words():
    content = [{"type": "text", "text": "no such"}, {"type": "text", "text": "book"}]
    assert Outcome(error=MCPToolExecutionError(content)).told == "the tool failed: no such\nbook"


def test_listings_are_told_before_the_model_speaks():
    tools = [MCPListedTool(name="find", input_schema={"type": "object"}, description="Finds.")]
    turn = dataclasses.replace(own_turn(Shelf()), listings=[Listing("shelf", tools)])
    told = tell(turn, [*words("Hi"), *ends()])
    assert types(told)[:6] == [
        "created",
        "in_progress",
        "output_item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "output_item.done",
    ]
    assert told.shown()[2]["item"]["tools"] == []
    listing = told.item(0)
    assert listing.pop("id").startswith("mcpl_")
    assert listing == {
        "type": "mcp_list_tools",
        "server_label": "shelf",
        "tools": [
            {
                "name": "find",
                "input_schema": {"type": "object"},
                "description": "Finds.",
                "annotations": None,
            }
        ],
    }
    assert told.item(1)["type"] == "message"


def test_a_call_for_the_caller_beside_ours_ends_the_turn_after_ours_has_run():
    shelf = Shelf()
    step = [*call("find", "{}"), *call("look", "{}", index=1, id=""), *ends("tool_calls")]
    told = tell(own_turn(shelf), step)
    assert shelf.ran == ["find"]
    assert told.item(0)["status"] == "completed"
    assert told.item(1)["type"] == "function_call"
    assert told.response.status == "completed"


def test_calls_beyond_the_limit_are_not_run_and_the_model_is_told():
    shelf = Shelf()
    model = Model(
        [
            [*call("find", "{}"), *call("find", "{}", index=1, id=""), *ends("tool_calls")],
            [*call("find", "{}"), *ends("tool_calls")],
            [*words("Enough"), *ends()],
        ]
    )
    told = tell(own_turn(shelf, max_tool_calls=1), model=model)
    assert shelf.ran == ["find"]
    kinds = [item["type"] for item in told.shown()[-1]["response"]["output"]]
    assert kinds == ["mcp_call", "message"]
    told_of = [m["content"] for m in model.messages() if m["role"] == "tool"]
    assert told_of[0] == "find {}"
    assert all("may call 1 tools at most" in text for text in told_of[1:])


def test_a_model_that_never_stops_calling_fails_the_response():
    turn = dataclasses.replace(own_turn(Shelf()), max_steps=3)
    told = tell(turn, *[[*call("find", "{}"), *ends("tool_calls")]] * 3)
    assert told.response.status == "failed"
    assert "after 3 model calls" in told.response.error.message
    assert len(told.response.output) == 3


def test_a_later_call_that_fails_keeps_what_was_done():
    told = tell(
        own_turn(Shelf()),
        [*call("find", "{}"), *ends("tool_calls")],
        [UpstreamError("gone", retryable=True)],
    )
    assert told.response.status == "failed"
    assert told.item(0)["status"] == "completed"
    assert told.response.usage.total_tokens == 8


def test_our_call_that_is_cut_off_is_not_run():
    shelf = Shelf()
    told = tell(own_turn(shelf), [*call("find", '{"a'), *ends("length")])
    assert shelf.ran == []
    assert told.item()["status"] == "incomplete"


def test_a_whole_completion_is_told_like_a_stream_of_one_chunk():
    message = {
        "role": "assistant",
        "content": "Hello",
        "reasoning": "Hm",
        "reasoning_content": "Hm",
        "tool_calls": [{"id": "x", "function": {"name": "look", "arguments": '{"a": 1}'}}],
    }
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    told = tell(turn_of(tools=[FUNCTION]), [whole])
    assert [
        json.dumps(item.get("arguments") or "") for item in told.shown()[-1]["response"]["output"]
    ]
    assert [item["type"] for item in told.shown()[-1]["response"]["output"]] == [
        "reasoning",
        "message",
        "function_call",
    ]
