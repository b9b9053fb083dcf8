"""``trunkline mcp``: which MCP servers are configured, what tools they have, and what a call answers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
import typer

from trunkline.cli.config import ConfigOption, JSONOption
from trunkline.cli.output import print_json, print_table, warn

if TYPE_CHECKING:
    from trunkline.config import MCPServerSettings
    from trunkline.tools import Session, Tool

app = typer.Typer(help="List the MCP servers and their tools, and call one.")

NameArgument = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="The server, as in [mcp.servers.NAME].", show_default=False
    ),
]
_T = TypeVar("_T")


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A server as ``ls`` shows it; of its URL no query, which may hold a secret."""

    name: str
    state: Literal["enabled", "disabled"]
    url: str
    require_approval: str
    allowed_tools: list[str]
    description: str


@app.command("ls")
def ls(config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """Lists the MCP servers that are configured; none is asked."""
    from trunkline.config import load

    settings = load(config, environ=os.environ)
    for warning in settings.warnings:
        warn(warning)
    rows = [_listed(name, server) for name, server in settings.mcp.servers.items()]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("SERVER", "STATE", "URL", "APPROVAL", "TOOLS"),
        (
            (r.name, r.state, r.url, r.require_approval, ", ".join(r.allowed_tools) or "all")
            for r in rows
        ),
    )


@app.command("tools")
def tools(name: NameArgument, config: ConfigOption = None, as_json: JSONOption = False) -> None:
    """Lists a server's tools, those that may be called."""
    found = _asked(name, config, _tools)
    if as_json:
        print_json(found)
        return
    print_table(
        ("TOOL", "READS ONLY", "DESCRIPTION"),
        ((tool.name, _claimed(tool.read_only), _line(tool.description)) for tool in found),
    )


@app.command("call")
def call(
    name: NameArgument,
    tool: Annotated[str, typer.Argument(metavar="TOOL", help="The tool.", show_default=False)],
    arguments: Annotated[
        str, typer.Argument(metavar="[ARGUMENTS]", help="Its arguments, a JSON object.")
    ] = "{}",
    config: ConfigOption = None,
) -> None:
    """Calls a tool and prints its output, as a model would read it."""
    from trunkline.errors import TrunklineError
    from trunkline.tools import told

    try:
        given = msgspec.json.decode(arguments, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise typer.BadParameter("""ARGUMENTS must be a JSON object, as in '{"a": 1}'""") from error

    async def ask(session: Session, server: MCPServerSettings) -> Any:
        if server.allowed_tools and tool not in server.allowed_tools:
            raise TrunklineError(f"the tool '{tool}' is not among its allowed_tools")
        return await session.call(tool, given)

    result = _asked(name, config, ask)
    if result.failed:
        raise TrunklineError(f"the tool '{tool}' failed: {told(result)}")
    typer.echo(told(result))


@app.command("test")
def try_out(name: NameArgument, config: ConfigOption = None) -> None:
    """Connects to a server and lists its tools: can it be reached, and does it take the token?"""
    import time

    started = time.perf_counter()

    async def ask(session: Session, server: MCPServerSettings) -> tuple[str, list[Tool]]:
        return session.protocol_version, await _tools(session, server)

    version, found = _asked(name, config, ask)
    ms = round((time.perf_counter() - started) * 1000)
    count = "1 tool" if len(found) == 1 else f"{len(found)} tools"
    typer.echo(f"MCP server '{name}' answered in {ms} ms: it speaks {version} and has {count}")


async def _tools(session: Session, server: MCPServerSettings) -> list[Tool]:
    found = await session.list_tools()
    return [one for one in found if not server.allowed_tools or one.name in server.allowed_tools]


def _asked(
    name: str, config: ConfigOption, ask: Callable[[Session, MCPServerSettings], Awaitable[_T]]
) -> _T:
    """Asks a server something; raises TrunklineError that names the server."""
    import asyncio

    from trunkline.config import load
    from trunkline.errors import TrunklineError

    settings = load(config, environ=os.environ)
    server = settings.mcp.servers.get(name)
    if server is None:
        raise TrunklineError(
            f"unknown MCP server '{name}'; 'trunkline mcp ls' shows which there are"
        )
    if not server.enabled:
        raise TrunklineError(
            f"MCP server '{name}' is disabled; set [mcp.servers.{name}] enabled = true"
        )

    async def run() -> _T:
        async with _session(server, settings.egress.allow) as session:
            return await ask(session, server)

    try:
        return asyncio.run(run())
    except TrunklineError as error:
        raise TrunklineError(f"MCP server '{name}': {error.message}") from error


@asynccontextmanager
async def _session(server: MCPServerSettings, allow: tuple[str, ...]) -> AsyncIterator[Session]:
    from urllib.parse import urlsplit

    from trunkline.tools import Server, connect
    from trunkline.transport.guard import Guard

    headers = dict(server.headers)
    if server.authorization is not None:
        headers["Authorization"] = f"Bearer {server.authorization.reveal()}"
    # Who configures a server may reach it, wherever it is.
    host = urlsplit(server.url).hostname or ""
    async with Guard(allow=[*allow, host]) as guard:
        session = await connect(guard, Server(url=server.url, headers=headers))
        try:
            yield session
        finally:
            await session.aclose()


def _listed(name: str, server: MCPServerSettings) -> Listed:
    return Listed(
        name=name,
        state="enabled" if server.enabled else "disabled",
        url=server.url.partition("?")[0],
        require_approval=server.require_approval,
        allowed_tools=list(server.allowed_tools),
        description=server.description,
    )


def _claimed(read_only: bool | None) -> str:
    return "–" if read_only is None else "yes" if read_only else "no"


def _line(description: str | None) -> str:
    return (description or "").strip().partition("\n")[0]
