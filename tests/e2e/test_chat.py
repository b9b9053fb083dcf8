"""``trunkline chat`` on a terminal of its own, with real keys and a real router."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.scenes import QUESTION
from tests.e2e.client import descendants, run, until
from tests.serving import ECHO, NANO, Serving
from tests.simulator import Script, Simulator
from tests.terminal import (
    ALT_ENTER,
    CTRL_C,
    CTRL_D,
    CTRL_J,
    ENTER,
    TAB,
    UP,
    Terminal,
    on_terminal,
)

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b2J\r\x1b[Krewritten"


@contextmanager
def chatting(server: Serving, *arguments: str, **environment: str) -> Iterator[Terminal]:
    """Chats with a running server, at the first prompt."""
    command = [sys.executable, "-m", "trunkline", "chat", *arguments]
    known = {"HOME": str(server.home), "TRUNKLINE_HOME": str(server.home)}
    where = {"TRUNKLINE_URL": server.url, **known, **environment}
    with on_terminal(*command, environment=where, folder=server.home) as terminal:
        terminal.wait_for_prompt()
        yield terminal


def said(simulator: Simulator, number: int = -1) -> list[tuple[str, str]]:
    """The messages of a request that the provider has seen: the last one, or another."""
    body = simulator.seen[number].body
    return [(message["role"], message["content"]) for message in body["messages"]]


# ------------------------------------------------------------------------------------- turns


def test_an_answer_comes_with_its_reasoning_and_who_gave_it(server: Serving) -> None:
    with chatting(server, NANO) as terminal:
        terminal.type(QUESTION + ENTER)
        terminal.wait_for("tokens/s")
        terminal.wait_for_prompt()
        terminal.type(CTRL_D)
        assert terminal.wait() == 0

    assert f"{NANO} at {server.url}; /help helps" in terminal.text
    assert f"{NANO} · local · " in terminal.text
    assert "\x1b[2;3m│ " in terminal.raw  # dim and italic
    assert "Traceback" not in terminal.text


def test_a_conversation_goes_on(server: Serving, simulator: Simulator) -> None:
    with chatting(server, ECHO, "--system", "Be brief.", "--effort", "low") as terminal:
        terminal.enter("one")
        terminal.enter("two")

    assert said(simulator) == [
        ("system", "Be brief."),
        ("user", "one"),
        ("assistant", "echo: one [low]"),
        ("user", "two"),
    ]
    assert "│ Let me think.\n\necho: one [low]\n" in terminal.text
    assert f"{ECHO} · sim · 3 in, 6 out (3 reasoning) · " in terminal.text
    assert "· $0.000015\n" in terminal.text


def test_several_lines_and_pasted_blocks_are_sent_whole(
    server: Serving, simulator: Simulator
) -> None:
    with chatting(server, ECHO) as terminal:
        terminal.enter(f"one{CTRL_J}two{ALT_ENTER}\x1b[200~three\rfour\x1b[201~")

    assert said(simulator) == [("user", "one\ntwo\nthree\nfour")]


def test_calls_are_shown_as_calls(server: Serving, simulator: Simulator) -> None:
    call = {"index": 0, "id": "c", "type": "function"}
    function = {"name": "get_weather", "arguments": '{"city":"Paris"}'}
    choice = {"index": 0, "delta": {"tool_calls": [{**call, "function": function}]}}
    body = sse({**choice, "finish_reason": "tool_calls"})
    simulator.play(Script(body=body, content_type="text/event-stream"))
    with chatting(server, ECHO) as terminal:
        terminal.enter("weather?")
        terminal.enter("and?")

    assert '\n→ get_weather(city="Paris")\n' in terminal.text
    assert said(simulator)[1] == ("assistant", '[called get_weather(city="Paris")]')


def sse(choice: Any) -> str:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**head, 'choices': [choice]})}\n\ndata: [DONE]\n\n"


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}, {"TERM": "linux"}])
def test_what_a_model_writes_cannot_command_the_terminal(
    server: Serving, simulator: Simulator, environment: dict[str, str]
) -> None:
    simulator.play(Script(text=f"answer {HOSTILE}", reasoning=f"thought {HOSTILE}"))
    with chatting(server, ECHO, **environment) as terminal:
        terminal.type("x" + ENTER)
        terminal.wait_for("tokens/s")

    for sequence in ("\x1b]0;owned", "\x1b[2J", "\x9b", "\r\x1b[Krewritten"):
        assert sequence not in terminal.raw
    neutral = "␛]0;owned␇␛[2J\ufffd2J␍␛[Krewritten"
    assert f"│ thought {neutral}\n\nanswer {neutral}\n" in terminal.text


def test_no_color_leaves_no_colours(server: Serving, simulator: Simulator) -> None:
    with chatting(server, ECHO, NO_COLOR="1") as terminal:
        terminal.enter("/nonsense")
        terminal.enter("x")

    assert "\x1b[31m" not in terminal.raw
    assert "│ Let me think." in terminal.text


# ------------------------------------------------------------------------------------- commands


def test_effort_and_system_hold_from_then_on(server: Serving, simulator: Simulator) -> None:
    with chatting(server, ECHO) as terminal:
        for line in ("/effort high", "/system Be brief.", "one", "/system off", "/effort", "two"):
            terminal.enter(line)

    first, second = simulator.seen
    assert first.body["reasoning_effort"] == second.body["reasoning_effort"] == "high"
    assert said(simulator, 0)[0] == ("system", "Be brief.")
    assert said(simulator, 1)[0] == ("user", "one")
    assert "effort: high" in terminal.text
    assert "no system message" in terminal.text


def test_model_lists_and_changes_models(server: Serving, simulator: Simulator) -> None:
    with chatting(server, NANO) as terminal:
        terminal.enter("/model")
        assert "sim/paced-20ms" in terminal.text
        terminal.enter("/model sim/ehco")
        assert "unknown model 'sim/ehco'" in terminal.text
        terminal.enter(f"/model {ECHO}:sim")
        terminal.enter("hello")

    assert "echo: hello" in terminal.text


def test_clear_forgets(server: Serving, simulator: Simulator) -> None:
    with chatting(server, ECHO) as terminal:
        for line in ("one", "/clear", "two"):
            terminal.enter(line)

    assert said(simulator) == [("user", "two")]
    assert "forgotten: 1 turn\n" in terminal.text


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("/modle x", "unknown command /modle; did you mean /model?"),
        ("/Clear", "unknown command /Clear; did you mean /clear?"),
        ("/zzz", "unknown command /zzz; /help lists the commands"),
        ("/effort much", "no effort 'much'; there are low, medium, high"),
    ],
)
def test_what_is_no_command_is_explained_and_not_sent(
    server: Serving, simulator: Simulator, line: str, hint: str
) -> None:
    with chatting(server, ECHO) as terminal:
        terminal.enter(line)
        assert hint in terminal.text

    assert simulator.seen == []


def test_a_line_that_only_looks_like_a_command_can_be_sent(
    server: Serving, simulator: Simulator
) -> None:
    with chatting(server, ECHO) as terminal:
        terminal.enter(" /clear")
        terminal.enter("/etc/passwd is a file")

    assert [said(simulator, n)[-1][1] for n in range(2)] == [" /clear", "/etc/passwd is a file"]


def test_help_names_every_command_and_exit_leaves(server: Serving) -> None:
    with chatting(server, ECHO) as terminal:
        terminal.enter("/help")
        for command in ("/model", "/effort", "/system", "/clear", "/help", "/exit"):
            assert f"\n{command}" in terminal.text
        terminal.type("/exit" + ENTER)
        assert terminal.wait() == 0


def test_tab_completes_at_the_prompt(server: Serving) -> None:
    with chatting(server, NANO) as terminal:
        terminal.type("/eff" + TAB)
        terminal.wait_for("/effort")
        terminal.type(" hi" + TAB)
        terminal.wait_for("/effort high")
        terminal.type(ENTER)
        terminal.wait_for("thinking with high effort from now on")


# ------------------------------------------------------------------------------------- stopping


def test_ctrl_c_stops_the_reply_and_not_the_chat(server: Serving, simulator: Simulator) -> None:
    simulator.play(Script(text="one two three", stall_after=6, reasoning="Let me."))
    with chatting(server, ECHO) as terminal:
        terminal.type("count" + ENTER)
        terminal.wait_for("one two three")
        assert not terminal.echoes()
        terminal.type(CTRL_C)
        terminal.wait_for("stopped; what has come is remembered as cut here")
        simulator.wait_for_open(0)
        terminal.wait_for_prompt()
        terminal.enter("go on")
        terminal.type(CTRL_D)
        assert terminal.wait() == 0
        assert terminal.echoes()

    assert said(simulator) == [
        ("user", "count"),
        ("assistant", "one two three\n[the user stopped this reply here]"),
        ("user", "go on"),
    ]


def test_ctrl_c_before_anything_has_come_takes_the_turn_back(
    server: Serving, simulator: Simulator
) -> None:
    with chatting(server, "sim/silent") as terminal:
        terminal.type("anybody?" + ENTER)
        simulator.wait_for_open(1)
        terminal.type(CTRL_C)
        terminal.wait_for("stopped; this turn is not remembered")
        simulator.wait_for_open(0)
        terminal.wait_for_prompt()
        terminal.enter(f"/model {ECHO}")
        terminal.type(UP + UP)
        terminal.wait_for("anybody?")
        terminal.enter("")

    assert said(simulator) == [("user", "anybody?")]


def test_ctrl_c_at_the_prompt_drops_the_line_and_hints_how_to_leave(
    server: Serving, simulator: Simulator
) -> None:
    with chatting(server, ECHO) as terminal:
        terminal.type("half a thou" + CTRL_C)
        terminal.wait_for_prompt()
        assert "leaves the chat" not in terminal.text
        terminal.type(CTRL_C)
        terminal.wait_for("Ctrl-D or /exit leaves the chat")
        terminal.wait_for_prompt()
        terminal.enter("whole")

    assert said(simulator) == [("user", "whole")]


# ------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("sim/error-500:sim", "sim"),
        ("sim/late-error-3:sim", "the reply broke off"),
        ("sim/cut-3:sim", "the reply broke off"),
    ],
)
def test_a_failure_is_told_on_a_red_line_and_the_chat_goes_on(
    server: Serving, simulator: Simulator, model: str, message: str
) -> None:
    with chatting(server, model) as terminal:
        terminal.type("hello" + ENTER)
        terminal.wait_for("this turn is not remembered; Up brings your message back")
        terminal.wait_for_prompt()
        assert message in terminal.raw.partition("\x1b[31m")[2].partition("\x1b[0m")[0]
        terminal.enter(f"/model {ECHO}")
        terminal.enter("again")

    assert said(simulator) == [("user", "again")]


def test_an_empty_answer_is_not_remembered(server: Serving, simulator: Simulator) -> None:
    simulator.play(Script(text="", reasoning="Hm."))
    with chatting(server, ECHO) as terminal:
        terminal.enter("one")
        assert "there is no answer; this turn is not remembered" in terminal.text
        terminal.enter("two")

    assert said(simulator) == [("user", "two")]


def test_a_conversation_that_grew_too_long_can_be_cleared(server: Serving) -> None:
    with chatting(server, NANO) as terminal:
        terminal.type(f"\x1b[200~{'word ' * 6000}\x1b[201~{ENTER}")
        terminal.wait_for("/clear forgets what has been said and makes room")


def test_an_unknown_model_is_told_before_the_chat_begins(server: Serving) -> None:
    command = [sys.executable, "-m", "trunkline", "chat", "sim/ehco", "--url", server.url]
    known = {"HOME": str(server.home), "TRUNKLINE_HOME": str(server.home)}
    with on_terminal(*command, environment=known, folder=server.home) as terminal:
        assert terminal.wait() == 1
    assert "trunkline: unknown model 'sim/ehco'" in terminal.text


def test_a_server_that_only_lists_its_models_is_believed(
    server: Serving, simulator: Simulator
) -> None:
    with chatting(server, ECHO, TRUNKLINE_URL=simulator.base_url, TRUNKLINE_KEY="sk-1") as terminal:
        terminal.enter(f"/model {ECHO}")
        terminal.enter("hello")
    assert f"asking {ECHO} from now on" in terminal.text
    assert "echo: hello" in terminal.text


def test_without_a_terminal_run_is_recommended(server: Serving) -> None:
    done = run("chat", home=server.home)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "trunkline: chat needs a terminal; in a pipe use 'trunkline run'\n"


# ------------------------------------------------------------------------------------- around it


def test_the_history_is_kept_for_the_next_chat_and_for_nobody_else(
    server: Serving, simulator: Simulator
) -> None:
    with chatting(server, ECHO) as terminal:
        terminal.enter("remember me")
    file = server.home / "chat_history"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with chatting(server, ECHO) as terminal:
        terminal.type(UP)
        terminal.wait_for("remember me")
        terminal.enter("")

    assert [said(simulator, n) for n in range(2)] == [[("user", "remember me")]] * 2


@contextmanager
def chatting_alone(home: Path, port: int) -> Iterator[Terminal]:
    """Chats where no router runs, at the first prompt; at ``port`` nobody may listen."""
    command = [sys.executable, "-m", "trunkline", "chat"]
    known = {"HOME": str(home), "TRUNKLINE_HOME": str(home), "TRUNKLINE_SERVER_PORT": str(port)}
    with on_terminal(*command, environment=known, folder=home) as terminal:
        terminal.wait_for_prompt()
        yield terminal


def test_without_a_router_the_chat_starts_one_that_ends_with_it(
    tmp_path: Path, unused_port: int
) -> None:
    with chatting_alone(tmp_path, unused_port) as terminal:
        assert "no router is running: starting one for this chat" in terminal.text
        url = terminal.text.partition(" at http://")[2].partition(";")[0]
        host, _, port = url.partition(":")
        terminal.type(QUESTION + ENTER)
        terminal.wait_for("tokens/s")
        assert accepts(host, int(port))
        terminal.process.kill()
        until(lambda: not accepts(host, int(port)), "the router has ended")

    assert f"{NANO} · local · " in terminal.text


def test_a_router_of_the_chats_own_that_has_ended_is_said_to(
    tmp_path: Path, unused_port: int
) -> None:
    with chatting_alone(tmp_path, unused_port) as terminal:
        router, *_ = descendants(terminal.process.pid)
        os.kill(router, signal.SIGKILL)
        terminal.enter(QUESTION)
        assert "the router that was started for this command has ended: " in terminal.text
        assert "it was ended by signal 9" in terminal.text


def accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except ConnectionRefusedError:
        return False
    return True


# ------------------------------------------------------------------------------------- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_completes_commands_and_models(server: Serving, shell: str) -> None:
    script = complete(server, shell, "show", "")
    assert "_TRUNKLINE_COMPLETE=complete_" + shell in script
    assert "chat" in complete(server, shell, "complete", "trunkline ch")
    assert NANO in complete(server, shell, "complete", "trunkline chat trunk")
    assert ECHO in complete(server, shell, "complete", "trunkline run sim/e")
    assert ECHO not in complete(server, shell, "complete", "trunkline run trunk")


def test_completion_is_silent_where_no_router_runs(
    server: Serving, unused_port: int, tmp_path: Path
) -> None:
    nowhere = {"TRUNKLINE_URL": f"http://127.0.0.1:{unused_port}"}
    assert complete(server, "bash", "complete", "trunkline chat ", **nowhere).strip() == ""


def complete(server: Serving, shell: str, what: str, line: str, **more: str) -> str:
    """Returns what a shell's completion function gets from the program."""
    words = line.split(" ")
    variables = {
        "_TRUNKLINE_COMPLETE": f"{what}_{shell}" if what == "complete" else f"source_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = subprocess.run(
        [sys.executable, "-m", "trunkline"],
        env={
            "HOME": str(server.home),
            "TRUNKLINE_HOME": str(server.home),
            "TRUNKLINE_URL": server.url,
            **variables,
            **more,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout
