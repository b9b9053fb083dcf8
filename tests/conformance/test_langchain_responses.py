"""LangChain's ChatOpenAI with ``use_responses_api=True``, against the embedded engine and a provider over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tests.conformance.recording import Recorder
from tests.conformance.scenes import (
    AFTER_RESULT,
    ANSWER,
    CITY,
    EXTRACT,
    QUESTION,
    REASONING,
    WEATHER,
    Person,
)
from tests.conformance.test_langchain import get_weather, invoked, streamed
from tests.serving import ECHO, NANO, Serving

SEALED = {
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "reasoning": {"effort": "low", "summary": "auto"},
}


@pytest.fixture
def chat_with(
    server: Serving, recorder: Recorder, model: str
) -> Iterator[Callable[..., ChatOpenAI]]:
    """Makes a ChatOpenAI with further settings."""
    with recorder.client() as client:
        yield lambda **settings: ChatOpenAI(
            model=model,
            base_url=server.base_url,
            api_key=SecretStr(server.key),
            temperature=0,
            max_retries=0,
            use_responses_api=True,
            http_client=client,
            http_async_client=recorder.async_client(),
            **settings,
        )


@pytest.fixture
def chat(chat_with: Callable[..., ChatOpenAI]) -> ChatOpenAI:
    return chat_with()


def thoughts(message: Any) -> str:
    return "".join(
        part["text"]
        for block in message.content
        if block["type"] == "reasoning"
        for part in block.get("content", [])
    )


@pytest.mark.parametrize("answer", [invoked, streamed])
def test_langchain_gets_an_answer_its_reasoning_and_its_usage(chat, model, answer):
    message = answer(chat, [SystemMessage("You are brief."), HumanMessage(QUESTION)])
    assert message.text == ANSWER[model]
    assert message.usage_metadata["output_token_details"]["reasoning"] > 0
    assert message.response_metadata["id"].startswith("resp_")
    if answer is invoked:
        assert thoughts(message) == REASONING[model]


@pytest.mark.parametrize("answer", [invoked, streamed])
@pytest.mark.parametrize(
    ("model", "settings"),
    [
        pytest.param(NANO, {}, id="engine"),
        pytest.param(ECHO, {}, id="replay"),
        pytest.param(ECHO, {"use_previous_response_id": True}, id="previous"),
        pytest.param(ECHO, {"output_version": "responses/v1"}, id="responses/v1"),
        pytest.param(ECHO, {"output_version": "v1"}, id="v1"),
        pytest.param(ECHO, SEALED, id="sealed"),
    ],
    indirect=["model"],
)
def test_a_tool_loop_of_langchain_ends(chat_with, model, recorder, answer, settings):
    bound = chat_with(**settings).bind_tools([get_weather])
    history: list[Any] = [HumanMessage(WEATHER)]
    history.append(answer(bound, history))
    [call] = history[-1].tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": CITY[model]})
    history.append(get_weather.invoke(call))
    history.append(answer(bound, history))
    assert history[-1].tool_calls == []
    assert history[-1].text.startswith(AFTER_RESULT[model])
    last = answer(bound, [*history, HumanMessage(QUESTION)])
    assert last.usage_metadata["input_tokens"] > history[-1].usage_metadata["input_tokens"]
    sent = json.loads(recorder.exchanges[-1].asked)["input"]
    assert len(sent) == (1 if "use_previous_response_id" in settings else 7)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output_of_langchain_is_of_the_model_asked_for(chat, method):
    assert isinstance(chat.with_structured_output(Person, method=method).invoke(EXTRACT), Person)


def test_the_async_methods_of_langchain_answer_and_stream(chat, model):
    async def main():
        async with chat.http_async_client:
            message = await chat.ainvoke(QUESTION)
            pieces = [chunk.text async for chunk in chat.astream(QUESTION)]
            return message.text, "".join(pieces)

    assert asyncio.run(main()) == (ANSWER[model], ANSWER[model])


def test_a_mistake_of_langchain_raises_the_sdks_error(chat):
    with pytest.raises(openai.BadRequestError) as caught:
        chat.invoke(QUESTION, temperature=3)
    assert caught.value.param == "temperature"
