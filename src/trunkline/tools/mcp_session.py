"""A session with an MCP server, by the SDK over the guard's connections. Imported once it is used.

The SDK runs in a task of its own: what breaks in there ends this session, and cancels nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import httpx2  # noqa: TID251  # its types, over a client that the guard lends
import mcp
import mcp_types
import msgspec
from mcp.client.client import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from trunkline import __version__
from trunkline.errors import EgressError, MCPError
from trunkline.tools.mcp import Limits, Result, Server, Tool, tool_of, visible
from trunkline.transport.dial import Deadlines
from trunkline.transport.exchange import Bounds
from trunkline.transport.guard import Guard

# What the SDK logs quotes what servers send.
for _name in ("mcp", "client", "httpx2"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)

_BOUNDS = Bounds()
_MAX_REDIRECTS = 3
_MAX_WORDS = 2000
_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode


async def opened(guard: Guard, server: Server, limits: Limits) -> SDKSession:
    """Returns a session once the server has answered; see `connect`.

    A server that has nothing to take a POST with may be one of the protocol's first revision.
    """
    if httpx2.URL(server.url).path.rstrip("/").endswith("/sse"):
        return await _opened(guard, server, limits, by_events=True)
    try:
        return await _opened(guard, server, limits, by_events=False)
    except MCPError as error:
        if error.protocol or error.code not in _NO_POST:
            raise
        try:
            return await _opened(guard, server, limits, by_events=True)
        except MCPError:
            raise error from None


async def _opened(guard: Guard, server: Server, limits: Limits, *, by_events: bool) -> SDKSession:
    deadlines = Deadlines(  # a tool may be silent as long as it may run
        first_byte_s=limits.call_s,
        idle_s=limits.life_s if by_events else limits.call_s,
        total_s=limits.life_s if by_events else limits.call_s,
    )
    lent = await guard.client(
        server.url, headers=server.headers, bounds=_BOUNDS, deadlines=deadlines
    )
    session = SDKSession(server.url, lent, limits, by_events=by_events)
    try:
        await session.open()
    except BaseException:
        await session.aclose()
        raise
    return session


class SDKSession:
    """See `Session`. ``by_events`` it speaks as servers did at first: all answers are one stream."""

    def __init__(
        self, url: str, lent: httpx2.AsyncClient, limits: Limits, *, by_events: bool
    ) -> None:
        self._url = url
        self._by_events = by_events
        self._lent = lent
        self._limits = limits
        self._leaving = asyncio.Event()
        self._there = asyncio.Event()
        self._client: Client | None = None
        self._connecting = _Watch()
        self._life: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        return self._client is not None and self._life is not None and not self._life.done()

    @property
    def protocol_version(self) -> str:
        return self._client.protocol_version if self._client is not None else ""

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._life = loop.create_task(self._live())  # awaited by `aclose`
        waiting = {self._life} | {
            loop.create_task(event.wait()) for event in (self._there, self._connecting.failed)
        }
        try:
            async with asyncio.timeout(self._limits.connect_s):
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError as error:
            raise _late("answer", self._limits.connect_s) from error
        finally:
            for task in waiting - {self._life}:
                task.cancel()
        if self._client is None:
            raise self._ended(self._connecting)

    async def list_tools(self) -> list[Tool]:
        limits = self._limits
        tools: dict[str, Tool] = {}
        cursor: str | None = None
        seen: set[str] = set()
        try:
            async with asyncio.timeout(limits.list_s):
                for _ in range(limits.pages):
                    page = await self._asked(_page(cursor))
                    for tool in page.tools:
                        tools[tool.name] = _tool(tool, limits)
                    if len(tools) > limits.tools:
                        raise MCPError(
                            f"the server has more than {limits.tools} tools", protocol=True
                        )
                    cursor = page.next_cursor
                    if cursor is None:
                        return list(tools.values())
                    if cursor in seen:
                        break
                    seen.add(cursor)
        except TimeoutError as error:
            raise _late("list its tools", limits.list_s) from error
        raise MCPError("the server's list of tools has no end", protocol=True)

    async def call(self, name: str, arguments: dict[str, Any]) -> Result:
        try:
            async with asyncio.timeout(self._limits.call_s):
                found = await self._asked(lambda client: client.call_tool(name, arguments))
        except TimeoutError as error:
            raise _late("run the tool", self._limits.call_s) from error
        return _result(found)

    async def aclose(self) -> None:
        self._leaving.set()
        if self._life is None:
            await self._lent.aclose()
            return
        _, late = await asyncio.wait({self._life}, timeout=self._limits.close_s)
        for task in late:
            task.cancel()
            await asyncio.wait({task})
        if not self._life.cancelled():
            self._life.exception()  # it was told to whoever asked
        await self._lent.aclose()

    async def _live(self) -> None:
        """Holds the SDK's contexts: they must be left by the task that entered them."""
        _watching.set(self._connecting)
        us = mcp_types.Implementation(name="trunkline", version=__version__)
        async with Client(self._transport(), mode="auto", client_info=us, cache=None) as client:
            # It would check results against patterns that the server chose, for as long as that takes.
            client.session.validate_tool_result = _unchecked  # type: ignore[method-assign]
            self._client = client
            self._there.set()
            await self._leaving.wait()

    @asynccontextmanager
    async def _transport(self) -> AsyncIterator[Any]:
        """Yields the SDK's streams over the lent client."""
        http = httpx2.AsyncClient(
            transport=_Watched(self._lent, pushed=self._by_events),
            headers=self._lent.headers,
            trust_env=False,
            follow_redirects=False,
            max_redirects=_MAX_REDIRECTS,
            timeout=None,  # the guard has its deadlines, and each stage here
        )
        if self._by_events:

            def ours(
                headers: Any = None, timeout: Any = None, auth: Any = None
            ) -> httpx2.AsyncClient:
                return http

            async with sse_client(self._url, httpx_client_factory=ours) as streams:
                yield streams
            return
        async with (
            http,
            streamable_http_client(
                self._url, http_client=http, max_sse_event_size=_BOUNDS.event_bytes
            ) as streams,
        ):
            yield streams

    def _ended(self, watch: _Watch) -> MCPError:
        """Returns why the SDK's task ended before it was told to."""
        if watch.failed.is_set():
            return watch.failure(None)
        if self._life is None or self._life.cancelled():
            return _gone()
        error = _flat(self._life.exception())
        return _gone() if error is None else watch.failure(error)

    async def _asked(self, ask: Callable[[Client], Awaitable[_T]]) -> _T:
        """Asks the server something; what goes wrong is told in our words."""
        if self._client is None or self._life is None or self._life.done():
            raise _gone()
        watch = _Watch()
        loop = asyncio.get_running_loop()
        asking = loop.create_task(_watched(watch, ask(self._client)))
        failing = loop.create_task(watch.failed.wait())
        try:
            await asyncio.wait({asking, failing, self._life}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise self._ended(watch)
            return asking.result()
        except Exception as error:
            if isinstance(error, MCPError):
                raise
            failure = watch.failure(error)
            if failure.code == _LOST and not failure.protocol:
                self._client = None  # the session is unknown there: another one must be opened
            raise failure from error
        finally:
            failing.cancel()
            asking.cancel()
            await asyncio.wait({asking, failing})


# ------------------------------------------------------------------------------------ what went wrong

_LOST = 404
_NO_POST = frozenset({400, 404, 405})
_BAD_GATEWAY = 502
_LATE = 504
# The SDK makes these up, and some of them quote what the server sent or where it leads.
_OUR_WORDS = {
    mcp_types.PARSE_ERROR: "the server sends what is no MCP message",
    mcp_types.INVALID_REQUEST: "the server does not take the request",
    mcp_types.CONNECTION_CLOSED: "the server hung up before it answered",
}


class _Watch:
    """What became of the HTTP exchanges of one question: the SDK does not tell."""

    def __init__(self) -> None:
        self.status = 200
        self.egress: EgressError | None = None
        self.failed = asyncio.Event()  # nothing will come of it any more

    def failure(self, error: BaseException | None) -> MCPError:
        """Returns, in our words, why a question was not answered."""
        if self.egress is not None:
            code = _LATE if self.egress.reason == "timeout" else _BAD_GATEWAY
            return MCPError(self.egress.message, code=code)
        made_up = not isinstance(error, mcp.MCPError) or error.code in _STAND_INS
        if self.failed.is_set() or (self.status >= 400 and made_up):
            return MCPError(f"the server answers with status {self.status}", code=self.status)
        if isinstance(error, mcp.MCPError):
            words = _OUR_WORDS.get(error.code) or visible(error.message)[:_MAX_WORDS]
            return MCPError(words, code=error.code, protocol=True)
        return MCPError("the server sends what is no MCP message", protocol=True)


_STAND_INS = frozenset(
    {mcp_types.INTERNAL_ERROR, mcp_types.METHOD_NOT_FOUND, mcp_types.INVALID_REQUEST}
)
"""What the SDK makes of an HTTP status."""

_watching: ContextVar[_Watch] = ContextVar("_watching")


async def _watched(watch: _Watch, answer: Awaitable[_T]) -> _T:
    """Awaits an answer; the SDK sends the request in a copy of this task's context."""
    _watching.set(watch)
    return await answer


class _Watched(httpx2.AsyncBaseTransport):
    """Passes on to a lent client, and never fails: the SDK's whole session would end with it.

    Unless answers are ``pushed``, nothing is taken that was not asked for.
    """

    def __init__(self, lent: httpx2.AsyncClient, *, pushed: bool) -> None:
        self._lent = lent
        self._pushed = pushed

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        resumes = "last-event-id" in request.headers
        if request.method == "GET" and not resumes and not self._pushed:
            return httpx2.Response(405)
        watch = _watching.get()
        if self._pushed and request.method == "POST":
            return await self._taken(request, watch)
        try:
            answer = await self._lent.send(request, stream=True)
            watch.status = answer.status_code
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                return httpx2.Response(
                    answer.status_code, headers=answer.headers, stream=_Body(answer, watch)
                )
            body = await answer.aread()
        except httpx2.TransportError as error:
            watch.egress = _cause(error)
            return httpx2.Response(_BAD_GATEWAY)
        return httpx2.Response(answer.status_code, headers=answer.headers, content=body)

    async def _taken(self, request: httpx2.Request, watch: _Watch) -> httpx2.Response:
        """Sends a message whose answer is pushed. If it is not taken, nobody but us tells so."""
        try:
            answer = await self._lent.send(request)
            watch.status = answer.status_code
        except httpx2.TransportError as error:
            watch.egress = _cause(error)
        if watch.egress is not None or not 200 <= watch.status < 300:
            watch.failed.set()
        return httpx2.Response(202)


class _Body(httpx2.AsyncByteStream):
    """A stream of events that notes why it broke off."""

    def __init__(self, answer: httpx2.Response, watch: _Watch) -> None:
        self._answer = answer
        self._watch = watch

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for read in self._answer.aiter_raw():
                yield read
        except httpx2.TransportError as error:
            self._watch.egress = _cause(error)
            raise

    async def aclose(self) -> None:
        await self._answer.aclose()


def _cause(error: httpx2.TransportError) -> EgressError:
    cause = error.__cause__
    if isinstance(cause, EgressError):
        return cause
    return EgressError("the server cannot be reached", reason="unreachable")


def _flat(error: BaseException | None) -> BaseException | None:
    """Returns the first error of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _late(what: str, seconds: float) -> MCPError:
    return MCPError(f"the server did not {what} within {seconds:g} s", code=_LATE)


def _gone() -> MCPError:
    return MCPError("the session with the server has ended", code=_BAD_GATEWAY)


# ------------------------------------------------------------------------------------ what it answered


async def _unchecked(name: str, result: mcp_types.CallToolResult) -> None:
    """Takes a result as it is."""


def _page(cursor: str | None) -> Callable[[Client], Awaitable[mcp_types.ListToolsResult]]:
    return lambda client: client.list_tools(cursor=cursor)


def _tool(tool: mcp_types.Tool, limits: Limits) -> Tool:
    hints = tool.annotations
    return tool_of(
        name=tool.name,
        description=tool.description,
        input_schema=tool.input_schema,
        read_only=hints.read_only_hint if hints is not None else None,
        limits=limits,
    )


def _result(found: mcp_types.CallToolResult) -> Result:
    content = [
        block.model_dump(mode="json", by_alias=True, exclude_none=True) for block in found.content
    ]
    if not content and found.structured_content is not None:
        content = [{"type": "text", "text": _encode(found.structured_content).decode()}]
    return Result(content=content, failed=bool(found.is_error))
