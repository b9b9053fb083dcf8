"""pydantic-ai's OpenAIResponsesModel against the embedded engine and a provider over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.messages import ThinkingPart
from pydantic_ai.models.openai import OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.providers.openai import OpenAIProvider

from tests.conformance.recording import Recorder
from tests.conformance.scenes import (
    AFTER_RESULT,
    ANSWER,
    EXTRACT,
    QUESTION,
    REASONING,
    RESULT,
    WEATHER,
    Person,
)
from tests.conformance.test_openai_sdk import async_client
from tests.serving import ECHO, Serving

Scene = Callable[[OpenAIResponsesModel], Awaitable[Any]]
Settings = OpenAIResponsesModelSettings

GREEDY = Settings(temperature=0)


@pytest.fixture
def run(server: Serving, recorder: Recorder, model: str) -> Callable[[Scene], Any]:
    """Runs a scene with the model."""

    async def with_model(scene: Scene) -> Any:
        async with async_client(server, recorder) as client:
            provider = OpenAIProvider(openai_client=client)
            return await scene(OpenAIResponsesModel(model, provider=provider))

    return lambda scene: asyncio.run(with_model(scene))


def get_weather(city: str) -> str:
    """Get the weather for a city"""
    assert city
    return RESULT


def test_an_agent_of_pydantic_answers_and_shows_its_thinking(run, model):
    result = run(lambda with_model: Agent(with_model, model_settings=GREEDY).run(QUESTION))
    assert result.output == ANSWER[model]
    thought, _ = result.response.parts
    assert isinstance(thought, ThinkingPart)
    assert thought.provider_details == {"raw_content": [REASONING[model]]}
    assert result.usage.total_tokens > 0


def test_a_tool_loop_of_pydantic_ends(run, model):
    result = run(
        lambda with_model: Agent(with_model, tools=[get_weather], model_settings=GREEDY).run(
            WEATHER
        )
    )
    assert result.output == AFTER_RESULT[model]


def test_a_tool_loop_of_pydantic_streams(run, model):
    async def scene(with_model):
        agent = Agent(with_model, tools=[get_weather], model_settings=GREEDY)
        async with agent.run_stream(WEATHER) as result:
            return [piece async for piece in result.stream_text(delta=True, debounce_by=None)]

    pieces = run(scene)
    assert len(pieces) > 1
    assert "".join(pieces) == AFTER_RESULT[model]


@pytest.mark.parametrize("form", [ToolOutput, NativeOutput])
def test_an_output_is_of_the_type_asked_for(run, form):
    async def scene(with_model):
        agent = Agent(with_model, output_type=form(Person), model_settings=GREEDY)
        return (await agent.run(EXTRACT)).output

    assert isinstance(run(scene), Person)


@pytest.mark.parametrize("previous", [False, True], ids=["replay", "previous"])
def test_a_conversation_of_pydantic_goes_on(run, recorder, previous):
    settings = Settings(temperature=0)
    if previous:
        settings["openai_previous_response_id"] = "auto"

    async def scene(with_model):
        agent = Agent(with_model, model_settings=settings)
        first = await agent.run(QUESTION)
        return first, await agent.run(QUESTION, message_history=first.all_messages())

    first, second = run(scene)
    assert second.usage.input_tokens > first.usage.input_tokens
    assert len(json.loads(recorder.exchanges[-1].asked)["input"]) == (1 if previous else 4)


@pytest.mark.parametrize("model", [ECHO], indirect=True)
def test_every_setting_of_pydantic_is_digested(run, model):
    settings = Settings(
        temperature=0,
        top_p=1,
        max_tokens=300,
        parallel_tool_calls=False,
        openai_store=False,
        openai_reasoning_effort="low",
        openai_reasoning_summary="auto",
        openai_send_reasoning_ids=True,
        openai_truncation="auto",
        openai_text_verbosity="low",
        openai_user="someone",
        openai_prompt_cache_key="a test",
    )

    async def scene(with_model):
        agent = Agent(with_model, tools=[get_weather], model_settings=settings)
        return (await agent.run(WEATHER)).output

    assert run(scene)
