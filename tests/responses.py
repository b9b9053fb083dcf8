"""How tests ask for responses: each body and event that comes back must be as it is published."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from tests.conformance.published import EVENT, disorder, of_open_responses, of_responses
from tests.e2e.client import Answer, ask, streaming
from tests.serving import Serving

Dialect = Literal["openai", "open-responses"]
Json = dict[str, Any]
HEADER = "x-responses-dialect"


def responded(serving: Serving, body: Json, *, headers: Mapping[str, str] | None = None) -> Json:
    """Asks for a response and returns it."""
    return checked(ask(serving, "POST", "/v1/responses", body, headers=headers), headers)


def checked(answer: Answer, headers: Mapping[str, str] | None = None) -> Json:
    """Returns the response that an answer holds; it must be one, and as published."""
    assert answer.status == 200, answer.body
    assert_published(answer.json, dialect_of(headers))
    response: Json = answer.json
    return response


def told(serving: Serving, body: Json, *, headers: Mapping[str, str] | None = None) -> list[Json]:
    """Asks for a stream and returns its events."""
    body = {**body, "stream": True}
    with streaming(serving, body, path="/v1/responses", headers=headers) as stream:
        assert stream.status == 200, stream.read()
        frames = [frame for frame in stream.events() if not frame.startswith(":")]
    return events_of(frames, dialect_of(headers))


def events_of(frames: Iterable[str], dialect: Dialect = "openai", *, first: int = 0) -> list[Json]:
    """Returns the events of a stream's frames, having checked what holds of every stream."""
    *some, done = frames
    assert done == "data: [DONE]"
    events = []
    for frame in some:
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    assert_stream(events, dialect, first=first)
    return events


def assert_stream(events: list[Json], dialect: Dialect = "openai", *, first: int = 0) -> None:
    """Holds a whole stream to what is published: each event, its number, the life of each item."""
    for number, event in zip(itertools.count(first), events):
        assert event["sequence_number"] == number
        assert_published(event, dialect)
    assert list(disorder(events)) == []
    if not first:
        assert [event["type"] for event in events[:2]] == [
            "response.created",
            "response.in_progress",
        ]
        _assert_lives(events)
    last = events[-1]["response"]
    assert events[-1]["type"] == f"response.{last['status']}"


def _assert_lives(events: list[Json]) -> None:
    """Items and parts begin once and grow within their lives; only the last one may be incomplete."""
    items: list[Json] = []
    done: set[int] = set()
    for event in events:
        index, kind = event.get("output_index"), event["type"]
        if index is None:
            continue
        if kind == "response.output_item.added":
            assert index == len(items)
            items.append(event["item"])
            continue
        assert index < len(items), f"{kind} before its item"
        assert index not in done, f"{kind} after its item"
        if kind == "response.output_item.done":
            done.add(index)
            continue
        assert event["item_id"] == items[index]["id"]
        assert event.get("delta") != "", "an empty delta"
    assert done == set(range(len(items))), "an item without an end"
    before = events[-1]["response"]["output"][:-1]
    assert not [
        i for i in before if i.get("status") == "incomplete" and "mcp_call" not in i["type"]
    ]


def assert_published(document: Json, dialect: Dialect = "openai") -> None:
    """Raises AssertionError if a response or an event is not as its description says."""
    assert faults(document, dialect) == []


def faults(document: Json, dialect: Dialect = "openai") -> list[str]:
    """Returns what is wrong with a response or an event, a sentence each."""
    kind = "response" if document.get("object") == "response" else f"{EVENT}{document['type']}"
    described = of_responses() if dialect == "openai" else of_open_responses()
    schema = described.get(kind)
    if schema is None:
        extension = dialect == "open-responses" and ":" in kind
        return [] if extension else [f"{kind} is not published"]
    return [
        f"{kind}: {error.json_path}: {error.message[:300]}"
        for error in schema.iter_errors(document)
    ]


def dialect_of(headers: Mapping[str, str] | None) -> Dialect:
    return "open-responses" if (headers or {}).get(HEADER) == "open-responses" else "openai"
