"""The evaluation of the nano model as a client: against scripted answers, and the real router."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nano.evaluation.check import (
    Call,
    CallsThenSays,
    Check,
    Result,
    Says,
    SaysFreely,
    SaysJSON,
    user,
)
from nano.evaluation.runner import Asker, Outcome
from nano.evaluation.server import Server, candidate, serving
from nano.evaluation.toolsets import named
from tests.simulator import Script, Simulator
from trunkline.engine.model import NANO
from trunkline.errors import StartError

ROOT = Path(__file__).parents[2]
TOOLS = named("get_river_level")


def answer(
    content: str = "", *, finish: str = "stop", prompt_tokens: int = 12, **message: Any
) -> Script:
    """Scripts a completion as the router writes it."""
    body = {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": content, **message},
                "finish_reason": finish,
            }
        ],
        "usage": {"prompt_tokens": prompt_tokens, "completion_tokens": 3},
    }
    return Script(body=json.dumps(body))


def call(arguments: str, *, finish: str = "tool_calls") -> Script:
    """Scripts a call of the one tool."""
    function = {"name": "get_river_level", "arguments": arguments}
    calls = [{"id": "call_x", "type": "function", "function": function}]
    return answer(finish=finish, reasoning="Let me see.", tool_calls=calls)


def run(simulator: Simulator, check: Check, *scripts: Script) -> Outcome:
    simulator.play(*scripts)
    with Asker(Server(simulator.base_url, "tl_key", "sim/echo")) as asker:
        (outcome,) = asker.run([("kind", check)], tell=lambda: None)
    return outcome


def test_a_check_is_asked_greedily_and_its_answer_judged(simulator):
    check = Check(messages=[user("How deep?")], expected=Says(("7",)), effort="low")
    outcome = run(simulator, check, answer("It is 7.", reasoning="Hm."))
    assert outcome.fault is None
    (said,) = outcome.transcript
    assert (said.content, said.reasoning, said.finish_reason) == ("It is 7.", "Hm.", "stop")
    assert (said.prompt_tokens, said.completion_tokens) == (12, 3)
    assert [seen.body for seen in simulator.seen] == [
        {
            "model": "sim/echo",
            "messages": [{"role": "user", "content": "How deep?"}],
            "reasoning_effort": "low",
            "temperature": 0.0,
        }
    ]


def test_the_default_temperature_is_not_sent(simulator):
    check = Check(messages=[user("Hi")], expected=SaysFreely(), temperature=None)
    assert run(simulator, check, answer("Hi.")).fault is None
    assert simulator.seen[0].body.keys() == {"model", "messages"}


def test_a_conversation_goes_on_with_what_the_tools_answer_and_without_the_reasoning(simulator):
    arguments = {"river": "Orinoco"}
    check = Check(
        messages=[user("How high is the Orinoco?")],
        tools=TOOLS,
        results=(Result("get_river_level", arguments, '{"level_cm": 612}'),),
        expected=CallsThenSays((Call("get_river_level", arguments),), ("612",)),
    )
    outcome = run(simulator, check, call('{"river": "Orinoco"}'), answer("612 cm."))
    assert outcome.fault is None
    first, second = (seen.body for seen in simulator.seen)
    assert first["tools"] == list(TOOLS)
    assert first["tool_choice"] == "auto"
    asked, called, result = second["messages"]
    assert asked == first["messages"][0]
    assert called.keys() == {"role", "content", "tool_calls"}
    function = {"name": "get_river_level", "arguments": '{"river": "Orinoco"}'}
    assert [one["function"] for one in called["tool_calls"]] == [function]
    assert result == {
        "role": "tool",
        "tool_call_id": called["tool_calls"][0]["id"],
        "content": '{"level_cm": 612}',
    }


def test_other_arguments_find_nothing_and_a_model_that_only_calls_is_cut_off(simulator):
    check = Check(
        messages=[user("How high is the Orinoco?")],
        tools=TOOLS,
        results=(Result("get_river_level", {"river": "Orinoco"}, '{"level_cm": 612}'),),
        expected=CallsThenSays((Call("get_river_level", {"river": "Orinoco"}),), ("612",)),
    )
    outcome = run(simulator, check, *[call('{"river": "Oder"}')] * 9)
    assert outcome.fault == 'called get_river_level({"river": "Oder"})'
    assert len(outcome.transcript) == 5
    assert simulator.seen[1].body["messages"][-1]["content"] == '{"error": "nothing found"}'


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        (Script(status=400, body='{"error": {"message": "no such thing"}}'), "HTTP 400: "),
        (call('{"river": "Or', finish="length"), "arguments are no JSON object: "),
        (call("[1]"), "arguments are no JSON object: "),
        (Script(cut_after_bytes=0), "no answer: "),
    ],
)
def test_what_is_no_answer_is_a_failure_with_its_reason(simulator, script, fault):
    check = Check(messages=[user("Hi")], tools=TOOLS, expected=SaysFreely())
    outcome = run(simulator, check, script)
    assert outcome.fault is not None
    assert outcome.fault.startswith(fault)


def test_a_call_that_was_cut_off_still_counts_as_a_loop(simulator):
    check = Check(messages=[user("Hi")], tools=TOOLS, expected=SaysFreely())
    outcome = run(simulator, check, call('{"river": "Or', finish="length"))
    assert outcome.transcript[0].finish_reason == "length"


def test_a_schema_is_sent_as_it_is(simulator):
    format_ = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}, "strict": True}}
    check = Check(messages=[user("Hi")], response_format=format_, expected=SaysJSON({"a": 1}))
    assert run(simulator, check, answer('{"a": 1}')).fault is None
    assert simulator.seen[0].body["response_format"] == format_


def test_the_density_of_a_tokenizer_is_measured_beside_what_every_prompt_holds(simulator):
    simulator.play(answer("x", prompt_tokens=112), answer("x", prompt_tokens=12))
    with Asker(Server(simulator.base_url, "tl_key", "sim/echo")) as asker:
        assert asker.characters_per_token("x" * 250) == 2.5


def test_another_file_is_measured_in_the_place_of_the_built_in_one_under_its_own_card(tmp_path):
    file = tmp_path / "candidate.gguf"
    file.write_bytes(NANO.read_bytes())
    file.with_suffix(".toml").write_text('name = "trunkline/candidate"\nmax_tokens = 100\n')
    found = tmp_path / "found.json"
    evaluation = subprocess.run(
        [
            *(sys.executable, "-m", "nano.evaluation", "--model", str(file)),
            *("--only", "tool-result", "--count", "1", "--json", str(found)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    measured = json.loads(found.read_text())
    loops = measured["scores"][-1]
    assert loops["asked"] == 1
    assert measured["candidate"]["path"] == str(file)
    assert f"sha256 `{measured['candidate']['sha256']}`" in evaluation.stdout
    assert "| a value from a tool's result | " in evaluation.stdout
    missed = "MISSED" in evaluation.stdout
    assert evaluation.returncode == int(missed)
    assert "Traceback" not in evaluation.stderr


@pytest.mark.parametrize(
    ("card", "complaint"),
    [
        ("name = 1", "candidate.toml cannot be used: Expected `str`, got `int` - at `$.name`"),
        ('name = "x/y"\nlearning_rate = 2', "unknown field `learning_rate`"),
    ],
)
def test_a_card_that_is_none_is_refused_by_name(tmp_path, card, complaint):
    file = tmp_path / "candidate.gguf"
    file.write_bytes(NANO.read_bytes())
    file.with_suffix(".toml").write_text(card)
    with pytest.raises(StartError, match=re.escape(complaint)), serving(candidate(file)):
        pass
