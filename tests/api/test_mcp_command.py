"""``trunkline mcp``: what it prints of servers and their tools, and what it sends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.responses import Response

from tests.mcp_servers import ANSWER, Scripted, documentation, serving, text, tool
from trunkline import __main__ as program

TOKEN = "canary-0815"


class Done(NamedTuple):
    code: int
    out: str
    err: str


Ask = Callable[..., Done]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Runs commands beside a server that the configuration names ``wiki``."""
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("WIKI_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)

    def run(app: Any, *arguments: str, more: str = "") -> Done:
        async def beside() -> int:
            async with asyncio.timeout(50), serving(app) as url:
                Path("trunkline.toml").write_text(
                    f'[mcp.servers.wiki]\nurl = "{url}?team=secret"\n'
                    f'authorization_env = "WIKI_TOKEN"\n{more}\n'
                    '[mcp.servers.off]\nurl = "https://mcp.test/mcp"\nenabled = false\n'
                )
                return await asyncio.to_thread(program.run, ["mcp", *arguments])

        code = asyncio.run(beside())
        out, err = capsys.readouterr()
        assert TOKEN not in out + err
        return Done(code, out, err)

    return run


def test_servers_are_listed_without_asking_them(ask: Ask) -> None:
    server = Scripted({})
    done = ask(server, "ls", "--json")
    [wiki, off] = json.loads(done.out)
    assert (wiki["name"], wiki["state"], wiki["require_approval"]) == ("wiki", "enabled", "always")
    assert (off["name"], off["state"], off["url"]) == ("off", "disabled", "https://mcp.test/mcp")
    assert "secret" not in wiki["url"]
    assert server.requests == []


def test_a_servers_tools_are_listed_as_far_as_they_may_be_called(ask: Ask) -> None:
    done = ask(documentation(), "tools", "wiki", more='allowed_tools = ["ask_question", "other"]')
    assert done.code == 0
    [heading, _, row] = done.out.splitlines()
    assert heading.split() == ["TOOL", "READS", "ONLY", "DESCRIPTION"]
    assert row.split(maxsplit=2) == ["ask_question", "–", "Ask any question about a repository"]


def test_tools_are_printed_for_programs(ask: Ask) -> None:
    shown = tool("find", description="Finds.", annotations={"readOnlyHint": True})
    server = Scripted({"tools/list": lambda _: {"tools": [shown]}})
    done = ask(server, "tools", "wiki", "--json")
    assert json.loads(done.out) == [
        {
            "name": "find",
            "description": "Finds.",
            "input_schema": {"type": "object"},
            "read_only": True,
        }
    ]
    assert {headers["authorization"] for _, headers in server.requests} == {f"Bearer {TOKEN}"}


def test_a_tool_is_called(ask: Ask) -> None:
    arguments = json.dumps({"repoName": "openai/tiktoken", "question": "what is it?"})
    assert ask(documentation(), "call", "wiki", "ask_question", arguments) == Done(
        0, f"{ANSWER}\n", ""
    )


def test_what_would_drive_the_terminal_is_not_printed(ask: Ask) -> None:
    server = Scripted({"tools/call": lambda _: text("\x1b[2Jgone\x07")})
    assert ask(server, "call", "wiki", "t").out == "[2Jgone\n"


def test_a_server_is_tested(ask: Ask) -> None:
    done = ask(documentation(), "test", "wiki")
    assert done.code == 0
    assert done.out.startswith("MCP server 'wiki' answered in ")
    assert done.out.endswith(" ms: it speaks 2026-07-28 and has 3 tools\n")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (
            ("test", "wikki"),
            1,
            "unknown MCP server 'wikki'; 'trunkline mcp ls' shows which there are",
        ),
        (("tools", "off"), 1, "MCP server 'off' is disabled; set [mcp.servers.off] enabled = true"),
        (("test", "wiki"), 1, "MCP server 'wiki': the server answers with status 401"),
        (("call", "wiki", "t", "[1]"), 2, "ARGUMENTS must be a JSON object, as in '{\"a\": 1}'"),
    ],
)
def test_what_goes_wrong_is_told_in_a_sentence(
    ask: Ask, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    def refuse(_: Any) -> Any:
        return Response("who are you?", 401)

    refusing = Scripted({"server/discover": refuse, "initialize": refuse})
    done = ask(refusing, *arguments)
    assert (done.code, done.out) == (code, "")
    assert sentence in done.err


def test_a_tool_that_fails_or_may_not_be_called_ends_with_an_error(ask: Ask) -> None:
    server = Scripted({"tools/call": lambda _: text("no such page", isError=True)})
    done = ask(server, "call", "wiki", "t")
    assert (done.code, done.out) == (1, "")
    assert done.err == "trunkline: the tool 't' failed: no such page\n"

    server = Scripted({})
    done = ask(server, "call", "wiki", "t", more='allowed_tools = ["other"]')
    assert done.err == (
        "trunkline: MCP server 'wiki': the tool 't' is not among its allowed_tools\n"
    )
    assert "tools/call" not in dict(server.requests)
