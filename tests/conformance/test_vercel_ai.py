"""Vercel's AI SDK, which speaks the Responses API by default, against the embedded engine and a provider over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance import nodejs
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


@pytest.fixture
def play(server: Serving, relayed_url: str, model: str) -> Callable[[str], Any]:
    """Plays a scene of ``node/vercel.mjs``; what it prints."""
    environment = {
        "URL": relayed_url,
        "KEY": server.key,
        "MODEL": model,
        "QUESTION": QUESTION,
        "EXTRACT": EXTRACT,
        "WEATHER": WEATHER,
        "RESULT": RESULT,
    }
    return lambda scene: json.loads(nodejs.ran("vercel.mjs", scene, environment=environment))


def replayed(recorder: Recorder) -> list[str]:
    """The types of the items that the last request held."""
    items = json.loads(recorder.exchanges[-1].asked)["input"]
    return [item.get("type", "message") for item in items]


def test_generate_text_answers_with_usage(play, model):
    told = play("text")
    assert (told["text"], told["finishReason"]) == (ANSWER[model], "stop")
    assert told["tokens"] > 0


def test_stream_text_adds_up_to_the_answer(play, model):
    pieces = play("stream")
    assert len(pieces) > 1
    assert "".join(pieces) == ANSWER[model]


@pytest.mark.parametrize("scene", ["tools", "tools_stream"])
def test_a_tool_loop_that_refers_to_kept_items_ends(play, model, recorder, scene):
    told = play(scene)
    assert (told["inputs"], told["text"]) == ([{"city": CITY[model]}], AFTER_RESULT[model])
    kinds = ["message", "item_reference", "function_call", "function_call_output"]
    assert replayed(recorder) == kinds


def test_a_tool_loop_without_a_store_ends(play, model, recorder):
    told = play("tools_sealed")
    assert told["inputs"] == [{"city": CITY[model]}]
    assert told["text"].startswith(AFTER_RESULT[model])
    assert told["reasoning"]
    kinds = ["message", "reasoning", "function_call", "function_call_output"]
    assert replayed(recorder) == kinds


def test_an_object_is_of_the_schema_asked_for(play):
    person = play("object")
    assert Person.model_validate(person).model_dump() == person


def test_a_conversation_goes_on_by_reference_to_kept_items(play, recorder):
    first, second = play("turns")
    assert second > first
    assert replayed(recorder) == ["message", "item_reference", "item_reference", "message"]


def test_a_conversation_goes_on_from_the_previous_response(play, recorder):
    first, second = play("previous")
    assert second > first
    assert replayed(recorder) == ["message"]


def test_a_mistake_is_an_error_of_the_sdk(play):
    told = play("mistake")
    assert told == {"name": "AI_APICallError", "status": 400, "param": "temperature"}
