"""Requests that no tool on offer is for."""

from __future__ import annotations

from collections.abc import Iterator

from nano.evaluation.check import JSON, Check, SaysFreely, user
from nano.evaluation.toolsets import (
    APIARY,
    BAKERY,
    BOOKS,
    CODE,
    HARBOUR,
    MUSEUM,
    MUSIC,
    OBSERVATORY,
    OPERATIONS,
    OUTDOORS,
    PHARMACY,
    PLUMBING,
    TRAVEL,
    ZOO,
    named,
)

_OFFERS: tuple[tuple[JSON, ...], ...] = (
    HARBOUR,
    OUTDOORS,
    named("get_pollen_count"),
    CODE,
    MUSIC,
    PHARMACY,
    named("find_ferry", "get_dew_point"),
    OBSERVATORY,
    (*ZOO, *BAKERY),
    OPERATIONS,
    named("print_diploma"),
    MUSEUM,
)

_ANYTHING = (
    "Hello!",
    "Good morning.",
    "hey, what's up?",
    "Hi there, how are you today?",
    "Thank you very much.",
    "Goodbye!",
    "Who are you?",
    "What can you do?",
    "Bonjour !",
    "¿Cómo estás?",
    "What is the capital of Peru?",
    "What is the capital of France?",
    "How many days has a week?",
    "What colour is the sky?",
    "Who wrote Hamlet?",
    "What is the largest planet?",
    "How many legs does a spider have?",
    "What is 12 plus 30?",
    "Why is the sea salty?",
    "What language is spoken in Brazil?",
    "Tell me a joke.",
    "Tell me a short story about a dragon.",
    "Write a poem about autumn.",
    "Give me a fun fact about elephants.",
    "What do you think about modern art?",
    "I feel a bit sad today.",
    "What is the meaning of life?",
    "What did my grandmother whisper to me in 1987?",
    "Say the word banana.",
    "Translate 'good night' into German.",
)

# Each with tools that are close to something, and not to this.
_UNSERVED: tuple[tuple[str, tuple[JSON, ...]], ...] = (
    ("Book me a flight to Lagos.", HARBOUR),
    ("Order a pizza with mushrooms.", PHARMACY),
    ("Send an email to my boss and say that I am ill.", MUSEUM),
    ("What is the price of Apple's shares?", APIARY),
    ("Play some jazz.", OPERATIONS),
    ("Set an alarm clock for seven in the morning.", OUTDOORS),
    ("Turn off the lights in the kitchen.", BOOKS),
    ("Reserve a table for two tonight.", OBSERVATORY),
    ("Call my mother.", CODE),
    ("What is the exchange rate of the dollar?", named("get_river_level", "get_sunrise")),
    ("Translate this sentence into Japanese: the cat sleeps.", PLUMBING),
    ("Find me a good recipe for lasagne.", TRAVEL),
    ("Draw a picture of a horse.", MUSIC),
    ("Who won the football match last night?", named("water_orchids", "identify_seedling")),
    ("Remind me to buy milk.", (*ZOO, *PHARMACY)),
    ("Delete all my photos.", HARBOUR),
    ("What is on television this evening?", BAKERY),
    ("Recommend a film for the weekend.", named("trace_ancestor", "list_descendants")),
)


def checks() -> Iterator[Check]:
    for number, request in enumerate(_ANYTHING):
        yield _check(request, _OFFERS[number % len(_OFFERS)])
    for request, tools in _UNSERVED:
        yield _check(request, tools)


def _check(request: str, tools: tuple[JSON, ...]) -> Check:
    return Check(messages=[user(request)], tools=tools, expected=SaysFreely())
