"""Remote MCP servers: what is asked of one, and what is taken of its answers.

The protocol is the SDK's (`mcp_session`), the connections are the guard's. What a server sends is
bounded here, and what only hides in a text is taken out of it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from trunkline.errors import MCPError
from trunkline.transport.guard import Guard


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a server may take, in seconds, and how much of what it says is taken."""

    connect_s: float = 15.0
    list_s: float = 10.0
    """For all pages."""
    call_s: float = 60.0
    close_s: float = 2.0
    life_s: float = 3600.0
    """Of a session whose answers are one stream, and so one answer."""
    tools: int = 512
    pages: int = 64
    description_chars: int = 4096
    schema_bytes: int = 64 << 10
    output_chars: int = 256 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server that a caller named; ``headers`` are its secrets and shown nowhere."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Tool(Struct, frozen=True, kw_only=True):
    """A tool as its server describes it; ``read_only`` is what the server claims, if it does."""

    name: str
    description: str | None
    input_schema: dict[str, Any]
    read_only: bool | None = None


class Result(Struct, frozen=True, kw_only=True):
    """What came of a call: blocks as MCP has them; ``failed`` if the tool says that it did."""

    content: list[dict[str, Any]]
    failed: bool = False


class Session(Protocol):
    """A conversation with one server. Whoever opened it closes it. Calls may run at once.

    Any of them raises MCPError. ``alive`` is False once nothing more can be asked.
    """

    @property
    def alive(self) -> bool: ...

    @property
    def protocol_version(self) -> str: ...

    async def list_tools(self) -> list[Tool]:
        """Returns all tools of the server."""
        ...

    async def call(self, name: str, arguments: dict[str, Any]) -> Result:
        """Calls a tool."""
        ...

    async def aclose(self) -> None:
        """Ends the conversation; takes `Limits.close_s` at most."""
        ...


_DEFAULTS = Limits()


async def connect(guard: Guard, server: Server, *, limits: Limits = _DEFAULTS) -> Session:
    """Returns a session with a server, to be closed by the caller.

    Raises EgressError if the server may not be reached, MCPError if it does not do its part.
    """
    # Off the loop: the first import takes more than a second.
    opened = await asyncio.to_thread(_opened)
    return await opened(guard, server, limits)


def _opened() -> Callable[[Guard, Server, Limits], Awaitable[Session]]:
    from trunkline.tools.mcp_session import opened

    return opened


# ------------------------------------------------------------------------- what is taken of an answer

_HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Characters that no reader sees: controls, marks of direction, tags, selectors that hide bytes."""

_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode


def visible(text: str) -> str:
    """Returns a text without what no reader sees in it: people approve what they can read."""
    return _HIDDEN.sub("", text)


def tool_of(
    *,
    name: str,
    description: str | None,
    input_schema: Mapping[str, Any],
    read_only: bool | None,
    limits: Limits,
) -> Tool:
    """Returns a tool as it is offered to a model; raises MCPError if it goes beyond the limits."""
    if not name or len(name) > 128 or visible(name) != name:
        raise MCPError("one of the server's tools has a name that is none", protocol=True)
    try:
        schema = _encode(input_schema)
    except (RecursionError, ValueError, TypeError) as error:
        raise MCPError(f"the schema of the tool '{name}' is no JSON", protocol=True) from error
    if len(schema) > limits.schema_bytes:
        raise MCPError(
            f"the schema of the tool '{name}' has {len(schema)} bytes, more than {limits.schema_bytes}",
            protocol=True,
        )
    if description is not None:
        description = _capped(visible(description), limits.description_chars)
    return Tool(
        name=name,
        description=description,
        input_schema=_decode_object(visible(schema.decode())),
        read_only=read_only,
    )


def told(result: Result, *, limits: Limits = _DEFAULTS) -> str:
    """Returns what a model reads of a result, and what stands in its item.

    One block of text is that text. Several blocks are a JSON array; bytes in them are not told.
    """
    match result.content:
        case []:
            text = ""
        case [{"type": "text", "text": str(text)}]:
            pass
        case blocks:
            text = _encode([_without_bytes(block) for block in blocks]).decode()
    return _capped(visible(text), limits.output_chars)


def _without_bytes(block: dict[str, Any]) -> dict[str, Any]:
    """Returns a block with the number of bytes in the place of an image, a sound or a file."""
    block = {name: value for name, value in block.items() if name != "_meta"}
    for name in ("data", "blob"):
        if isinstance(found := block.get(name), str):
            block[name] = f"({len(found) * 3 // 4} bytes)"
    if isinstance(resource := block.get("resource"), dict):
        block["resource"] = _without_bytes(resource)
    return block


def _capped(text: str, chars: int) -> str:
    """Returns a text with a mark where the rest of it was cut off."""
    if len(text) <= chars:
        return text
    return f"{text[:chars]}\n… ({len(text) - chars} of {len(text)} characters were cut off here)"
