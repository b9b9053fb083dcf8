"""OpenAI's own SDK, sync and async, against the embedded engine and a provider over HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import openai
import pytest
from openai.types.chat import ChatCompletionMessage

from tests.conformance.recording import Recorder
from tests.conformance.scenes import (
    AFTER_RESULT,
    ANSWER,
    ASK,
    ASK_EXTRACT,
    ASK_WEATHER,
    CITY,
    REASONING,
    RESULT,
    WEATHER_TOOL,
    GetWeather,
    Person,
)
from tests.serving import ECHO, NANO, Serving, running, until

MAX_ROUNDS = 4
ENDLESS = {"guided_regex": "[ab]{8000}"}
"""Keeps the engine at it until its context is full: thousands of tokens."""


@pytest.fixture(scope="module")
def small() -> Iterator[Serving]:
    """A server whose engine takes one request at a time and lets none wait."""
    with running(config="[engine]\nslots = 1\nqueue = 0\n") as serving:
        yield serving


@pytest.fixture
def small_client(small: Serving, recorder: Recorder) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=small.base_url, api_key=small.key, max_retries=0, http_client=recorder.client()
    ) as client:
        yield client


@asynccontextmanager
async def async_client(server: Serving, recorder: Recorder) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=server.base_url,
        api_key=server.key,
        max_retries=0,
        http_client=recorder.async_client(),
    ) as client:
        yield client


def reasoning(message: object) -> str:
    """Returns the reasoning, which the SDK carries as an extra field."""
    both = getattr(message, "reasoning", ""), getattr(message, "reasoning_content", "")
    assert both[0] == both[1]
    return both[0] or ""


# --------------------------------------------------------------------------------------- completions


def test_a_completion_has_an_answer_its_reasoning_and_its_usage(client, model):
    completion = client.chat.completions.create(model=model, messages=ASK, temperature=0)
    [choice] = completion.choices
    assert completion.object == "chat.completion"
    assert completion.model == model
    assert (choice.index, choice.finish_reason) == (0, "stop")
    assert (choice.message.role, choice.message.content) == ("assistant", ANSWER[model])
    assert reasoning(choice.message) == REASONING[model]
    usage = completion.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert 0 < usage.completion_tokens_details.reasoning_tokens < usage.completion_tokens
    assert 0 <= usage.prompt_tokens_details.cached_tokens <= usage.prompt_tokens


def test_a_stream_adds_up_to_the_completion(client, model):
    whole = client.chat.completions.create(model=model, messages=ASK, temperature=0)
    chunks = list(
        client.chat.completions.create(model=model, messages=ASK, temperature=0, stream=True)
    )
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert [delta.role for delta in deltas if delta.role] == ["assistant"]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content
    assert "".join(map(reasoning, deltas)) == reasoning(whole.choices[0].message)
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + ["stop"]
    assert all(chunk.usage is None for chunk in chunks)


def test_the_last_chunk_reports_usage_and_cost_when_asked_to(client, model):
    whole = client.chat.completions.create(model=model, messages=ASK, temperature=0)
    *chunks, last = client.chat.completions.create(
        model=model,
        messages=ASK,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    assert all(chunk.usage is None for chunk in chunks)
    assert last.choices == []
    assert last.usage.completion_tokens == whole.usage.completion_tokens
    assert last.usage.prompt_tokens == whole.usage.prompt_tokens
    cost_usd = (last.usage.prompt_tokens + 2 * last.usage.completion_tokens) / 1e6
    assert last.usage.cost == pytest.approx(cost_usd if model == ECHO else 0)


def test_content_may_be_parts_and_instructions_may_be_the_developers(client, model):
    completion = client.chat.completions.create(
        model=model,
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": ASK[0]["content"]}]},
        ],
        temperature=0,
    )
    assert completion.choices[0].message.content == ANSWER[model]


def test_each_of_n_choices_is_whole(client, model):
    completion = client.chat.completions.create(model=model, messages=ASK, temperature=0, n=2)
    contents = {choice.index: choice.message.content for choice in completion.choices}
    assert contents == {0: ANSWER[model], 1: ANSWER[model]}


def test_streamed_choices_are_told_apart_by_their_index(client, model):
    contents = {0: "", 1: ""}
    reasons = {}
    for chunk in client.chat.completions.create(
        model=model, messages=ASK, temperature=0, n=2, stream=True
    ):
        [choice] = chunk.choices
        contents[choice.index] += choice.delta.content or ""
        reasons[choice.index] = choice.finish_reason
    assert contents == {0: ANSWER[model], 1: ANSWER[model]}
    assert reasons == {0: "stop", 1: "stop"}


def test_a_character_of_several_tokens_streams_whole(client):
    wanted = "naïve 😀 日本語"
    pieces = [
        chunk.choices[0].delta.content or ""
        for chunk in client.chat.completions.create(
            model=NANO, messages=ASK, stream=True, extra_body={"guided_choice": [wanted]}
        )
    ]
    assert "".join(pieces) == wanted
    assert "\ufffd" not in "".join(pieces)


def test_fields_that_do_not_change_the_answer_are_accepted(client, model):
    completion = client.chat.completions.create(
        model=model,
        messages=ASK,
        temperature=0,
        user="somebody",
        metadata={"team": "a"},
        store=False,
        service_tier="auto",
        prompt_cache_key="k",
        prompt_cache_options={},
        safety_identifier="s",
        verbosity="low",
    )
    assert completion.choices[0].message.content == ANSWER[model]


def test_logprobs_cover_the_answer_and_not_the_reasoning(client, model):
    completion = client.chat.completions.create(
        model=model, messages=ASK, temperature=0, logprobs=True, top_logprobs=2
    )
    tokens = completion.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == ANSWER[model]
    assert all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)


def test_a_token_limit_and_a_stop_string_end_an_answer(client):
    limited = client.chat.completions.create(
        model=NANO, messages=ASK, temperature=0, max_completion_tokens=4
    )
    assert limited.choices[0].finish_reason == "length"
    assert limited.usage.completion_tokens == 4
    stopped = client.chat.completions.create(
        model=NANO, messages=ASK, temperature=0, stop=[" is Paris"]
    )
    assert stopped.choices[0].finish_reason == "stop"
    assert stopped.choices[0].message.content == "The capital of France"


def test_the_streaming_helper_tells_events_and_the_final_completion(client, model):
    with client.chat.completions.stream(model=model, messages=ASK, temperature=0) as stream:
        events = list(stream)
        final = stream.get_final_completion()
    deltas = [event.delta for event in events if event.type == "content.delta"]
    assert "".join(deltas) == ANSWER[model]
    assert [event.content for event in events if event.type == "content.done"] == [ANSWER[model]]
    assert final.choices[0].message.content == ANSWER[model]
    assert final.choices[0].finish_reason == "stop"


def test_the_async_client_completes_streams_and_parses(server, recorder, model):
    async def main():
        async with async_client(server, recorder) as client:
            completions = client.chat.completions
            whole = await completions.create(model=model, messages=ASK, temperature=0)
            stream = await completions.create(model=model, messages=ASK, temperature=0, stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            async with completions.stream(model=model, messages=ASK, temperature=0) as helper:
                final = await helper.get_final_completion()
            parsed = await completions.parse(
                model=model, messages=ASK_EXTRACT, temperature=0, response_format=Person
            )
            return [
                whole.choices[0].message.content,
                "".join(pieces),
                final.choices[0].message.content,
            ], parsed.choices[0].message.parsed

    texts, parsed = asyncio.run(main())
    assert texts == [ANSWER[model]] * 3
    assert isinstance(parsed, Person)


def test_many_requests_at_once_each_get_their_own_answer(server, recorder):
    async def main():
        async with async_client(server, recorder) as client:
            return await asyncio.gather(
                *(
                    client.chat.completions.create(
                        model=ECHO, messages=[{"role": "user", "content": f"number {number}"}]
                    )
                    for number in range(32)
                )
            )

    texts = [completion.choices[0].message.content for completion in asyncio.run(main())]
    assert texts == [f"echo: number {number}" for number in range(32)]


# --------------------------------------------------------------------------- tools and typed answers


def test_parse_returns_the_model_of_a_response_format(client, model):
    completion = client.chat.completions.parse(
        model=model, messages=ASK_EXTRACT, temperature=0, response_format=Person
    )
    message = completion.choices[0].message
    assert isinstance(message.parsed, Person)
    assert message.parsed == Person.model_validate_json(message.content)


def test_a_streamed_response_format_ends_parsed(client, model):
    with client.chat.completions.stream(
        model=model, messages=ASK_EXTRACT, temperature=0, response_format=Person
    ) as stream:
        done = [event for event in stream if event.type == "content.done"]
    assert [type(event.parsed) for event in done] == [Person]
    assert stream.get_final_completion().choices[0].message.parsed == done[0].parsed


def test_parse_refuses_an_answer_that_the_token_limit_cut(client):
    with pytest.raises(openai.LengthFinishReasonError) as caught:
        client.chat.completions.parse(
            model=NANO,
            messages=ASK_EXTRACT,
            temperature=0,
            response_format=Person,
            max_completion_tokens=20,
        )
    assert caught.value.completion.choices[0].finish_reason == "length"


def test_parse_returns_a_tools_arguments_as_its_model(client, model):
    completion = client.chat.completions.parse(
        model=model,
        messages=ASK_WEATHER,
        temperature=0,
        tools=[openai.pydantic_function_tool(GetWeather, name="get_weather")],
    )
    [choice] = completion.choices
    [call] = choice.message.tool_calls
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", None)
    assert (call.type, call.function.name) == ("function", "get_weather")
    assert call.function.parsed_arguments == GetWeather(city=CITY[model])


def test_a_streamed_tool_call_ends_parsed(client, model):
    with client.chat.completions.stream(
        model=model,
        messages=ASK_WEATHER,
        temperature=0,
        tools=[openai.pydantic_function_tool(GetWeather, name="get_weather")],
    ) as stream:
        events = list(stream)
    kind = "tool_calls.function.arguments"
    deltas = [event.arguments_delta for event in events if event.type == f"{kind}.delta"]
    [done] = [event for event in events if event.type == f"{kind}.done"]
    assert "".join(deltas) == done.arguments
    assert (done.index, done.name) == (0, "get_weather")
    assert done.parsed_arguments == GetWeather(city=CITY[model])


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "get_weather"}}]
)
def test_a_demanded_tool_is_called_whatever_was_said(client, model, choice):
    completion = client.chat.completions.create(
        model=model, messages=ASK, temperature=0, tools=[WEATHER_TOOL], tool_choice=choice
    )
    [call] = completion.choices[0].message.tool_calls
    assert call.function.name == "get_weather"


def test_no_tool_is_called_where_none_may_be(client, model):
    completion = client.chat.completions.create(
        model=model, messages=ASK_WEATHER, temperature=0, tools=[WEATHER_TOOL], tool_choice="none"
    )
    assert completion.choices[0].message.tool_calls is None
    assert completion.choices[0].message.content


def whole_message(client: openai.OpenAI, model: str, messages: list) -> ChatCompletionMessage:
    completion = client.chat.completions.create(
        model=model, messages=messages, temperature=0, tools=[WEATHER_TOOL]
    )
    return completion.choices[0].message


def streamed_message(client: openai.OpenAI, model: str, messages: list) -> ChatCompletionMessage:
    with client.chat.completions.stream(
        model=model, messages=messages, temperature=0, tools=[WEATHER_TOOL]
    ) as stream:
        return stream.get_final_completion().choices[0].message


def itself(message: ChatCompletionMessage) -> ChatCompletionMessage:
    return message


def dumped(message: ChatCompletionMessage) -> dict:
    return message.model_dump()  # with a null for every field that it lacks


@pytest.mark.parametrize("answer", [whole_message, streamed_message])
@pytest.mark.parametrize("put_back", [itself, dumped])
def test_a_tool_loop_ends(client, model, answer, put_back):
    messages = list(ASK_WEATHER)
    answered = []
    for _ in range(MAX_ROUNDS):
        message = answer(client, model, messages)
        answered.append(message)
        if not message.tool_calls:
            break
        messages.append(put_back(message))
        messages += [
            {"role": "tool", "tool_call_id": call.id, "content": RESULT}
            for call in message.tool_calls
        ]
    [first, last] = answered
    [call] = first.tool_calls
    assert (call.function.name, last.content) == ("get_weather", AFTER_RESULT[model])


# --------------------------------------------------------------------------------- models and headers


def test_models_are_listed_and_retrieved(client, model):
    listed = {entry.id: entry for entry in client.models.list()}
    assert listed[model] == client.models.retrieve(model)
    assert listed[model].object == "model"
    assert listed[model].owned_by == model.partition("/")[0]


@pytest.mark.parametrize("stream", [False, True])
def test_headers_say_who_answered(client, model, stream):
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=ASK, temperature=0, stream=stream
    )
    parsed = raw.parse()
    assert raw.headers["x-trunkline-provider"] == {NANO: "local", ECHO: "sim"}[model]
    assert raw.headers["x-trunkline-model"] == model
    assert raw.headers["x-trunkline-attempts"] == "1"
    assert raw.request_id == raw.headers["x-request-id"]
    if stream:
        assert len(list(parsed)) > 3
        assert "x-trunkline-cost-usd" not in raw.headers
    else:
        cost_usd = (parsed.usage.prompt_tokens + 2 * parsed.usage.completion_tokens) / 1e6
        expected = cost_usd if model == ECHO else 0
        assert float(raw.headers["x-trunkline-cost-usd"]) == pytest.approx(expected)


# --------------------------------------------------------------------------------------------- errors


def test_a_wrong_key_is_an_authentication_error(client, model):
    stranger = client.with_options(api_key="tl_" + "0" * 36)
    with pytest.raises(openai.AuthenticationError) as caught:
        stranger.chat.completions.create(model=model, messages=ASK)
    assert (caught.value.status_code, caught.value.code) == (401, "invalid_api_key")


def test_an_unknown_model_is_a_not_found_error(client):
    for ask in (
        lambda: client.chat.completions.create(model="sim/ecko", messages=ASK),
        lambda: client.models.retrieve("sim/ecko"),
    ):
        with pytest.raises(openai.NotFoundError) as caught:
            ask()
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
        assert "sim/echo" in caught.value.message


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"temperature": 3}, "invalid_value", "temperature"),
        ({"max_tokens": "many"}, "invalid_type", "max_tokens"),
        ({"messages": openai.omit}, "missing_required_parameter", "messages"),
        ({"extra_body": {"temprature": 1}}, "unknown_parameter", "temprature"),
    ],
)
def test_a_mistake_is_a_bad_request_error_that_names_the_field(client, model, fields, code, param):
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.with_raw_response.create(
            **{"model": model, "messages": ASK, **fields}
        )
    assert (caught.value.code, caught.value.param) == (code, param)
    assert param in caught.value.message


def test_what_the_engine_cannot_serve_is_a_bad_request_error(client):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=NANO, messages=[{"role": "user", "content": [image]}])
    assert caught.value.param == "messages[0].content[0].type"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=NANO, messages=ASK, modalities=["text", "audio"])
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "modalities")


def test_a_failing_provider_is_an_internal_server_error(client, simulator):
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="sim/error-500:sim", messages=ASK)
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_failed")


def test_a_full_engine_is_a_rate_limit_error_that_says_when_to_retry(small_client):
    with small_client.chat.completions.create(
        model=NANO, messages=ASK, max_tokens=4000, stream=True, extra_body=ENDLESS
    ) as busy:
        next(busy)
        with pytest.raises(openai.RateLimitError) as caught:
            small_client.chat.completions.create(model=NANO, messages=ASK)
    assert caught.value.code == "engine_overloaded"
    assert int(caught.value.response.headers["retry-after"]) >= 1


# ------------------------------------------------------------------------------- streams that break


def broken(stream: openai.Stream) -> tuple[list, openai.APIError]:
    """Returns the finish reasons that came before the error, and the error."""
    reasons = []
    try:
        for chunk in stream:
            reasons += [choice.finish_reason for choice in chunk.choices]
    except openai.APIError as error:
        return reasons, error
    raise AssertionError(f"the stream ended well: {reasons}")


@pytest.mark.parametrize("name", ["sim/late-error-3:sim", "sim/cut-3:sim"])
def test_a_provider_that_breaks_a_stream_raises_after_its_chunks(client, simulator, name):
    reasons, error = broken(client.chat.completions.create(model=name, messages=ASK, stream=True))
    assert (reasons, error.code) == ([None] * 3, "upstream_failed")


def test_an_engine_killed_mid_stream_raises_and_the_next_request_is_answered(small, small_client):
    pid = engine_pid(small)
    stream = small_client.chat.completions.create(
        model=NANO, messages=ASK, max_tokens=4000, stream=True, extra_body=ENDLESS
    )
    # Between the reasoning and the answer the engine is asked anew, and may restart unnoticed.
    while not next(stream).choices[0].delta.content:
        pass
    os.kill(pid, signal.SIGKILL)
    reasons, error = broken(stream)
    assert error.code == "upstream_failed"
    assert not any(reasons)
    again = small_client.chat.completions.create(model=NANO, messages=ASK, temperature=0)
    assert again.choices[0].message.content == ANSWER[NANO]


def test_a_stream_that_the_caller_closes_frees_the_engine(small, small_client):
    left = hung_up(small)
    stream = small_client.chat.completions.create(
        model=NANO, messages=ASK, max_tokens=4000, stream=True, extra_body=ENDLESS
    )
    next(stream)
    stream.close()
    until(lambda: hung_up(small) > left)
    after = small_client.chat.completions.create(model=NANO, messages=ASK, temperature=0)
    assert after.choices[0].message.content == ANSWER[NANO]


def test_a_request_that_the_caller_gives_up_frees_the_engine(small, small_client):
    left = hung_up(small)
    with pytest.raises(openai.APITimeoutError):
        small_client.with_options(timeout=0.1).chat.completions.create(
            model=NANO, messages=ASK, max_tokens=4000, extra_body=ENDLESS
        )
    until(lambda: hung_up(small) > left)
    after = small_client.chat.completions.create(model=NANO, messages=ASK, temperature=0)
    assert after.choices[0].message.content == ANSWER[NANO]


@pytest.mark.parametrize(("name", "stream"), [("sim/silent", False), ("sim/paced-20ms", True)])
def test_a_cancelled_call_hangs_up_on_the_provider(server, simulator, name, stream):
    long: list = [{"role": "user", "content": "word " * 500}]

    async def main():
        async with openai.AsyncOpenAI(
            base_url=server.base_url, api_key=server.key, max_retries=0
        ) as client:
            async with asyncio.TaskGroup() as tasks:
                call = tasks.create_task(read(client))
                await asyncio.to_thread(simulator.wait_for_open, 1)
                call.cancel()
            return call.cancelled()

    async def read(client):
        answer = await client.chat.completions.create(model=name, messages=long, stream=stream)
        return [chunk async for chunk in answer]

    assert asyncio.run(main())
    simulator.wait_for_open(0)


def engine_pid(server: Serving) -> int:
    """Returns the process id of the engine that was ready last, as the log has it."""
    pids: list[int] = [e["pid"] for e in server.log() if e["event"] == "engine_ready"]
    return pids[-1]


def hung_up(server: Serving) -> int:
    """Returns how many requests ended because their clients left."""
    return sum(event.get("error") == "client_gone" for event in server.log())
