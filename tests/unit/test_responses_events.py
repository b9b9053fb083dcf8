"""What is told of a response, byte for byte, in both dialects."""

from __future__ import annotations

import json
import re

import pytest

from tests.responses import assert_published
from tests.tools.response_events import DIALECTS, FOLDER, SCENARIOS, golden, path_of
from tests.turns import Json, call, ends, tell, turn_of, words
from trunkline.wire.responses import encoding_of


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_told_as_it_is_written_down(name, dialect):
    """If it should not be: ``python -m tests.tools.response_events`` writes it anew."""
    assert golden(name, dialect) == path_of(name, dialect).read_text()


def test_every_golden_file_has_its_scenario():
    there = {path.relative_to(FOLDER) for path in FOLDER.glob("**/*.txt")}
    wanted = {
        path_of(name, dialect).relative_to(FOLDER) for name in SCENARIOS for dialect in DIALECTS
    }
    assert there == wanted


def both(turn, *steps) -> tuple[Json, Json]:
    """Returns a response as each dialect has it; both are as published."""
    response = tell(turn, *steps).response
    shown = []
    for dialect in DIALECTS:
        body = json.loads(encoding_of(dialect).response(response))
        assert_published(body, dialect)
        shown.append(body)
    return shown[0], shown[1]


def test_what_is_not_known_is_absent_or_null_as_each_dialect_has_it():
    openai, open_responses = both(turn_of(), [*words("Hi"), *ends()])
    assert openai.keys() & {"prompt_cache_key", "safety_identifier"} == set()
    assert open_responses["prompt_cache_key"] is None
    assert open_responses["safety_identifier"] is None
    assert {k: v for k, v in open_responses.items() if v is not None} == {
        k: v for k, v in openai.items() if v is not None
    }


def test_open_responses_knows_functions_and_gives_other_tools_a_prefix():
    turn = turn_of(
        tools=[{"type": "custom", "name": "write"}, {"type": "shell"}],
        tool_choice={"type": "custom", "name": "write"},
        reasoning={"effort": "minimal"},
        text={"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}},
    )
    openai, open_responses = both(turn, [*call("write", '{"input":"x"}'), *ends("tool_calls")])
    assert [tool["type"] for tool in openai["tools"]] == ["custom", "shell"]
    assert [tool["type"] for tool in open_responses["tools"]] == ["openai:custom", "openai:shell"]
    assert open_responses["output"][0]["type"] == "openai:custom_tool_call"
    assert open_responses["tool_choice"] == {"type": "function", "name": "write"}
    assert openai["reasoning"]["effort"] == "minimal"
    assert open_responses["reasoning"]["effort"] == "low"
    assert openai["text"]["format"]["schema"] == {"type": "object"}
    assert open_responses["text"]["format"]["schema"] is None


@pytest.mark.parametrize("dialect", DIALECTS)
def test_padded_deltas_tell_nothing_by_their_length(dialect):
    said = [{"content": word} for word in ("a", "ab", "abc", 'é"', "\n", "abcdefgh")]
    told = tell(turn_of(), [*said, *ends()])
    frames = encoding_of(dialect, obfuscate=True).events(told.events).decode().split("\n\n")[:-1]
    bodies = [frame.split("data: ")[1] for frame in frames]
    deltas = [body for body in bodies if re.search(r'"type":"response\.output_text\.delta"', body)]
    assert len({len(delta.encode()) for delta in deltas}) == 1
    padded = [json.loads(body) for body in bodies]
    for event, plain in zip(padded, told.shown(dialect), strict=True):
        assert_published(event, dialect)
        assert {k: v for k, v in event.items() if k != "obfuscation"} == plain
    assert [e["type"] for e in padded if "obfuscation" in e] == ["response.output_text.delta"] * 6
