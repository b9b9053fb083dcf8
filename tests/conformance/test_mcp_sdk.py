"""The MCP SDK through a client that the guard lends, in both eras of the protocol."""

from __future__ import annotations

import asyncio

import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer

from tests.mcp_servers import serving
from trunkline.transport.guard import Guard


@pytest.mark.parametrize(("mode", "version"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_the_sdk_calls_a_tool(mode, version):
    tools = MCPServer("sums")

    @tools.tool()
    def add(a: int, b: int) -> int:
        return a + b

    async def run():
        async with (
            asyncio.timeout(30),
            serving(tools) as url,
            Guard(allow=["127.0.0.1"]) as guard,
            await guard.client(url, headers={"Authorization": "Bearer t"}) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode) as client,
        ):
            listed = await client.list_tools()
            called = await client.call_tool("add", {"a": 1, "b": 2})
            return client.protocol_version, listed, called

    spoken, listed, called = asyncio.run(run())
    assert spoken == version
    assert [tool.name for tool in listed.tools] == ["add"]
    assert [block.text for block in called.content] == ["3"]
