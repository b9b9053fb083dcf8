"""The Responses API through OpenAI's own SDK, sync and async, against the embedded engine and a provider over HTTP."""

from __future__ import annotations

import asyncio
import json

import openai
import pytest

from tests.conformance.scenes import (
    AFTER_RESULT,
    ANSWER,
    CITY,
    EXTRACT,
    QUESTION,
    REASONING,
    RESULT,
    WEATHER,
    GetWeather,
    Person,
)
from tests.conformance.test_openai_sdk import async_client

# ------------------------------------------------------------------------------------------------ text


def test_a_response_has_reasoning_an_answer_and_its_usage(client, model):
    response = client.responses.create(model=model, input=QUESTION, temperature=0)
    assert (response.object, response.status, response.error) == ("response", "completed", None)
    reasoning, message = response.output
    assert (reasoning.type, message.type) == ("reasoning", "message")
    assert [part.text for part in reasoning.content] == [REASONING[model]]
    assert (message.role, message.status) == ("assistant", "completed")
    assert response.output_text == ANSWER[model]
    usage = response.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert 0 < usage.output_tokens_details.reasoning_tokens < usage.output_tokens


def test_a_stream_tells_the_same_response_event_by_event(client, model):
    whole = client.responses.create(model=model, input=QUESTION, temperature=0)
    events = list(client.responses.create(model=model, input=QUESTION, temperature=0, stream=True))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    texts = [event.delta for event in events if event.type == "response.output_text.delta"]
    thoughts = [event.delta for event in events if event.type == "response.reasoning_text.delta"]
    assert len(texts) > 1
    assert ("".join(thoughts), "".join(texts)) == (REASONING[model], whole.output_text)
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == whole.output_text
    assert events[-1].response.usage.total_tokens == whole.usage.total_tokens


def test_the_stream_helper_hands_over_the_whole_response(client, model):
    with client.responses.stream(model=model, input=QUESTION, temperature=0) as stream:
        told = [event for event in stream if event.type == "response.output_text.delta"]
        response = stream.get_final_response()
    assert told[-1].snapshot == response.output_text == ANSWER[model]


# --------------------------------------------------------------------------------------------- formats


def test_parse_returns_the_model_asked_for(client, model):
    response = client.responses.parse(model=model, input=EXTRACT, temperature=0, text_format=Person)
    assert isinstance(response.output_parsed, Person)


def test_a_stream_parses_into_the_model_asked_for(client, model):
    with client.responses.stream(
        model=model, input=EXTRACT, temperature=0, text_format=Person
    ) as stream:
        parsed = stream.until_done().get_final_response().output_parsed
    assert isinstance(parsed, Person)


# ----------------------------------------------------------------------------------------------- tools

WEATHER_TOOL = openai.pydantic_function_tool(GetWeather, name="get_weather")["function"]
TOOL = {"type": "function", **WEATHER_TOOL}


def result_of(call):
    return {"type": "function_call_output", "call_id": call.call_id, "output": RESULT}


def called(response, model):
    """Returns the one call of a response, which must be as it was asked for."""
    call = response.output[-1]
    assert (call.type, call.name, call.status) == ("function_call", "get_weather", "completed")
    assert json.loads(call.arguments) == {"city": CITY[model]}
    return call


def test_a_tool_loop_goes_on_from_the_previous_response(client, model):
    first = client.responses.create(model=model, input=WEATHER, temperature=0, tools=[TOOL])
    last = client.responses.create(
        model=model,
        previous_response_id=first.id,
        input=[result_of(called(first, model))],
        temperature=0,
        tools=[TOOL],
    )
    assert last.output_text == AFTER_RESULT[model]
    assert last.previous_response_id == first.id


def test_a_tool_loop_goes_on_from_the_items_sent_back(client, model):
    ask = {"role": "user", "content": WEATHER}
    first = client.responses.create(
        model=model, input=[ask], temperature=0, tools=[TOOL], store=False
    )
    last = client.responses.create(
        model=model,
        input=[ask, *first.output, result_of(called(first, model))],
        temperature=0,
        tools=[TOOL],
        store=False,
    )
    assert last.output_text == AFTER_RESULT[model]


def test_sealed_reasoning_comes_back_as_it_was(client, model, simulator):
    asked = {"temperature": 0, "tools": [TOOL], "store": False}
    asked["include"] = ["reasoning.encrypted_content"]
    ask = {"role": "user", "content": WEATHER}
    first = client.responses.create(model=model, input=[ask], **asked)
    thought, call = first.output
    sealed = {"type": "reasoning", "id": thought.id, "summary": []}
    sealed["encrypted_content"] = thought.encrypted_content
    assert REASONING[model] not in thought.encrypted_content
    last = client.responses.create(
        model=model, input=[ask, sealed, call, result_of(called(first, model))], **asked
    )
    assert last.output_text == AFTER_RESULT[model]
    for seen in simulator.seen[1:]:
        assert seen.body["messages"][1]["reasoning"] == REASONING[model]


def test_the_arguments_of_a_call_are_streamed_and_parsed(client, model):
    with client.responses.stream(
        model=model, input=WEATHER, temperature=0, tools=[TOOL], tool_choice="required"
    ) as stream:
        events = list(stream)
        response = stream.get_final_response()
    kind = "response.function_call_arguments"
    pieces = [event.delta for event in events if event.type == f"{kind}.delta"]
    [done] = [event for event in events if event.type == f"{kind}.done"]
    assert "".join(pieces) == done.arguments == called(response, model).arguments


# ----------------------------------------------------------------------------------------------- state


def test_a_conversation_goes_on_over_several_turns(client, model):
    first = client.responses.create(model=model, input=QUESTION, temperature=0)
    second = client.responses.create(
        model=model, previous_response_id=first.id, input=QUESTION, temperature=0
    )
    assert second.usage.input_tokens > first.usage.input_tokens
    found = client.responses.retrieve(second.id)
    assert (found.output_text, found.usage) == (second.output_text, second.usage)
    items = list(client.responses.input_items.list(second.id, order="asc"))
    assert [item.type for item in items] == ["message"]


def test_a_deleted_response_is_gone(client, model):
    response = client.responses.create(model=model, input=QUESTION, temperature=0)
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=model, previous_response_id=response.id, input=QUESTION)
    assert caught.value.code == "previous_response_not_found"


def test_a_response_that_was_not_to_be_stored_is_unknown(client, model):
    response = client.responses.create(model=model, input=QUESTION, temperature=0, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)


def test_a_stored_stream_is_replayed_as_it_was(client, model):
    events = list(client.responses.create(model=model, input=QUESTION, temperature=0, stream=True))
    again = client.responses.retrieve(events[-1].response.id, stream=True, starting_after=3)
    assert list(again) == events[4:]


# --------------------------------------------------------------------------------------- async, errors


def test_the_async_client_answers_and_streams(server, recorder, model):
    async def main():
        async with async_client(server, recorder) as client:
            asked = {"model": model, "input": QUESTION, "temperature": 0}
            whole = await client.responses.create(**asked)
            async with client.responses.stream(**asked) as stream:
                return whole.output_text, (await stream.get_final_response()).output_text

    assert asyncio.run(main()) == (ANSWER[model], ANSWER[model])


def test_a_mistake_raises_with_its_parameter(client, model):
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=model, input=QUESTION, temperature=3)
    assert caught.value.param == "temperature"


def test_an_upstream_that_fails_ends_the_stream_with_a_failed_response(client):
    stream = client.responses.create(model="sim/late-error-3", input=QUESTION, stream=True)
    with pytest.raises(openai.APIError):
        list(stream)
