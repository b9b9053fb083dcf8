"""``tools`` of a response: what chat makes of them, how they are told back, and what their calls become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from trunkline.errors import InvalidRequest
from trunkline.wire.invalid import translated
from trunkline.wire.responses import client_tools

MAX_TOOLS = 128

_Name = Annotated[str, Meta(min_length=1, max_length=128)]


class FunctionTool(Struct, kw_only=True):
    """A function that the caller runs; ``strict`` only if it says so."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_.-]{1,128}\Z")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    output_schema: dict[str, Any] | None = None
    defer_loading: bool | None = None


class Format(Struct, kw_only=True):
    """``format`` of a custom tool."""

    type: Literal["text", "grammar"]
    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = None


class CustomTool(Struct, kw_only=True):
    """A tool of the caller's that takes free text."""

    name: _Name
    description: str | None = None
    format: Format | None = None
    defer_loading: bool | None = None


class Namespace(Struct, kw_only=True):
    """Functions and custom tools under one name."""

    name: _Name
    tools: Annotated[list[Raw], Meta(min_length=1)]
    description: str | None = None


class ToolSearch(Struct, kw_only=True):
    """A search for tools; only the caller can make one."""

    execution: Literal["client", "server"] = "server"
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Called(Struct, frozen=True):
    """Whom the name that the model calls stands for: the kind of item, its name, its namespace.

    ``server_label`` is that of a tool which is run here.
    """

    type: str
    name: str
    namespace: str | UnsetType = UNSET
    server_label: str = ""

    @property
    def whole(self) -> bool:
        """Whether a call is told in one piece."""
        return self.type in client_tools.WHOLE_PREFIXES

    @property
    def ours(self) -> bool:
        """Whether calls are run here."""
        return self.type == "mcp_call"


class Offered(Struct, frozen=True):
    """The tools of a request: for the model, for the echo, and what each name stands for.

    ``ignored`` names those that nobody runs and that are left out all the same.
    """

    chat: list[dict[str, Any]]
    echo: list[Raw]
    names: dict[str, Called]
    ignored: list[str] = []

    def chat_name(self, type: str, name: str = "", namespace: str = "") -> str | None:
        """Returns the function that stands for a tool; ``type`` is that of its calls."""
        for function, called in self.names.items():
            if (
                called.type == type
                and called.name in (name, type.removesuffix("_call"))
                and (called.namespace or "") == namespace
            ):
                return function
        return None


class _Head(Struct):
    type: str


_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_fields = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode

_LEFT_OUT = frozenset(
    {
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
    }
)
"""Hosted tools that coding agents send with every request: nobody runs them, and all else works."""

_CLIENT: Mapping[str, dict[str, Any]] = {
    "local_shell": client_tools.LOCAL_SHELL,
    "shell": client_tools.SHELL,
    "apply_patch": client_tools.APPLY_PATCH,
}


def decode_tools(raw: Raw, added: Iterable[tuple[str, Raw]] = ()) -> Offered:
    """Decodes ``tools``. Raises InvalidRequest with the path for what is wrong or not served.

    ``added`` are lists that stand in the input, each with its path: they are offered like the others
    and not told back; what is there already is not offered twice.
    """
    adding = _Adding()
    for place, tool in enumerate(_listed(raw, at="tools")):
        adding.add(tool, at=f"tools[{place}]")
        adding.offered.echo.append(_echo(tool))
    adding.skips_known = True
    for path, more in added:
        for place, tool in enumerate(_listed(more, at=path)):
            adding.add(tool, at=f"{path}[{place}]")
    if len(adding.offered.chat) > MAX_TOOLS:
        raise InvalidRequest(
            f"tools: there are {len(adding.offered.chat)} functions, more than {MAX_TOOLS}",
            param="tools",
        )
    return adding.offered


def _listed(raw: Raw, *, at: str) -> list[Raw]:
    if not raw:
        return []
    try:
        return _decode_list(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=list[Raw], at=at) from error


class _Adding:
    """Adds tool after tool to what is offered."""

    def __init__(self) -> None:
        self.offered = Offered([], [], {}, [])
        self.skips_known = False
        self._there: set[Called] = set()

    def add(self, raw: Raw, *, at: str) -> None:
        kind = _decoded(raw, _Head, at=at).type
        if kind in ("function", "custom"):
            self._add_named(kind, raw, "", at=at)
        elif kind == "namespace":
            self._add_namespace(_decoded(raw, Namespace, at=at), at=at)
        elif kind in _CLIENT:
            self._check_runs_there(raw, at=at)
            function = _CLIENT[kind]
            self._offer(function, Called(f"{kind}_call", kind), kind, at=f"{at}.type")
        elif kind == "tool_search":
            self._add_search(_decoded(raw, ToolSearch, at=at), at=at)
        elif kind in _LEFT_OUT:
            self.offered.ignored.append(f"{at} ({kind})")
        else:
            raise _unsupported(f"tools of type '{kind[:40]}' are not supported", at=f"{at}.type")

    def _add_named(self, kind: str, raw: Raw, namespace: str, *, at: str) -> None:
        if kind == "custom":
            custom = _decoded(raw, CustomTool, at=at)
            name, type_ = custom.name, "custom_tool_call"
            function = _custom_function(custom)
        else:
            tool = _decoded(raw, FunctionTool, at=at)
            name, type_ = tool.name, "function_call"
            function = _function(tool)
        called = Called(type_, name, namespace or UNSET)
        shown = f"{namespace}.{name}" if namespace else name
        self._offer(function, called, shown, at=f"{at}.name")

    def _add_namespace(self, namespace: Namespace, *, at: str) -> None:
        for place, raw in enumerate(namespace.tools):
            path = f"{at}.tools[{place}]"
            kind = _decoded(raw, _Head, at=path).type
            if kind not in ("function", "custom"):
                raise _unsupported(
                    f"a namespace may not have tools of type '{kind[:40]}'", at=f"{path}.type"
                )
            self._add_named(kind, raw, namespace.name, at=path)

    def _add_search(self, search: ToolSearch, *, at: str) -> None:
        if search.execution == "server":  # all tools are offered at once: there is nothing to find
            self.offered.ignored.append(f"{at} (tool_search)")
            return
        function = dict(client_tools.TOOL_SEARCH)
        if search.description:
            function["description"] = search.description
        if search.parameters:
            function["parameters"] = search.parameters
        self._offer(
            function, Called("tool_search_call", "tool_search"), "tool_search", at=f"{at}.type"
        )

    def _check_runs_there(self, raw: Raw, *, at: str) -> None:
        environment = _decode_fields(raw).get("environment")
        kind = environment.get("type") if isinstance(environment, dict) else None
        if kind not in (None, "local"):
            raise _unsupported(
                f"shells run at the caller's; an environment of type '{str(kind)[:40]}' is not supported",
                at=f"{at}.environment",
            )

    def _offer(self, function: dict[str, Any], called: Called, shown: str, *, at: str) -> None:
        if called in self._there:
            if self.skips_known:
                return
            raise InvalidRequest(f"{at}: '{shown[:200]}' is there twice", param=at)
        self._there.add(called)
        namespace = called.namespace or ""
        name = client_tools.chat_name(called.name, namespace)
        if name in self.offered.names:
            name = client_tools.other_name(name, f"{called.type} {namespace} {called.name}")
        self.offered.names[name] = called
        self.offered.chat.append({"type": "function", "function": {**function, "name": name}})


def _function(tool: FunctionTool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters or {}}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return function


def _custom_function(tool: CustomTool) -> dict[str, Any]:
    grammar = None
    if tool.format is not None and tool.format.type == "grammar":
        grammar = {"syntax": tool.format.syntax, "definition": tool.format.definition}
    return client_tools.custom_function(tool.name, tool.description, grammar)


def _echo(raw: Raw) -> Raw:
    """Returns a tool as it is told back: a function with the keys that it must have."""
    return Raw(_encode(_published(_decode_fields(raw))))


_REQUIRED = {"type": "", "name": "", "description": None, "parameters": None, "strict": False}


def _published(tool: dict[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in tool.items() if value is not None}
    if fields["type"] == "function":
        return {name: fields.pop(name, value) for name, value in _REQUIRED.items()} | fields
    if fields["type"] == "namespace":
        fields["tools"] = [_published(one) for one in fields["tools"]]
    return fields


def _decoded(raw: Raw, of: Any, *, at: str) -> Any:
    try:
        return msgspec.json.decode(raw, type=of)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise translated(error, of=of, at=at) from error


def _unsupported(message: str, *, at: str) -> InvalidRequest:
    return InvalidRequest(f"{at}: {message}", code="unsupported_parameter", param=at)
