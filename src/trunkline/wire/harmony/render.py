"""A conversation in the chat wire format → the prompt of a model that speaks harmony."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from trunkline.errors import InvalidRequest
from trunkline.wire.harmony.markers import Marker, Piece
from trunkline.wire.harmony.tools import render_tools

Effort = Literal["low", "medium", "high"]
Message = Mapping[str, Any]

_INSTRUCTION_ROLES = ("system", "developer")
_TEXT_PARTS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
}
_MAX_NAME = 128
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]")


class Persona(msgspec.Struct, frozen=True):
    """What the system message says besides date and effort; the defaults are those of gpt-oss."""

    identity: str = "You are ChatGPT, a large language model trained by OpenAI."
    knowledge_cutoff: str | None = "2024-06"
    channel_required: bool = True
    """Whether it says that every message must include a channel."""


class ResponseFormat(msgspec.Struct, frozen=True):
    """A JSON schema that the answer must follow, shown to the model under ``name``."""

    name: str
    schema: Mapping[str, Any]
    description: str | None = None


def render(
    messages: Sequence[Message],
    *,
    date: str,
    effort: Effort = "medium",
    tools: Sequence[Mapping[str, Any]] = (),
    response_formats: Sequence[ResponseFormat] = (),
    persona: Persona = Persona(),  # noqa: B008 (frozen)
) -> list[Piece]:
    """Returns the prompt, up to and including the ``<|start|>assistant`` of the answer.

    Control tokens are Markers and stand only where the format has them. All that a caller sent is
    text, also where it spells a marker: tokenize each text after ``defuse``. Two texts never follow
    each other.

    System and developer messages at the head become one developer message, joined by blank lines.
    Later ones stay where they are, as developer messages of their own: order is meaning, and the
    prompt before them stays cached. Reasoning is shown while it is of use, that is after the last
    user message and the last final answer. Names in history are text from outside: what could forge
    a header is cut off or replaced, see ``header_name``.

    Args:
        messages: decoded chat messages. Reasoning is read from ``reasoning`` or ``reasoning_content``.
        date: today as YYYY-MM-DD.
        tools: function tools in the chat wire format; leave them out to forbid calls.

    Raises InvalidRequest, with ``param``, for what the format cannot say: content other than text,
    unknown roles, results of calls that nobody made, tool names that are not names.
    """
    head = list(itertools.takewhile(_instructs, messages))
    pieces = itertools.chain(
        _message("system", _system_text(persona, date, effort, with_tools=bool(tools))),
        _head(head, tools, response_formats),
        _history(messages, start=len(head)),
        (Marker.START, "assistant"),
    )
    return _joined(pieces)


def header_name(name: str) -> str:
    """Returns a tool's name from history as it may stand in a header.

    Upstreams glue markers to names (``ls<|channel|>commentary``): the name ends there. Every other
    character that is not a letter, digit, ``_``, ``-`` or ``.`` becomes ``_``, so that no name can
    add a word such as ``to=`` to its header.
    """
    bare = name.partition("<|")[0].strip().removeprefix("functions.")
    return _NOT_IN_A_NAME.sub("_", bare)[:_MAX_NAME] or "unknown"


def _system_text(persona: Persona, date: str, effort: Effort, *, with_tools: bool) -> str:
    lines = [persona.identity]
    if persona.knowledge_cutoff is not None:
        lines.append(f"Knowledge cutoff: {persona.knowledge_cutoff}")
    lines += [f"Current date: {date}", "", f"Reasoning: {effort}", ""]
    required = " Channel must be included for every message." if persona.channel_required else ""
    lines.append(f"# Valid channels: analysis, commentary, final.{required}")
    if with_tools:
        lines.append("Calls to these tools must go to the commentary channel: 'functions'.")
    return "\n".join(lines)


def _head(
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]],
    formats: Sequence[ResponseFormat],
) -> Iterator[Piece]:
    texts = (
        _text(message.get("content"), f"messages[{index}].content")
        for index, message in enumerate(messages)
    )
    sections = []
    if instructions := "\n\n".join(filter(None, texts)):
        sections.append(_instructions(instructions))
    if tools:
        sections.append(render_tools(tools))
    if formats:
        sections.append(_response_formats(formats))
    if sections:
        yield from _message("developer", "\n\n".join(sections))


def _instructions(text: str) -> str:
    return f"# Instructions\n\n{text}"


def _response_formats(formats: Sequence[ResponseFormat]) -> str:
    sections = ["# Response Formats"]
    for format in formats:
        sections.append(f"## {format.name}")
        comment = "".join(f"// {line}\n" for line in (format.description or "").splitlines())
        sections.append(comment + msgspec.json.encode(format.schema).decode())
    return "\n\n".join(sections)


def _history(messages: Sequence[Message], *, start: int) -> Iterator[Piece]:
    closed = max((i for i, message in enumerate(messages) if _closes(message)), default=-1)
    callees: dict[str, str] = {}
    for index, message in enumerate(messages[start:], start):
        at = f"messages[{index}]"
        match message.get("role"):
            case "system" | "developer":
                if text := _text(message.get("content"), f"{at}.content"):
                    yield from _message("developer", _instructions(text))
            case "user":
                yield from _message("user", _text(message.get("content"), f"{at}.content"))
            case "assistant":
                yield from _assistant(message, at, callees, reasoning_shown=index > closed)
            case "tool":
                yield from _tool_result(message, at, callees)
            case role:
                raise InvalidRequest(
                    f"unknown role {role!r}; use system, developer, user, assistant or tool",
                    param=f"{at}.role",
                )


def _instructs(message: Message) -> bool:
    return message.get("role") in _INSTRUCTION_ROLES


def _closes(message: Message) -> bool:
    """Whether the reasoning up to this message has served: a new question or a final answer."""
    if message.get("role") == "user":
        return True
    answered = bool(message.get("content") or message.get("refusal"))
    return message.get("role") == "assistant" and answered and not message.get("tool_calls")


def _assistant(
    message: Message, at: str, callees: dict[str, str], *, reasoning_shown: bool
) -> Iterator[Piece]:
    """Renders one assistant message and notes in ``callees`` which call id names which tool."""
    if reasoning_shown and (reasoning := _reasoning(message, at)):
        yield from _message("assistant", reasoning, channel="analysis")
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise _wrong_type("tool_calls must be an array", f"{at}.tool_calls")
    if text := _text(message.get("content") or message.get("refusal"), f"{at}.content"):
        yield from _message("assistant", text, channel="commentary" if calls else "final")
    for index, call in enumerate(calls):
        yield from _call(call, f"{at}.tool_calls[{index}]", callees)


def _reasoning(message: Message, at: str) -> str:
    key = "reasoning" if message.get("reasoning") else "reasoning_content"
    reasoning = message.get(key) or ""
    if not isinstance(reasoning, str):
        raise _wrong_type("reasoning must be a string", f"{at}.{key}")
    return reasoning


def _call(call: Any, at: str, callees: dict[str, str]) -> Iterator[Piece]:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InvalidRequest("only calls of functions can be in the history", param=at)
    arguments = function.get("arguments") or "{}"
    if not isinstance(arguments, str):
        raise _wrong_type(
            "arguments must be a JSON document in a string", f"{at}.function.arguments"
        )
    name = header_name(function["name"])
    if isinstance(call.get("id"), str):
        callees[call["id"]] = name
    yield from (Marker.START, "assistant", Marker.CHANNEL, f"commentary to=functions.{name} ")
    yield from (Marker.CONSTRAIN, "json", Marker.MESSAGE, arguments, Marker.CALL)


def _tool_result(message: Message, at: str, callees: Mapping[str, str]) -> Iterator[Piece]:
    call_id = message.get("tool_call_id")
    if not isinstance(call_id, str) or call_id not in callees:
        raise InvalidRequest(
            "a tool message answers a call of an assistant message before it; no call has this id",
            param=f"{at}.tool_call_id",
        )
    text = _text(message.get("content"), f"{at}.content")
    author = f"functions.{callees[call_id]} to=assistant"
    yield from _message(author, text, channel="commentary")


def _message(author: str, text: str, *, channel: str | None = None) -> Iterator[Piece]:
    yield from (Marker.START, author)
    if channel is not None:
        yield from (Marker.CHANNEL, channel)
    yield from (Marker.MESSAGE, text, Marker.END)


def _text(content: Any, param: str) -> str:
    """Returns the text of a message's content: a string, an array of text parts, or null."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise _wrong_type("content must be a string or an array of parts", param)
    return "".join(_part_text(part, f"{param}[{index}]") for index, part in enumerate(content))


def _part_text(part: Any, param: str) -> str:
    if not isinstance(part, Mapping):
        raise _wrong_type("a content part must be an object", param)
    kind = part.get("type")
    key = _TEXT_PARTS.get(kind) if isinstance(kind, str) else None
    if key is None:
        raise InvalidRequest(
            f"content parts of type {kind!r} are not supported by this model; send text",
            param=f"{param}.type",
        )
    if not isinstance(part.get(key), str):
        raise _wrong_type(f"{key} must be a string", f"{param}.{key}")
    text: str = part[key]
    return text


def _wrong_type(message: str, param: str) -> InvalidRequest:
    return InvalidRequest(message, code="invalid_type", param=param)


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """Joins texts that follow each other, so that the tokenizer sees each run as a whole."""
    out: list[Piece] = []
    for is_marker, run in itertools.groupby(pieces, lambda piece: isinstance(piece, Marker)):
        if is_marker:
            out += run
        elif text := "".join(run):
            out.append(text)
    return out
