"""Emulations: what is asked in words, when it is asked again, and what becomes of it if that fails."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from trunkline.config import ModelSettings, Quirks
from trunkline.errors import InvalidRequest, UpstreamError
from trunkline.providers.base import Call, Reply
from trunkline.providers.emulation import Emulating
from trunkline.providers.one_call import first_calls
from trunkline.providers.parameters import support_of
from trunkline.providers.schema_check import SchemaCheck
from trunkline.wire.chat import Usage

USER = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
TOOLS = [{"type": "function", "function": {"name": name}} for name in ("first", "second")]
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
UNABLE = ModelSettings(structured=False)


def said(content: str | None = None, finish: str = "stop", **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": content, **message}}
    return {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "up",
        "choices": [{**choice, "finish_reason": finish}],
        "usage": USAGE,
    }


def called(name: str) -> dict[str, Any]:
    function = {"name": name, "arguments": "{}"}
    call = {"id": "call_1", "type": "function", "function": function}
    return said(finish="tool_calls", tool_calls=[call])


class Scripted:
    """A provider that answers with these completions, or fails with these errors, one after the other."""

    def __init__(self, *answers: dict[str, Any] | Exception) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.streamed: list[bool] = []
        self._answers = list(answers)

    @asynccontextmanager
    async def open(self, call: Call):
        self.bodies.append({name: json.loads(bytes(raw)) for name, raw in call.body.items()})
        self.streamed.append(call.stream)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer

        async def chunks():
            yield [msgspec.json.encode(answer)]

        yield Reply(chunks(), {"a_repair"}, {"a_rename"}, {"seed"})


def ask(scripted, quirks=None, offer=None, *, stream=False, **fields):
    """Returns what comes, decoded, and the reply it comes in."""
    quirks = quirks or Quirks()
    body = {"model": "m", "messages": [USER], **fields}
    call = Call(
        model="up",
        body={name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()},
        stream=stream,
        request_id="req_1",
        within_s=60.0,
        support=support_of(quirks, offer),
    )

    async def run():
        async with Emulating(scripted, quirks=quirks).open(call) as reply:
            return [json.loads(one) async for some in reply.chunks for one in some], reply

    return asyncio.run(run())


def content(documents: list[dict[str, Any]]) -> Any:
    return documents[0]["choices"][0]["message"]["content"]


# JSON


def test_an_answer_that_satisfies_the_schema_needs_one_request():
    scripted = Scripted(said('{"a": 1}'))
    documents, reply = ask(scripted, offer=UNABLE, response_format=FORMAT)
    assert documents == [said('{"a": 1}')]
    assert reply.emulations == {"a_rename", "response_format: json_schema"}
    assert (reply.repairs, reply.ignored) == ({"a_repair"}, {"seed"})
    (body,) = scripted.bodies
    assert "response_format" not in body
    system, user = body["messages"]
    assert user == USER
    assert system["role"] == "system"
    assert json.dumps(SCHEMA, separators=(",", ":")) in system["content"]


def test_an_answer_that_does_not_is_told_what_is_wrong_and_asked_once_more():
    scripted = Scripted(said('{"a": "one"}'), said('```json\n{"a": 1}\n```'))
    documents, reply = ask(scripted, offer=UNABLE, response_format=FORMAT)
    assert content(documents) == '{"a":1}'
    assert documents[0]["usage"] == {name: 2 * value for name, value in USAGE.items()}
    assert "asked_again" in reply.emulations
    *before, assistant, correction = scripted.bodies[1]["messages"]
    assert before == scripted.bodies[0]["messages"]
    assert assistant == {"role": "assistant", "content": '{"a": "one"}'}
    assert "'one' is not of type 'integer'" in correction["content"]


@pytest.mark.parametrize("bad", ["no", '{"a"', "[]", '{"b": 1}', None, ""])
def test_if_the_second_answer_is_no_better_the_attempt_has_failed_through_no_fault_of_the_deployment(
    bad,
):
    scripted = Scripted(said(bad), said(bad))
    with pytest.raises(UpstreamError, match="also when asked again") as caught:
        ask(scripted, offer=UNABLE, response_format=FORMAT)
    assert caught.value.retryable
    assert caught.value.by_model
    assert len(scripted.bodies) == 2


def used(*answers: dict[str, Any] | Exception, **fields: Any) -> Any:
    """Returns what the failed attempt used as prompt and completion, None if that is not known."""
    with pytest.raises(UpstreamError) as caught:
        ask(Scripted(*answers), Quirks(unsupported=("n",)), UNABLE, **fields)
    found = caught.value.used
    return found and (found.prompt_tokens, found.completion_tokens)


def test_what_the_requests_of_a_failed_attempt_used_together_is_told():
    def down() -> UpstreamError:
        return UpstreamError("down", retryable=True, status=500)

    empty = UpstreamError("answered without content", retryable=True)
    empty.used = msgspec.convert(USAGE, Usage)
    assert used(said("no"), said("no"), response_format=FORMAT) == (6, 4)
    assert used(said("no"), down(), response_format=FORMAT) == (3, 2)
    assert used(said("no"), empty, response_format=FORMAT) == (6, 4)
    assert used(said("x"), down(), n=2) == (3, 2)
    assert used(down(), response_format=FORMAT) is None


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_an_answer_that_was_cut_off_passes_as_it_is(finish):
    cut = said('{"a"', finish=finish)
    documents, _ = ask(Scripted(cut), offer=UNABLE, response_format=FORMAT)
    assert documents == [cut]


def test_a_refusal_passes_as_it_is():
    refusal = said(None, refusal="no")
    documents, _ = ask(Scripted(refusal), offer=UNABLE, response_format=FORMAT)
    assert documents == [refusal]


def test_a_json_object_is_any_object():
    scripted = Scripted(said("[1]"), said('{"x": []}'))
    documents, _ = ask(scripted, offer=UNABLE, response_format={"type": "json_object"})
    assert content(documents) == '{"x": []}'
    assert "It must be an object." in scripted.bodies[0]["messages"][0]["content"]


def test_beside_tools_a_call_passes_and_an_answer_is_checked():
    offer = ModelSettings(structured_with_tools=False)
    scripted = Scripted(called("first"))
    documents, reply = ask(scripted, offer=offer, tools=TOOLS, response_format=FORMAT)
    assert documents == [called("first")]
    assert reply.emulations == {"a_rename", "response_format with tools"}
    assert scripted.bodies[0]["tools"] == TOOLS
    scripted = Scripted(said("no"), said('{"a": 2}'))
    documents, _ = ask(scripted, offer=offer, tools=TOOLS, response_format=FORMAT)
    assert content(documents) == '{"a": 2}'


def test_the_instruction_is_added_to_the_system_message_that_is_there():
    def messages(content):
        scripted = Scripted(said('{"a": 1}'))
        system = {"role": "developer", "content": content}
        ask(scripted, offer=UNABLE, response_format=FORMAT, messages=[system, USER])
        return scripted.bodies[0]["messages"]

    text = messages("be brief")[0]["content"]
    assert text.startswith("be brief\n\nAnswer with one JSON document")
    first, second = messages([{"type": "text", "text": "be brief"}])[0]["content"]
    assert first == {"type": "text", "text": "be brief"}
    assert second["text"].startswith("Answer with one JSON document")


def test_a_schema_that_is_taken_without_strict_is_sent_and_checked():
    strict = {"type": "json_schema", "json_schema": {**FORMAT["json_schema"], "strict": True}}  # type: ignore[dict-item]
    scripted = Scripted(said("no"), said('{"a": 1}'))
    documents, _ = ask(scripted, Quirks(strict_schemas=False), response_format=strict)
    assert content(documents) == '{"a": 1}'
    assert [body["response_format"] for body in scripted.bodies] == [strict, strict]


def test_a_strict_schema_that_the_rules_do_not_admit_is_asked_for_in_words():
    def asked(schema: dict[str, Any]) -> dict[str, Any]:
        named = {"name": "x", "strict": True, "schema": schema}
        scripted = Scripted(said('{"a": 1}'))
        ask(
            scripted,
            Quirks(schema_rules=("closed",)),
            response_format={"type": "json_schema", "json_schema": named},
        )
        return scripted.bodies[0]

    assert "response_format" in asked(SCHEMA)
    assert "response_format" not in asked({"type": "object"})


def test_guided_json_is_checked_in_the_same_way():
    scripted = Scripted(said("no"), said('{"a": 1}'))
    documents, _ = ask(scripted, offer=UNABLE, guided_json=SCHEMA)
    assert content(documents) == '{"a": 1}'
    assert "guided_json" not in scripted.bodies[0]


@pytest.mark.parametrize(
    "schema", [{"type": "nonsense"}, {"$ref": "#/nowhere"}, {"$ref": "http://127.0.0.1:9/x"}]
)
def test_a_schema_that_cannot_be_checked_is_refused_by_name(schema):
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    with pytest.raises(InvalidRequest) as caught:
        ask(Scripted(said('{"a": 1}')), offer=UNABLE, response_format=wanted)
    assert caught.value.param == "response_format.json_schema.schema"


@pytest.mark.parametrize(
    ("answer", "is_right"), [("yes", True), (' "yes".', True), ("maybe", False)]
)
def test_a_choice_is_one_of_the_texts(answer, is_right):
    scripted = Scripted(said(answer), said("no"))
    documents, _ = ask(scripted, guided_choice=["yes", "no"])
    assert content(documents) == ("yes" if is_right else "no")
    assert len(scripted.bodies) == (1 if is_right else 2)


@pytest.mark.parametrize("choices", [[], [1], "yes"])
def test_choices_that_are_none_are_refused(choices):
    with pytest.raises(InvalidRequest, match="guided_choice"):
        ask(Scripted(), guided_choice=choices)


# Tools

AUTO_ONLY = Quirks(tool_choice=("auto", "none"))
SECOND = {"type": "function", "function": {"name": "second"}}


@pytest.mark.parametrize(
    ("choice", "tools", "right"),
    [
        ("required", TOOLS, "first"),
        (SECOND, TOOLS[1:], "second"),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [SECOND]},
            },
            TOOLS[1:],
            "second",
        ),
    ],
)
def test_a_call_that_must_be_made_is_asked_for_until_it_is(choice, tools, right):
    scripted = Scripted(said("I would rather talk"), called(right))
    documents, reply = ask(scripted, AUTO_ONLY, tools=TOOLS, tool_choice=choice)
    assert documents[0]["choices"] == called(right)["choices"]
    assert "asked_again" in reply.emulations
    for body in scripted.bodies:
        assert body["tools"] == tools
        assert "tool_choice" not in body
    assert scripted.bodies[1]["messages"][-2]["content"] == "I would rather talk"
    assert "call" in scripted.bodies[1]["messages"][-1]["content"]


def test_a_call_of_another_tool_is_not_the_one_that_must_be_made():
    scripted = Scripted(called("first"), called("first"))
    with pytest.raises(UpstreamError, match="did not call a tool as asked"):
        ask(scripted, AUTO_ONLY, tools=TOOLS, tool_choice=SECOND)


@pytest.mark.parametrize("stream", [False, True])
def test_one_call_alone_is_left(stream):
    calls = [
        {"index": number, "id": f"call_{number}", "function": {"name": "f", "arguments": "{}"}}
        for number in range(2)
    ]
    holder = "delta" if stream else "message"
    given = [
        [{"choices": [{"index": 0, holder: {"tool_calls": [call]}}]} for call in calls],
        [{"choices": [{"index": 0, holder: {"tool_calls": calls}}]}],
        [{"choices": [{"index": 0, holder: {"content": '"tool_calls"'}, "finish_reason": "stop"}]}],
    ]

    async def run():
        async def chunks():
            for some in given:
                yield [msgspec.json.encode(one) for one in some]

        kept = first_calls(chunks(), stream=stream)
        return [json.loads(one) async for some in kept for one in some]

    first = {"choices": [{"index": 0, holder: {"tool_calls": calls[:1]}}]}
    if stream:
        assert asyncio.run(run()) == [first, first, *given[2]]


# Choices


def test_choices_are_as_many_requests_with_seeds_that_differ():
    scripted = Scripted(said("a"), said("b"), said("c"))
    documents, reply = ask(scripted, Quirks(unsupported=("n",)), n=3, seed=5)
    (document,) = documents
    texts = {choice["index"]: choice["message"]["content"] for choice in document["choices"]}
    assert texts == {0: "a", 1: "b", 2: "c"}
    assert document["usage"] == {name: 3 * value for name, value in USAGE.items()}
    assert sorted(body["seed"] for body in scripted.bodies) == [5, 6, 7]
    assert not any("n" in body for body in scripted.bodies)
    assert "n" in reply.emulations


def test_if_one_of_the_choices_fails_the_attempt_has_failed():
    failure = UpstreamError("broken", retryable=True)
    with pytest.raises(UpstreamError, match="broken"):
        ask(Scripted(said("a"), failure), Quirks(unsupported=("n",)), n=2)


def test_more_choices_than_are_asked_for_are_refused():
    with pytest.raises(InvalidRequest, match="more than 16") as caught:
        ask(Scripted(), Quirks(unsupported=("n",)), n=17)
    assert caught.value.param == "n"


# Streams


def test_what_was_checked_comes_as_a_stream_if_that_was_asked_for():
    scripted = Scripted(called("first"))
    chunks, _ = ask(scripted, AUTO_ONLY, stream=True, tools=TOOLS, tool_choice="required")
    assert scripted.streamed == [False]
    said_, over, usage = chunks
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    (call,) = called("first")["choices"][0]["message"]["tool_calls"]
    assert said_["choices"][0]["delta"] == {
        "role": "assistant",
        "tool_calls": [{"index": 0, **call}],
    }
    assert over["choices"][0]["finish_reason"] == "tool_calls"
    assert (usage["choices"], usage["usage"]) == ([], USAGE)


def test_where_a_schema_is_not_streamed_the_reply_is_asked_for_whole():
    scripted = Scripted(said('{"a": 1}'))
    quirks = Quirks(streams_schemas=False)
    chunks, reply = ask(scripted, quirks, stream=True, response_format=FORMAT)
    assert scripted.streamed == [False]
    assert scripted.bodies[0]["response_format"] == FORMAT
    assert chunks[0]["choices"][0]["delta"]["content"] == '{"a": 1}'
    assert "stream: response_format" in reply.emulations


def test_what_needs_no_emulation_goes_straight_through():
    scripted = Scripted(said("x"))
    documents, reply = ask(scripted, response_format=FORMAT, n=2)
    assert documents == [said("x")]
    assert reply.emulations == {"a_rename"}
    assert scripted.bodies[0] == {
        "model": "m",
        "messages": [USER],
        "response_format": FORMAT,
        "n": 2,
    }


def test_while_a_schema_and_an_answer_are_looked_through_others_are_served(monkeypatch):
    threads = set()
    looked_through = SchemaCheck.problem

    def problem(self, value):
        threads.add(threading.current_thread())
        return looked_through(self, value)

    monkeypatch.setattr(SchemaCheck, "problem", problem)
    ask(Scripted(said('{"a": 1}')), offer=UNABLE, response_format=FORMAT)
    assert threads
    assert threading.main_thread() not in threads
