"""Prompts of 1,500 to 2,500 tokens: whatever comes, it must be an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import cycle, islice

from nano.evaluation.check import (
    JSON,
    Check,
    Parses,
    assistant,
    called,
    calling,
    system,
    tool_result,
    user,
)
from nano.evaluation.toolsets import EVERY, named

_TOKENS = (1650, 1800, 1950, 2150, 2350)
_OVERHEAD = 100  # tokens, roughly, of what every prompt has besides
_CALLING = 270  # characters, roughly, of a question with a call, its result and an answer

PROSE = (
    "Guests may arrive from three in the afternoon and are asked to leave their rooms by eleven. ",
    "Breakfast is served on the terrace when the weather allows it, else in the library. ",
    "Answer in a friendly tone, keep to the facts, and never promise a refund without asking the desk. ",
    "If a guest has lost a key, ask for the number of the room and for a document with a photograph. ",
    "The garden closes at sunset; the gate behind the orchard stays open for those who walk to the lake. ",
    "Bicycles are free of charge for the first two hours. After that each hour costs four euros. ",
    "Children under six stay for free, dogs pay half, and parrots are admitted after a short interview. ",
    "Complaints are written down word by word, with the time, and passed on before the end of the shift. ",
    "When someone asks for a doctor, give the number of the clinic first and ask questions later. ",
    "The lift was built in 1931 and holds four people, or two people and a trunk. It must rest at noon. ",
    "Never mention the ghost. If it is mentioned by a guest, speak about the quality of the mattresses. ",
    "Laundry that is handed in before nine comes back on the same day, folded, in a basket of willow. ",
)

_QUESTIONS = (
    "Hello!",
    "When is breakfast?",
    "I have lost my key.",
    "What is the capital of France?",
    "Tell me a short story.",
)


def checks(characters_per_token: float) -> Iterator[Check]:
    """Yields the checks for a tokenizer that puts so many characters into a token."""
    for number, tokens in enumerate(_TOKENS):
        room = int((tokens - _OVERHEAD) * characters_per_token)
        question = _QUESTIONS[number]
        yield _check(system(_prose(room)), user(question))
        yield _check(
            system(_prose(room // 2)),
            user(question),
            tools=_tools(room // 2, start=7 * number),
        )
        yield _check(
            user("What is the pollen count in Timbuktu?"), tools=_tools(room, start=11 * number)
        )
        yield _check(*_talk(room), user(question))
        yield _check(user(f"Summarize this text:\n\n{_prose(room)}"))
        yield _check(*_many_calls(room), user("And what did I ask first?"), tools=_pollen())


def _check(*messages: JSON, tools: tuple[JSON, ...] = ()) -> Check:
    return Check(messages=list(messages), tools=tools, expected=Parses())


def _prose(room: int) -> str:
    sentences = islice(cycle(PROSE), 1 + room // min(map(len, PROSE)))
    return "".join(sentences)[:room].rpartition(" ")[0]


def _tools(room: int, *, start: int) -> tuple[JSON, ...]:
    """Returns different tools whose declarations fill ``room`` characters, or all there are."""
    tools: list[JSON] = []
    for offered in islice(cycle(EVERY), start, start + len(EVERY)):
        room -= _declared(offered)
        if room < 0:
            break
        tools.append(offered)
    return tuple(tools)


def _declared(offered: JSON) -> int:
    """Returns about how many characters a tool takes in the prompt, as TypeScript."""
    function = offered["function"]
    properties = function["parameters"]["properties"]
    described = (*properties, *(json.dumps(one) for one in properties.values()))
    return 40 + len(function["name"]) + len(function["description"]) + sum(map(len, described))


def _talk(room: int) -> Iterator[JSON]:
    for number, sentence in enumerate(cycle(PROSE)):
        room -= len(sentence)
        if room < 0:
            return
        text = sentence.strip()
        yield assistant(text) if number % 2 else user(text)


def _pollen() -> tuple[JSON, ...]:
    return named("get_pollen_count", "get_river_level")


def _many_calls(room: int) -> Iterator[JSON]:
    for number in range(room // _CALLING):
        id_, place = f"call_{number}", f"village {number}"
        yield user(f"What is the pollen count in {place}?")
        yield calling(called(id_, "get_pollen_count", json.dumps({"place": place})))
        yield tool_result(id_, json.dumps({"grains": 10 + number}))
        yield assistant(f"The pollen count in {place} is {10 + number}.")
