"""Sessions with MCP servers, over real HTTP: what works, and what a server that means harm comes to."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from contextlib import asynccontextmanager

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from tests.mcp_servers import ANSWER, Scripted, documentation, serving, text, tool
from trunkline.errors import EgressError, MCPError
from trunkline.tools import Limits, Result, Server, connect, told
from trunkline.tools.mcp import visible
from trunkline.transport.guard import Guard

SECRET = "instance-credentials-0815"


def run(script):
    async def bounded():
        async with asyncio.timeout(30):
            return await script()

    return asyncio.run(bounded())


@asynccontextmanager
async def session_with(app, *, path="/mcp", headers=None, **limits):
    async with serving(app) as url, Guard(allow=["127.0.0.1"]) as guard:
        server = Server(url=url.replace("/mcp", path), headers=headers or {})
        session = await connect(guard, server, limits=Limits(**limits))
        try:
            yield session
        finally:
            await session.aclose()


def failure_of(answers, *, ask=lambda session: session.call("t", {}), **limits):
    """Returns the error that a question to a scripted server ends with."""

    async def script():
        async with session_with(Scripted(answers), **limits) as session:
            with pytest.raises(MCPError) as caught:
                await ask(session)
            return caught.value

    return run(script)


def listed(session):
    return session.list_tools()


@pytest.mark.parametrize(
    ("app", "path", "version"),
    [
        (lambda: documentation().streamable_http_app(), "/mcp", "2026-07-28"),
        (lambda: documentation().streamable_http_app(json_response=True), "/mcp", "2026-07-28"),
        (lambda: documentation().sse_app(), "/sse", "2026-07-28"),
        (lambda: documentation().sse_app(sse_path="/mcp"), "/mcp", "2026-07-28"),
    ],
    ids=["streams", "json", "events", "events-after-405"],
)
def test_tools_are_listed_and_called(app, path, version):
    async def script():
        async with session_with(app(), path=path) as session:
            tools = await session.list_tools()
            results = await asyncio.gather(
                session.call("ask_question", {"repoName": "a/b", "question": "what?"}),
                session.call("read_wiki_structure", {"repoName": "a/b"}),
            )
            return session.protocol_version, tools, results

    spoken, tools, results = run(script)
    assert spoken == version
    assert [one.name for one in tools] == [
        "ask_question",
        "read_wiki_structure",
        "read_wiki_contents",
    ]
    assert tools[0].description == "Ask any question about a repository"
    assert tools[0].input_schema["required"] == ["repoName", "question"]
    assert [told(result) for result in results] == [ANSWER, "- 1 Overview of a/b"]


def test_a_server_of_an_earlier_revision_is_spoken_to_in_its_session():
    server = Scripted(
        {
            "tools/list": lambda _: {
                "tools": [tool(annotations={"readOnlyHint": True}), tool("other")]
            },
            "tools/call": lambda params: text(f"called {params['name']} {params['arguments']}"),
        }
    )

    async def script():
        async with session_with(server, headers={"Authorization": "Bearer s3"}) as session:
            return await session.list_tools(), await session.call("t", {"a": 1})

    tools, result = run(script)
    assert [(one.name, one.read_only) for one in tools] == [("t", True), ("other", None)]
    assert told(result) == "called t {'a': 1}"
    sent = dict(server.requests)
    assert sent["tools/call"]["mcp-session-id"] == "s1"
    assert sent["tools/call"]["authorization"] == "Bearer s3"
    assert "DELETE" in sent
    assert "GET" not in sent, "nothing is taken that was not asked for"


def test_all_pages_of_a_list_are_taken():
    pages = {None: (["a", "b"], "1"), "1": (["c"], "2"), "2": (["d"], None)}

    def page(params):
        names, following = pages[(params or {}).get("cursor")]
        return {"tools": [tool(name) for name in names], "nextCursor": following}

    async def script():
        async with session_with(Scripted({"tools/list": page})) as session:
            return [one.name for one in await session.list_tools()]

    assert run(script) == ["a", "b", "c", "d"]


def test_a_tool_that_fails_says_so():
    answers = {"tools/call": lambda _: text("no such repository", isError=True)}

    async def script():
        async with session_with(Scripted(answers)) as session:
            return await session.call("t", {})

    assert run(script) == Result(
        content=[{"type": "text", "text": "no such repository"}], failed=True
    )


def test_an_error_of_the_protocol_is_told_in_the_servers_words():
    refusal = {"code": -32602, "message": "a is\u202e missing"}
    answers = {
        "tools/call": lambda _: JSONResponse({"jsonrpc": "2.0", "id": 3, "error": refusal}, 400)
    }
    error = failure_of(answers)
    assert (error.code, error.protocol, error.message) == (-32602, True, "a is missing")


@pytest.mark.parametrize(
    ("answer", "code", "protocol"),
    [
        (lambda _: Response(SECRET, 401), 401, False),
        (lambda _: Response(SECRET, 403, media_type="application/json"), 403, False),
        (lambda _: JSONResponse({"key": SECRET}, 500), 500, False),
        (lambda _: JSONResponse({"key": SECRET}), -32700, True),
        (lambda _: JSONResponse({"jsonrpc": "2.0", "id": 1, "result": SECRET}), -32700, True),
        (lambda _: Response(SECRET, media_type="text/html"), -32600, True),
        (lambda _: Response(f"data: {SECRET}\n\n", media_type="text/event-stream"), -32700, True),
        (lambda _: Response("", media_type="text/event-stream"), -32000, True),
        (lambda _: RedirectResponse(f"http://10.0.0.1/{SECRET}", 307), -32600, True),
        (lambda _: Response(b"[" * 200_000, media_type="application/json"), -32700, True),
        (lambda _: Response("{}", headers={"content-encoding": "gzip"}), 502, False),
        (lambda _: Response(b" " * (5 << 20), media_type="application/json"), 502, False),
        (lambda _: StreamingResponse(flood(), media_type="application/json"), 502, False),
        (lambda _: StreamingResponse(flood(), media_type="text/event-stream"), 502, False),
    ],
)
def test_what_is_wrong_with_an_answer_is_told_in_our_words(answer, code, protocol):
    async def script():
        answers = {"tools/list": answer, "tools/call": lambda _: text("still here")}
        async with session_with(Scripted(answers)) as session:
            with pytest.raises(MCPError) as caught:
                await session.list_tools()
            return caught.value, told(await session.call("t", {})), session.alive

    error, after, alive = run(script)
    assert (error.code, error.protocol) == (code, protocol), error.message
    assert SECRET not in error.message
    assert "10.0.0.1" not in error.message
    assert (after, alive) == ("still here", True)


async def flood():
    for _ in range(400):
        yield b"x" * (64 << 10)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ({"tools": [tool("a")], "nextCursor": "again"}, "no end"),
        ({"tools": [tool(str(number)) for number in range(11)]}, "more than 10 tools"),
        ({"tools": [tool("x" * 129)]}, "a name that is none"),
        ({"tools": [tool("a\u202eb")]}, "a name that is none"),
        ({"tools": [tool("a", inputSchema={"type": "object", "title": "x" * 999})]}, "has 1"),
    ],
)
def test_a_list_beyond_the_limits_is_refused(page, said):
    error = failure_of({"tools/list": lambda _: page}, ask=listed, tools=10, schema_bytes=999)
    assert said in error.message
    assert error.protocol


def test_a_list_whose_cursors_never_end_is_refused():
    def page(params):
        number = int((params or {}).get("cursor") or 0)
        return {"tools": [], "nextCursor": str(number + 1)}

    assert "no end" in failure_of({"tools/list": page}, ask=listed, pages=5).message


def test_what_no_reader_sees_is_taken_out_of_descriptions_and_schemas():
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "obey me")
    described = tool(
        description=f"adds{hidden} \u202enumbers\u200b",
        inputSchema={
            "type": "object",
            "properties": {"a": {"type": "string", "description": f"a{hidden} \u05d0"}},
        },
    )

    async def script():
        async with session_with(
            Scripted({"tools/list": lambda _: {"tools": [described]}})
        ) as session:
            return await session.list_tools()

    [found] = run(script)
    assert found.description == "adds numbers"
    assert found.input_schema["properties"]["a"]["description"] == "a \u05d0"


def test_what_writing_needs_is_left_in_a_text():
    for words in ("tab\tline\n", "می‌خواهم", "👩‍👩‍👧 ❤️", "שלום"):
        assert visible(words) == words


def test_a_call_that_takes_too_long_ends_and_the_session_goes_on():
    async def slow(params):
        if params["name"] == "slow":
            await asyncio.sleep(20)
        return text("quick")

    async def script():
        async with session_with(Scripted({"tools/call": slow}), call_s=1.0) as session:
            begun = time.perf_counter()
            found = await asyncio.gather(
                session.call("slow", {}), session.call("quick", {}), return_exceptions=True
            )
            return *found, time.perf_counter() - begun, session.alive

    late, quick, took_s, alive = run(script)
    assert isinstance(late, MCPError)
    assert (late.code, late.message) == (504, "the server did not run the tool within 1 s")
    assert isinstance(quick, Result)
    assert (told(quick), alive) == ("quick", True)
    assert took_s < 10


def test_a_caller_that_leaves_ends_its_call_and_nothing_else():
    begun = asyncio.Event()

    async def slow(params):
        if params["name"] == "slow":
            begun.set()
            await asyncio.sleep(20)
        return text("quick")

    async def script():
        async with session_with(Scripted({"tools/call": slow})) as session:
            calling = asyncio.get_running_loop().create_task(session.call("slow", {}))
            await begun.wait()
            calling.cancel()
            await asyncio.wait([calling])
            return calling.cancelled(), told(await session.call("quick", {}))

    assert run(script) == (True, "quick")


def test_a_session_that_the_server_forgot_is_not_alive():
    async def script():
        answers = {"tools/call": lambda _: Response(status_code=404)}
        async with session_with(Scripted(answers)) as session:
            with pytest.raises(MCPError) as lost:
                await session.call("t", {})
            with pytest.raises(MCPError) as ended:
                await session.call("t", {})
            return lost.value.code, session.alive, ended.value.message

    assert run(script) == (404, False, "the session with the server has ended")


def pushing(taken=202, *, hangs_up_on=None):
    """Returns a server of the first revision, whose answers are one stream of events."""
    answers: asyncio.Queue[str | None] = asyncio.Queue()

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        if request.method == "GET":
            await StreamingResponse(events(), media_type="text/event-stream")(scope, receive, send)
            return
        message = await request.json()
        if message["method"] == hangs_up_on:
            await answers.put(None)
        elif message["method"] == "initialize":
            version = {"protocolVersion": "2024-11-05", "capabilities": {"tools": {}}}
            result = {**version, "serverInfo": {"name": "old", "version": "1"}}
            answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
            await answers.put(json.dumps(answer))
        elif message["method"] == "server/discover":
            error = {"code": -32601, "message": "what?"}
            await answers.put(json.dumps({"jsonrpc": "2.0", "id": message["id"], "error": error}))
        status = taken if message["method"] == "tools/list" else 202
        await Response(status_code=status)(scope, receive, send)

    async def events():
        yield "event: endpoint\ndata: /messages\n\n"
        while (answer := await answers.get()) is not None:
            yield f"event: message\ndata: {answer}\n\n"

    return app


@pytest.mark.parametrize("status", [401, 500, 307])
def test_a_message_that_a_pushing_server_does_not_take_is_told_at_once(status):
    async def script():
        async with session_with(pushing(status), path="/sse") as session:
            begun = time.perf_counter()
            with pytest.raises(MCPError) as caught:
                await session.list_tools()
            return session.protocol_version, caught.value, time.perf_counter() - begun

    version, error, took_s = run(script)
    assert version == "2024-11-05"
    assert (error.code, error.protocol) == (status, False)
    assert took_s < 5


def test_a_pushing_server_that_hangs_up_ends_the_call():
    async def script():
        app = pushing(hangs_up_on="tools/list")
        async with session_with(app, path="/sse", list_s=20.0) as session:
            with pytest.raises(MCPError) as caught:
                await session.list_tools()
            return caught.value

    assert run(script).message == "the server hung up before it answered"


def test_patterns_that_a_server_chose_are_not_tried():
    evil = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    answers = {
        "tools/list": lambda _: {"tools": [tool(outputSchema=evil)]},
        "tools/call": lambda _: text("fine", structuredContent={"a": "a" * 40 + "!"}),
    }

    async def script():
        async with session_with(Scripted(answers)) as session:
            await session.list_tools()
            before = time.process_time()
            result = await session.call("t", {})
            return told(result), time.process_time() - before

    said, cpu_s = run(script)
    assert said == "fine"
    assert cpu_s < 2


def test_a_server_that_does_not_let_go_is_left():
    async def never(_):
        await asyncio.sleep(20)

    async def script():
        async with session_with(Scripted({"DELETE": never}), close_s=0.2):
            begun = time.perf_counter()
        return time.perf_counter() - begun

    assert run(script) < 10


def test_a_server_that_never_answers_is_not_connected_to():
    async def never(_):
        await asyncio.sleep(20)

    async def script():
        async with session_with(Scripted({"server/discover": never}), connect_s=0.3):
            pass

    with pytest.raises(MCPError) as caught:
        run(script)
    assert caught.value.code == 504
    assert caught.value.message == "the server did not answer within 0.3 s"


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("http://127.0.0.2:{port}/mcp", MCPError),
        ("https://127.0.0.1:{port}/mcp", MCPError),
        ("ftp://127.0.0.1:{port}/mcp", EgressError),
    ],
)
def test_addresses_that_may_not_be_reached_are_not(url, error):
    server = Scripted({})

    async def script():
        async with serving(server) as own, Guard(allow=["127.0.0.1"]) as guard:
            port = own.split(":")[2].split("/")[0]
            await connect(guard, Server(url=url.format(port=port)))

    with pytest.raises(error):
        run(script)
    assert server.requests == []


def test_results_are_told_without_their_bytes_and_not_without_end():
    image = {"type": "image", "data": "A" * 4000, "mimeType": "image/png"}
    words = {"type": "text", "text": "see"}
    assert told(Result(content=[words, image])) == (
        '[{"type":"text","text":"see"},{"type":"image","data":"(3000 bytes)","mimeType":"image/png"}]'
    )
    assert told(Result(content=[])) == ""
    long = Result(content=[{"type": "text", "text": "x" * 30}])
    assert told(long, limits=Limits(output_chars=10)) == (
        "x" * 10 + "\n… (20 of 30 characters were cut off here)"
    )


def test_the_secrets_of_a_server_are_not_shown_with_it():
    assert SECRET not in repr(Server(url="https://a.example/mcp", headers={"X-Key": SECRET}))


def test_the_sdk_is_loaded_with_the_first_session_only():
    program = "import sys, trunkline.app, trunkline.tools; print('mcp' in sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout == "False\n"
