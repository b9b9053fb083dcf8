"""The Responses API through OpenAI's SDK for Node, against the embedded engine and a provider over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance import nodejs
from tests.conformance.scenes import (
    AFTER_RESULT,
    ANSWER,
    CITY,
    EXTRACT,
    QUESTION,
    REASONING,
    RESULT,
    WEATHER,
    Person,
)
from tests.serving import Serving


@pytest.fixture
def play(server: Serving, relayed_url: str, model: str) -> Callable[[str], Any]:
    """Plays a scene of ``node/openai.mjs``; what it prints."""
    environment = {
        "OPENAI_BASE_URL": relayed_url,
        "OPENAI_API_KEY": server.key,
        "MODEL": model,
        "QUESTION": QUESTION,
        "EXTRACT": EXTRACT,
        "WEATHER": WEATHER,
        "RESULT": RESULT,
    }
    return lambda scene: json.loads(nodejs.ran("openai.mjs", scene, environment=environment))


def test_node_gets_a_response(play, model):
    response = play("create")
    assert (response["object"], response["status"]) == ("response", "completed")
    assert [item["type"] for item in response["output"]] == ["reasoning", "message"]
    assert response["output_text"] == ANSWER[model]


def test_node_gets_its_events_one_by_one(play, model):
    events = play("stream")
    kinds = [event["type"] for event in events]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    for kind, whole in (("output_text", ANSWER), ("reasoning_text", REASONING)):
        deltas = [event["delta"] for event in events if event["type"] == f"response.{kind}.delta"]
        assert "".join(deltas) == whole[model]


@pytest.mark.parametrize("scene", ["parse", "stream_parse"])
def test_node_parses_an_answer_by_the_schema_asked_for(play, scene):
    person = play(scene)
    assert Person.model_validate(person).model_dump() == person


@pytest.mark.parametrize("scene", ["tools_previous", "tools_replay"])
def test_a_tool_loop_of_node_ends(play, model, scene):
    assert play(scene) == {"arguments": {"city": CITY[model]}, "text": AFTER_RESULT[model]}


def test_node_finds_a_response_lists_its_input_and_deletes_it(play, model):
    assert play("state") == {"text": ANSWER[model], "items": ["message"], "gone": 404}


def test_a_mistake_reaches_node_with_its_parameter(play):
    assert play("mistake") == {"name": "BadRequestError", "param": "temperature"}
