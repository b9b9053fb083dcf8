"""The messages of a request, in the form that a provider takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import msgspec
from msgspec import Raw

from trunkline.config import Quirks

Message = dict[str, Raw]

_REASONING = ("reasoning", "reasoning_content", "reasoning_details")
_NULL = b"null"
_EMPTY = frozenset({b"null", b'""', b"[]"})
_TEXT_PARTS = frozenset({"text", "refusal"})

_encode = msgspec.json.encode
_decode_messages = msgspec.json.Decoder(list[Message]).decode
_decode_objects = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_decode_text = msgspec.json.Decoder(str).decode


class History:
    """Rewrites messages for a provider; those that need nothing stay the bytes that came.

    Each change is exact but for one: ``reasoning_in = "none"`` loses the earlier reasoning.
    """

    def __init__(self, quirks: Quirks) -> None:
        self._steps = tuple(_steps(quirks))

    def __bool__(self) -> bool:
        return bool(self._steps)

    def rewritten(self, messages: Raw) -> Raw:
        """Returns the messages in the provider's form; the same object if they are so already.

        Messages that are no list of objects stay as they are: the provider says what is wrong.
        """
        written = bytes(messages)
        steps = [step for sign, step in self._steps if sign in written]
        if not steps:
            return messages
        try:
            found = before = _decode_messages(messages)
            for step in steps:
                found = step(found)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return messages
        return messages if found is before else Raw(_encode(found))


_Step = Callable[[list[Message]], list[Message]]


def _steps(quirks: Quirks) -> Iterator[tuple[bytes, _Step]]:
    """Yields what is to be done, each with the bytes without which there is nothing to do."""
    if quirks.developer_role is False:
        yield b'"developer"', _as_system
    if quirks.reasoning_in:
        yield b'"reasoning', partial(_with_reasoning, name=quirks.reasoning_in)
    if quirks.string_content:
        yield b'"type"', partial(_with_strings, roles=quirks.string_content)
    if quirks.split_tool_calls:
        yield b'"assistant"', _split
    if not quirks.null_fields:
        yield _NULL, _without_nulls


def _changed(messages: list[Message], change: Callable[[Message], Message]) -> list[Message]:
    """Returns the messages changed, the same list if none was."""
    after = [change(message) for message in messages]
    same = all(new is old for new, old in zip(after, messages, strict=True))
    return messages if same else after


def _role(message: Message) -> str:
    return bytes(message.get("role", b"")).decode().strip('"')


def _as_system(messages: list[Message]) -> list[Message]:
    def change(message: Message) -> Message:
        return message | {"role": Raw(b'"system"')} if _role(message) == "developer" else message

    return _changed(messages, change)


def _with_reasoning(messages: list[Message], name: str) -> list[Message]:
    """Puts earlier reasoning under the one name, or takes it out if that is ``none``."""

    def change(message: Message) -> Message:
        found = [one for one in _REASONING if one in message]
        if not found or found == [name]:
            return message
        texts = (raw for one in _REASONING[:2] if (raw := message.get(one)) and _is_text(raw))
        text = next(texts, None)
        after = {key: raw for key, raw in message.items() if key not in _REASONING}
        if name != "none" and text is not None:
            after[name] = text
        return after

    return _changed(messages, change)


def _is_text(raw: Raw) -> bool:
    return bytes(raw).startswith(b'"')


def _with_strings(messages: list[Message], roles: str) -> list[Message]:
    """Joins the parts of contents that are text only; others cannot be a string."""

    def change(message: Message) -> Message:
        content = message.get("content")
        if content is None or not bytes(content).startswith(b"["):
            return message
        if roles == "tool" and _role(message) != "tool":
            return message
        text = _joined(content)
        return message if text is None else message | {"content": Raw(_encode(text))}

    return _changed(messages, change)


def _joined(content: Raw) -> str | None:
    texts = []
    for part in _decode_objects(content):
        kind = _decode_text(part.get("type", b'""'))
        if kind not in _TEXT_PARTS or kind not in part:
            return None
        texts.append(_decode_text(part[kind]))
    return "\n\n".join(texts)


def _split(messages: list[Message]) -> list[Message]:
    """Lets each tool call be followed by its result, and leaves out messages that say nothing."""
    out: list[Message] = []
    results = {
        bytes(message["tool_call_id"]): message
        for message in messages
        if _role(message) == "tool" and "tool_call_id" in message
    }
    placed: set[int] = set()
    for message in messages:
        if id(message) in placed:
            continue
        calls = _decode_objects(message.get("tool_calls") or b"[]") if _calls(message) else []
        if len(calls) > 1 and all(bytes(call.get("id", b"")) in results for call in calls):
            for call in calls:
                result = results[bytes(call["id"])]
                out += [message | {"tool_calls": Raw(_encode([call]))}, result]
                placed.add(id(result))
                message = {key: raw for key, raw in message.items() if key not in _SAID_ONCE}
                message["content"] = Raw(_NULL)
        elif calls or not _says_nothing(message):
            out.append(message)
    same = len(out) == len(messages) and all(a is b for a, b in zip(out, messages, strict=True))
    return messages if same else out


_SAID_ONCE = frozenset({"content", *_REASONING})


def _calls(message: Message) -> bool:
    return bytes(message.get("tool_calls", _NULL)) not in _EMPTY


def _says_nothing(message: Message) -> bool:
    return _role(message) == "assistant" and bytes(message.get("content", _NULL)) in _EMPTY


def _without_nulls(messages: list[Message]) -> list[Message]:
    def change(message: Message) -> Message:
        after = {key: raw for key, raw in message.items() if bytes(raw) != _NULL}
        return message if len(after) == len(message) else after

    return _changed(messages, change)
