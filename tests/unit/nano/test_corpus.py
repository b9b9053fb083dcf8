"""The nano model's corpus: what it teaches is right, and the evaluation's words are not in it."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

import jsonschema
import pytest

from nano.corpus import scene
from nano.corpus.dialogue import Dialogue, Sample, Setting, Thought
from nano.corpus.toolbox import toolbox
from nano.corpus.words import made_up
from nano.evaluation.heldout import HELD_OUT
from trunkline.wire import harmony
from trunkline.wire.harmony import Marker

SCENES = 200


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    random = Random(3)
    return [sample for _ in range(SCENES) for sample in scene(random)]


def text_of(pieces: list[harmony.Piece]) -> str:
    return "".join(piece.value if isinstance(piece, Marker) else piece for piece in pieces)


def spoken(sample: Sample) -> dict[str, Any]:
    """Reads a completion as the router would."""
    parser = harmony.Parser()
    deltas: list[harmony.Delta] = []
    for piece in sample.completion:
        deltas += parser.marker(piece) if isinstance(piece, Marker) else parser.text(piece)
    deltas += parser.close()
    heard: dict[str, Any] = {"reasoning": "", "content": "", "call": None, "arguments": ""}
    for delta in deltas:
        match delta:
            case harmony.Reasoning(text):
                heard["reasoning"] += text
            case harmony.Content(text):
                heard["content"] += text
            case harmony.CallStart(_, name):
                heard["call"] = name
            case harmony.Arguments(_, text):
                heard["arguments"] += text
    return heard


def test_the_same_seed_gives_the_same_scene() -> None:
    assert [scene(Random(5)) for _ in range(3)] == [scene(Random(5))] * 3
    assert scene(Random(5)) != scene(Random(6))


def test_every_completion_is_one_answer_or_one_call(samples: list[Sample]) -> None:
    for sample in samples:
        heard = spoken(sample)
        assert bool(heard["content"]) != bool(heard["call"]), text_of(sample.completion)
        assert sample.completion[-1] is (Marker.CALL if heard["call"] else Marker.RETURN)


def test_a_call_names_a_tool_that_is_offered(samples: list[Sample]) -> None:
    calls = [(text_of(sample.prompt), spoken(sample)["call"]) for sample in samples]
    named = [(prompt, name) for prompt, name in calls if name]
    assert len(named) > SCENES / 4
    for prompt, name in named:
        assert f"\ntype {name} = (" in prompt


def test_arguments_follow_the_schema_of_their_tool() -> None:
    random = Random(11)
    for _ in range(300):
        for tool in toolbox(random, 3):
            request = tool.request(random)
            schema = tool.declaration()["function"]["parameters"]
            jsonschema.validate(dict(request.arguments), schema)


def test_arguments_stand_in_the_request() -> None:
    random = Random(12)
    for _ in range(300):
        for tool in toolbox(random, 2):
            request = tool.request(random)
            for parameter in tool.parameters:
                value = request.arguments.get(parameter.name)
                if value is None or parameter.options or isinstance(value, bool):
                    continue
                assert str(value) in request.text, (request.text, value)


def test_json_answers_are_laid_out_as_the_grammar_demands(samples: list[Sample]) -> None:
    found = [sample for sample in samples if sample.kind == "extraction"]
    assert len(found) > SCENES / 10
    for sample in found:
        content = spoken(sample)["content"]
        assert json.dumps(json.loads(content), ensure_ascii=False) == content


def test_reasoning_grows_with_the_effort() -> None:
    lengths = {}
    for effort in ("low", "medium", "high"):
        thought = Thought("The user greets me.", "I greet back.")
        lengths[effort] = len(thought.at(effort))
    assert lengths["low"] < lengths["medium"] < lengths["high"]


def test_reasoning_is_forgotten_after_an_answer_and_kept_between_calls() -> None:
    thought = Thought("A thought.", "A plan.")
    dialogue = Dialogue("test", Setting(), keeps_reasoning=True).user("One?")
    dialogue.call(thought, "look", {"at": "it"}).result("seen").answer(thought, "Done.")
    dialogue.user("Two?").answer(thought, "Done again.")
    _first, second, third = (text_of(sample.prompt) for sample in dialogue.samples)
    assert "A plan." in second
    assert "A plan." not in third


def test_the_evaluation_asks_about_nothing_that_was_taught(samples: list[Sample]) -> None:
    taught = " ".join(text_of(sample.prompt) + text_of(sample.completion) for sample in samples)
    assert [name for name in HELD_OUT.tools if f" {name} = (" in taught] == []
    names = (*HELD_OUT.people, *HELD_OUT.places, *HELD_OUT.repositories)
    assert [name for name in names if re.search(rf"\b{re.escape(name)}\b", taught)] == []


def test_words_are_made_up_in_many_ways() -> None:
    random = Random(1)
    made = {made_up(random) for _ in range(1000)}
    assert len(made) > 900
    assert all(len(word) >= 3 for word in made)
