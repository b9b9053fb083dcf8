"""The Codex CLI, set up as docs/how-to says; the simulated provider plays the model.

Codex calls its tools for real: it reads and edits a file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import nodejs
from tests.conformance.recording import Recorder
from tests.e2e.client import ask
from tests.serving import ECHO, Serving
from tests.simulator import Call, Script
from tests.tools.pages import DOCS

TASK = "Fix the typo in greeting.txt."
PATCH = """\
*** Begin Patch
*** Update File: greeting.txt
@@
-hello wrld
+hello world
*** End Patch
"""
READ = Call("exec_command", json.dumps({"cmd": "cat greeting.txt"}))
EDIT = Call("exec_command", json.dumps({"cmd": "sed -i s/wrld/world/ greeting.txt"}))
SAYS_DONE = Script(calls=(), text="The typo is fixed.", reasoning="It is done.")

Codex = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that Codex works in."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "greeting.txt").write_text("hello wrld\n")
    return folder


@pytest.fixture
def codex(server: Serving, relayed_url: str, tmp_path: Path, folder: Path) -> Codex:
    """Runs ``codex exec``; returns the items of its work as it tells them.

    With ``known`` it knows the model from the catalogue of docs/how-to, else it has never heard of it.
    Whatever else is given stands in that catalogue as well.
    """
    home = tmp_path / "codex"
    home.mkdir()
    config = (DOCS / "how-to" / "codex.toml").read_text()
    assert "http://127.0.0.1:7070/v1" in config
    config = config.replace("http://127.0.0.1:7070/v1", relayed_url)
    environment = {
        "HOME": str(tmp_path),
        "CODEX_HOME": str(home),
        "TRUNKLINE_KEY": server.key,
        "HTTPS_PROXY": "http://127.0.0.1:1",  # so that nothing leaves this machine
    }

    def run(*words: str, known: bool = True, **more: Any) -> list[dict[str, Any]]:
        lines = config.replace("openai/gpt-oss-120b", ECHO).splitlines(keepends=True)
        (home / "config.toml").write_text(
            "".join(line for line in lines if known or "catalog" not in line)
        )
        catalog = json.loads((DOCS / "how-to" / "codex-models.json").read_text())
        catalog["models"][0].update(slug=ECHO, **more)
        (home / "codex-models.json").write_text(json.dumps(catalog))
        printed = nodejs.ran_codex(
            "exec",
            *words[:-1],
            "--json",
            "--skip-git-repo-check",
            "--dangerously-bypass-approvals-and-sandbox",
            words[-1],
            environment=environment,
            folder=folder,
        )
        events = [json.loads(line) for line in printed.splitlines()]
        assert events[-1]["type"] == "turn.completed", printed
        return [event["item"] for event in events if event["type"] == "item.completed"]

    return run


def asked(recorder: Recorder) -> list[dict[str, Any]]:
    """The bodies that Codex sent."""
    return [json.loads(made.asked) for made in recorder.exchanges if made.method == "POST"]


@pytest.mark.parametrize(
    ("known", "edit"),
    [(True, Call("apply_patch", json.dumps({"input": PATCH}))), (False, EDIT)],
    ids=["patch", "shell"],
)
def test_codex_reads_and_edits_a_file(codex, simulator, recorder, folder, server, known, edit):
    simulator.play(
        Script(calls=(READ,), reasoning="First I read it."),
        Script(calls=(edit,), reasoning="Now I edit it."),
        SAYS_DONE,
    )
    items = codex(TASK, known=known)
    assert (folder / "greeting.txt").read_text() == "hello world\n"
    assert items[-1] == {"id": items[-1]["id"], "type": "agent_message", "text": SAYS_DONE.text}
    first, second, third = asked(recorder)
    assert (first["store"], first["include"]) == (False, ["reasoning.encrypted_content"])
    kinds = {tool["type"] for tool in first["tools"]}
    assert {"function", "web_search", "custom" if known else "namespace"} <= kinds
    assert first["client_metadata"]
    called = ["reasoning", "custom_tool_call" if known else "function_call"]
    assert [item["type"] for item in third["input"][-3:]] == [*called, f"{called[-1]}_output"]
    assert "hello wrld" in second["input"][-1]["output"]
    thoughts = [item for item in third["input"] if item["type"] == "reasoning"]
    assert len(thoughts) == 2
    assert all(thought["encrypted_content"] for thought in thoughts)


def test_the_model_is_told_what_codex_sees_and_what_itself_thought(codex, simulator):
    patch = Call("apply_patch", json.dumps({"input": PATCH}))
    simulator.play(
        Script(calls=(READ, EDIT), reasoning="I read and edit it."),
        Script(calls=(patch,), reasoning="Once more."),
        SAYS_DONE,
    )
    codex(TASK)
    _, _, last = [seen.body for seen in simulator.seen]
    *_, task, both, read, _, again, failed = last["messages"]
    assert task["content"] in (TASK, [{"type": "text", "text": TASK}])
    assert both["reasoning"] == "I read and edit it."
    assert [call["function"]["name"] for call in both["tool_calls"]] == ["exec_command"] * 2
    assert "hello" in read["content"]
    assert again["reasoning"] == "Once more."
    [call] = again["tool_calls"]
    assert (call["function"]["name"], call["id"]) == ("apply_patch", failed["tool_call_id"])
    assert json.loads(call["function"]["arguments"]) == {"input": PATCH}
    assert "failed" in failed["content"].lower()  # the word is right already
    names = [tool["function"]["name"] for tool in last["tools"]]
    assert "web_search" not in names


def test_a_tool_in_a_namespace_of_codex_is_called(codex, simulator, recorder):
    closes = Call("multi_agent_v1__close_agent", json.dumps({"target": "nobody"}))
    simulator.play(Script(calls=(closes,)), SAYS_DONE)
    codex(TASK, known=False)
    _, second = asked(recorder)
    call, output = second["input"][-2:]
    assert (call["name"], call["namespace"]) == ("close_agent", "multi_agent_v1")
    assert "nobody" in output["output"]
    [told] = simulator.seen[-1].body["messages"][-2]["tool_calls"]
    assert told["function"]["name"] == closes.name


def test_a_tool_that_codex_finds_can_be_called(codex, simulator, recorder):
    searches = Call("tool_search", json.dumps({"query": "close agent"}))
    closes = Call("multi_agent_v1__close_agent", json.dumps({"target": "nobody"}))
    simulator.play(Script(calls=(searches,)), Script(calls=(closes,)), SAYS_DONE)
    codex(TASK, supports_search_tool=True)
    first, second, third = asked(recorder)
    assert "namespace" not in {tool["type"] for tool in first["tools"]}
    call, found = second["input"][-2:]
    assert (call["type"], call["arguments"]) == ("tool_search_call", {"query": "close agent"})
    assert found["type"] == "tool_search_output"
    names = [tool["function"]["name"] for tool in simulator.seen[1].body["tools"]]
    assert closes.name in names
    assert "nobody" in third["input"][-1]["output"]


def test_the_newer_codex_edits_with_tools_that_stand_in_its_input(
    codex, simulator, recorder, folder
):
    """For its maker's latest models Codex sends no ``tools``, but an item with them in a namespace."""
    read = Call(f"functions__{READ.name}", READ.arguments)
    patch = Call("functions__apply_patch", json.dumps({"input": PATCH}))
    simulator.play(Script(calls=(read,)), Script(calls=(patch,)), SAYS_DONE)
    codex(TASK, use_responses_lite=True)
    assert (folder / "greeting.txt").read_text() == "hello world\n"
    *_, last = asked(recorder)
    assert "tools" not in last
    assert last["input"][0]["type"] == "additional_tools"
    assert last["input"][-2]["namespace"] == "functions"


def test_codex_resumes_a_session(codex, simulator, recorder):
    simulator.play(SAYS_DONE, Script(calls=(), text="You are welcome."))
    codex(TASK)
    items = codex("resume", "--last", "Thank you.")
    assert items[-1]["text"] == "You are welcome."
    messages = simulator.seen[-1].body["messages"]
    assert messages[-2]["content"] == SAYS_DONE.text
    assert "reasoning" not in messages[-2]  # as gpt-oss wants it of turns that are over


def test_nothing_of_a_session_of_codex_is_stored(codex, simulator, recorder, server):
    simulator.play(SAYS_DONE)
    codex(TASK)
    [exchange] = recorder.exchanges
    id_ = json.loads(exchange.body.split(b"data: ")[1].split(b"\n")[0])["response"]["id"]
    assert ask(server, "GET", f"/v1/responses/{id_}").status == 404
    assert TASK not in server.stderr()
