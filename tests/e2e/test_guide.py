"""The scripts of Hugging Face's guide, run as they stand: in demo mode, and with one provider."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guide import printed
from tests.guide.judge import (
    SCRIPTS,
    is_call_in_response,
    is_extraction,
    is_fun_fact,
    is_greeting_after_reasoning,
    is_story_in_events,
    is_weather_call,
)
from tests.serving import Serving, launched, running
from tests.simulator import Script, Simulator

# Greedy, so that a test says the same each time; `python -m tests.guide` runs them as a user would.
GREEDY = "[engine]\ntemperature = 0.0\n"
# Not structured_output yet: nano/CARD.md tells how often the nano model gets that one right.
WORKING = [script for script in SCRIPTS if script != "structured_output"]


@pytest.fixture(scope="module")
def demo() -> Iterator[Serving]:
    with launched(config=GREEDY, flags=["--demo"]) as server:
        server.wait_for_banner()
        yield server


@pytest.mark.parametrize("script", WORKING)
def test_a_script_prints_what_the_guide_promises(demo: Serving, script: str) -> None:
    output = printed(script, demo)
    assert SCRIPTS[script](output), output


def test_structured_output_has_the_shape_that_was_asked_for(demo: Serving) -> None:
    extracted = ast.literal_eval(printed("structured_output", demo))
    assert list(extracted) == ["name", "city", "profession"]


ANSWERS = {
    "fun_fact": Script(text="The Eiffel Tower grows in summer."),
    "weather_tool": Script(tool_arguments='{"location": "Paris", "unit": "celsius"}'),
    "structured_output": Script(text='{"name":"Amélie","city":"Paris","profession":"chef"}'),
    "responses_stream": Script(text='A robot heard a song, and hummed. It\'s "music", they said.'),
    "responses_tool": Script(tool_arguments='{"location": "Boston, MA", "unit": "fahrenheit"}'),
    "responses_effort": Script(text="Hello, world!"),
}
MODELS = {
    "fun_fact": "openai/gpt-oss-120b:cerebras",
    "weather_tool": "openai/gpt-oss-120b:cerebras",
    "structured_output": "openai/gpt-oss-120b:fireworks-ai",
    "responses_stream": "openai/gpt-oss-120b:fireworks-ai",
    "responses_tool": "openai/gpt-oss-120b:fireworks-ai",
    "responses_effort": "openai/gpt-oss-120b:fireworks-ai",
}


def test_the_scripts_run_with_the_providers_that_they_name(simulator: Simulator) -> None:
    tables = [
        f'[providers.{name}]\nbase_url = "{simulator.base_url_of(name)}"\napi_key = "sk-{name}"\n'
        for name in ("cerebras", "fireworks-ai")
    ]
    with running(config="".join(tables)) as server:
        for script, answer in ANSWERS.items():
            simulator.play(answer)
            output = printed(script, server)
            assert SCRIPTS[script](output), output
    assert [seen.headers["authorization"] for seen in simulator.seen] == [
        f"Bearer sk-{model.rpartition(':')[2]}" for model in MODELS.values()
    ]


def test_the_scripts_run_with_one_provider_of_the_file_and_nothing_else(
    simulator: Simulator, tmp_path: Path
) -> None:
    """Their model names end in other providers' names: a router of providers passes them on."""
    home = tmp_path / "clone"
    home.mkdir()
    file = home / "trunkline.toml"
    file.touch(mode=0o600)
    file.write_text(
        f'[providers.huggingface]\nbase_url = "{simulator.base_url_of("huggingface")}"\n'
        'api_key = "hf_simulated"\n'
    )
    with running(home=home) as server:
        for script, answer in ANSWERS.items():
            simulator.play(answer)
            output = printed(script, server)
            assert SCRIPTS[script](output), output
    assert [seen.body["model"] for seen in simulator.seen] == list(MODELS.values())
    assert simulator.seen[-1].body["reasoning_effort"] == "low"
    assert {seen.headers["authorization"] for seen in simulator.seen} == {"Bearer hf_simulated"}


def test_the_judges_know_wrong_from_right() -> None:
    call = "Function(arguments='{}', name='get_current_weather')"
    assert is_weather_call(call.format('{"location": "Paris", "unit": "celsius"}'))
    assert not is_weather_call(call.format('{"location": "Pari", "unit": "celsius"}'))
    assert not is_weather_call("no call at all")
    assert is_fun_fact("The Eiffel Tower grows in summer.\n")
    assert not is_fun_fact("None\n")
    assert is_extraction("{'name': 'Amélie', 'city': 'Paris', 'profession': 'chef'}")
    assert not is_extraction("{'name': 'Amélie', 'city': 'Rome', 'profession': 'chef'}")
    told = "ResponseCompletedEvent(text='{}')\n"
    deltas = "ResponseTextDeltaEvent(content_index=0, delta='a', item_id='m')\n" * 6
    assert is_story_in_events("ResponseCreatedEvent()\n" + deltas + told.format("aaaaaa"))
    assert not is_story_in_events("ResponseCreatedEvent()\n" + deltas + told.format("a"))
    assert not is_story_in_events(deltas + told.format("aaaaaa"))
    assert not is_story_in_events("")
    call = "Response(ResponseFunctionToolCall(arguments='{}', name='get_current_weather'"
    assert is_call_in_response(call.format('{"location": "Boston", "unit": "celsius"}'))
    assert not is_call_in_response(call.format('{"location": "Paris", "unit": "celsius"}'))
    assert not is_call_in_response(call.format('{"location": "Boston", "unit": "kelvin"}'))
    assert not is_call_in_response("Response()")
    items = (
        "Output #0: reasoning [Content(text='I {}.', type='reasoning_text')]\n"
        "Output #1: message [ResponseOutputText(text='Hello!', type='output_text')]\n"
    )
    assert is_greeting_after_reasoning(items.format("greet"))
    assert not is_greeting_after_reasoning(items.splitlines()[0])
    assert not is_greeting_after_reasoning(items.replace("Hello", "Bye"))
