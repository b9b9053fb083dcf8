"""Responses of the engine alone: what a model says is written down, and what is told of it comes back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from msgspec import Raw

from tests.responses import Dialect, events_of
from trunkline.errors import TrunklineError
from trunkline.responses.engine import Generation, Turn, output_of, respond
from trunkline.responses.output import Output
from trunkline.wire.chat import Usage
from trunkline.wire.responses import (
    DONE,
    Event,
    decode_create,
    decode_tools,
    encoding_of,
    numbered,
    response_of,
)

Json = dict[str, Any]
Said = Json | Exception
"""A delta of a chunk, a whole chunk, or what breaks the reply off."""


def turn_of(*, allowed: Sequence[str] | None = None, **asked: Any) -> Turn:
    """Returns what is to be done for a request; what no request says goes in by `dataclasses.replace`."""
    request = decode_create(
        json.dumps({"model": "m", "input": "hi", **asked}).encode(), lenient=False
    )
    offered = decode_tools(request.parameters.tools)
    response = response_of(request, offered, id="resp_1", created_at=1_760_000_000, model="m")
    fields = {"model": Raw(b'"m"'), "messages": Raw(b'[{"role":"user","content":"hi"}]')}
    if offered.chat:
        fields["tools"] = Raw(json.dumps(offered.chat).encode())
    if request.parameters.tool_choice:
        fields["tool_choice"] = request.parameters.tool_choice
    return Turn(
        response=response,
        fields=fields,
        names=offered.names,
        allowed=None if allowed is None else frozenset(allowed),
    )


def words(text: str, *, name: str = "content") -> list[Json]:
    """Returns the deltas of a text."""
    return [{name: f"{word} "} for word in text.split()]


def call(
    name: str, *pieces: str, index: int = 0, id: str = "call_0123456789abcdef0123"
) -> list[Json]:
    """Returns the deltas of a tool call."""
    head = {
        "index": index,
        "id": id,
        "type": "function",
        "function": {"name": name, "arguments": ""},
    }
    more = [{"index": index, "function": {"arguments": piece}} for piece in pieces]
    return [{"tool_calls": [one]} for one in (head, *more)]


def ends(reason: str = "stop", *, usage: tuple[int, int] | None = (3, 5)) -> list[Json]:
    """Returns the chunks that end a reply."""
    last = [{"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}]
    if usage is None:
        return last
    prompt, completion = usage
    counts = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    return [*last, {"choices": [], "usage": counts}]


@dataclass
class Model:
    """Answers one model call after the other; keeps what it was asked."""

    steps: Sequence[Sequence[Said]]
    asked: list[Mapping[str, Raw]] = field(default_factory=list)

    @asynccontextmanager
    async def generate(self, fields: Mapping[str, Raw]) -> AsyncIterator[Generation]:
        said = self.steps[len(self.asked)]
        self.asked.append(fields)
        if said and isinstance(said[0], Exception):
            raise said[0]
        yield _Reply(said)

    def messages(self) -> list[Json]:
        """Returns the messages of the last call."""
        found: list[Json] = json.loads(bytes(self.asked[-1]["messages"]))
        return found


class _Reply:
    def __init__(self, said: Sequence[Said]) -> None:
        self._said = said

    @property
    async def chunks(self) -> AsyncIterator[Sequence[bytes]]:
        for one in self._said:
            if isinstance(one, Exception):
                raise one
            yield [json.dumps(_document(one)).encode()]

    def ended(self, usage: Usage | None, *, chunks: int, held_up_s: float) -> Usage:
        return usage or Usage(completion_tokens=chunks, total_tokens=chunks)

    def broke_off(self, error: Exception, usage: Usage | None, *, chunks: int) -> None:
        pass


def _document(said: Json) -> Json:
    return said if "choices" in said else {"choices": [{"index": 0, "delta": said}]}


@dataclass
class Told:
    """What was told of a response."""

    events: list[Event]
    output: Output
    failures: list[TrunklineError]
    _shown: dict[Dialect, list[Json]] = field(default_factory=dict)

    @property
    def response(self) -> Any:
        """The `Response` as it ended."""
        return getattr(self.events[-1], "response")  # noqa: B009  # not of every event

    def shown(self, dialect: Dialect = "openai") -> list[Json]:
        """Returns the events as they are written, which must be as published."""
        if dialect not in self._shown:
            self._shown[dialect] = shown(self.events, dialect)
        return self._shown[dialect]

    def item(self, place: int = -1) -> Json:
        """Returns an item as the last event has it."""
        item: Json = self.shown()[-1]["response"]["output"][place]
        return item


def tell(turn: Turn, *steps: Sequence[Said], model: Model | None = None) -> Told:
    """Lets the engine respond to what a model says in each of its calls."""
    model = model or Model(steps)
    output = output_of(turn)
    failures: list[TrunklineError] = []

    async def run() -> list[Event]:
        events = respond(turn, generate=model.generate, on_failure=failures.append, output=output)
        return [event async for some in events for event in some]

    events = asyncio.run(run())
    numbered(events, 0)
    return Told(events, output, failures)


def shown(events: Sequence[Event], dialect: Dialect = "openai") -> list[Json]:
    """Returns numbered events as they are written, which must be as published."""
    first = events[0].sequence_number
    frames = written(events, dialect).decode().rstrip("\n").split("\n\n")
    return events_of(frames, dialect, first=first)


def written(events: Sequence[Event], dialect: Dialect = "openai") -> bytes:
    """Returns a stream."""
    return encoding_of(dialect).events(events) + DONE
