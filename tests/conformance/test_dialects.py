"""One list of what a router's user counts on, over every dialect that a provider speaks.

Each cell goes through a running router to a provider that answers, fails and refuses in its own way
(``tests/simulator/dialects.py``): the answer is right in OpenAI's shape, or the request is refused by
name. Which cells are refused stands in ``REFUSED``; in any other a refusal is a failure, and so is an
answer in one of those. The embedded engine is one of the dialects; its failures are not scripted
here, see ``tests/e2e/test_faults.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from tests.e2e.client import Answer, ask, chat, streaming
from tests.serving import NANO, Serving, running, until
from tests.simulator import Script, Simulator
from tests.simulator.dialects import DIALECTS
from trunkline.config import known

OSS = "openai/gpt-oss-120b"
EYES = "sim/sees"
"""A model that sees images, which gpt-oss does not."""
ENGINE = "engine"
THOUGHT = "Let me think."

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "person", "strict": True, "schema": PERSON},
}
TOOLS = [
    {"type": "function", "function": {"name": name, "description": what, "parameters": PERSON}}
    for name, what in (("greet", "Greets a person."), ("invite", "Invites a person."))
]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}

REFUSED = {
    "tools": {"ovhcloud"},
    "forced tool": {"ovhcloud"},
    "images": {"sambanova"},
}
"""By cell, the dialects in which it is refused."""


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    """A server beside every dialect at once: known providers by their names, others as one's own."""
    config = ""
    for name in DIALECTS:
        config += f'[providers.{name}]\nbase_url = "{running_simulator.base_url_of(name)}"\n'
        config += f'api_key = "sk-{name}"\nmodels."{EYES}" = {{ vision = true }}\n'
        if OSS not in known.offers(name):
            config += (
                f'models."{OSS}" = {{ efforts = ["low", "medium", "high"], vision = false }}\n'
            )
        elif known.offers(name)[OSS].settings.deprecated:
            config += f'models."{OSS}" = {{ deprecated = false }}\n'
    with running(config=config) as serving:
        yield serving
        assert "Traceback" not in serving.stderr()


def asked(dialect: str, *messages: Any, model: str = OSS, **more: Any) -> dict[str, Any]:
    if dialect == ENGINE:
        more = {"max_completion_tokens": 200, "seed": 1, **more}
        return {"model": NANO, "messages": [*messages], **more}
    return {"model": f"{model}:{dialect}", "messages": [*messages], **more}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def answered(cell: str, dialect: str, answer: Answer) -> bool:
    """Whether a cell is to be answered; if not, checks that the answer is an honest refusal."""
    if dialect not in REFUSED.get(cell, ()):
        assert answer.status == 200, answer.body
        return True
    refused(answer)
    return False


def refused(answer: Answer) -> None:
    """Checks that the caller is told what is not taken, by us or in the provider's words."""
    assert answer.status == 400, answer.body
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["message"] != "the provider refused the request with status 400"


def message_of(answer: Answer) -> dict[str, Any]:
    (choice,) = answer.json["choices"]
    message: dict[str, Any] = choice["message"]
    assert message["role"] == "assistant"
    assert choice["finish_reason"] == ("tool_calls" if message.get("tool_calls") else "stop")
    return message


def streamed(router: Serving, body: dict[str, Any]) -> dict[str, Any]:
    """Asks for a stream; returns the message that its chunks add up to, and its usage."""
    with streaming(router, {**body, "stream_options": {"include_usage": True}}) as stream:
        assert stream.status == 200, stream.read()
        events = [event for event in stream.events() if not event.startswith(":")]
    assert events[-1] == "data: [DONE]"
    message: dict[str, Any] = {"content": "", "reasoning": "", "reasoning_content": ""}
    calls: dict[int, dict[str, Any]] = {}
    finished, usage = [], None
    for event in events[:-1]:
        chunk = json.loads(event.removeprefix("data: "))
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            delta = choice["delta"]
            for field in message:
                message[field] += delta.get(field) or ""
            for call in delta.get("tool_calls") or ():
                known_call = calls.setdefault(call["index"], {"arguments": ""})
                known_call["id"] = call.get("id") or known_call["id"]
                known_call["name"] = call["function"].get("name") or known_call["name"]
                known_call["arguments"] += call["function"].get("arguments") or ""
            finished += [choice["finish_reason"]] if choice["finish_reason"] else []
    assert finished == ["tool_calls" if calls else "stop"]
    return {**message, "calls": [*calls.values()], "usage": usage}


def is_thought(dialect: str, message: dict[str, Any]) -> bool:
    thought = message["reasoning"]
    assert message["reasoning_content"] == thought
    return bool(thought) if dialect == ENGINE else thought == THOUGHT


def said(dialect: str, text: str, content: str) -> bool:
    return bool(content) if dialect == ENGINE else content == f"echo: {text}"


dialects = pytest.mark.parametrize("dialect", [*DIALECTS, ENGINE])
scripted = pytest.mark.parametrize("dialect", DIALECTS)
"""A dialect whose provider can be told to fail."""


@dialects
def test_text(router: Serving, dialect: str) -> None:
    answer = chat(router, asked(dialect, user("hello there")))
    message = message_of(answer)
    assert said(dialect, "hello there", message["content"])
    assert is_thought(dialect, message)
    assert answer.headers["x-trunkline-provider"] == ("local" if dialect == ENGINE else dialect)


@dialects
def test_stream(router: Serving, dialect: str) -> None:
    message = streamed(router, asked(dialect, user("hello there")))
    assert said(dialect, "hello there", message["content"])
    assert is_thought(dialect, message)


@dialects
def test_tools(router: Serving, dialect: str) -> None:
    body = asked(dialect, user("greet Ann"), tools=TOOLS[:1], tool_choice="auto")
    if dialect == ENGINE:
        body["tool_choice"] = "required"
    answer = chat(router, body)
    if not answered("tools", dialect, answer):
        return
    (call,) = message_of(answer)["tool_calls"]
    assert call["function"]["name"] == "greet"
    jsonschema.validate(json.loads(call["function"]["arguments"]), PERSON)
    (piece,) = streamed(router, body)["calls"]
    assert piece["name"] == "greet"
    assert piece["id"]
    jsonschema.validate(json.loads(piece["arguments"]), PERSON)


@dialects
def test_a_forced_tool(router: Serving, dialect: str) -> None:
    named = {"type": "function", "function": {"name": "invite"}}
    for choice in ("required", named):
        body = asked(dialect, user("greet Ann"), tools=TOOLS[1:], tool_choice=choice)
        answer = chat(router, body)
        if answered("forced tool", dialect, answer):
            (call,) = message_of(answer)["tool_calls"]
            assert call["function"]["name"] == "invite"


@dialects
def test_parallel_tools(router: Serving, dialect: str) -> None:
    """Two calls in one turn, and what became of them in the next one, with the reasoning sent back."""
    body = asked(dialect, user("call every tool"), tools=TOOLS)
    if dialect == ENGINE:
        body["tool_choice"] = "required"
    answer = chat(router, body)
    if not answered("tools", dialect, answer):
        return
    message = message_of(answer)
    calls = message["tool_calls"]
    if dialect != ENGINE:
        assert [call["function"]["name"] for call in calls] == ["greet", "invite"]
        assert [c["name"] for c in streamed(router, body)["calls"]] == ["greet", "invite"]
    assert len({call["id"] for call in calls}) == len(calls)
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": [{"type": "text", "text": "ok"}]}
        for call in calls
    ]
    body = asked(dialect, *body["messages"], message, *results, tools=TOOLS)
    answer = chat(router, body)
    if answered("parallel tools", dialect, answer):
        assert said(dialect, "ok", message_of(answer)["content"])


@dialects
def test_schema(router: Serving, dialect: str) -> None:
    body = asked(dialect, user("Ann is 3"), response_format=SCHEMA)
    answer = chat(router, body)
    if answered("schema", dialect, answer):
        jsonschema.validate(json.loads(message_of(answer)["content"]), PERSON)
        jsonschema.validate(json.loads(streamed(router, body)["content"]), PERSON)


@dialects
def test_schema_with_tools(router: Serving, dialect: str) -> None:
    body = asked(dialect, user("Ann is 3"), tools=TOOLS, tool_choice="none", response_format=SCHEMA)
    answer = chat(router, body)
    if answered("schema with tools", dialect, answer):
        jsonschema.validate(json.loads(message_of(answer)["content"]), PERSON)


@dialects
def test_effort(router: Serving, dialect: str) -> None:
    for effort in ("low", "high"):
        answer = chat(router, asked(dialect, user("think"), reasoning_effort=effort))
        assert said(dialect, f"think [{effort}]", message_of(answer)["content"])
    answer = chat(router, asked(dialect, user("think"), reasoning_effort="minimal"))
    if answered("minimal effort", dialect, answer):
        assert message_of(answer)["content"]


@dialects
def test_images(router: Serving, dialect: str) -> None:
    look = user([{"type": "text", "text": "look"}, IMAGE])
    answer = chat(router, asked(dialect, look))
    refused(answer)
    if dialect != ENGINE:
        answer = chat(router, asked(dialect, look, model=EYES))
        if answered("images", dialect, answer):
            assert message_of(answer)["content"] == "echo: look <image_url>"


@dialects
def test_usage(router: Serving, dialect: str) -> None:
    body = asked(dialect, user("one two three"))
    usage = [chat(router, body).json["usage"], streamed(router, body)["usage"]]
    if dialect == ENGINE:
        assert all(u["total_tokens"] == u["prompt_tokens"] + u["completion_tokens"] for u in usage)
        return
    for one in usage:
        tokens = one["prompt_tokens"], one["completion_tokens"], one["total_tokens"]
        assert tokens == (3, 7, 10)
    with streaming(router, body) as stream:
        assert all(chunk["choices"] for chunk in stream.chunks())


@scripted
def test_a_stream_that_is_cut_off_ends_in_an_error(
    router: Serving, simulator: Simulator, dialect: str
) -> None:
    simulator.play(Script(text="one two three four", cut_after=7))
    with streaming(router, asked(dialect, user("hello"))) as stream:
        assert stream.status == 200, stream.read()
        events = [event for event in stream.events() if not event.startswith(":")]
    error = json.loads(events[-1].partition("data: ")[2])["error"]
    assert error["code"] in ("upstream_failed", "stream_interrupted"), error
    assert "data: [DONE]" not in events


@scripted
def test_a_reply_that_is_cut_off_is_an_error(
    router: Serving, simulator: Simulator, dialect: str
) -> None:
    simulator.play(Script(cut_after_bytes=80))
    answer = chat(router, asked(dialect, user("hello")))
    assert (answer.status, answer.error["code"]) == (502, "upstream_failed")


@scripted
@pytest.mark.parametrize("status", [429, 500])
def test_a_failure_is_told(
    router: Serving, simulator: Simulator, dialect: str, status: int
) -> None:
    simulator.play(Script(status=status), Script(status=status))
    body = asked(dialect, user("hello"))
    for answer in (chat(router, body), chat(router, {**body, "stream": True})):
        assert (answer.status, answer.error["code"]) == (502, "upstream_failed")
        assert str(status) in answer.error["message"]


@scripted
@pytest.mark.parametrize(
    "script",
    [
        Script(body='{"id":"chatcmpl-1","object":"chat.comp'),
        Script(body="<!doctype html><h1>Bad gateway</h1>", content_type="text/html"),
        Script(body="data: {}\n\ndata: [DONE]\n\n", content_type="text/event-stream"),
    ],
    ids=["json", "html", "events"],
)
def test_garbage_is_an_error(
    router: Serving, simulator: Simulator, dialect: str, script: Script
) -> None:
    simulator.play(script, script)
    body = asked(dialect, user("hello"))
    for answer in (chat(router, body), chat(router, {**body, "stream": True})):
        assert (answer.status, answer.error["code"]) == (502, "upstream_failed")


@scripted
def test_an_error_after_the_status_is_told(
    router: Serving, simulator: Simulator, dialect: str
) -> None:
    simulator.play(Script(text="one two three four", error_after=7))
    with streaming(router, asked(dialect, user("hello"))) as stream:
        events = [event for event in stream.events() if not event.startswith(":")]
    assert "error" in json.loads(events[-1].partition("data: ")[2])
    assert "data: [DONE]" not in events


@scripted
def test_a_stream_that_drips_is_whole(router: Serving, simulator: Simulator, dialect: str) -> None:
    simulator.play(Script(drip_bytes=7))
    assert streamed(router, asked(dialect, user("hi")))["content"] == "echo: hi"


def test_each_provider_got_its_own_key_and_path(router: Serving, simulator: Simulator) -> None:
    for name, dialect in DIALECTS.items():
        assert chat(router, asked(name, user("hi"))).status == 200
        until(lambda: bool(simulator.seen))
        seen = simulator.seen[-1]
        assert seen.headers["authorization"] == f"Bearer sk-{name}"
        assert seen.path == f"/{name}{dialect.path}/chat/completions"
    assert ask(router, "GET", "/health", key=None).status == 200
