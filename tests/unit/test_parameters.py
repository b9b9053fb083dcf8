"""The table of parameters: every cell is walked, by sending what asks for it and looking at what arrives."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.simulator import Script
from tests.simulator.replies import completion
from trunkline.config import ModelSettings, Quirks, known, settings
from trunkline.engine.model import ModelCard
from trunkline.errors import InvalidRequest
from trunkline.providers import local
from trunkline.providers.base import Call, Reply
from trunkline.providers.emulation import Emulating
from trunkline.providers.openai import OpenAIChat
from trunkline.providers.parameters import FEATURES, engine_support, features_of, support_of
from trunkline.wire.chat import PARAMETERS, Fate, decode_request

MESSAGES = [{"role": "user", "content": "hi"}]
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("first", "second")
]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
IMAGE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
CHOICE = {"type": "function", "function": {"name": "second"}}
ALLOWED = {"tools": [CHOICE], "mode": "auto"}

# What asks for each feature, and for as little else as can be.
ASKED: dict[str, dict[str, Any]] = {
    "stream_options": {"stream_options": {"include_usage": True}},
    "max_tokens": {"max_tokens": 7},
    "max_completion_tokens": {"max_completion_tokens": 7},
    "temperature": {"temperature": 0.5},
    "top_p": {"top_p": 0.5},
    "n": {"n": 2},
    "seed": {"seed": 1},
    "stop": {"stop": ["x"]},
    "presence_penalty": {"presence_penalty": 0.5},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "logit_bias": {"logit_bias": {"1": 1}},
    "logprobs": {"logprobs": True},
    "top_logprobs": {"logprobs": True, "top_logprobs": 2},
    "tools": {"tools": TOOLS},
    "tool_choice: none": {"tools": TOOLS, "tool_choice": "none"},
    "tool_choice: required": {"tools": TOOLS, "tool_choice": "required"},
    "tool_choice: a function": {"tools": TOOLS, "tool_choice": CHOICE},
    "tool_choice: allowed_tools": {
        "tools": TOOLS,
        "tool_choice": {"type": "allowed_tools", "allowed_tools": ALLOWED},
    },
    "parallel_tool_calls: false": {"tools": TOOLS, "parallel_tool_calls": False},
    "response_format: json_object": {"response_format": {"type": "json_object"}},
    "response_format: json_schema": {"response_format": FORMAT},
    "response_format with tools": {"tools": TOOLS, "response_format": FORMAT},
    "reasoning_effort": {"reasoning_effort": "medium"},
    **{
        f"reasoning_effort: {effort}": {"reasoning_effort": effort}
        for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    },
    "reasoning": {"reasoning": {"effort": "medium"}},
    "reasoning.exclude": {"reasoning": {"exclude": True}},
    "reasoning.max_tokens": {"reasoning": {"max_tokens": 7}},
    "user": {"user": "u"},
    "metadata": {"metadata": {"a": "b"}},
    "store": {"store": True},
    "service_tier": {"service_tier": "flex"},
    "prediction": {"prediction": {"type": "content", "content": "x"}},
    "prompt_cache_key": {"prompt_cache_key": "k"},
    "prompt_cache_options": {"prompt_cache_options": {"a": 1}},
    "prompt_cache_retention": {"prompt_cache_retention": "24h"},
    "safety_identifier": {"safety_identifier": "s"},
    "verbosity": {"verbosity": "low"},
    "audio": {"audio": {"voice": "alloy", "format": "wav"}},
    "modalities": {"modalities": ["text", "audio"]},
    "moderation": {"moderation": {"model": "m"}},
    "functions": {"functions": [{"name": "f"}]},
    "function_call": {"function_call": "auto"},
    "web_search_options": {"web_search_options": {}},
    "top_k": {"top_k": 5},
    "min_p": {"min_p": 0.1},
    "repetition_penalty": {"repetition_penalty": 1.1},
    "chat_template_kwargs": {"chat_template_kwargs": {"enable_thinking": True}},
    "guided_json": {"guided_json": SCHEMA},
    "guided_choice": {"guided_choice": ["yes", "no"]},
    "guided_regex": {"guided_regex": "a+"},
    "guided_grammar": {"guided_grammar": "root ::= 'a'"},
    "messages: images": {"messages": IMAGE},
}

NOTHING = Quirks(
    unsupported=tuple(name for name in settings.PARAMETERS if name != "max_tokens"),
    tool_choice=("auto",),
    strict_schemas=False,
)
UNABLE = ModelSettings(
    tools=False,
    structured=False,
    structured_with_tools=False,
    vision=False,
    efforts=("low", "high"),
)
DIALECTS: dict[str, tuple[Quirks, ModelSettings]] = {
    "openai": (Quirks(), ModelSettings()),
    "all that can be lacking": (NOTHING, ModelSettings()),
    "a model that can do nothing": (Quirks(), UNABLE),
    "only the newer limit": (Quirks(max_tokens_name="max_completion_tokens"), ModelSettings()),
    "everything": (Quirks(guided=True, reasoning_object=True), ModelSettings()),
    **{
        name: (one.quirks, next(iter(known.offers(name).values())).settings)
        for name, one in known.providers().items()
    },
}


class Upstream:
    """An adapter's provider without a network: answers well whatever arrives."""

    def __init__(self, adapter: OpenAIChat) -> None:
        self._adapter = adapter
        self.sent: list[dict[str, Any]] = []

    @asynccontextmanager
    async def open(self, call: Call):
        outgoing = self._adapter.request(call)
        body = json.loads(outgoing.body)
        self.sent.append(body)
        script = Script(text=_right(call.body))
        reply = self._adapter.reply(call, msgspec.json.encode(completion(_plain(body), script)))

        async def chunks():
            yield reply.chunks

        yield Reply(chunks(), reply.repairs, outgoing.emulations, outgoing.ignored)


def _right(body: Any) -> str:
    """Returns an answer in the format that is asked for in words, if one is."""
    asked = json.dumps([json.loads(bytes(raw)) for raw in body.values()])
    if "exactly one of these texts" in asked:
        return "yes"
    return '{"a": 1}' if "JSON" in asked or "schema" in asked else "hello"


def _plain(body: dict[str, Any]) -> dict[str, Any]:
    """Leaves out what the simulator does not read, or only in OpenAI's way."""
    return {name: value for name, value in body.items() if name != "response_format"}


def call_of(fields: dict[str, Any], *, lenient: bool = False, offer: ModelSettings, quirks: Quirks):
    body = msgspec.json.encode({"model": "m", "messages": MESSAGES, **fields})
    request = decode_request(body, lenient=False)
    return Call(
        model="up",
        body=request.fields,
        stream=False,
        request_id="req_1",
        support=support_of(quirks, offer),
        lenient=lenient,
    )


def send(
    fields: dict[str, Any], quirks: Quirks, offer: ModelSettings, *, lenient: bool = False
) -> tuple[list[dict[str, Any]], dict[str, Any], Reply]:
    """Returns the bodies that arrive upstream, the completion, and the reply it came in."""
    upstream = Upstream(OpenAIChat(quirks=quirks))
    call = call_of(fields, lenient=lenient, offer=offer, quirks=quirks)

    async def run():
        async with Emulating(upstream, quirks=quirks).open(call) as reply:
            (document,) = [json.loads(one) async for some in reply.chunks for one in some]
            return document, reply

    document, reply = asyncio.run(run())
    return upstream.sent, document, reply


def compact(value: Any) -> str:
    """Writes JSON without space, and as if no part of it were a text in another."""
    return json.dumps(value, separators=(",", ":")).replace("\\", "")


CELLS = [(dialect, feature) for dialect in DIALECTS for feature in FEATURES]


def fate(dialect: str, feature: str) -> Fate:
    return support_of(*DIALECTS[dialect]).fate(feature)


def cells(wanted: Fate):
    return [cell for cell in CELLS if fate(*cell) is wanted]


def test_every_feature_is_asked_for_by_what_is_sent_for_it():
    assert list(ASKED) == list(FEATURES)
    for feature, fields in ASKED.items():
        body = decode_request(
            msgspec.json.encode({"model": "m", "messages": MESSAGES, **fields}), lenient=False
        ).fields
        assert feature in features_of(body), feature


def test_every_parameter_has_a_place_in_the_table():
    of_the_table = {feature.parameter for feature in FEATURES.values()}
    assert PARAMETERS.keys() - of_the_table == {"model", "stream", "provider"}
    assert set(settings.PARAMETERS) == of_the_table - {
        *("messages", "reasoning", "guided_json", "guided_choice", "guided_regex"),
        "guided_grammar",
    }


def test_every_fate_is_walked():
    assert {fate(*cell) for cell in CELLS} == {
        *(Fate.PASSED, Fate.RENAMED, Fate.EMULATED, Fate.REFUSED, Fate.IGNORED)
    }
    lacking = {feature for dialect, feature in CELLS if fate(dialect, feature) is not Fate.PASSED}
    assert lacking == set(FEATURES)
    passed = {feature for dialect, feature in CELLS if fate(dialect, feature) is Fate.PASSED}
    assert set(FEATURES) - passed == {"tool_choice: allowed_tools"}


def others(dialect: str, feature: str) -> bool:
    """Whether what asks for a feature also asks for one that is refused there."""
    quirks, offer = DIALECTS[dialect]
    support = support_of(quirks, offer)
    asked = features_of(call_of(ASKED[feature], offer=offer, quirks=quirks).body)
    return bool(asked & support.refused - {feature})


@pytest.mark.parametrize(("dialect", "feature"), cells(Fate.PASSED))
def test_what_is_passed_arrives_as_it_was_sent(dialect, feature):
    if others(dialect, feature):
        with pytest.raises(InvalidRequest):
            send(ASKED[feature], *DIALECTS[dialect])
        return
    sent, _, reply = send(ASKED[feature], *DIALECTS[dialect])
    parameter = FEATURES[feature].parameter
    if parameter == "stream_options":  # goes with a stream only
        return
    if parameter == "response_format" and DIALECTS[dialect][0].schema_form:
        assert compact(SCHEMA) in compact(sent[0]) or feature.endswith("json_object")
    elif parameter == "tool_choice" and DIALECTS[dialect][0].required_name != "required":
        assert sent[0][parameter] in ("any", CHOICE, "none")
    elif parameter == "reasoning_effort" and "reasoning" in ASKED[feature]:
        assert sent[0][parameter] == ASKED[feature]["reasoning"]["effort"]
    elif feature not in reply.emulations:
        for name, value in ASKED[feature].items():
            if name == "reasoning_effort" and reply.emulations:
                continue  # it is passed as a parameter; its value has a cell of its own
            assert sent[0][name] == value or name != parameter


RENAMED = {
    "max_tokens": {"max_completion_tokens": 7},
    "max_completion_tokens": {"max_tokens": 7},
    "reasoning": {"reasoning_effort": "medium"},
    "tool_choice: allowed_tools": {"tools": TOOLS[1:], "tool_choice": "auto"},
}


@pytest.mark.parametrize(("dialect", "feature"), cells(Fate.RENAMED))
def test_what_is_renamed_arrives_under_the_other_name(dialect, feature):
    if others(dialect, feature):
        with pytest.raises(InvalidRequest):
            send(ASKED[feature], *DIALECTS[dialect])
        return
    sent, document, _ = send(ASKED[feature], *DIALECTS[dialect])
    gone = {"model", "messages"}
    arrived = {name: value for name, value in sent[0].items() if name not in gone}
    if feature == "guided_json":
        assert "guided_json" not in arrived or DIALECTS[dialect][0].schema_form == "guided_json"
        assert compact(SCHEMA) in compact(sent[0])
        return
    wanted = RENAMED[feature]
    if feature == "reasoning" and DIALECTS[dialect][1].efforts == ("low", "high"):
        wanted = {"reasoning_effort": "low"}
    if dialect == "all that can be lacking" and feature.startswith("tool_choice"):
        wanted = {}
    assert arrived == wanted
    assert document["choices"]


@pytest.mark.parametrize(("dialect", "feature"), cells(Fate.EMULATED))
def test_what_is_emulated_comes_true_in_another_way_and_is_named(dialect, feature):
    if others(dialect, feature):
        with pytest.raises(InvalidRequest):
            send(ASKED[feature], *DIALECTS[dialect])
        return
    sent, document, reply = send(ASKED[feature], *DIALECTS[dialect])
    assert feature in reply.emulations
    parameter = FEATURES[feature].parameter
    if not (parameter == "response_format" and not DIALECTS[dialect][0].strict_schemas):
        assert sent[0].get(parameter) != ASKED[feature][parameter]
    message = document["choices"][0]["message"]
    match feature:
        case "n":
            assert [choice["index"] for choice in document["choices"]] == [0, 1]
            assert len(sent) == 2
        case "tool_choice: none":
            assert "tools" not in sent[0]
            assert not message.get("tool_calls")
        case "tool_choice: required":
            assert message["tool_calls"]
        case "tool_choice: a function":
            assert [tool["function"]["name"] for tool in sent[0]["tools"]] == ["second"]
            assert message["tool_calls"][0]["function"]["name"] == "second"
        case "parallel_tool_calls: false":
            assert len(message["tool_calls"]) == 1
        case "guided_choice":
            assert message["content"] == "yes"
        case "reasoning.exclude":
            assert not message.keys() & {"reasoning", "reasoning_content"}
        case _ if parameter == "response_format":
            assert message.get("tool_calls") or json.loads(message["content"]) == {"a": 1}
        case _:
            efforts = DIALECTS[dialect][1].efforts
            assert efforts is not None
            assert sent[0]["reasoning_effort"] in efforts


@pytest.mark.parametrize(("dialect", "feature"), cells(Fate.REFUSED))
def test_what_is_refused_is_named_and_left_out_only_for_the_lenient(dialect, feature):
    one = FEATURES[feature]
    with pytest.raises(InvalidRequest) as caught:
        send(ASKED[feature], *DIALECTS[dialect])
    assert caught.value.code == "unsupported_parameter"
    assert caught.value.param in ASKED[feature]
    if not one.droppable:
        with pytest.raises(InvalidRequest):
            send(ASKED[feature], *DIALECTS[dialect], lenient=True)
        return
    if "tools" in ASKED[feature] and not (DIALECTS[dialect][1].tools is not False):
        return
    sent, _, reply = send(ASKED[feature], *DIALECTS[dialect], lenient=True)
    assert (feature if feature == "reasoning.max_tokens" else one.parameter) in reply.ignored
    assert one.parameter not in sent[0]


@pytest.mark.parametrize(("dialect", "feature"), cells(Fate.IGNORED))
def test_what_is_ignored_is_named_and_does_not_arrive(dialect, feature):
    sent, document, reply = send(ASKED[feature], *DIALECTS[dialect])
    parameter = FEATURES[feature].parameter
    assert parameter in reply.ignored
    assert parameter not in sent[0]
    assert document["choices"]


@pytest.mark.parametrize("feature", FEATURES)
def test_the_embedded_engine_serves_or_refuses_as_its_table_says(feature):
    card = ModelCard(name="m")
    call = call_of(ASKED[feature], offer=ModelSettings(), quirks=Quirks())
    if engine_support().fate(feature) is Fate.REFUSED:
        with pytest.raises(InvalidRequest) as caught:
            asyncio.run(local._read_job(call.body, card))
        assert str(caught.value.param).startswith(FEATURES[feature].parameter)
        return
    assert asyncio.run(local._read_job(call.body, card)).messages
