"""MCP servers for tests: over real HTTP, on loopback, in the test's own event loop."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from mcp.server import MCPServer
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

ANSWER = "The documentation says that tiktoken is a fast BPE tokeniser."


def documentation() -> MCPServer:
    """Returns a server with the tools that the guide's script expects of one."""
    server = MCPServer("documentation", log_level="ERROR")

    @server.tool(description="Ask any question about a repository")
    def ask_question(repoName: str, question: str) -> str:
        return ANSWER

    @server.tool(description="Get a list of documentation topics")
    def read_wiki_structure(repoName: str) -> str:
        return f"- 1 Overview of {repoName}"

    @server.tool(description="View documentation")
    def read_wiki_contents(repoName: str) -> str:
        return f"# {repoName}"

    return server


Result = dict[str, Any]
Answer = Response | Result
"""An HTTP response, or a result that is told as one should be."""


@dataclass
class Scripted:
    """A server with a session, of the revision of June 2025, that answers as it is told to.

    ``answers`` are by the method of JSON-RPC and get its ``params``; or by that of HTTP, without any.
    ``requests`` are those that came: method, headers.
    """

    answers: Mapping[str, Callable[[Any], Any]]
    requests: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        body = await request.body()
        message = json.loads(body) if body else {"method": request.method}
        self.requests.append((message["method"], dict(request.headers)))
        answer = await self._answer(message["method"], message.get("params"))
        if isinstance(answer, dict):
            answer = JSONResponse(
                {"jsonrpc": "2.0", "id": message.get("id"), "result": answer},
                headers={"Mcp-Session-Id": "s1"} if message["method"] == "initialize" else {},
            )
        await answer(scope, receive, send)

    async def _answer(self, method: str, params: Any) -> Answer:
        if method in self.answers:
            found = self.answers[method](params)
            answer: Answer = await found if asyncio.iscoroutine(found) else found
            return answer
        if method == "initialize":
            return {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "scripted", "version": "1"},
            }
        return Response(status_code=202 if method.startswith("notifications/") else 405)


def tool(name: str = "t", **fields: Any) -> Result:
    """Returns a tool as a server describes it."""
    return {"name": name, "inputSchema": {"type": "object"}, **fields}


def text(words: str, **fields: Any) -> Result:
    """Returns the result of a call that has one block of text."""
    return {"content": [{"type": "text", "text": words}], **fields}


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[str]:
    """Serves an ASGI application, or an MCP server; yields the address of the latter's end point."""
    if isinstance(app, MCPServer):
        app = app.streamable_http_app()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_config=None, ws="none", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        task = asyncio.get_running_loop().create_task(server.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        finally:
            server.should_exit = server.force_exit = True
            await task
