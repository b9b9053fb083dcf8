"""The messages of a chat request, decoded and checked for a model that reads text."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from trunkline.errors import InvalidRequest
from trunkline.wire.invalid import translated


class FunctionCall(Struct, kw_only=True):
    """The call inside an assistant's ``tool_calls``."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    arguments: str = ""


class ToolCall(Struct, kw_only=True):
    """An element of an assistant's ``tool_calls``."""

    id: str
    function: FunctionCall
    type: Literal["function"] = "function"


class Part(Struct, kw_only=True):
    """An element of a message's content list."""

    type: str
    text: str | None = None
    refusal: str | None = None


class Message(Struct, kw_only=True):
    """One message of a request."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None


_decode_messages = msgspec.json.Decoder(list[Message]).decode
_TEXT_PARTS = {"text", "refusal"}


def decode_messages(raw: Raw) -> list[Message]:
    """Decodes and checks the messages for a model that reads text only.

    Raises InvalidRequest with the path (``messages[2].content[0].type``) for wrong shapes, parts
    other than text, and tool results that answer no call.
    """
    try:
        messages = _decode_messages(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=list[Message], at="messages") from error
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        at = f"messages[{index}]"
        _check_content(message, at)
        if message.role == "tool":
            _check_tool_result(message, open_calls, at)
        open_calls.update(call.id for call in message.tool_calls or ())
    return messages


def _check_content(message: Message, at: str) -> None:
    if message.content is None and message.role != "assistant":
        raise InvalidRequest(
            f"missing '{at}.content'", code="missing_required_parameter", param=f"{at}.content"
        )
    if message.tool_calls and message.role != "assistant":
        raise InvalidRequest(
            f"{at}.tool_calls: only an assistant's message has them", param=f"{at}.tool_calls"
        )
    if not isinstance(message.content, list):
        return
    for number, part in enumerate(message.content):
        where = f"{at}.content[{number}]"
        if part.type not in _TEXT_PARTS:
            raise InvalidRequest(
                f"{where}: this model reads text only, not '{part.type[:40]}'",
                param=f"{where}.type",
            )
        if getattr(part, part.type) is None:
            raise InvalidRequest(
                f"missing '{where}.{part.type}'",
                code="missing_required_parameter",
                param=f"{where}.{part.type}",
            )


def _check_tool_result(message: Message, open_calls: set[str], at: str) -> None:
    if message.tool_call_id is None:
        raise InvalidRequest(
            f"missing '{at}.tool_call_id'",
            code="missing_required_parameter",
            param=f"{at}.tool_call_id",
        )
    if message.tool_call_id not in open_calls:
        raise InvalidRequest(
            f"{at}.tool_call_id: no earlier tool call has the id '{message.tool_call_id[:80]}', "
            "or it has its result already",
            param=f"{at}.tool_call_id",
        )
    open_calls.discard(message.tool_call_id)
