"""What a terminal is given can only be read: no model and no server commands it."""

from __future__ import annotations

import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from trunkline.terminal.conversation import Answer, Conversation, call_text
from trunkline.terminal.events import (
    Answering,
    Content,
    Event,
    Finished,
    Reasoning,
    ToolCall,
)
from trunkline.terminal.printable import one_line, printable, printable_json
from trunkline.terminal.screen import Screen

HOSTILE = (
    "\x1b]0;owned\x07",  # the window's title
    "\x1b]52;c;ZXZpbA==\x07",  # the clipboard
    "\x1b[2J\x1b[H",  # clears the screen
    "\x9b2J",  # the same, in eight bits
    "\x1b[8m",  # hides what follows
    "safe\r\x1b[Kevil",  # rewrites the line
    "a\x08b\x7fc",
    "\u202egnp.exe",  # turns the direction of writing
)


def shown(*events: Event) -> str:
    """Returns what a screen without colours shows of one answer."""
    out = io.StringIO()
    with Screen(Console(file=out, width=80)).answering() as page:
        for event in events:
            page.show(event)
    return out.getvalue()


def controls(text: str) -> set[str]:
    """The characters that a terminal may obey, all but line ends and tabs."""
    kinds = {"Cc", "Cs"}
    found = {character for character in text if unicodedata.category(character) in kinds}
    return (found - {"\n", "\t"}) | {c for c in text if unicodedata.bidirectional(c) in _TURNS}


_TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(st.text())
def test_no_character_commands_the_terminal(text: str) -> None:
    assert controls(printable(text)) == set()
    assert controls(one_line(text)) == set()
    assert "\n" not in one_line(text)


@given(st.text(st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="\u2028")))
def test_other_text_stays_as_it_is_but_for_the_direction_of_writing(text: str) -> None:
    kept = "".join(c for c in text if unicodedata.bidirectional(c) not in _TURNS)
    assert printable(kept) == kept


def test_what_was_replaced_can_be_told() -> None:
    assert printable("a\x1b[2Jb\r\nc\td\x9be") == "a␛[2Jb\nc\td\ufffde"


@given(st.text())
def test_json_stays_what_it_was(text: str) -> None:
    document = printable_json(json.dumps([text], ensure_ascii=False))
    assert json.loads(document) == [text]
    assert controls(document) == set()


@pytest.mark.parametrize("text", HOSTILE)
def test_neither_answer_nor_reasoning_nor_call_nor_status_obeys(text: str) -> None:
    events: list[Event] = [Reasoning(text), Content(text), ToolCall(text, json.dumps({"a": text}))]
    assert controls(shown(*events)) == set()

    out = io.StringIO()
    screen = Screen(Console(file=out, width=80))
    answer = Answer(answering=Answering(text, text, text))
    screen.status(answer, asked=text, elapsed_s=1.0)
    screen.note(text)
    screen.error(text)
    screen.list([(text, text)])
    assert controls(out.getvalue()) == set()


def test_thoughts_stand_in_a_gutter_apart_from_the_answer() -> None:
    thoughts = [Reasoning("First"), Reasoning(" this.\nThen"), Reasoning(" that.")]
    assert (
        shown(*thoughts, Content("\nYes."), Finished("stop"))
        == "│ First this.\n│ Then that.\n\nYes.\n"
    )


def test_calls_stand_on_their_own_lines() -> None:
    calls = [ToolCall("get_weather", '{"city": "Paris", "days": [1, 2]}'), ToolCall("now", "")]
    assert shown(Content("Let me see."), *calls) == (
        'Let me see.\n→ get_weather(city="Paris", days=[1, 2])\n→ now()\n'
    )


def test_a_call_whose_arguments_are_no_object_is_shown_as_it_came() -> None:
    assert call_text(ToolCall("f", '{"a": ')) == 'f({"a": )'


def test_the_status_says_who_answered_at_what_cost() -> None:
    out = io.StringIO()
    answer = Answer()
    answer.add(Answering("openai/gpt-oss-20b", "here", "req_1"))
    answer.add(Finished("length", tokens=(1200, 40, 15)))
    Screen(Console(file=out, width=200)).status(answer, asked="gpt", elapsed_s=2.0)
    assert out.getvalue().splitlines() == [
        "cut: the reply reached its token limit",
        "openai/gpt-oss-20b · here · 1,200 in, 40 out (15 reasoning) · 20 tokens/s",
    ]


def test_a_request_goes_on_with_what_was_said() -> None:
    conversation = Conversation("m", system="Be brief.", effort="low")
    conversation.add("One?", Answer(content="One."))
    conversation.add("Two?", Answer(content="Tw"), cut=True)
    conversation.add("Three?", Answer(calls=[ToolCall("count", '{"to": 3}')]))
    request = conversation.request("Four?")

    assert request["model"] == "m"
    assert request["reasoning_effort"] == "low"
    assert request["stream_options"] == {"include_usage": True}
    assert [(m["role"], m["content"]) for m in request["messages"]] == [
        ("system", "Be brief."),
        ("user", "One?"),
        ("assistant", "One."),
        ("user", "Two?"),
        ("assistant", "Tw\n[the user stopped this reply here]"),
        ("user", "Three?"),
        ("assistant", "[called count(to=3)]"),
        ("user", "Four?"),
    ]


def test_what_is_forgotten_is_not_sent_again() -> None:
    conversation = Conversation("m", system="Be brief.")
    conversation.add("One?", Answer(content="One."))
    assert conversation.clear() == 1
    roles = [message["role"] for message in conversation.request("Two?")["messages"]]
    assert roles == ["system", "user"]
    assert "reasoning_effort" not in conversation.request("Two?")
