"""``tools`` and ``tool_choice`` of a response, and what chat makes of them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from trunkline.errors import InvalidRequest
from trunkline.wire.invalid import translated


class FunctionTool(Struct, kw_only=True):
    """A function that the caller runs."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,64}\Z")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Called(Struct, frozen=True):
    """Whom the name that the model calls stands for: the kind of item, its name, its namespace."""

    type: str
    name: str
    namespace: str | UnsetType = UNSET


class Offered(Struct, frozen=True):
    """The tools of a request: for the model, for the echo, and what each name stands for."""

    chat: list[dict[str, Any]]
    echo: list[Raw]
    names: dict[str, Called]


class _Head(Struct):
    type: str


_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_function = msgspec.json.Decoder(FunctionTool).decode
_encode = msgspec.json.Encoder().encode


def decode_tools(raw: Raw) -> Offered:
    """Decodes ``tools``. Raises InvalidRequest with the path for what is wrong or not served."""
    offered = Offered([], [], {})
    if not raw:
        return offered
    try:
        tools = _decode_list(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=list[Raw], at="tools") from error
    for place, tool in enumerate(tools):
        _add(offered, tool, at=f"tools[{place}]")
    return offered


def _add(offered: Offered, raw: Raw, *, at: str) -> None:
    try:
        kind = _decode_head(raw).type
        if kind != "function":
            raise InvalidRequest(
                f"{at}.type: tools of type '{kind[:40]}' are not supported",
                code="unsupported_parameter",
                param=f"{at}.type",
            )
        tool = _decode_function(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=FunctionTool, at=at) from error
    if tool.name in offered.names:
        raise InvalidRequest(f"{at}.name: '{tool.name}' is there twice", param=f"{at}.name")
    offered.names[tool.name] = Called("function_call", tool.name)
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters or {}}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    offered.chat.append({"type": "function", "function": function})
    echo = {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
    }
    offered.echo.append(Raw(_encode(echo)))
