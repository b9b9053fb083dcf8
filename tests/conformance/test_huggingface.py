"""huggingface_hub's InferenceClient, sync and async, against the embedded engine and a provider."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import huggingface_hub
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import BadRequestError
from huggingface_hub.utils._http import default_async_client_factory, default_client_factory

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
    Person,
)
from tests.serving import Serving


@pytest.fixture(autouse=True)
def recorded(recorder: Recorder) -> Iterator[None]:
    """Has the library use our recording clients, which it takes through a global only."""
    huggingface_hub.set_client_factory(recorder.client)
    huggingface_hub.set_async_client_factory(recorder.async_client)
    yield
    huggingface_hub.set_client_factory(default_client_factory)
    huggingface_hub.set_async_client_factory(default_async_client_factory)


@pytest.fixture
def client(server: Serving) -> InferenceClient:
    return InferenceClient(base_url=server.base_url, api_key=server.key)


def test_a_chat_completion_has_an_answer_and_its_reasoning(client, model):
    answer = client.chat_completion(ASK, model=model, temperature=0, max_tokens=200)
    [choice] = answer.choices
    assert (choice.message.content, choice.finish_reason) == (ANSWER[model], "stop")
    assert choice.message.reasoning == REASONING[model]
    assert answer.usage.total_tokens > answer.usage.completion_tokens > 0


def test_a_stream_adds_up_to_the_answer(client, model):
    *chunks, last = client.chat.completions.create(
        ASK, model=model, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(pieces) == ANSWER[model]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert (last.choices, last.usage.total_tokens > 0) == ([], True)


def test_a_tool_loop_ends(client, model):
    first = client.chat_completion(ASK_WEATHER, model=model, temperature=0, tools=[WEATHER_TOOL])
    [call] = first.choices[0].message.tool_calls
    assert first.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments) == {"city": CITY[model]}
    messages = [
        *ASK_WEATHER,
        first.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": RESULT},
    ]
    last = client.chat_completion(messages, model=model, temperature=0, tools=[WEATHER_TOOL])
    assert last.choices[0].finish_reason == "stop"
    assert last.choices[0].message.content == AFTER_RESULT[model]


def test_a_json_schema_holds_though_the_client_sends_it_as_tgi_wants_it(client, model):
    wanted = {"name": "person", "schema": Person.model_json_schema()}
    answer = client.chat_completion(
        ASK_EXTRACT,
        model=model,
        temperature=0,
        response_format={"type": "json_schema", "json_schema": wanted},
    )
    person = json.loads(answer.choices[0].message.content)
    assert Person.model_validate(person).model_dump() == person


def test_the_async_client_completes_and_streams(server, model):
    async def main():
        async with AsyncInferenceClient(base_url=server.base_url, api_key=server.key) as client:
            whole = await client.chat_completion(ASK, model=model, temperature=0)
            stream = await client.chat_completion(ASK, model=model, temperature=0, stream=True)
            pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
            return whole.choices[0].message.content, "".join(pieces)

    assert asyncio.run(main()) == (ANSWER[model], ANSWER[model])


def test_a_mistake_raises_with_our_words(client, model):
    with pytest.raises(BadRequestError, match="temperature"):
        client.chat_completion(ASK, model=model, temperature=3)
