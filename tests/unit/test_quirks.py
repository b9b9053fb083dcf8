"""Each quirk of a provider: what its requests look like, on the shapes that were met in the field."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from trunkline.config import ModelSettings, Quirks
from trunkline.providers.base import Call
from trunkline.providers.history import History
from trunkline.providers.openai import OpenAIChat
from trunkline.providers.parameters import IMAGES, features_of, support_of
from trunkline.providers.schemas import narrowed

USER = {"role": "user", "content": "hi"}
CALLS = [
    {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": "{}"}}
    for name in "ab"
]
RESULTS = [{"role": "tool", "tool_call_id": f"call_{name}", "content": name} for name in "ab"]


def raws(fields: dict[str, Any]) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(msgspec.json.encode(fields), type=dict[str, msgspec.Raw])


def sent(quirks, offer=None, **fields):
    """Returns the fields that arrive, without the model and, if they are the usual ones, the messages."""
    body = raws({"model": "m", "messages": [USER], **fields})
    call = Call(
        model="up",
        body=body,
        stream=False,
        request_id="req_1",
        support=support_of(quirks, offer) if offer else None,
    )
    arrived = json.loads(OpenAIChat(quirks=quirks).request(call).body)
    assert arrived.pop("model") == "up"
    if arrived["messages"] == [USER]:
        del arrived["messages"]
    return arrived


# Fields


@pytest.mark.parametrize(
    ("name", "given", "arrives"),
    [
        ("max_tokens", {"max_completion_tokens": 5}, {"max_tokens": 5}),
        ("max_tokens", {"max_tokens": 7, "max_completion_tokens": 5}, {"max_tokens": 5}),
        ("max_tokens", {"max_tokens": 7}, {"max_tokens": 7}),
        ("max_completion_tokens", {"max_tokens": 7}, {"max_completion_tokens": 7}),
        ("", {"max_tokens": 7, "max_completion_tokens": 5}, None),
    ],
)
def test_the_limit_of_tokens_has_the_one_name_that_is_taken(name, given, arrives):
    assert sent(Quirks(max_tokens_name=name), **given) == (given if arrives is None else arrives)


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        *(("none", "low"), ("minimal", "low"), ("low", "low"), ("medium", "medium")),
        *(("high", "high"), ("xhigh", "high"), ("max", "high")),
    ],
)
def test_an_effort_becomes_the_nearest_that_is_taken(asked, taken):
    offer = ModelSettings(efforts=("low", "medium", "high"))
    assert sent(Quirks(), offer, reasoning_effort=asked) == {"reasoning_effort": taken}
    assert sent(Quirks(), offer, reasoning={"effort": asked}) == {"reasoning_effort": taken}
    unified = Quirks(reasoning_object=True)
    assert sent(unified, offer, reasoning={"effort": asked, "exclude": True}) == {
        "reasoning": {"effort": taken, "exclude": True}
    }


def test_of_two_efforts_as_near_the_lower_is_taken():
    offer = ModelSettings(efforts=("high", "low"))
    assert sent(Quirks(), offer, reasoning_effort="medium") == {"reasoning_effort": "low"}


def test_reasoning_that_is_switched_off_is_the_effort_none():
    assert sent(Quirks(), reasoning={"enabled": False}) == {"reasoning_effort": "none"}
    assert sent(Quirks(), reasoning={"enabled": True}) == {}
    assert sent(Quirks(), reasoning={"effort": "low"}, reasoning_effort="high") == {
        "reasoning_effort": "high"
    }


def test_required_is_called_any():
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert sent(Quirks(required_name="any"), tools=tools, tool_choice="required") == {
        "tools": tools,
        "tool_choice": "any",
    }
    for choice in ("auto", "none"):
        assert (
            sent(Quirks(required_name="any"), tools=tools, tool_choice=choice)["tool_choice"]
            == choice
        )


def test_tools_lose_their_strict():
    function = {"name": "f", "parameters": {"properties": {"strict": {"type": "boolean"}}}}
    strict = [{"type": "function", "function": {**function, "strict": True}}]
    plain = [{"type": "function", "function": function}]
    assert sent(Quirks(strict_tools=False), tools=strict) == {"tools": plain}
    assert sent(Quirks(strict_tools=False), tools=plain) == {"tools": plain}
    assert sent(Quirks(), tools=strict) == {"tools": strict}


def test_values_that_ask_for_nothing_are_not_sent_where_the_parameter_is_not_taken():
    quirks = Quirks(unsupported=("presence_penalty", "logprobs", "n", "parallel_tool_calls"))
    neutral = {"presence_penalty": 0, "logprobs": False, "n": 1, "parallel_tool_calls": True}
    assert sent(quirks, **neutral) == {}
    assert sent(Quirks(), **neutral) == neutral


@pytest.mark.parametrize(
    "spaced",
    [
        b'{"modalities": [\n  "text"\n]}',
        b'{"logit_bias": { }}',
        b'{"chat_template_kwargs": {\n}}',
        b'{"tools": [ ], "tool_choice": "required"}',
        b'{"messages": [{"role": "user", "content": "image_url"}]}',
        b'{"messages": [{"role": "user", "content": "{\\"type\\": \\"image_url\\"}"}]}',
    ],
)
def test_what_asks_for_nothing_does_so_however_it_is_written(spaced):
    assert features_of(msgspec.json.decode(spaced, type=dict[str, msgspec.Raw])) == frozenset()


@pytest.mark.parametrize("between", ["", " ", "\n"])
def test_an_image_is_seen_however_it_is_written(between):
    part = f'{{"image_url": {{"url": "data:"}}, "type"{between}:{between}"image_url"}}'
    messages = f'[{{"role": "user", "content": [{part}]}}]'.encode()
    assert features_of({"messages": msgspec.Raw(messages)}) == {IMAGES}


def test_a_stream_is_not_asked_for_usage_where_that_is_not_taken():
    quirks = Quirks(unsupported=("stream_options",))
    body = raws({"model": "m", "messages": [USER], "stream_options": {"include_usage": True}})
    call = Call(model="up", body=body, stream=True, request_id="req_1")
    arrived = json.loads(OpenAIChat(quirks=quirks).request(call).body)
    assert arrived == {"model": "up", "messages": [USER], "stream": True}


# Schemas

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("form", "arrives"),
    [
        ("json_object", {"response_format": {"type": "json_object", "schema": SCHEMA}}),
        ("value", {"response_format": {"type": "json_object", "value": SCHEMA}}),
        ("flat", {"response_format": {"type": "json_schema", "schema": SCHEMA}}),
        ("guided_json", {"guided_json": SCHEMA}),
    ],
)
def test_a_schema_has_the_form_that_is_taken(form, arrives):
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    assert sent(Quirks(schema_form=form), response_format=wanted) == arrives
    assert sent(Quirks(schema_form=form), guided_json=SCHEMA) == arrives
    other = {"response_format": {"type": "json_object"}}
    assert sent(Quirks(schema_form=form), **other) == other


def test_strict_is_left_away_where_it_is_not_taken():
    named = {"name": "x", "description": "d", "schema": SCHEMA}
    wanted = {"type": "json_schema", "json_schema": {**named, "strict": True}}
    assert sent(Quirks(strict_schemas=False), response_format=wanted) == {
        "response_format": {"type": "json_schema", "json_schema": named}
    }


def test_a_strict_schema_is_narrowed_to_the_rules_and_others_stay():
    def wanted(schema, strict):
        named = {"name": "x", "schema": schema, "strict": strict}
        return {"response_format": {"type": "json_schema", "json_schema": named}}

    quirks = Quirks(schema_rules=("closed", "required"))
    closed = {**SCHEMA, "additionalProperties": False, "required": ["a"]}
    assert sent(quirks, **wanted(SCHEMA, True)) == wanted(closed, True)
    assert sent(quirks, **wanted(SCHEMA, False)) == wanted(SCHEMA, False)


A_OR_NULL = {"type": ["string", "null"], "maxLength": 3, "description": "d"}


@pytest.mark.parametrize(
    ("rules", "schema", "result"),
    [
        (["closed"], SCHEMA, {**SCHEMA, "additionalProperties": False}),
        (["required"], SCHEMA, {**SCHEMA, "required": ["a"]}),
        (
            ["closed"],
            {"type": "array", "items": SCHEMA},
            {"type": "array", "items": {**SCHEMA, "additionalProperties": False}},
        ),
        (
            ["closed"],
            {"$defs": {"x": SCHEMA}, "$ref": "#/$defs/x"},
            {"$defs": {"x": {**SCHEMA, "additionalProperties": False}}, "$ref": "#/$defs/x"},
        ),
        (
            ["single_types"],
            A_OR_NULL,
            {
                "description": "d",
                "anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}],
            },
        ),
        (["item_schemas"], {"type": "array", "items": True}, {"type": "array"}),
        (["few_variants"], {"anyOf": [SCHEMA] * 5}, {"anyOf": [SCHEMA] * 5}),
        (["few_variants"], {"anyOf": [SCHEMA] * 6}, None),
        (["closed"], {"type": "object"}, None),
        (["closed"], {"type": "object", "additionalProperties": {"type": "integer"}}, None),
        (["closed"], {"type": "object", "properties": {}, "required": ["a"]}, None),
        (["single_types"], {"type": ["string", "null"], "anyOf": [{}]}, None),
        (["closed"], {"type": "object", "properties": 7}, None),
    ],
)
def test_narrowing_keeps_what_can_be_kept(rules, schema, result):
    before = json.dumps(schema)
    assert narrowed(schema, rules) == result
    assert json.dumps(schema) == before


# Messages


def history(quirks, *messages):
    raw = msgspec.Raw(msgspec.json.encode(list(messages)))
    return json.loads(bytes(History(quirks).rewritten(raw)))


SAID = {"role": "assistant", "content": "x"}


@pytest.mark.parametrize(
    ("wanted", "given", "arrives"),
    [
        ("none", {"reasoning": "r", "reasoning_content": "r"}, {}),
        ("none", {"reasoning_details": [{"type": "reasoning.text"}]}, {}),
        ("reasoning", {"reasoning_content": "r"}, {"reasoning": "r"}),
        ("reasoning", {"reasoning": "r", "reasoning_content": "r"}, {"reasoning": "r"}),
        ("reasoning_content", {"reasoning": "r"}, {"reasoning_content": "r"}),
        ("reasoning_content", {"reasoning": None}, {}),
        ("", {"reasoning": "r", "reasoning_content": "s"}, None),
    ],
)
def test_earlier_reasoning_goes_under_the_one_name_that_is_taken(wanted, given, arrives):
    quirks = Quirks(reasoning_in=wanted)
    arrives = given if arrives is None else arrives
    assert history(quirks, USER, SAID | given, USER) == [USER, SAID | arrives, USER]


def test_reasoning_that_is_lost_is_named():
    def emulations(**quirks: Any) -> set[str]:
        call = Call(
            model="up",
            body=raws({"messages": [USER, {**SAID, "reasoning": "r"}, USER]}),
            stream=False,
            request_id="req_1",
        )
        return set(OpenAIChat(quirks=Quirks(**quirks)).request(call).emulations)

    assert emulations(reasoning_in="none") == {"messages: reasoning"}
    assert emulations(reasoning_in="reasoning_content") == set()
    assert emulations() == set()


PARTS = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]


def test_contents_become_strings_where_they_must_be():
    tool = {"role": "tool", "tool_call_id": "call_a", "content": PARTS}
    user = {"role": "user", "content": PARTS}
    image = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}
    flat = {"content": "a\n\nb"}
    assert history(Quirks(string_content="all"), user, tool) == [user | flat, tool | flat]
    assert history(Quirks(string_content="tool"), user, tool) == [user, tool | flat]
    assert history(Quirks(), user, tool) == [user, tool]
    assert history(Quirks(string_content="all"), image) == [image]


def test_null_fields_are_left_out():
    null = {"role": "assistant", "content": None, "function_call": None, "tool_calls": CALLS}
    assert history(Quirks(null_fields=False), USER, null) == [
        USER,
        {"role": "assistant", "tool_calls": CALLS},
    ]
    assert history(Quirks(), null) == [null]


def test_the_developer_is_the_system():
    developer = {"role": "developer", "content": "be brief"}
    assert history(Quirks(developer_role=False), developer, USER) == [
        {"role": "system", "content": "be brief"},
        USER,
    ]


def test_each_call_is_followed_by_its_result_and_empty_messages_are_left_out():
    both = {"role": "assistant", "content": "let me see", "reasoning": "r", "tool_calls": CALLS}
    empty = {"role": "assistant", "content": ""}
    quirks = Quirks(split_tool_calls=True)
    assert history(quirks, USER, both, *RESULTS, empty, USER) == [
        USER,
        both | {"tool_calls": CALLS[:1]},
        RESULTS[0],
        {"role": "assistant", "content": None, "tool_calls": CALLS[1:]},
        RESULTS[1],
        USER,
    ]
    one = {"role": "assistant", "content": None, "tool_calls": CALLS[:1]}
    assert history(quirks, USER, one, RESULTS[0]) == [USER, one, RESULTS[0]]
    unanswered = [USER, both, RESULTS[0]]
    assert history(quirks, *unanswered) == unanswered


@pytest.mark.parametrize("messages", [b"7", b'[{"role":"developer"}, 7]', b'["developer"]'])
def test_messages_that_are_none_stay_for_the_provider_to_refuse(messages):
    quirks = Quirks(developer_role=False)
    assert bytes(History(quirks).rewritten(msgspec.Raw(messages))) == messages


def test_messages_that_need_nothing_keep_their_bytes():
    quirks = Quirks(
        reasoning_in="none",
        string_content="all",
        null_fields=False,
        developer_role=False,
        split_tool_calls=True,
    )
    messages = b'[ {"role" : "user", "content":"\\u00fc developer reasoning null"} ]'
    assert bytes(History(quirks).rewritten(msgspec.Raw(messages))) == messages


# Replies


@pytest.mark.parametrize("inline", [False, True])
def test_reasoning_that_leads_the_content_is_taken_out_of_it(inline):
    adapter = OpenAIChat(quirks=Quirks(inline_reasoning=inline))
    call = Call(model="any", body=raws({"messages": [USER]}), stream=False, request_id="req_1")
    text = "<reasoning>hm</reasoning>yes"
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    whole = adapter.reply(call, msgspec.json.encode({"id": "c", "choices": [choice]}))
    message = json.loads(whole.chunks[0])["choices"][0]["message"]
    assert message["content"] == ("yes" if inline else text)
    assert message.get("reasoning") == ("hm" if inline else None)


@pytest.mark.parametrize("model", ["any", "gpt-oss-20b"])
@pytest.mark.parametrize("exclude", [False, True])
def test_reasoning_that_is_not_wanted_is_left_out_of_the_reply(model, exclude):
    adapter = OpenAIChat()
    body = raws({"messages": [USER], "reasoning": {"exclude": exclude}})
    call = Call(model=model, body=body, stream=True, request_id="req_1")
    assert ("reasoning.exclude" in adapter.request(call).emulations) == exclude
    deltas = [{"role": "assistant", "content": ""}, {"reasoning": "hm"}, {"content": "yes"}, {}]
    payloads = [
        msgspec.json.encode(
            {
                "id": "c",
                "choices": [
                    {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
                ],
            }
        )
        for delta in deltas
    ]
    decoder = adapter.decoder(call)
    chunks = [*decoder.decode([*payloads, b"[DONE]"]), *decoder.flush()]
    said = [json.loads(one)["choices"][0]["delta"] for one in chunks]
    assert any("reasoning" in delta for delta in said) != exclude
    assert "".join(delta.get("content") or "" for delta in said) == "yes"
