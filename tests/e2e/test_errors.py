"""The error table: status, type, code, param, and a message that names the fix."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.e2e.client import Answer, ask, chat, long_question, question, receipt, streaming
from tests.e2e.wire import connected, received
from tests.serving import ECHO, NANO, Serving, running, simulated_provider
from tests.simulator import Script, Simulator
from tests.simulator.script import error

DEEP = 100_000
BODY_LIMIT = 1_000_000
OTHER = "sim/other"  # at both providers, so that there are two attempts
# Of each test that lets them fail its own, so that none is left alone because of the others.
FAILING = [f"sim/failing-{number}" for number in range(7)]

_CONFIG = f"""
[server]
max_body_bytes = {BODY_LIMIT}
[engine]
slots = 1
queue = 0
[routing]
explore = 0
first_chunk_timeout_s = 0.5
total_timeout_s = 1.0
[providers.off]
base_url = "http://127.0.0.1:1/v1"
enabled = false
[providers.keyless]
base_url = "http://127.0.0.1:1/v1"
api_key_env = "A_VARIABLE_THAT_IS_NOT_SET"
"""


@pytest.fixture(scope="module")
def router(running_simulator: Simulator) -> Iterator[Serving]:
    """A server of one slot, no queue, small bodies and short time limits, with two providers."""
    url = running_simulator.base_url
    config = (
        _CONFIG
        + simulated_provider(url, ECHO, OTHER, *FAILING)
        + simulated_provider(url, OTHER, *FAILING, name="second")
    )
    with running(config=config) as serving:
        yield serving
        assert "Traceback" not in serving.stderr()


def refused(answer: Answer, status: int, code: str, param: str | None) -> str:
    """Checks an error but for its message, which it returns."""
    found = (answer.status, answer.error["code"], answer.error["param"])
    assert found == (status, code, param), answer.body
    assert answer.headers["x-request-id"].startswith("req_")
    message: str = answer.error["message"]
    return message


# ------------------------------------------------------------------------------------ the request


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"no JSON",
        b'{"model": "m", "messages": [}',
        b'{"model": "\xff", "messages": []}',
        b'{"model": 1, "messages": [',  # broken further on than its first mistake
        b"[1, 2",
        b'{"model": "m", "messages": []} and more',
    ],
)
def test_malformed_json_is_invalid_json(server: Serving, body: bytes) -> None:
    answer = chat(server, body)

    assert "JSON" in refused(answer, 400, "invalid_json", None)
    assert answer.error["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], None),
        ("text", None),
        (None, None),
        ({"model": 1}, "model"),
        (question(temperature="hot"), "temperature"),
        (question(stream="yes"), "stream"),
        (question(max_tokens=1.5), "max_tokens"),
        (question(stop=1), "stop"),
        (question(stream_options={"include_usage": 1}), "stream_options.include_usage"),
        (question(tools={}), "tools"),
        (question(messages={}), "messages"),
        (question(messages=[1]), "messages[0]"),
        (question(messages=[{"role": "user", "content": 1}]), "messages[0].content"),
        (question(provider=1), "provider"),
    ],
)
def test_a_wrong_type_is_named_with_its_path(server: Serving, body: Any, param: str | None) -> None:
    message = refused(chat(server, json.dumps(body).encode()), 400, "invalid_type", param)

    assert (param or "body") in message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "model"),
        ({"model": NANO}, "messages"),
        (question(messages=[{"content": "x"}]), "messages[0].role"),
        (question(messages=[{"role": "user"}]), "messages[0].content"),
        (question(messages=[{"role": "tool", "content": "x"}]), "messages[0].tool_call_id"),
        (question(tools=[{"type": "function"}]), "tools[0].function"),
        (
            question(response_format={"type": "json_schema"}),
            "response_format.json_schema",
        ),
    ],
)
def test_a_missing_field_is_named_with_its_path(server: Serving, body: Any, param: str) -> None:
    message = refused(chat(server, body), 400, "missing_required_parameter", param)

    assert f"'{param}'" in message


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"temperature": 2.1}, "temperature"),
        ({"top_p": -0.1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"n": 0}, "n"),
        ({"n": 100}, "n"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "alien", "content": "x"}]}, "messages[0].role"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"logit_bias": {"word": 1}}, "logit_bias"),
    ],
)
def test_a_value_out_of_range_is_named(server: Serving, given: Any, param: str) -> None:
    message = refused(chat(server, question(**given)), 400, "invalid_value", param)

    assert param in message


def test_an_unknown_parameter_is_refused_with_the_closest_name(server: Serving) -> None:
    message = refused(chat(server, question(temprature=1)), 400, "unknown_parameter", "temprature")

    assert "'temperature'" in message
    assert "x-trunkline-params: lenient" in message


@pytest.mark.parametrize("name", ["audio", "functions", "web_search_options", "guided_grammar"])
def test_what_the_engine_does_not_serve_is_refused_by_name(server: Serving, name: str) -> None:
    message = refused(chat(server, question(**{name: {}})), 400, "unsupported_parameter", name)

    assert f"'{name}'" in message


def test_images_are_refused_by_the_engine_with_their_path(server: Serving) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "x"}, picture]}]

    refused(
        chat(server, question(messages=messages)),
        400,
        "invalid_value",
        "messages[0].content[1].type",
    )


def test_a_context_too_long_names_both_numbers(server: Serving) -> None:
    body = question("word " * 10_000)
    whole = refused(chat(server, body), 400, "context_length_exceeded", "messages")
    with streaming(server, body) as stream:
        status, streamed = stream.status, stream.read()

    held, asked = map(int, re.findall(r"\d+", whole))
    assert (held, asked > 10_000) == (4096, True)
    assert (status, json.loads(streamed)["error"]["message"]) == (400, whole)


def test_a_body_too_large_is_refused_by_its_length_and_by_what_comes(router: Serving) -> None:
    for body in (b" " * (BODY_LIMIT + 1), b" " * 40 * BODY_LIMIT):
        message = refused(chat(router, body), 413, "request_too_large", None)
        assert str(BODY_LIMIT) in message
        assert "max_body_bytes" in message
    with closing(connected(router)) as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
            + f"Authorization: Bearer {router.key}\r\n\r\n".encode()
        )
        for _ in range(BODY_LIMIT // 100_000 + 1):
            connection.sendall(b"186A0\r\n" + b" " * 100_000 + b"\r\n")
        head = received(connection, b"request_too_large")
    assert head.startswith(b"HTTP/1.1 413 ")


_BRACKETS = "[" * DEEP + "]" * DEEP
_BRACES = '{"a":' * DEEP + "1" + "}" * DEEP


@pytest.mark.parametrize("deep", [_BRACKETS, _BRACES], ids=["brackets", "braces"])
@pytest.mark.parametrize(
    "around",
    [
        "DEEP",
        '{"messages": DEEP}',
        '{"messages": [{"role": "user", "content": DEEP}]}',
        '{"messages": [{"role": "user", "content": "x", "more": DEEP}]}',
        '{"tools": [{"type": "function", "function": {"name": "f", "parameters": {"x": DEEP}}}]}',
        '{"tools": DEEP}',
        '{"tool_choice": DEEP}',
        '{"response_format": {"type": "json_schema", "json_schema": {"name": "f", "schema": DEEP}}}',
        '{"response_format": DEEP}',
        '{"metadata": DEEP}',
        '{"provider": DEEP}',
        '{"what": DEEP}',
    ],
)
def test_nesting_too_deep_is_invalid_json_wherever_it_is(
    server: Serving, around: str, deep: str
) -> None:
    for model in (NANO, ECHO):
        if around == "DEEP":
            body = deep
        else:
            body = f'{{"model": "{model}", ' + around.replace("DEEP", deep)[1:]
        message = refused(chat(server, body.encode()), 400, "invalid_json", None)
        assert "nested too deeply" in message


def test_nesting_that_json_can_carry_but_a_grammar_cannot_is_refused(server: Serving) -> None:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(400):
        schema = {"type": "object", "properties": {"a": schema}}
    wanted = {"type": "json_schema", "json_schema": {"name": "f", "schema": schema}}

    answer = chat(server, question(response_format=wanted))

    refused(answer, 400, "invalid_value", "response_format.json_schema.schema")


# -------------------------------------------------------------------------------------- the model


def test_an_unknown_model_is_answered_with_the_closest_names(server: Serving) -> None:
    message = refused(chat(server, question(model=f"{NANO}o")), 404, "model_not_found", "model")
    shown = ask(server, "GET", f"/v1/models/{NANO}o")

    assert f"'{NANO}'" in message
    assert "GET /v1/models" in message
    assert refused(shown, 404, "model_not_found", "model") == message


@pytest.mark.parametrize(
    ("provider", "fix"),
    [
        ("off", "enabled = true"),
        ("keyless", "A_VARIABLE_THAT_IS_NOT_SET"),
        ("groq", "[providers.groq]"),
    ],
)
def test_a_provider_that_cannot_be_asked_is_named_with_the_fix(
    router: Serving, provider: str, fix: str
) -> None:
    answer = chat(router, question(model=f"{ECHO}:{provider}"))

    message = refused(answer, 400, "provider_not_configured", "model")
    assert f"'{provider}'" in message
    assert fix in message


def test_filters_that_leave_nobody_say_which_removed_each(router: Serving) -> None:
    wishes = {"ignore": ["sim"], "max_price": {"prompt": 0.5}}
    message = refused(
        chat(router, question(model=OTHER, provider=wishes)),
        400,
        "no_matching_provider",
        "provider",
    )

    assert "sim (in provider.ignore)" in message
    assert "second (above provider.max_price)" in message


@pytest.mark.parametrize("suffix", ["second", "local"])
def test_a_suffix_that_leaves_nobody_says_who_offers_the_model(
    router: Serving, suffix: str
) -> None:
    message = refused(
        chat(router, question(model=f"{ECHO}:{suffix}")), 400, "no_matching_provider", "model"
    )

    assert "offered by sim" in message


# ------------------------------------------------------------------------------------ the answerer


def test_a_full_queue_is_429_with_retry_after(router: Serving) -> None:
    with streaming(router, long_question()) as busy:
        assert busy.next_event()
        answer = chat(router, question())

    refused(answer, 429, "engine_overloaded", None)
    assert answer.error["type"] == "rate_limit_error"
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(("model", "stream"), [(FAILING[0], False), (FAILING[1], True)])
def test_when_every_attempt_failed_each_is_listed(
    router: Serving, simulator: Simulator, model: str, stream: bool
) -> None:
    simulator.play(error(500), error(429, Retry_After="7"))

    answer = chat(router, question(model=model, stream=stream))

    message = refused(answer, 502, "upstream_failed", None)
    assert "sim failed with status 500" in message
    assert "second is rate limited" in message
    assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize(("model", "stream"), [(FAILING[2], False), (FAILING[3], True)])
def test_when_every_attempt_timed_out_it_is_504(
    router: Serving, simulator: Simulator, model: str, stream: bool
) -> None:
    simulator.play(Script(silent=True), Script(silent=True))

    message = refused(
        chat(router, question(model=model, stream=stream)), 504, "upstream_timeout", None
    )

    assert "sim " in message
    assert "second " in message


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_callers_own_mistake_passes_with_its_status_and_is_not_tried_again(
    router: Serving, simulator: Simulator, status: int
) -> None:
    simulator.play(error(status, message="too many bananas", code="bananas"))

    message = refused(chat(router, question(model=OTHER)), status, "bananas", None)

    assert message == "too many bananas"
    assert len(simulator.seen) == 1


def test_while_all_cool_down_it_is_429_with_retry_after_but_a_pinned_request_is_tried(
    router: Serving, simulator: Simulator
) -> None:
    simulator.play(*[error(429, Retry_After="30")] * 2)
    assert chat(router, question(model=FAILING[5])).status == 502

    answer = chat(router, question(model=FAILING[5]))
    told = receipt(router, answer.headers["x-request-id"])

    message = refused(answer, 429, "providers_cooling_down", None)
    assert answer.error["type"] == "rate_limit_error"
    assert 1 <= int(answer.headers["retry-after"]) <= 30
    assert "sim for " in message
    assert "second for " in message
    assert [each["cooling_s"] > 20 for each in told["decision"]["candidates"]] == [True, True]
    assert told["decision"]["plan"] == told["attempts"] == []
    assert len(simulator.seen) == 2
    assert chat(router, question(model=f"{FAILING[5]}:sim")).status == 200


def test_a_limit_of_one_providers_own_is_no_mistake_while_another_may_serve_it(
    router: Serving, simulator: Simulator
) -> None:
    simulator.play(error(400, message="tools are not supported by this model"))

    assert chat(router, question(model=FAILING[6])).status == 200
    assert len(simulator.seen) == 2


def test_a_stream_that_breaks_ends_with_one_error_event(
    router: Serving, simulator: Simulator
) -> None:
    simulator.play(Script(cut_after=3))

    with streaming(router, question(model=FAILING[4])) as stream:
        *_, last = events = stream.events()

    assert len(events) == 4
    name, _, data = last.partition("\n")
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: "))["error"]["code"] == "upstream_failed"


# ------------------------------------------------------------------------------------------- HTTP


def test_unknown_paths_and_methods_are_answered_in_the_envelope(server: Serving) -> None:
    for path in ("/", "/v1", "/v1/nothing", "/health/"):
        refused(ask(server, "GET", path), 404, "not_found", None)
    for method, path, allowed in (
        ("DELETE", "/v1/models", {"GET", "HEAD"}),
        ("GET", "/v1/chat/completions", {"POST"}),
        ("OPTIONS", "/v1/models", {"GET", "HEAD"}),
    ):
        answer = ask(server, method, path)
        refused(answer, 405, "method_not_allowed", None)
        assert set(answer.headers["allow"].split(", ")) == allowed
