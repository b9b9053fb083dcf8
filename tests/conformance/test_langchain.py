"""LangChain's ChatOpenAI, sync and async, against the embedded engine and a provider over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import openai
import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tests.conformance.recording import Recorder
from tests.conformance.scenes import (
    AFTER_RESULT,
    ANSWER,
    CITY,
    EXTRACT,
    QUESTION,
    RESULT,
    WEATHER,
    Person,
)
from tests.serving import Serving


@tool
def get_weather(city: str) -> str:
    """Get the weather for a city"""
    assert city
    return RESULT


@pytest.fixture
def chat(server: Serving, recorder: Recorder, model: str) -> Iterator[ChatOpenAI]:
    with recorder.client() as client:
        yield ChatOpenAI(
            model=model,
            base_url=server.base_url,
            api_key=SecretStr(server.key),
            temperature=0,
            max_retries=0,
            http_client=client,
            http_async_client=recorder.async_client(),
        )


def test_invoke_answers_with_usage(chat, model):
    message = chat.invoke(QUESTION)
    assert message.content == ANSWER[model]
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.usage_metadata["output_token_details"]["reasoning"] > 0


def test_a_stream_adds_up_to_the_answer_and_reports_usage(chat, model):
    first, *rest = chat.stream(QUESTION, stream_usage=True)
    whole = sum(rest, start=first)
    assert whole.content == ANSWER[model]
    assert whole.usage_metadata["total_tokens"] > 0
    assert len([chunk for chunk in rest if chunk.content]) > 3


def invoked(bound, messages):
    return bound.invoke(messages)


def streamed(bound, messages):
    first, *rest = bound.stream(messages)
    return sum(rest, start=first)


@pytest.mark.parametrize("answer", [invoked, streamed])
def test_a_tool_loop_ends(chat, model, answer):
    bound = chat.bind_tools([get_weather])
    first = answer(bound, [HumanMessage(WEATHER)])
    [call] = first.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": CITY[model]})
    last = answer(bound, [HumanMessage(WEATHER), first, get_weather.invoke(call)])
    assert (last.tool_calls, last.content) == ([], AFTER_RESULT[model])


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_is_of_the_model_asked_for(chat, method):
    assert isinstance(chat.with_structured_output(Person, method=method).invoke(EXTRACT), Person)


def test_the_async_methods_answer_stream_and_call_tools(chat, model):
    async def main():
        async with chat.http_async_client:
            message = await chat.ainvoke(QUESTION)
            pieces = [chunk.content async for chunk in chat.astream(QUESTION)]
            called = await chat.bind_tools([get_weather], tool_choice="get_weather").ainvoke(
                WEATHER
            )
            person = await chat.with_structured_output(Person).ainvoke(EXTRACT)
            return message.content, "".join(pieces), called.tool_calls, person

    content, streamed, calls, person = asyncio.run(main())
    assert (content, streamed) == (ANSWER[model], ANSWER[model])
    assert [call["name"] for call in calls] == ["get_weather"]
    assert isinstance(person, Person)


def test_a_mistake_raises_the_sdks_error(chat):
    with pytest.raises(openai.BadRequestError) as caught:
        chat.invoke(QUESTION, temperature=3)
    assert caught.value.param == "temperature"
