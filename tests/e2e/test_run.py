"""``trunkline run``: one question from a shell, at a running router or one of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.scenes import ANSWER, QUESTION, REASONING
from tests.e2e.client import alive, descendants, until
from tests.serving import ECHO, NANO, Serving, running, simulated_provider
from tests.simulator import Script, Simulator
from trunkline import __version__

ENGINE_OFF = "[engine]\nenabled = false\n"
PATIENCE_S = 60.0


def environment(home: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "TRUNKLINE_HOME": str(home),
        **more,
    }


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "trunkline", "run", *arguments]


def run(
    *arguments: str, home: Path, piped: str | bytes = b"", **more: str
) -> subprocess.CompletedProcess[str]:
    """Runs ``trunkline run`` to its end, with something piped in; ``more`` is its environment."""
    data = piped.encode() if isinstance(piped, str) else piped
    done = subprocess.run(
        command(*arguments),
        env=environment(home, **more),
        cwd=home,
        input=data,
        capture_output=True,
        timeout=PATIENCE_S,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


def ask(
    server: Serving, *arguments: str, piped: str | bytes = b"", **more: str
) -> subprocess.CompletedProcess[str]:
    """Runs it against a running server, as its own home would."""
    return run(*arguments, home=server.home, piped=piped, TRUNKLINE_URL=server.url, **more)


@contextmanager
def started(server: Serving, *arguments: str, **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Starts it against a running server; leaving kills what is left of it."""
    process = subprocess.Popen(
        command(*arguments),
        env=environment(server.home, TRUNKLINE_URL=server.url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **streams,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def messages(simulator: Simulator) -> list[tuple[str, str]]:
    """What the one request that the provider has seen says."""
    (seen,) = simulator.seen
    return [(message["role"], message["content"]) for message in seen.body["messages"]]


# ------------------------------------------------------------------------------------- the answer


@pytest.mark.parametrize("model", [NANO, ECHO])
def test_the_answer_and_nothing_else_is_printed(
    server: Serving, simulator: Simulator, model: str
) -> None:
    done = ask(server, model, QUESTION, "--temperature", "0")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{ANSWER[model]}\n", "")


@pytest.mark.parametrize("model", [NANO, ECHO])
def test_the_reasoning_is_shown_on_stderr_if_asked_for(
    server: Serving, simulator: Simulator, model: str
) -> None:
    done = ask(server, model, QUESTION, "--temperature", "0", "--show-reasoning")
    assert (done.returncode, done.stdout) == (0, f"{ANSWER[model]}\n")
    assert done.stderr == f"{REASONING[model]}\n\n"


def test_the_answer_comes_piece_by_piece(server: Serving, simulator: Simulator) -> None:
    simulator.play(Script(text="one two three", reasoning="", stall_after=2))
    with started(server, ECHO, "count") as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"one"
        simulator.wait_for_open(1)


def test_json_tells_all_that_is_known_of_the_answer(server: Serving, simulator: Simulator) -> None:
    done = ask(server, ECHO, "hello", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    assert answer.pop("request_id").startswith("req_")
    assert answer == {
        "model": ECHO,
        "provider": "sim",
        "content": "echo: hello",
        "reasoning": "Let me think.",
        "usage": {
            "prompt_tokens": 1,
            "completion_tokens": 5,
            "total_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 3},
            "cost": 0.000011,
        },
        "finish_reason": "stop",
        "cost_usd": 0.000011,
    }


def test_json_of_the_embedded_engine(server: Serving) -> None:
    answer = json.loads(ask(server, NANO, QUESTION, "--temperature", "0", "--json").stdout)
    assert (answer["provider"], answer["model"]) == ("local", NANO)
    assert (answer["content"], answer["reasoning"]) == (ANSWER[NANO], REASONING[NANO])
    assert answer["usage"]["completion_tokens"] > 0


def test_what_a_model_writes_reaches_a_program_unchanged(
    server: Serving, simulator: Simulator
) -> None:
    text = "\x1b[2Ja\tb\r\n\x9b2J\u202e\n\n"
    simulator.play(Script(text=text), Script(text=text))
    assert ask(server, ECHO, "x").stdout.encode() == text.encode()
    document = ask(server, ECHO, "x", "--json").stdout
    assert json.loads(document)["content"] == text
    assert document.isascii()


def test_parameters_are_sent_as_they_are_called_in_the_api(
    server: Serving, simulator: Simulator
) -> None:
    flags = (
        "--effort",
        "high",
        "--max-tokens",
        "9",
        "--temperature",
        "0.5",
        "--system",
        "Be brief.",
    )
    assert ask(server, ECHO, "hello", *flags).returncode == 0
    assert messages(simulator) == [("system", "Be brief."), ("user", "hello")]
    body = simulator.seen[0].body
    assert body["reasoning_effort"] == "high"
    assert body["max_completion_tokens"] == 9
    assert body["temperature"] == 0.5


# ------------------------------------------------------------------------------------- the prompt


@pytest.mark.parametrize(
    ("arguments", "piped", "asked"),
    [
        (["Sum up:"], "a\nb\n", "Sum up:\n\na\nb"),
        (["Sum up:"], "", "Sum up:"),
        (["-"], "a\n\nb\n", "a\n\nb"),
        ([], "a", "a"),
        (["Grüße"], "こんにちは\n", "Grüße\n\nこんにちは"),
    ],
)
def test_what_is_piped_in_follows_the_prompt(
    server: Serving, simulator: Simulator, arguments: list[str], piped: str, asked: str
) -> None:
    assert ask(server, ECHO, *arguments, piped=piped).returncode == 0
    assert messages(simulator) == [("user", asked)]


@pytest.mark.parametrize("arguments", [[], ["-"], [" "]])
def test_without_anything_to_ask_the_usage_is_explained(
    server: Serving, arguments: list[str]
) -> None:
    done = ask(server, ECHO, *arguments, piped="\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is nothing to ask" in done.stderr


def test_what_is_no_text_is_refused(server: Serving) -> None:
    done = ask(server, ECHO, "-", piped=b"\xff\xfe\x00")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "trunkline: what is piped in is not UTF-8 text\n"


def test_an_argument_that_is_no_text_is_refused(server: Serving) -> None:
    done = ask(server, ECHO, os.fsdecode(b"caf\xe9"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "trunkline: what is asked is not UTF-8 text\n"


# ------------------------------------------------------------------------------------- the schema


def test_a_schema_shapes_the_answer(server: Serving, simulator: Simulator, tmp_path: Path) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    }
    file = tmp_path / "a person.json"
    file.write_text(json.dumps(schema))
    for model in (NANO, ECHO):
        done = ask(server, model, "Alice is 30.", "--schema", str(file))
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout).keys() == {"name"}
    sent = simulator.seen[0].body["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {"name": "a_person", "schema": schema}}


@pytest.mark.parametrize("content", ["{", "[]", "\x00"])
def test_a_schema_that_is_no_json_object_is_refused_before_anything_is_asked(
    server: Serving, simulator: Simulator, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "schema.json"
    file.write_text(content)
    done = ask(server, ECHO, "x", "--schema", str(file))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the schema {file} is not a JSON object" in done.stderr
    assert simulator.seen == []


def test_an_answer_that_ignores_its_schema_is_a_failure(
    server: Serving, simulator: Simulator, tmp_path: Path
) -> None:
    file = tmp_path / "schema.json"
    file.write_text("{}")
    simulator.play(Script(text="Sorry, no."))
    done = ask(server, ECHO, "x", "--schema", str(file))
    assert (done.returncode, done.stdout) == (1, "Sorry, no.\n")
    assert done.stderr == "trunkline: the answer is not the JSON that the schema asks for\n"


# ------------------------------------------------------------------------------------- the failures


def test_an_unknown_model_is_told_in_the_servers_words(server: Serving) -> None:
    done = ask(server, "sim/ehco", "x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("trunkline: unknown model 'sim/ehco'")
    assert done.stderr.count("\n") == 1


def test_a_reply_that_breaks_off_is_a_failure_after_what_has_come(
    server: Serving, simulator: Simulator
) -> None:
    done = ask(server, "sim/cut-3:sim", "x")
    assert done.returncode == 1
    assert "broke off" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reply_that_is_cut_at_its_limit_says_so(server: Serving) -> None:
    done = ask(server, NANO, QUESTION, "--max-tokens", "3")
    assert done.returncode == 0
    assert done.stderr == "trunkline: warning: the answer was cut: it reached its token limit\n"


def test_a_reader_that_leaves_early_ends_it_quietly_and_cancels_the_reply(
    server: Serving, simulator: Simulator
) -> None:
    simulator.play(Script(text="word " * 5000, reasoning="", chunk_delay_s=0.02))
    with started(server, ECHO, "x") as process:
        assert process.stdout is not None
        assert process.stdout.read(4) == b"word"
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    simulator.wait_for_open(0)


def test_without_a_stdout_the_answer_goes_nowhere(server: Serving) -> None:
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *command(ECHO, "hello")],
        env=environment(server.home, TRUNKLINE_URL=server.url),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_an_answer_that_cannot_be_written_is_a_failure(
    server: Serving, flags: tuple[str, ...]
) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            command(ECHO, "hello", *flags),
            env=environment(server.home, TRUNKLINE_URL=server.url),
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=PATIENCE_S,
        )
    assert done.returncode == 1
    assert done.stderr == b"trunkline: cannot write the answer: No space left on device\n"


def test_ctrl_c_ends_it_with_130_and_cancels_the_reply(
    server: Serving, simulator: Simulator
) -> None:
    simulator.play(Script(text="one two three", reasoning="", stall_after=2))
    with started(server, ECHO, "x") as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 100) == b"one"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    simulator.wait_for_open(0)


# ------------------------------------------------------------------------------------- which router


def test_the_router_of_this_home_is_found_where_the_configuration_says(
    simulator: Simulator, unused_port: int
) -> None:
    config = ENGINE_OFF + simulated_provider(simulator.base_url, ECHO)
    with running(config=config) as serving:
        port = {"TRUNKLINE_SERVER_PORT": str(serving.port)}
        done = run(ECHO, "hello", home=serving.home, **port)
        assert (done.returncode, done.stdout) == (0, "echo: hello\n")
        assert serving.process.poll() is None


def test_without_a_router_one_runs_for_the_command_and_ends_with_it(
    tmp_path: Path, unused_port: int
) -> None:
    done = run(NANO, QUESTION, "--temperature", "0", home=tmp_path, **at(unused_port))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{ANSWER[NANO]}\n", "")
    assert (tmp_path / "key").exists()


def test_a_router_of_another_home_is_left_alone_and_gets_no_key(
    server: Serving, tmp_path: Path
) -> None:
    before = len(server.log())
    done = run(NANO, QUESTION, "--temperature", "0", home=tmp_path, **at(server.port))
    assert (done.returncode, done.stdout) == (0, f"{ANSWER[NANO]}\n")
    paths = [event["path"] for event in server.log()[before:] if event["event"] == "request"]
    assert set(paths) == {"/health"}


def test_a_router_that_refuses_this_homes_key_is_left_alone(
    server: Serving, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("a-key-of-another-database\n")
    (tmp_path / "key").chmod(0o600)
    bootstrap = {"TRUNKLINE_BOOTSTRAP_KEY": "a-key-of-another-database"}
    done = run(NANO, QUESTION, "--temperature", "0", home=tmp_path, **at(server.port), **bootstrap)
    assert (done.returncode, done.stdout) == (0, f"{ANSWER[NANO]}\n")


def test_a_home_whose_keys_are_all_made_by_hand_is_asked_with_one_of_them(tmp_path: Path) -> None:
    create = [sys.executable, "-m", "trunkline", "keys", "create", "--json"]
    made = subprocess.run(create, env=environment(tmp_path), capture_output=True, check=True)
    key = json.loads(made.stdout)["key"]
    done = run(NANO, QUESTION, "--temperature", "0", home=tmp_path, TRUNKLINE_KEY=key, **at(0))
    assert (done.returncode, done.stdout) == (0, f"{ANSWER[NANO]}\n"), done.stderr


def test_a_named_router_that_refuses_the_key_is_said_to(server: Serving) -> None:
    done = ask(server, ECHO, "x", "--key", "tl_not-a-key-of-this-server")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"trunkline: {server.url} does not take this key; "
        "give one of its own with --key or TRUNKLINE_KEY\n"
    )


def test_the_key_of_this_home_goes_to_no_other_machine(server: Serving) -> None:
    done = run(ECHO, "x", "--url", "http://router.example/v1", home=server.home)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("trunkline: no key for http://router.example: give it with --key")


def test_a_named_router_that_is_not_there_is_said_to(server: Serving, unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}"
    done = run(ECHO, "x", "--url", url, home=server.home)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"trunkline: {url} could not be reached")


def test_a_host_that_can_have_no_address_is_said_to(server: Serving) -> None:
    done = run(ECHO, "x", "--key", "tl_x", "--url", f"http://{'a' * 70}.example", home=server.home)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith(".example could not be reached\n")


def test_a_key_out_of_a_file_of_windows_is_taken(server: Serving) -> None:
    key = (server.home / "key").read_text().strip()
    assert ask(server, ECHO, "hello", TRUNKLINE_KEY=f"{key}\r").stdout == "echo: hello\n"


@pytest.mark.parametrize("key", ["tl_se\ncret", "tl_s\N{EURO SIGN}cret"])
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(server: Serving, key: str) -> None:
    done = ask(server, ECHO, "x", TRUNKLINE_KEY=key)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"trunkline: the key for {server.url} holds characters")
    assert "tl_" not in done.stderr


@pytest.mark.parametrize("url", ["router.example", "ftp://router.example", "http://u:p@host"])
def test_an_address_that_is_none_is_a_usage_error(server: Serving, url: str) -> None:
    done = run(ECHO, "x", "--url", url, home=server.home)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("trunkline: --url or TRUNKLINE_URL: expected a URL")


def test_another_server_of_the_same_dialect_can_be_asked(
    simulator: Simulator, tmp_path: Path
) -> None:
    done = run(ECHO, "hello", "--url", simulator.base_url, "--key", "sk-1", "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["content"], answer["provider"]) == ("echo: hello", None)
    assert simulator.seen[-1].headers["authorization"] == "Bearer sk-1"
    assert simulator.seen[-1].headers["user-agent"] == f"trunkline/{__version__}"


def test_a_router_that_cannot_start_says_why(tmp_path: Path, unused_port: int) -> None:
    missing = {"TRUNKLINE_ENGINE_MODEL": str(tmp_path / "none.gguf")}
    done = run(NANO, "x", home=tmp_path, **at(unused_port), **missing)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("trunkline: no router is running, and one does not start: ")
    assert "none.gguf" in done.stderr


def test_the_commands_own_router_dies_with_it_even_if_it_is_killed(
    simulator: Simulator, tmp_path: Path, unused_port: int
) -> None:
    config = tmp_path / "test.toml"
    config.touch(mode=0o600)
    config.write_text(ENGINE_OFF + simulated_provider(simulator.base_url, ECHO))
    simulator.play(Script(silent=True))
    process = subprocess.Popen(
        command(ECHO, "x", "--config", str(config)),
        env=environment(tmp_path, **at(unused_port)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        simulator.wait_for_open(1, timeout_s=PATIENCE_S)
        left = descendants(process.pid)
        assert left
        process.kill()
    simulator.wait_for_open(0)
    until(lambda: not any(map(alive, left)), "the router has ended")


def at(port: int) -> Mapping[str, str]:
    return {"TRUNKLINE_SERVER_PORT": str(port)}
