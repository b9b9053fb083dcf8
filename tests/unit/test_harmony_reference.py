"""Our harmony beside openai-harmony's, on what tests/tools/record_harmony.py recorded."""

import json
import re
from pathlib import Path

import pytest

from trunkline.wire.harmony import (
    Arguments,
    CallStart,
    Content,
    Parser,
    Persona,
    Reasoning,
    ResponseFormat,
    render,
)

DATA = Path(__file__).parents[1] / "data" / "harmony"
RENDERINGS = json.loads((DATA / "renderings.json").read_text(encoding="utf-8"))
PARSES = json.loads((DATA / "parses.json").read_text(encoding="utf-8"))

RENDERED_OTHERWISE = {
    "examples": "an example that is not a string is lost there",
    "anyOf": "'any' there",
    "a reference": "'any' there",
    "an enum without a type": "'any' there",
    "a constant": "'any' there",
    "a property description of several lines": "later lines run out of the comment there",
    "quotes in an enum": "not escaped there",
    "reasoning of two answers": "only reasoning before the first answer is dropped there",
    "an open tool loop after an answer": "an open loop keeps the reasoning of all turns there",
}

PARSED_OTHERWISE = {
    "a header without the message marker": "an error there",
    "a message that is not ended": "the second message is text of the first there",
    "a message without a start": "an error there",
    "no marker at all": "an error there",
    "a cut-off header": "an error there",
    "a name glued to a marker": "the marker is part of the name there",
}


def ours(given):
    given = dict(given)
    if "persona" in given:
        given["persona"] = Persona(**given["persona"])
    if "response_formats" in given:
        given["response_formats"] = [ResponseFormat(**f) for f in given["response_formats"]]
    return "".join(render(given.pop("messages"), **given))


def with_recipients_after_the_channel(text):
    """The reference names the callee in the role; we name it where gpt-oss itself puts it."""
    header = r"(<\|start\|>assistant)( to=[\w.]+)(<\|channel\|>commentary)(?= <\|constrain\|>)"
    return re.sub(header, r"\1\3\2", text)


@pytest.mark.parametrize("name", sorted(RENDERINGS.keys() - RENDERED_OTHERWISE.keys()))
def test_a_conversation_renders_as_in_openai_harmony(name):
    recorded = RENDERINGS[name]
    assert ours(recorded["given"]) == with_recipients_after_the_channel(recorded["reference"])


@pytest.mark.parametrize("name", sorted(RENDERED_OTHERWISE))
def test_a_conversation_listed_as_different_still_renders_differently(name):
    recorded = RENDERINGS[name]
    assert ours(recorded["given"]) != with_recipients_after_the_channel(recorded["reference"])


def fold(deltas):
    """Returns reasoning, content and calls of a turn."""
    reasoning = "".join(d.text for d in deltas if isinstance(d, Reasoning))
    content = "".join(d.text for d in deltas if isinstance(d, Content))
    calls = [[d.name, ""] for d in deltas if isinstance(d, CallStart)]
    for delta in deltas:
        if isinstance(delta, Arguments):
            calls[delta.index][1] += delta.text
    return reasoning, content, calls


def fold_reference(messages):
    reasoning, content, calls = [], [], []
    for message in messages:
        recipient = message["recipient"]
        # A content type or a stray marker in the header is taken for a recipient there.
        if recipient is not None and not recipient.startswith(("<|", "json")):
            calls.append([recipient.removeprefix("functions."), message["content"]])
        elif message["channel"] == "analysis":
            reasoning.append(message["content"])
        else:
            content.append(message["content"])
    return "\n\n".join(reasoning), "\n\n".join(content), calls


def parse(completion):
    parser = Parser()
    return fold([*parser.feed(completion), *parser.close()])


@pytest.mark.parametrize("name", sorted(PARSES.keys() - PARSED_OTHERWISE.keys()))
def test_a_completion_parses_as_in_openai_harmony(name):
    recorded = PARSES[name]
    assert parse(recorded["given"]) == fold_reference(recorded["reference"]["messages"])


@pytest.mark.parametrize("name", sorted(PARSED_OTHERWISE))
def test_a_completion_listed_as_different_still_parses_differently(name):
    recorded = PARSES[name]
    reference = recorded["reference"].get("messages")
    assert reference is None or parse(recorded["given"]) != fold_reference(reference)
