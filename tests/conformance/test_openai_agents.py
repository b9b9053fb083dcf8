"""OpenAI's Agents SDK, which speaks the Responses API, against the embedded engine and a provider over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai.types.shared import Reasoning

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
from tests.simulator import Call, Script

GREEDY = ModelSettings(temperature=0)

Scene = Callable[[OpenAIResponsesModel], Awaitable[Any]]


@pytest.fixture(autouse=True)
def untraced() -> None:
    """Traces would go to OpenAI."""
    set_tracing_disabled(True)


@pytest.fixture
def run(server: Serving, recorder: Recorder, model: str) -> Callable[[Scene], Any]:
    """Runs a scene with the model."""

    async def with_model(scene: Scene) -> Any:
        async with async_client(server, recorder) as client:
            return await scene(OpenAIResponsesModel(model=model, openai_client=client))

    return lambda scene: asyncio.run(with_model(scene))


@function_tool
def get_weather(city: str) -> str:
    """Get the weather for a city"""
    assert city
    return RESULT


def assistant(model: OpenAIResponsesModel, **more: Any) -> Agent:
    return Agent(name="Assistant", model=model, model_settings=GREEDY, **more)


def test_an_agent_answers_and_shows_its_reasoning(run, model):
    result = run(lambda with_model: Runner.run(assistant(with_model), QUESTION))
    assert result.final_output == ANSWER[model]
    [reasoning, _] = result.new_items
    assert reasoning.raw_item.content[0].text == REASONING[model]
    assert result.context_wrapper.usage.total_tokens > 0


def test_an_agents_tool_loop_ends(run, model):
    result = run(lambda with_model: Runner.run(assistant(with_model, tools=[get_weather]), WEATHER))
    assert result.final_output == AFTER_RESULT[model]
    kinds = ["reasoning_item", "tool_call_item", "tool_call_output_item"]
    assert [item.type for item in result.new_items[:3]] == kinds


def test_an_agents_tool_loop_streams(run, model):
    async def scene(with_model):
        result = Runner.run_streamed(assistant(with_model, tools=[get_weather]), WEATHER)
        return [event async for event in result.stream_events()], result.final_output

    events, output = run(scene)
    assert output == AFTER_RESULT[model]
    raw = [event.data for event in events if event.type == "raw_response_event"]
    pieces = [event.delta for event in raw if event.type == "response.output_text.delta"]
    assert "".join(pieces) == AFTER_RESULT[model]
    names = [event.name for event in events if event.type == "run_item_stream_event"]
    assert ("tool_called" in names, "tool_output" in names) == (True, True)


def test_an_agent_hands_over_to_another(run, model, simulator):
    hands_over = Script(calls=(Call("transfer_to_translator", "{}"),))
    if model == ECHO:
        simulator.play(hands_over)

    async def scene(with_model):
        translator = Agent(name="Translator", instructions="You translate.", model=with_model)
        settings = ModelSettings(temperature=0, tool_choice="transfer_to_translator")
        triage = Agent(
            name="Triage", model=with_model, model_settings=settings, handoffs=[translator]
        )
        return await Runner.run(triage, QUESTION)

    result = run(scene)
    assert result.last_agent.name == "Translator"
    assert result.final_output
    if model == ECHO:
        messages = simulator.seen[-1].body["messages"]
        roles = ["developer", "user", "assistant", "tool"]
        assert [message["role"] for message in messages] == roles
        assert "tools" not in simulator.seen[-1].body


@pytest.mark.parametrize("told", [{"previous_response_id": None}, {}], ids=["previous", "replay"])
def test_an_agents_conversation_goes_on(run, recorder, told):
    async def scene(with_model):
        agent = assistant(with_model)
        first = await Runner.run(agent, QUESTION)
        if told:
            return first, await Runner.run(
                agent, QUESTION, previous_response_id=first.last_response_id
            )
        again: Any = {"role": "user", "content": QUESTION}
        return first, await Runner.run(agent, [*first.to_input_list(), again])

    first, second = run(scene)
    assert second.final_output
    tokens = [result.context_wrapper.usage.input_tokens for result in (first, second)]
    assert tokens[1] > tokens[0]
    sent = json.loads(recorder.exchanges[-1].asked)["input"]
    assert len(sent) == (1 if told else 4)


def test_an_agents_turns_may_each_go_on_from_the_one_before(run, model, recorder):
    async def scene(with_model):
        agent = assistant(with_model, tools=[get_weather])
        return await Runner.run(agent, WEATHER, auto_previous_response_id=True)

    assert run(scene).final_output == AFTER_RESULT[model]
    [output] = json.loads(recorder.exchanges[-1].asked)["input"]
    assert output["type"] == "function_call_output"


def test_an_agents_output_is_of_the_type_asked_for(run):
    result = run(lambda with_model: Runner.run(assistant(with_model, output_type=Person), EXTRACT))
    assert isinstance(result.final_output, Person)


@pytest.mark.parametrize("model", [ECHO], indirect=True)
def test_every_setting_of_an_agent_is_digested(run, model):
    settings = ModelSettings(
        temperature=0,
        top_p=1,
        max_tokens=200,
        store=False,
        truncation="auto",
        metadata={"for": "a test"},
        parallel_tool_calls=False,
        reasoning=Reasoning(effort="low", summary="auto"),
        verbosity="low",
        include_usage=True,
        response_include=["reasoning.encrypted_content"],
    )

    async def scene(with_model):
        agent = Agent(name="A", model=with_model, model_settings=settings, tools=[get_weather])
        return await Runner.run(agent, WEATHER)

    result = run(scene)
    assert result.final_output
    assert result.new_items[0].raw_item.encrypted_content
    assert result.new_items[0].raw_item.summary
