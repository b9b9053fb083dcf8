"""``tool_choice``: which of the tools may be called, and whether one must be, in every published form."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from trunkline.errors import InvalidRequest
from trunkline.wire.invalid import translated
from trunkline.wire.responses.tools import Called, Offered


class Choice(Struct, frozen=True):
    """What chat is told, None where nothing need be; and the names that may be called, None if all.

    Tools that may not be called are shown to the model all the same: whoever reads its answer
    holds it to ``allowed``.
    """

    chat: Any = None
    allowed: frozenset[str] | None = None


class ChosenTool(Struct, kw_only=True):
    """A tool: by its type, and by a name where there are several of that type."""

    type: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Annotated[str, Meta(max_length=256)] | None = None
    namespace: str | None = None
    server_label: str | None = None


class ChosenTools(ChosenTool, kw_only=True):
    """``tool_choice`` as an object; ``mode`` and ``tools`` belong to ``allowed_tools``."""

    mode: Literal["auto", "required"] | None = None
    tools: Annotated[list[ChosenTool], Meta(min_length=1, max_length=128)] | None = None


_Choice = Literal["none", "auto", "required"] | ChosenTools
_decode = msgspec.json.Decoder(_Choice).decode

_CALLED_AS = {
    "function": "function_call",
    "custom": "custom_tool_call",
    "shell": "shell_call",
    "local_shell": "local_shell_call",
    "apply_patch": "apply_patch_call",
    "tool_search": "tool_search_call",
    "mcp": "mcp_call",
}
"""The type of the items that calls of a tool are; hosted tools have none, as they do not run here."""
_NAMED = frozenset({"function", "custom"})

HOSTED = frozenset(
    {
        *("file_search", "code_interpreter", "image_generation", "programmatic_tool_calling"),
        *("web_search", "web_search_2025_08_26"),
        *("web_search_preview", "web_search_preview_2025_03_11"),
        *("computer", "computer_use", "computer_use_preview"),
    }
)
"""Published types of tools that run at OpenAI."""


def decode_tool_choice(raw: Raw, offered: Offered) -> Choice:
    """Decodes ``tool_choice`` against the tools. Raises InvalidRequest for what is not among them."""
    if not raw:
        return Choice()
    try:
        choice = _decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=_Choice, at="tool_choice") from error
    if isinstance(choice, str):
        return _in_a_word(choice, offered)
    if choice.type == "allowed_tools":
        return _allowed(choice, offered)
    name = _chosen(choice, offered, "tool_choice")
    return Choice(_function(name))


def _in_a_word(choice: str, offered: Offered) -> Choice:
    if choice == "required" and not offered.names:
        raise InvalidRequest(
            "tool_choice: asks for a call, but there are no tools that can be called",
            param="tool_choice",
        )
    return Choice(choice if offered.names else None)


def _allowed(choice: ChosenTools, offered: Offered) -> Choice:
    for name in ("mode", "tools"):
        if getattr(choice, name) is None:
            raise _missing(f"tool_choice.{name}")
    allowed = {
        _chosen(tool, offered, f"tool_choice.tools[{place}]", among_others=True)
        for place, tool in enumerate(choice.tools or ())
    } - {""}
    if choice.mode == "auto":
        # None of those that are left may be called: that is what every provider understands.
        return Choice("auto", frozenset(allowed)) if allowed else Choice("none")
    if not allowed:
        raise InvalidRequest(
            "tool_choice.tools: a call is asked for, but none of the allowed tools can be called here",
            param="tool_choice.tools",
        )
    if len(allowed) == 1:
        return Choice(_function(*allowed), frozenset(allowed))
    return Choice("required", frozenset(allowed))


def _function(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def _chosen(tool: ChosenTool, offered: Offered, at: str, *, among_others: bool = False) -> str:
    """Returns chat's name of a tool, "" for a hosted one that is merely allowed ``among_others``."""
    if tool.type in HOSTED:
        if among_others:
            return ""
        raise InvalidRequest(
            f"{at}.type: '{tool.type}' does not run here, so that it cannot be called",
            code="unsupported_parameter",
            param=f"{at}.type",
        )
    kind = _CALLED_AS.get(tool.type)
    if kind is None:
        known = ", ".join([*_CALLED_AS, "allowed_tools"])
        raise InvalidRequest(
            f"{at}.type: unknown type '{tool.type}'; there are {known}", param=f"{at}.type"
        )
    if tool.type in _NAMED and tool.name is None:
        raise _missing(f"{at}.name")
    if tool.type == "mcp":
        return _of_server(tool, offered, at)
    found = _found(kind, tool, offered)
    if found is None:
        raise _not_offered(kind, tool, offered, at)
    return found


def _found(kind: str, tool: ChosenTool, offered: Offered) -> str | None:
    wanted = [
        name
        for name, called in offered.names.items()
        if called.type == kind
        and (tool.type not in _NAMED or called.name == tool.name or name == tool.name)
        and (tool.namespace is None or called.namespace == tool.namespace)
    ]
    # A bare name is that of the function without a namespace, if there is one.
    return next((name for name in wanted if name == tool.name), None) or next(iter(wanted), None)


def _of_server(tool: ChosenTool, offered: Offered, at: str) -> str:
    if tool.server_label is None:
        raise _missing(f"{at}.server_label")
    raise InvalidRequest(
        f"{at}.server_label: no MCP server '{tool.server_label[:80]}' is among the tools",
        param=f"{at}.server_label",
    )


def _not_offered(kind: str, tool: ChosenTool, offered: Offered, at: str) -> InvalidRequest:
    if tool.name is None:
        return InvalidRequest(
            f"{at}.type: no tool of type '{tool.type}' is among the tools", param=f"{at}.type"
        )
    names = ", ".join(sorted(_named(kind, offered.names.values()))) or "none"
    return InvalidRequest(
        f"{at}.name: no {tool.type} tool is named '{tool.name[:80]}'; there are: {names[:400]}",
        param=f"{at}.name",
    )


def _named(kind: str, called: Any) -> set[str]:
    return {one.name for one in called if isinstance(one, Called) and one.type == kind}


def _missing(param: str) -> InvalidRequest:
    return InvalidRequest(f"missing '{param}'", code="missing_required_parameter", param=param)
