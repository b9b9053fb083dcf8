"""How responses and their events are written: as OpenAI has it, or as Open Responses has it.

What is told is the same. Open Responses calls the raw reasoning's events otherwise, requires keys that
OpenAI leaves optional, knows functions as tools and nothing else, and gives a prefix to all that is not in
its document.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any, Literal, Protocol

import msgspec

from trunkline.wire.responses.events import (
    DeltaEvent,
    Event,
    OutputItemAdded,
    OutputItemDone,
    OutputTextDelta,
    ReasoningTextDelta,
    ResponseCompleted,
    ResponseCreated,
    ResponseFailed,
    ResponseIncomplete,
    ResponseInProgress,
)
from trunkline.wire.responses.response import Response

Dialect = Literal["openai", "open-responses"]

DONE = b"data: [DONE]\n\n"

encode_json = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Encoding(Protocol):
    """Writes one answer."""

    def response(self, response: Response, /) -> bytes:
        """Writes a response as JSON."""
        ...

    def events(self, events: Iterable[Event], /) -> bytes:
        """Writes numbered events, all in one piece for one write."""
        ...


def encoding_of(dialect: Dialect, *, obfuscate: bool = False) -> Encoding:
    """Returns what writes one answer; with ``obfuscate`` deltas are padded to few lengths."""
    return (OpenAI if dialect == "openai" else OpenResponses)(obfuscate=obfuscate)


class OpenAI:
    """OpenAI's names."""

    def __init__(self, *, obfuscate: bool = False) -> None:
        self._obfuscate = obfuscate
        self._kind: type[Event] | None = None
        self._item_id = ""
        self._place = -1
        self._head = b""

    def response(self, response: Response) -> bytes:
        return encode_json(response)

    def events(self, events: Iterable[Event]) -> bytes:
        if self._obfuscate:
            return b"".join(
                [_framed(event, _padded(encode_json(event), event)) for event in events]
            )
        return b"".join([self._written(event) for event in events])

    def _written(self, event: Event) -> bytes:
        """Writes an event; deltas with nothing new but a number and some words share their head."""
        kind = type(event)
        if kind is not OutputTextDelta and kind is not ReasoningTextDelta:
            return _framed(event, encode_json(event))
        delta: Any = event
        if kind is OutputTextDelta and delta.logprobs:
            return _framed(event, encode_json(event))
        if (
            delta.item_id is not self._item_id
            or kind is not self._kind
            or delta.content_index != self._place
        ):
            self._remember(delta)
        return b'%b%d,"delta":%b}\n\n' % (
            self._head,
            delta.sequence_number,
            encode_json(delta.delta),
        )

    def _remember(self, event: OutputTextDelta | ReasoningTextDelta) -> None:
        self._kind, self._item_id, self._place = type(event), event.item_id, event.content_index
        fields = msgspec.to_builtins(event)
        del fields["sequence_number"], fields["delta"]
        self._head = _framed(event, encode_json(fields)[:-1]).rstrip() + b',"sequence_number":'


class OpenResponses:
    """Open Responses' names and rules."""

    def __init__(self, *, obfuscate: bool = False) -> None:
        self._obfuscate = obfuscate

    def response(self, response: Response) -> bytes:
        return encode_json(_response(response))

    def events(self, events: Iterable[Event]) -> bytes:
        return b"".join([self._written(event) for event in events])

    def _written(self, event: Event) -> bytes:
        name = _name(event)
        if name in _RENAMED or name.startswith(_UNKNOWN) or isinstance(event, _REWRITTEN):
            fields = _decode(encode_json(event))
            fields["type"] = name = _open_name(name)
            if "response" in fields:
                fields["response"] = _response(event.response)  # type: ignore[attr-defined]
            if "item" in fields:
                fields["item"] = _item(fields["item"])
            body = encode_json(fields)
        else:
            body = encode_json(event)
        if self._obfuscate:
            body = _padded(body, event)
        return b"event: %b\ndata: %b\n\n" % (name.encode(), body)


_REWRITTEN = (
    ResponseCreated,
    ResponseInProgress,
    ResponseCompleted,
    ResponseIncomplete,
    ResponseFailed,
    OutputItemAdded,
    OutputItemDone,
)
_RENAMED = {
    "response.reasoning_text.delta": "response.reasoning.delta",
    "response.reasoning_text.done": "response.reasoning.done",
}
_UNKNOWN = ("response.custom_tool_call_input.", "response.mcp_call", "response.mcp_list_tools.")
_PREFIX = "openai:"
"""Whose all that is: what Open Responses does not have, and is as OpenAI published it."""
_KNOWN_ITEMS = {"message", "reasoning", "function_call", "function_call_output", "compaction"}
_KNOWN_EFFORTS = {"none", "low", "medium", "high", "xhigh"}
_NEAREST_EFFORT = {"minimal": "low", "max": "xhigh"}
_REQUIRED = ("usage", "prompt_cache_key", "safety_identifier")


def _open_name(name: str) -> str:
    if name.startswith(_UNKNOWN):
        return _PREFIX + name.removeprefix("response.")
    return _RENAMED.get(name, name)


def _response(response: Response) -> dict[str, Any]:
    fields = _decode(encode_json(response))
    for name in _REQUIRED:
        fields.setdefault(name, None)
    fields["output"] = [_item(item) for item in fields["output"]]
    fields["tools"] = [_tool(tool) for tool in fields["tools"]]
    fields["tool_choice"] = _tool_choice(fields["tool_choice"])
    if reasoning := fields["reasoning"]:
        effort = reasoning.get("effort")
        reasoning["effort"] = _NEAREST_EFFORT.get(effort, effort)
        reasoning.setdefault("summary", None)
    form = fields["text"].setdefault("format", {"type": "text"})
    if form["type"] == "json_schema":
        # Its document has no type but null for the schema that is told back.
        form |= {
            "schema": None,
            "description": form.get("description"),
            "strict": bool(form.get("strict")),
        }
    return fields


def _item(item: dict[str, Any]) -> dict[str, Any]:
    known = item["type"] in _KNOWN_ITEMS
    return item if known else {**item, "type": _PREFIX + item["type"]}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return tool if tool["type"] == "function" else {**tool, "type": _PREFIX + tool["type"]}


def _tool_choice(choice: Any) -> Any:
    """Returns a choice with functions alone: other tools are told as functions of their names."""
    if not isinstance(choice, dict):
        return choice
    if choice.get("type") == "allowed_tools":
        tools = [_tool_choice(tool) for tool in choice["tools"]]
        return {"type": "allowed_tools", "mode": choice.get("mode", "auto"), "tools": tools}
    return {"type": "function", "name": choice.get("name") or choice["type"]}


# --------------------------------------------------------------------------------------------- writing

_NAMES: dict[type[Event], str] = {}
_BLOCK = 64


def _name(event: Event) -> str:
    kind = type(event)
    name = _NAMES.get(kind)
    if name is None:
        name = _NAMES[kind] = str(kind.__struct_config__.tag)
    return name


def _framed(event: Event, body: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (_name(event).encode(), body)


def _padded(body: bytes, event: Event) -> bytes:
    """Returns the JSON of a delta, made as long as many others: its length must not tell the words."""
    if not isinstance(event, DeltaEvent):
        return body
    missing = -(len(body) + len(_PADDING) + 1) % _BLOCK
    return b'%b%b%b"}' % (body[:-1], _PADDING, secrets.token_urlsafe(missing)[:missing].encode())


_PADDING = b',"obfuscation":"'
