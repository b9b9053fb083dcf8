"""One check: what is asked, how the client goes on, what is expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

JSON = dict[str, Any]
"""A JSON object on its way to or from the router."""


class Call(msgspec.Struct, frozen=True):
    """A tool call, with its arguments decoded."""

    name: str
    arguments: JSON


class Result(msgspec.Struct, frozen=True):
    """What a tool answers to a call; ``arguments`` None is any."""

    name: str
    arguments: JSON | None
    content: str


# ------------------------------------------------------------------------------------ expectations


class CallsTool(msgspec.Struct, frozen=True, tag=True):
    """One call, of this tool, whatever its arguments."""

    name: str


class CallsWith(msgspec.Struct, frozen=True, tag=True):
    """One call, of this tool, with exactly these arguments."""

    name: str
    arguments: JSON


class CallsLike(msgspec.Struct, frozen=True, tag=True):
    """One call, of this tool; each argument named contains one of its texts, in any case."""

    name: str
    arguments: Mapping[str, tuple[str, ...]]


class SaysJSON(msgspec.Struct, frozen=True, tag=True):
    """An answer that is exactly this JSON object."""

    value: JSON


class Says(msgspec.Struct, frozen=True, tag=True):
    """An answer without a call that contains each of the values as whole words."""

    values: tuple[str, ...]


class SaysFreely(msgspec.Struct, frozen=True, tag=True):
    """An answer without a call; in it each of the words, in any case, and this many sentences."""

    words: tuple[str, ...] = ()
    sentences: int = 0


class CallsThenSays(msgspec.Struct, frozen=True, tag=True):
    """These calls and no others, in any order, and then an answer that contains the values."""

    calls: tuple[Call, ...]
    values: tuple[str, ...]


class AsksThenQuotes(msgspec.Struct, frozen=True, tag=True):
    """One call as in ``CallsLike``, and then an answer that contains a sentence word by word.

    ``patterns`` are regular expressions that the arguments of these names match whole.
    """

    name: str
    arguments: Mapping[str, tuple[str, ...]]
    patterns: Mapping[str, str]
    sentences: tuple[str, ...]


class Parses(msgspec.Struct, frozen=True, tag=True):
    """A call or an answer, complete; which one does not matter."""


Expected = (
    CallsTool
    | CallsWith
    | CallsLike
    | SaysJSON
    | Says
    | SaysFreely
    | CallsThenSays
    | AsksThenQuotes
    | Parses
)


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """A request with what must come of it.

    ``results`` are what the client's tools would answer: a conversation goes on as long as the model
    calls and there are any. ``temperature`` None is the router's default.
    """

    messages: list[JSON]
    expected: Expected
    tools: tuple[JSON, ...] = ()
    response_format: JSON | None = None
    effort: str | None = None
    temperature: float | None = 0.0
    results: tuple[Result, ...] = ()


# ------------------------------------------------------------------------------------- what came


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of the router; ``error`` tells why there was none."""

    content: str = ""
    reasoning: str = ""
    calls: tuple[Call, ...] = ()
    finish_reason: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str | None = None


Transcript = tuple[Said, ...]
"""All answers of a conversation, in their order; never empty."""


# ---------------------------------------------------------------------------------------- requests


def system(text: str) -> JSON:
    """Returns a system message."""
    return {"role": "system", "content": text}


def user(text: str) -> JSON:
    """Returns a user message."""
    return {"role": "user", "content": text}


def assistant(text: str) -> JSON:
    """Returns an assistant message, as a client keeps it: without reasoning."""
    return {"role": "assistant", "content": text}


def called(id_: str, name: str, arguments: str) -> JSON:
    """Returns one element of ``tool_calls``; ``arguments`` is a JSON document."""
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: JSON, content: str = "") -> JSON:
    """Returns an assistant message that calls."""
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def tool_result(id_: str, content: str) -> JSON:
    """Returns a tool's message."""
    return {"role": "tool", "tool_call_id": id_, "content": content}
