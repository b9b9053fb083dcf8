"""What a streamed answer is made of, and how its bytes become that. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw, Struct

from trunkline.errors import ServerRefused, TrunklineError
from trunkline.terminal.api import NOT_JSON, refused
from trunkline.wire import sse


@dataclass(frozen=True, slots=True)
class Answering:
    """Somebody answers: ``model`` at ``provider``. Each is None if the server does not tell."""

    model: str | None = None
    provider: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of what the model thinks."""

    text: str


@dataclass(frozen=True, slots=True)
class Content:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A whole call; ``arguments`` is JSON as the model wrote it."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end. ``usage`` is as the server sent it, ``tokens`` (in, out, of these reasoning) from it."""

    reason: str | None
    usage: Raw | None = None
    tokens: tuple[int, int, int] | None = None
    cost_usd: Decimal | None = None


Event = Answering | Reasoning | Content | ToolCall | Finished


class _FunctionDelta(Struct):
    name: str | None = None
    arguments: str | None = None


class _CallDelta(Struct):
    index: int = 0
    function: _FunctionDelta | None = None


class _Delta(Struct):
    content: str | None = None
    refusal: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_CallDelta] | None = None


class _Choice(Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Chunk(Struct):
    """A chunk, as leniently as we can use it; ``error`` stands where a stream failed."""

    choices: list[_Choice] = []
    usage: Raw = Raw()
    error: Any = None


class _Details(Struct):
    reasoning_tokens: int | None = None


class _Usage(Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    completion_tokens_details: _Details | None = None
    cost: Decimal | None = None


_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_usage = msgspec.json.Decoder(_Usage).decode


class Decoder:
    """From the bytes of one streamed answer to its events, however the bytes were cut. Pure."""

    def __init__(self) -> None:
        self.done = False
        self._parser = sse.Parser()
        self._calls: list[tuple[list[str], list[str]]] = []  # the pieces of name and arguments
        self._reason: str | None = None
        self._usage: Raw | None = None

    def feed(self, read: bytes) -> list[Event]:
        """Returns the events that these bytes complete.

        Raises TrunklineError if the server says that it failed, or sends what is no chunk.
        """
        events: list[Event] = []
        for payload in self._parser.feed(read):
            if payload == sse.DONE:
                self.done = True
                break
            events += self._events(payload)
        return events

    def end(self) -> list[Event]:
        """Returns the last events. Raises TrunklineError if the answer is not complete."""
        if not self.done and self._reason is None:
            raise TrunklineError("the reply broke off: the connection ended before it was complete")
        calls = [ToolCall("".join(name), "".join(arguments)) for name, arguments in self._calls]
        return [*calls, self._finished()]

    def _events(self, payload: bytes) -> list[Event]:
        try:
            chunk = _decode_chunk(payload)
        except NOT_JSON as error:
            raise TrunklineError("the server sent something that is no chat completion") from error
        if chunk.error is not None:
            said = refused(chunk.error, status=None)
            raise ServerRefused(f"the reply broke off: {said.message}", status=None)
        if bytes(chunk.usage) not in (b"", b"null"):
            self._usage = chunk.usage.copy()
        events: list[Event] = []
        for choice in chunk.choices[:1]:
            self._reason = choice.finish_reason or self._reason
            delta = choice.delta or _Delta()
            if reasoning := delta.reasoning or delta.reasoning_content:
                events.append(Reasoning(reasoning))
            if content := delta.content or delta.refusal:
                events.append(Content(content))
            for call in delta.tool_calls or ():
                self._add(call)
        return events

    def _add(self, call: _CallDelta) -> None:
        if call.index >= len(self._calls):
            self._calls.append(([], []))
        name, arguments = self._calls[min(call.index, len(self._calls) - 1)]
        if call.function is not None:
            name.append(call.function.name or "")
            arguments.append(call.function.arguments or "")

    def _finished(self) -> Finished:
        if self._usage is None:
            return Finished(self._reason)
        try:
            usage = _decode_usage(self._usage)
        except NOT_JSON:
            return Finished(self._reason, self._usage)
        details = usage.completion_tokens_details or _Details()
        tokens = (usage.prompt_tokens, usage.completion_tokens, details.reasoning_tokens or 0)
        return Finished(self._reason, self._usage, tokens, usage.cost)
