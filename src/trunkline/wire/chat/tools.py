"""``tools`` and ``tool_choice`` of a chat request."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from trunkline.errors import InvalidRequest
from trunkline.wire.invalid import translated


class FunctionDefinition(Struct, kw_only=True):
    """The function inside a tool."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,64}\Z")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(Struct, kw_only=True):
    """An element of ``tools``."""

    function: FunctionDefinition
    type: Literal["function"] = "function"


_Tools = Annotated[list[Tool], Meta(max_length=128)]
_decode_tools: Callable[[Raw], list[Tool]] = msgspec.json.Decoder(_Tools).decode


def decode_tools(raw: Raw) -> list[Tool]:
    """Decodes ``tools``. Raises InvalidRequest for wrong shapes and for names given twice."""
    if not raw:
        return []
    try:
        tools = _decode_tools(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=list[Tool], at="tools") from error
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        if tool.function.name in seen:
            raise InvalidRequest(
                f"tools[{index}].function.name: '{tool.function.name}' is there twice",
                param=f"tools[{index}].function.name",
            )
        seen.add(tool.function.name)
    return tools


class ToolChoice(Struct, frozen=True):
    """What ``tool_choice`` comes to: the tools that may be called, and whether one must be."""

    allowed: tuple[Tool, ...]
    required: bool


class ToolName(Struct):
    """Names a function tool."""

    name: str


class AllowedTool(Struct):
    """An element of ``tool_choice.allowed_tools.tools``."""

    function: ToolName
    type: Literal["function"] = "function"


class AllowedTools(Struct):
    """``tool_choice.allowed_tools``."""

    tools: Annotated[list[AllowedTool], Meta(min_length=1)]
    mode: Literal["auto", "required"] = "auto"


class NamedToolChoice(Struct):
    """``tool_choice`` as an object."""

    type: Literal["function", "allowed_tools"]
    function: ToolName | None = None
    allowed_tools: AllowedTools | None = None


ToolChoiceParameter = Literal["none", "auto", "required"] | NamedToolChoice
"""``tool_choice``."""
_decode_choice: Callable[[Raw], str | NamedToolChoice] = msgspec.json.Decoder(
    ToolChoiceParameter
).decode


def decode_tool_choice(raw: Raw, tools: list[Tool]) -> ToolChoice:
    """Decodes ``tool_choice`` against the tools. Raises InvalidRequest if it names none of them."""
    if not raw:
        return ToolChoice(allowed=tuple(tools), required=False)
    try:
        choice = _decode_choice(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=ToolChoiceParameter, at="tool_choice") from error
    if choice == "none":
        return ToolChoice(allowed=(), required=False)
    if choice == "auto":
        return ToolChoice(allowed=tuple(tools), required=False)
    if not tools:
        raise InvalidRequest(
            "tool_choice asks for a call, but there are no tools", param="tool_choice"
        )
    if choice == "required":
        return ToolChoice(allowed=tuple(tools), required=True)
    if not isinstance(choice, NamedToolChoice):  # the three words are handled above
        raise InvalidRequest("tool_choice is not known", param="tool_choice")
    if choice.type == "function" and choice.function is not None:
        return ToolChoice(
            allowed=(_named(choice.function.name, tools, "tool_choice.function.name"),),
            required=True,
        )
    if choice.type == "allowed_tools" and choice.allowed_tools is not None:
        wanted = choice.allowed_tools
        return ToolChoice(
            allowed=tuple(
                _named(tool.function.name, tools, f"tool_choice.allowed_tools.tools[{index}]")
                for index, tool in enumerate(wanted.tools)
            ),
            required=wanted.mode == "required",
        )
    raise InvalidRequest(
        f"missing 'tool_choice.{choice.type}'",
        code="missing_required_parameter",
        param=f"tool_choice.{choice.type}",
    )


def _named(name: str, tools: Iterable[Tool], param: str) -> Tool:
    for tool in tools:
        if tool.function.name == name:
            return tool
    names = ", ".join(tool.function.name for tool in tools)
    raise InvalidRequest(
        f"{param}: no tool is named '{name[:80]}'; there are: {names}", param=param
    )
